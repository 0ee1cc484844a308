//! What is done with whole baselines: joined, parted again, compiled another way (docs/model.md §3).
//!
//! A baseline is a set of immutable parts, each brought by some run of learning. These operations change the set; tables
//! follow from it, so the order in which it came about leaves no trace.

use std::collections::BTreeSet;

use crate::baseline::{Baseline, Parts};
use crate::compile::Options;
use crate::days::day_text;
use crate::dismissal::Dismissal;
use crate::segment::Segment;

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// They hash under different keys.
    #[error(
        "baselines {first} and {other} were learned under different keys, so that nothing in one means anything in the \
         other; learn one of them again with --key-of the other"
    )]
    OtherKey {
        /// Id of the first.
        first: String,
        /// Id of the other.
        other: String,
    },
    /// They read a table in different ways.
    #[error(
        "baselines {first} and {other} read table {table:?} through different lenses ({mine} and {theirs}), so that \
         their counts do not add up; learn one of them again with the lens of the other (--lens)"
    )]
    OtherLens {
        /// Id of the first.
        first: String,
        /// Id of the other.
        other: String,
        /// The table.
        table: String,
        /// First digits of the lens's digest in the first.
        mine: String,
        /// The same in the other.
        theirs: String,
    },
    /// They know different people.
    #[error(
        "baselines {first} and {other} were learned with different entities, so that one name would mean two things; \
         learn one of them again with --entities of the other"
    )]
    OtherEntities {
        /// Id of the first.
        first: String,
        /// Id of the other.
        other: String,
    },
    /// There is nothing to forget.
    #[error("nothing in baseline {0} is of what was named; see what is in it with: ebbline baseline show --segments")]
    NothingMatches(String),
    /// It would be empty.
    #[error("nothing would be left of baseline {0}; remove the file instead")]
    NothingLeft(String),
    /// There was nothing to join.
    #[error("no baseline was named")]
    NothingGiven,
    /// The parts do not fit; more than 2^31 distinct cells, for example.
    #[error("{0}")]
    Inconsistent(String),
}

/// Checks that counts under the one mean the same under the other.
pub fn comparable(first: &Baseline, other: &Baseline) -> Result<(), OpsError> {
    let names = || (first.id().to_owned(), other.id().to_owned());
    if first.hash_key() != other.hash_key() {
        let (first, other) = names();
        return Err(OpsError::OtherKey { first, other });
    }
    if let (Some(mine), Some(theirs)) = (first.entities(), other.entities())
        && mine != theirs
    {
        let (first, other) = names();
        return Err(OpsError::OtherEntities { first, other });
    }
    for lens in &other.parts().lenses {
        let Some(mine) = first.lens(lens.table()).filter(|mine| mine.digest() != lens.digest()) else { continue };
        let short = |digest: [u8; 32]| digest[..4].iter().map(|b| format!("{b:02x}")).collect();
        let (first, other) = names();
        let (mine, theirs) = (short(mine.digest()), short(lens.digest()));
        return Err(OpsError::OtherLens { first, other, table: lens.table().to_owned(), mine, theirs });
    }
    Ok(())
}

/// The union: every part once, whichever has it. Compiled as the first was.
pub fn merge(all: Vec<Baseline>) -> Result<Baseline, OpsError> {
    let mut all = all.into_iter();
    let first = all.next().ok_or(OpsError::NothingGiven)?;
    let rest: Vec<Baseline> = all.collect();
    // Each is compared with every other: tables that the first lacks may be read in two ways by the rest.
    for (at, other) in rest.iter().enumerate() {
        std::iter::once(&first).chain(&rest[..at]).try_for_each(|earlier| comparable(earlier, other))?;
    }
    if rest.iter().all(|other| has_all(first.parts(), other.parts())) {
        return Ok(first);
    }
    let (mut parts, options) = first.into_parts();
    for other in rest {
        add(&mut parts, other.into_parts().0);
    }
    parts.tidy();
    Baseline::compile(parts, options).map_err(OpsError::Inconsistent)
}

/// Whether every run of learning brought the one as much as the other.
fn has_all(parts: &Parts, other: &Parts) -> bool {
    let has_run = |(run, brought): (&String, &BTreeSet<String>)| {
        parts.origins.get(run).is_some_and(|mine| mine.is_superset(brought))
    };
    other.origins.iter().all(has_run) && other.dismissals.iter().all(|one| parts.dismissals.contains(one))
}

/// Adds the parts of another; they are not tidy then.
pub(crate) fn add(parts: &mut Parts, other: Parts) {
    for lens in other.lenses {
        match parts.lenses.iter_mut().find(|l| l.table() == lens.table()) {
            // Of two ways to write the same lens the one stays that a merge the other way round would keep, too.
            Some(mine) if lens.source() < mine.source() => *mine = lens,
            Some(_) => {}
            None => parts.lenses.push(lens),
        }
    }
    parts.segments.extend(other.segments);
    parts.evidence.extend(other.evidence);
    parts.dismissals.extend(other.dismissals);
    for (run, brought) in other.origins {
        parts.origins.entry(run).or_default().extend(brought);
    }
    parts.words.merge(other.words);
}

