//! The inputs of a scoring run: which there are, and in which order they depend on each other.

use std::collections::HashMap;

use model::Lens;
use model::baseline::Baseline;
use rayon::prelude::*;
use store::{InputSkipped, Source, TableFile};

use crate::Progress;
use crate::error::ArchiveError;
use crate::evidence::Place;
use crate::filter::{self, Filter};
use crate::tables::Known;
use crate::{split, tables};

/// The inputs of a run whose footers said that they can be scored.
pub(crate) struct Inputs {
    pub(crate) todo: Vec<Source>,
    /// The table of each, as the first baseline that knows it says.
    table_of: Vec<String>,
    /// All tables, of all baselines.
    pub(crate) tables: Vec<String>,
    pub(crate) skipped: Vec<InputSkipped>,
}

/// What a footer says.
enum Look {
    /// Counters of the agent: nothing to score, nothing wrong.
    Counters,
    /// No row of it passes.
    PassedOver,
    Todo {
        tables: Vec<String>,
        rows: u64,
    },
}

impl Inputs {
    /// Reads every footer: what cannot be scored is known before the work begins.
    pub(crate) fn look(
        sources: Vec<Source>,
        baselines: &[&Baseline],
        filter: &Filter,
        strict: bool,
        progress: &dyn Progress,
    ) -> Result<Self, ArchiveError> {
        let opened = sources.par_iter().map(|source| {
            let file = TableFile::open_source(source)?;
            let mut known = Known::of(filter);
            known.look(&file);
            Ok((look(&file, baselines, filter)?, known))
        });
        let looks: Vec<Result<(Look, Known<'_>), ArchiveError>> = opened.collect();
        let mut this = Self { todo: Vec::new(), table_of: Vec::new(), tables: Vec::new(), skipped: Vec::new() };
        let (mut rows, mut bytes, mut columns) = (0u64, 0u64, Known::of(filter));
        let (mut passed_over, looked_at) = (sources.is_empty(), !sources.is_empty());
        for (source, look) in sources.into_iter().zip(looks) {
            match look {
                Ok((Look::Counters, _)) => {}
                Ok((Look::PassedOver, known)) => {
                    columns.join(&known);
                    passed_over = true;
                }
                Ok((Look::Todo { tables, rows: more }, known)) => {
                    columns.join(&known);
                    rows = rows.saturating_add(more); // a footer can say anything
                    bytes = bytes.saturating_add(source.bytes());
                    this.table_of.push(tables.first().cloned().unwrap_or_default());
                    this.tables.extend(tables);
                    this.todo.push(source);
                }
                Err(error) if strict => return Err(error),
                Err(error) => this.skip(&source, &error, progress),
            }
        }
        if !this.todo.is_empty() || (passed_over && looked_at) {
            columns.check()?;
        }
        this.tables.sort();
        this.tables.dedup();
        progress.total(rows);
        progress.total_bytes(bytes);
        match (this.todo.len(), this.skipped.len()) {
            (0, 0) if passed_over => Err(ArchiveError::NothingPasses(filter.text())),
            (0, 0) => Err(ArchiveError::NothingToDo),
            (0, skipped) => Err(ArchiveError::AllSkipped(skipped)),
            _ => Ok(this),
        }
    }

    fn skip(&mut self, source: &Source, error: &ArchiveError, progress: &dyn Progress) {
        let (path, reason) = (source.path.display().to_string(), error.to_string());
        progress.skipped(&path, &reason);
        self.skipped.push(InputSkipped { path, reason });
    }

    /// The files that are scored one after the other.
    pub(crate) fn parts(&self, baselines: &[&Baseline]) -> Vec<Vec<usize>> {
        let files =
            self.todo.iter().zip(&self.table_of).map(|(source, table)| (source.relative.as_str(), table.as_str()));
        let is_stateful = |table: &str| {
            let mut lenses = baselines.iter().filter_map(|baseline| baseline.lens(table));
            lenses.any(Lens::is_stateful)
        };
        split::parts(files, is_stateful)
    }

    /// Where each input is, and behind which others.
    pub(crate) fn places(&self, parts: &[Vec<usize>]) -> HashMap<&str, Place<'_>> {
        let source = |number: &usize| &self.todo[*number];
        let place = |(at, number): (usize, &usize), part: &[usize]| {
            let before = part[..at].iter().map(source).collect();
            (self.todo[*number].relative.as_str(), Place { source: source(number), before })
        };
        parts.iter().flat_map(|part| part.iter().enumerate().map(move |one| place(one, part))).collect()
    }
}

/// What the baselines can do with a file; an error if none can do anything.
fn look(file: &TableFile, baselines: &[&Baseline], filter: &Filter) -> Result<Look, ArchiveError> {
    let (mut found, mut passing, mut first_error) = (Vec::new(), false, None);
    for baseline in baselines {
        match known(file, baseline) {
            Ok(None) => return Ok(Look::Counters),
            Ok(Some((table, lens))) => {
                let wrong = |why| ArchiveError::NoLens { path: file.path().into(), why };
                let condition = filter.of(lens).map_err(wrong)?;
                let groups = condition.as_ref().and_then(|condition| filter::groups(file, condition));
                passing |= groups.is_none_or(|groups| !groups.is_empty());
                found.push(table);
            }
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    match first_error {
        Some(error) if found.is_empty() => Err(error),
        _ if !passing => Ok(Look::PassedOver),
        _ => Ok(Look::Todo { tables: found, rows: file.rows().unwrap_or(0) }),
    }
}

/// Table and lens of a file that the baseline can score; nothing for the agent's counters.
fn known<'a>(file: &TableFile, baseline: &'a Baseline) -> Result<Option<(String, &'a Lens)>, ArchiveError> {
    let table = tables::table_of(file, baseline.lenses())?;
    match baseline.lens(&table) {
        _ if table == events::HEARTBEAT => Ok(None),
        Some(lens) => Ok(Some((table, lens))),
        None => {
            let why = format!("the baseline knows no table {table}");
            Err(ArchiveError::NoLens { path: file.path().into(), why })
        }
    }
}
