//! What executors are told: the run, once, and of each task which part.

use std::path::PathBuf;

use archive::Filter;
use serde::{Deserialize, Serialize};

/// A run, as executors are told of it. What holds a secret goes by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Names the run among all of all times.
    pub(crate) id: String,
    /// What is done to parts.
    pub(crate) step: Step,
    /// The folder for results.
    pub(crate) out: PathBuf,
    /// Which rows.
    pub(crate) filter: FilterText,
    /// Settings of stores.
    pub(crate) settings: Vec<(String, String)>,
}

/// What is done to the files of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// Score against these: path and id of each.
    Score(Vec<(PathBuf, String)>),
    /// Count by the plan in the folder ([`crate::learn::Plan`]).
    Count,
}

/// What became of a part that was counted: the file that holds it, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) file: Result<String, String>,
}

/// A filter in a form that can be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FilterText {
    since: Option<i64>,
    until: Option<i64>,
    hosts: Vec<String>,
    condition: Option<String>,
}

impl FilterText {
    pub(crate) fn of(filter: &Filter) -> Self {
        let Filter { since, until, hosts, condition } = filter;
        let condition = condition.as_ref().map(ToString::to_string);
        Self { since: *since, until: *until, hosts: hosts.iter().cloned().collect(), condition }
    }

    /// The filter again; an error in words if the condition is none.
    pub(crate) fn filter(&self) -> Result<Filter, String> {
        let condition = self.condition.as_ref().map(|text| text.parse()).transpose();
        let condition = condition.map_err(|error: archive::ConditionError| error.to_string())?;
        Ok(Filter { since: self.since, until: self.until, hosts: self.hosts.iter().cloned().collect(), condition })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_the_same_when_it_has_been_sent() {
        for text in ["uid = 0 and (exe != '/bin/''sh' or \"odd name\" in ('a', 'b'))", "a.b >= -1.5", "x = true"] {
            let condition = Some(text.parse().unwrap());
            let hosts = ["web1".to_owned(), "a,b".to_owned()].into();
            let filter = Filter { since: Some(-1), until: None, hosts, condition };
            assert_eq!(FilterText::of(&filter).filter().unwrap(), filter, "{text}");
        }
        let broken = FilterText { condition: Some("uid =".into()), ..FilterText::default() };
        assert!(broken.filter().is_err());
    }
}