/// What is to be forgotten: the parts that all given conditions hold for, and those named by id.
#[derive(Debug, Clone, Default)]
pub struct Forget {
    /// Of these hosts; of any if empty.
    pub hosts: Vec<String>,
    /// Of this day or later.
    pub from: Option<i32>,
    /// Of this day or earlier.
    pub to: Option<i32>,
    /// Segments by id.
    pub segments: Vec<String>,
    /// Dismissals by id.
    pub dismissals: Vec<String>,
}

impl Forget {
    fn names(&self, segment: &Segment) -> bool {
        let conditions = !self.hosts.is_empty() || self.from.is_some() || self.to.is_some();
        let host = |host: &String| Some(host) == segment.host.as_ref();
        let of_host = self.hosts.is_empty() || self.hosts.iter().any(host);
        let of_days = self.from.is_none_or(|from| segment.day >= from) && self.to.is_none_or(|to| segment.day <= to);
        conditions && of_host && of_days || self.segments.contains(&segment.id)
    }

    /// In words: `host web1, 2026-11-02 to 2026-11-03`.
    pub fn in_words(&self) -> String {
        let mut words: Vec<String> = self.hosts.iter().map(|host| format!("host {host}")).collect();
        match (self.from, self.to) {
            (Some(from), Some(to)) if from == to => words.push(day_text(from)),
            (Some(from), Some(to)) => words.push(format!("{} to {}", day_text(from), day_text(to))),
            (Some(from), None) => words.push(format!("{} and later", day_text(from))),
            (None, Some(to)) => words.push(format!("{} and earlier", day_text(to))),
            (None, None) => {}
        }
        words.extend(self.segments.iter().map(|id| format!("segment {id}")));
        words.extend(self.dismissals.iter().map(|id| format!("dismissal {id}")));
        words.join(", ")
    }
}

/// Takes segments away, and with them their evidence and the words that nothing else showed.
pub fn forget(baseline: Baseline, what: &Forget) -> Result<Baseline, OpsError> {
    let named = |segment: &&Segment| what.names(segment);
    let gone: BTreeSet<String> = baseline.segments().iter().filter(named).map(|s| s.id.clone()).collect();
    let take = |parts: &mut Parts| {
        parts.origins.values_mut().for_each(|brought| brought.retain(|id| !gone.contains(id)));
        let left = std::mem::take(&mut parts.dismissals).into_iter().filter(|one| !what.dismissals.contains(&one.id));
        parts.dismissals = left.filter_map(|one| one.without(|lesson| what.names(lesson))).collect();
    };
    without(baseline, take)
}

/// Takes away what the runs of learning in `other` brought, and nothing that another run brought, too. After a merge
/// with `other` this gives the baseline before it, byte for byte.
pub fn forget_what_came_from(baseline: Baseline, other: &Baseline) -> Result<Baseline, OpsError> {
    comparable(&baseline, other)?;
    let take = |parts: &mut Parts| {
        for (run, brought) in &other.parts().origins {
            if let Some(mine) = parts.origins.get_mut(run) {
                mine.retain(|id| !brought.contains(id));
            }
        }
        parts.dismissals.retain(|one| !other.parts().dismissals.contains(one));
    };
    without(baseline, take)
}

fn without(baseline: Baseline, take: impl FnOnce(&mut Parts)) -> Result<Baseline, OpsError> {
    let id = baseline.id().to_owned();
    let (mut parts, options) = baseline.into_parts();
    let brought = |parts: &Parts| parts.origins.values().map(BTreeSet::len).sum::<usize>();
    let before = (brought(&parts), parts.dismissals.clone());
    take(&mut parts);
    if (brought(&parts), &parts.dismissals) == (before.0, &before.1) {
        return Err(OpsError::NothingMatches(id));
    }
    parts.tidy();
    if parts.segments.is_empty() {
        return Err(OpsError::NothingLeft(id));
    }
    Baseline::compile(parts, options).map_err(OpsError::Inconsistent)
}

/// The same parts, compiled by other options.
pub fn compile(baseline: Baseline, options: Options) -> Result<Baseline, OpsError> {
    Baseline::compile(baseline.into_parts().0, options).map_err(OpsError::Inconsistent)
}

/// The same with one more dismissal.
pub fn dismiss(baseline: Baseline, dismissal: Dismissal) -> Result<Baseline, OpsError> {
    let (mut parts, options) = baseline.into_parts();
    parts.dismissals.push(dismissal);
    parts.tidy();
    Baseline::compile(parts, options).map_err(OpsError::Inconsistent)
}

/// Takes dismissals away, which gives the baseline as it was without them, byte for byte; and what they were.
pub fn take_back(
    baseline: Baseline,
    named: impl Fn(&Dismissal) -> bool,
) -> Result<(Baseline, Vec<Dismissal>), OpsError> {
    if !baseline.dismissals().iter().any(&named) {
        return Ok((baseline, Vec::new()));
    }
    let (mut parts, options) = baseline.into_parts();
    let (gone, left) = parts.dismissals.into_iter().partition(named);
    parts.dismissals = left;
    Ok((Baseline::compile(parts, options).map_err(OpsError::Inconsistent)?, gone))
}

/// Takes away the dismissals that do not count on a day: not any more, or not yet.
pub fn expire(baseline: Baseline, day: i32) -> Result<(Baseline, Vec<Dismissal>), OpsError> {
    take_back(baseline, |dismissal| !dismissal.counts_on(day))
}
