//! Rows in order of time, with bounded memory.

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use arrow_array::{Array, RecordBatch, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;

/// Sorts batches that are nearly in order: a row may be late by as many rows as a batch has. Equal times keep their order.
#[derive(Default)]
pub(crate) struct Order {
    held: Option<RecordBatch>,
}

impl Order {
    /// Takes the next batch; gives rows in order, none of which is later than what comes after, but for rows that were too late.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>, ArrowError> {
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        let batch = sorted(batch)?;
        let Some(held) = self.held.take() else {
            self.held = Some(batch);
            return Ok(None);
        };
        let ((_, last), (first, _)) = (span(&held)?, span(&batch)?);
        if last <= first {
            self.held = Some(batch);
            return Ok(Some(held));
        }
        let both = sorted(&concat_batches(&held.schema(), [&held, &batch])?)?;
        let ready = held.num_rows();
        self.held = Some(both.slice(ready, both.num_rows() - ready));
        Ok(Some(both.slice(0, ready)))
    }

    /// The rows that are left.
    pub(crate) fn rest(&mut self) -> Option<RecordBatch> {
        self.held.take()
    }
}

/// The times of rows, in nanoseconds.
pub(crate) fn times(batch: &RecordBatch) -> Result<&[i64], ArrowError> {
    let wrong = || ArrowError::SchemaError("no column time of timestamps without nulls".to_owned());
    let column = batch.column_by_name("time").ok_or_else(wrong)?;
    let times = column.as_primitive_opt::<TimestampNanosecondType>().filter(|times| times.null_count() == 0);
    times.map(|times| &times.values()[..]).ok_or_else(wrong)
}

/// First and last time of rows that are in order.
fn span(batch: &RecordBatch) -> Result<(i64, i64), ArrowError> {
    let times = times(batch)?;
    Ok((times.first().copied().unwrap_or_default(), times.last().copied().unwrap_or_default()))
}

fn sorted(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let times = times(batch)?;
    if times.is_sorted() {
        return Ok(batch.clone());
    }
    let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
    order.sort_by_key(|row| times[*row as usize]);
    take_record_batch(batch, &UInt32Array::from(order))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Int32Array, TimestampNanosecondArray};
    use std::sync::Arc;

    fn batch(rows: &[(i64, i32)]) -> RecordBatch {
        let times = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.0)).with_timezone("UTC");
        let numbers = Int32Array::from_iter_values(rows.iter().map(|row| row.1));
        RecordBatch::try_from_iter([("time", Arc::new(times) as _), ("n", Arc::new(numbers) as _)]).unwrap()
    }

    fn run(batches: &[&[(i64, i32)]]) -> Vec<(i64, i32)> {
        let mut order = Order::default();
        let mut out: Vec<RecordBatch> = batches.iter().filter_map(|rows| order.push(&batch(rows)).unwrap()).collect();
        out.extend(order.rest());
        let row = |batch: &RecordBatch, at: usize| {
            (times(batch).unwrap()[at], batch.column(1).as_primitive::<arrow_array::types::Int32Type>().value(at))
        };
        out.iter().flat_map(|batch| (0..batch.num_rows()).map(|at| row(batch, at)).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn late_rows_find_their_place_and_equal_times_keep_theirs() {
        let out = run(&[&[(1, 0), (3, 1), (2, 2)], &[(3, 3), (2, 4), (9, 5)], &[(9, 6), (8, 7)]]);
        assert_eq!(out, [(1, 0), (2, 2), (2, 4), (3, 1), (3, 3), (8, 7), (9, 5), (9, 6)]);
    }

    #[test]
    fn a_row_that_is_too_late_is_not_lost() {
        let out = run(&[&[(5, 0)], &[(6, 1)], &[(1, 2)]]);
        assert_eq!(out, [(5, 0), (1, 2), (6, 1)]);
    }
}
