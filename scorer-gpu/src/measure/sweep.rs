//! Batches of several sizes: how fast each is scored, and from which size on one device is faster than another.

use model::{Codes, EncodedBatch, Scores};
use serde::{Deserialize, Serialize};

use super::{Spread, Timing};

/// Rows that tell how long more would take.
const PROBE: usize = 512;

/// How fast batches of a size are scored, from codes to scores, ways to the device included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BatchFigure {
    /// Rows of the batch.
    pub rows: usize,
    /// Rows a second.
    pub rows_per_s: Spread,
}

/// Sizes of the batches of a sweep: up to the largest, each four times the one before.
#[must_use]
pub fn sizes(most: usize) -> Vec<usize> {
    std::iter::successors(Some(256), |rows| Some(rows * 4)).take_while(|rows| *rows <= most).collect()
}

/// Scores a batch into scores.
pub(super) type Score<'a, E> = dyn FnMut(&EncodedBatch, &mut Scores) -> Result<(), E> + 'a;

/// As many rows of a batch as a part of the time is enough for.
///
/// # Errors
/// Those of scoring.
pub fn fitting<E>(
    score: &mut Score<'_, E>,
    batch: &EncodedBatch,
    (timing, part): (&Timing<'_>, u32),
) -> Result<usize, E> {
    let (probe, mut out) = (head(batch, PROBE), Scores::of_rows());
    score(&probe, &mut out)?;
    let seconds = timing.time(|| score(&probe, &mut out))?;
    Ok(timing.rows(batch.rows, part, probe.rows, seconds))
}

/// Scores the first rows of a batch, in each of several numbers that fits the time, as files are scored: without surprisals.
/// `check` is handed what came of each number of rows before it is timed, first without them, then with.
///
/// # Errors
/// Those of scoring and of the check.
pub fn sweep<E>(
    score: &mut Score<'_, E>,
    batch: &EncodedBatch,
    sizes: &[usize],
    timing: &Timing<'_>,
    check: &mut dyn FnMut(usize, &Scores) -> Result<(), E>,
) -> Result<Vec<BatchFigure>, E> {
    let most = fitting(score, batch, (timing, 2))?;
    let (mut all, mut out) = (Scores::default(), Scores::of_rows());
    let mut figures = Vec::new();
    for rows in sizes.iter().copied().filter(|rows| *rows <= most) {
        let batch = head(batch, rows);
        for out in [&mut out, &mut all] {
            score(&batch, out)?;
            check(rows, out)?;
        }
        let seconds = timing.repeat(sizes.len().max(1) as u32, || {
            score(&batch, &mut out)?;
            Ok(None)
        })?;
        figures.extend(Spread::of_rates(rows, &seconds).map(|rows_per_s| BatchFigure { rows, rows_per_s }));
    }
    Ok(figures)
}

/// The least rows from which on the device is at least as fast as the processor, in all sizes that both were given.
#[must_use]
pub fn crossover(cpu: &[BatchFigure], device: &[BatchFigure]) -> Option<usize> {
    let mut from = None;
    for figure in device.iter().rev() {
        let Some(other) = cpu.iter().find(|other| other.rows == figure.rows) else { continue };
        if figure.rows_per_s.median < other.rows_per_s.median {
            break;
        }
        from = Some(figure.rows);
    }
    from
}

/// The first rows of a batch.
#[must_use]
pub fn head(batch: &EncodedBatch, rows: usize) -> EncodedBatch {
    let rows = rows.min(batch.rows);
    let codes = |of: &Codes| Codes { codes: of.codes[..rows].to_vec(), ..of.clone() };
    EncodedBatch {
        rows,
        fields: batch.fields.iter().map(codes).collect(),
        host: codes(&batch.host),
        class: batch.class[..rows].to_vec(),
        time: batch.time[..rows].to_vec(),
        units: Vec::new(),
    }
}

/// The first difference between what was expected and what came of `rows` rows, in words; of the rows that both have, and of
/// surprisals if they were wanted.
#[must_use]
pub fn difference(expected: &Scores, got: &Scores, rows: usize) -> Option<String> {
    if got.bits.len() != rows {
        return Some(format!("{} rows came back of {rows}", got.bits.len()));
    }
    let all = expected.bits.len();
    let (views, both) = (expected.surprisal.len() / all.max(1), rows.min(all));
    if !got.only_rows && got.surprisal.len() != views * rows {
        return Some(format!("{} surprisals came back of {}", got.surprisal.len(), views * rows));
    }
    let chunks = expected.surprisal.chunks(all.max(1)).zip(got.surprisal.chunks(rows.max(1)));
    for (view, (a, b)) in chunks.enumerate() {
        if let Some(row) = (0..both).find(|row| a[*row] != b[*row]) {
            return Some(format!("surprisal of view {view}, row {row}: {} and {}", a[row], b[row]));
        }
    }
    let of = |scores: &Scores, row: usize| (scores.bits[row], scores.log2_n[row], scores.reasons[row]);
    let row = (0..both).find(|row| of(expected, *row) != of(got, *row))?;
    Some(format!("row {row}: {:?} and {:?}", of(expected, row), of(got, row)))
}

/// What the processor calls itself.
#[must_use]
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| "a processor without a name".to_owned(), |(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::FakeClock;
    use model::testing::{self, Plan};
    use model::{Backend, BackendError, CpuBackend};
    use std::sync::Arc;
    use std::time::Duration;

    fn figures(rates: &[(usize, f64)]) -> Vec<BatchFigure> {
        let one = |(rows, rate): &(usize, f64)| BatchFigure { rows: *rows, rows_per_s: Spread::of(&[*rate]).unwrap() };
        rates.iter().map(one).collect()
    }

    #[test]
    fn the_crossover_is_where_the_device_stays_ahead() {
        let cpu = figures(&[(256, 10.0), (1024, 10.0), (4096, 10.0)]);
        let of = |rates: &[(usize, f64)]| crossover(&cpu, &figures(rates));
        assert_eq!(of(&[(256, 1.0), (1024, 10.0), (4096, 30.0)]), Some(1024));
        assert_eq!(of(&[(256, 11.0), (1024, 9.0), (4096, 30.0)]), Some(4096));
        assert_eq!(of(&[(256, 11.0), (1024, 12.0), (4096, 9.0)]), None);
        assert_eq!(of(&[(256, 11.0)]), Some(256));
        assert_eq!(of(&[(64, 99.0)]), None);
        assert_eq!(crossover(&cpu, &[]), None);
    }

    #[test]
    fn sizes_that_take_too_long_are_left_out_and_each_is_checked() {
        let case = testing::case("sweep", Plan { rows: 4096, ..Plan::default() }, 1);
        let (clock, mut seen) = (FakeClock::default(), Vec::new());
        let timing = Timing { clock: &clock, share: Duration::from_secs(8), runs: 3 };
        let mut cpu = CpuBackend::new(Arc::clone(&case.snapshot));
        // A millisecond a row: one second for as many as some runs of half the share allow.
        let mut score = |batch: &EncodedBatch, out: &mut Scores| {
            clock.pass(Duration::from_millis(batch.rows as u64));
            cpu.score(batch, out)
        };
        let mut check = |rows: usize, got: &Scores| {
            seen.push(rows);
            assert_eq!(got.bits.len(), rows);
            Ok::<_, BackendError>(())
        };
        let found = sweep(&mut score, &case.batch, &sizes(4096), &timing, &mut check).unwrap();
        assert_eq!((sizes(4096), seen), (vec![256, 1024, 4096], vec![256, 256]));
        assert_eq!((found.len(), found[0].rows), (1, 256));
        assert!((found[0].rows_per_s.median - 1000.0).abs() < 1.0);
    }

    #[test]
    fn only_rows_that_both_have_are_compared() {
        let case = testing::case("same", Plan { rows: 50, ..Plan::default() }, 1);
        let score = |rows| {
            let mut scores = Scores::default();
            CpuBackend::new(Arc::clone(&case.snapshot)).score(&head(&case.batch, rows), &mut scores).unwrap();
            scores
        };
        let (all, few) = (score(50), score(20));
        assert_eq!((difference(&all, &few, 20), difference(&few, &all, 50)), (None, None));
        let mut other = few.clone();
        other.bits[19] ^= 1;
        assert!(difference(&all, &other, 20).unwrap().starts_with("row 19: "));
        assert!(difference(&other, &all, 50).is_some() && difference(&all, &few, 21).is_some());
    }
}
