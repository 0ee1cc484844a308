//! The rows of a file that a run takes, with their numbers.

use std::ops::Range;
use std::path::PathBuf;

use arrow_array::RecordBatch;
use arrow_select::filter::filter_record_batch;
use model::{Lens, builtin};
use store::{Form, Format, TableBatches, TableFile, Wanted};

use crate::SCORE_ROWS;
use crate::condition::Condition;
use crate::error::ArchiveError;
use crate::filter::{self, Filter};
use crate::tables::wanted;

/// Where the rows of a batch are in their file, from 0.
#[derive(Debug, Clone)]
pub enum Numbers {
    /// One after the other.
    From(u64),
    /// These, rising.
    These(Vec<u64>),
}

impl Numbers {
    /// That of a row of the batch.
    #[must_use]
    pub fn of(&self, row: usize) -> u64 {
        match self {
            Self::From(first) => first + row as u64,
            Self::These(numbers) => numbers[row],
        }
    }
}

/// Batches of the rows that pass; those without any are left out.
pub struct Rows {
    path: PathBuf,
    batches: TableBatches,
    condition: Option<Condition>,
}

impl Rows {
    /// The columns of a lens, and of the filter, of the rows that it lets pass. Row groups of which the footer says that no
    /// row does are not read.
    pub(crate) fn open(file: &TableFile, lens: &Lens, filter: &Filter) -> Result<Self, ArchiveError> {
        Self::at_once(file, wanted(lens), lens, filter, SCORE_ROWS)
    }

    /// As [`Rows::open`], of these columns of one of Ebbline's own tables, which the file must have, so many rows at a time.
    ///
    /// # Errors
    /// There is no such table; a file that cannot be read.
    pub fn of_own(
        file: &TableFile,
        (table, columns): (&str, &[&str]),
        filter: &Filter,
        batch_rows: usize,
    ) -> Result<Self, ArchiveError> {
        let no_lens =
            || ArchiveError::NoLens { path: file.path().into(), why: format!("there is no lens for {table}") };
        let lens = builtin::all().into_iter().find(|lens| lens.table() == table).ok_or_else(no_lens)?;
        let wanted = |column: &&str| Wanted { column: (*column).to_owned(), form: Form::Text, required: false };
        Self::at_once(file, columns.iter().map(wanted).collect(), &lens, filter, batch_rows)
    }

    /// As [`Rows::open`], of these columns, so many rows at a time.
    pub(crate) fn at_once(
        file: &TableFile,
        mut columns: Vec<Wanted>,
        lens: &Lens,
        filter: &Filter,
        batch_rows: usize,
    ) -> Result<Self, ArchiveError> {
        let condition = filter.of(lens).map_err(|why| ArchiveError::NoLens { path: file.path().into(), why })?;
        for column in condition.iter().flat_map(Condition::columns) {
            // In JSON lines a column can come that the first rows do not have.
            let may_be_there = file.has(column) || file.format() == Format::JsonLines;
            if may_be_there && columns.iter().all(|known| known.column != column) {
                let form = if lens.reads_times(column) { Form::Time } else { Form::Text };
                columns.push(Wanted { column: column.to_owned(), form, required: false });
            }
        }
        let groups = condition.as_ref().and_then(|condition| filter::groups(file, condition));
        let batches = file.batches_in(&columns, batch_rows, groups.as_deref())?;
        Ok(Self { path: file.path().into(), batches, condition })
    }

    fn passing(&self, batch: RecordBatch) -> Result<(RecordBatch, Numbers), ArchiveError> {
        let ranges = self.batches.rows();
        let Some(condition) = &self.condition else {
            return Ok((batch, Numbers::From(ranges.first().map_or(0, |range| range.start))));
        };
        let failed = |why| ArchiveError::Encode { path: self.path.clone(), why };
        let mask = filter::rows(condition, &batch).map_err(failed)?;
        let numbers = ranges.iter().cloned().flat_map(Range::into_iter);
        let kept = numbers.zip(mask.values().iter()).filter_map(|(number, kept)| kept.then_some(number)).collect();
        let batch = filter_record_batch(&batch, &mask).map_err(|error| failed(error.to_string()))?;
        Ok((batch, Numbers::These(kept)))
    }
}

impl Iterator for Rows {
    type Item = Result<(RecordBatch, Numbers), ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let batch = match self.batches.next()? {
                Ok(batch) => self.passing(batch),
                Err(error) => Err(error.into()),
            };
            match batch {
                Ok((batch, _)) if self.condition.is_some() && batch.num_rows() == 0 => {}
                batch => return Some(batch),
            }
        }
    }
}
