//! Reads what was asked for: an incident in words, the processes around a row. On a thread of its own, one after the other.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use model::Lens;
use store::{Finding, Incident};
use triage::{Around, Narrative, Options, Room, RowLink};

/// Something to be read, with a number by which the answer is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The number.
    pub number: u64,
    /// What.
    pub what: Question,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// An incident in words, and its findings.
    Incident(Arc<Incident>),
    /// What was around a row of a table, and how much of it.
    Row(RowLink, String, Room),
}

/// The answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// That of the question.
    pub number: u64,
    /// What was found.
    pub told: Told,
}

/// What was found.
#[derive(Debug, Clone)]
pub enum Told {
    /// An incident.
    Incident(Box<Narrative>, Vec<Arc<Finding>>),
    /// Processes around a row.
    Around(Box<Around>),
    /// It cannot be read, and why.
    Failed(String),
}

/// Answers until nobody asks or listens.
pub(crate) fn answer(options: &Options, lenses: &[Lens], asks: &Receiver<Ask>, to: &Sender<Reply>) {
    for ask in asks {
        let told = tell(options, lenses, &ask.what).unwrap_or_else(|error| Told::Failed(error.to_string()));
        if to.send(Reply { number: ask.number, told }).is_err() {
            return;
        }
    }
}

fn tell(options: &Options, lenses: &[Lens], what: &Question) -> Result<Told, triage::TriageError> {
    Ok(match what {
        Question::Incident(incident) => {
            let mut findings = triage::findings_of_all(options, std::slice::from_ref(incident))?;
            let findings = findings.pop().unwrap_or_default();
            let narrative = triage::tell(options, incident, &findings, lenses)?;
            Told::Incident(Box::new(narrative), findings.into_iter().map(Arc::new).collect())
        }
        Question::Row(row, table, room) => Told::Around(Box::new(triage::around(options, row, table, lenses, *room)?)),
    })
}
