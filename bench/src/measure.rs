//! Times of scoring and learning on one device.

use std::time::Duration;

use arrow_array::{Array, RecordBatch};
use model::cpu::Counted;
use model::{EncodedBatch, Encoder, Scores};

use crate::budget::Clock;
use crate::case::{Case, head, key};
use crate::device::{Counter, Device, Failure, Kind, Scorer};
use crate::energy::Meter;
use crate::identity::{plainly, same};
use crate::report::{BatchFigure, LearnFigure, LimitsAt, ScoreFigure};
use crate::stats::Spread;

/// Rows that tell how long more would take.
const PROBE: usize = 512;
/// Rows that are scored plainly, too, and counted by both.
const CHECKED: usize = 1024;

/// How often, and for how long.
pub(crate) struct Timing<'a> {
    pub(crate) clock: &'a dyn Clock,
    /// For one figure.
    pub(crate) share: Duration,
    pub(crate) runs: usize,
}

impl Timing<'_> {
    fn time(&self, work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
        let start = self.clock.now();
        work()?;
        Ok((self.clock.now() - start).as_secs_f64())
    }

    /// Seconds of each run: as many as fit into a part of the share, one at least. `work` may know better than the clock.
    fn repeat(&self, part: u32, mut work: impl FnMut() -> Result<Option<f64>, Failure>) -> Result<Vec<f64>, Failure> {
        let begun = self.clock.now();
        let mut seconds = Vec::with_capacity(self.runs);
        while seconds.len() < self.runs.max(1) {
            let mut told = None;
            let clocked = self.time(|| {
                told = work()?;
                Ok(())
            })?;
            seconds.push(told.unwrap_or(clocked));
            if self.clock.now() - begun + Duration::from_secs_f64(clocked) > self.share / part {
                break;
            }
        }
        Ok(seconds)
    }

    /// Rows, at most `most`, of which some runs fit into a part of the share, if so many of a probe took so long.
    fn rows(&self, most: usize, part: u32, probe: usize, seconds: f64) -> usize {
        let wanted = (self.share / part).as_secs_f64() / (self.runs.min(3) + 1) as f64;
        let fit = probe as f64 * wanted / seconds.max(1e-9);
        if fit >= most as f64 { most } else { 1 << (fit as usize).max(probe).ilog2() }.min(most)
    }
}

/// What memory gives for a case's table.
pub(crate) fn limits(device: &dyn Device, case: &Case) -> Result<LimitsAt, Failure> {
    Ok(LimitsAt::new(case.table_bytes(), &device.limits(&case.snapshot.slots)?))
}

/// Scores a case, from codes and from Arrow; wrong scores are an error before anything is timed.
pub(crate) fn score(
    device: &dyn Device,
    case: &Case,
    limits: &LimitsAt,
    timing: &Timing<'_>,
) -> Result<ScoreFigure, Failure> {
    let mut scorer = device.open(&case.snapshot)?;
    let mut out = Scores::default();
    let batch = fitting(scorer.as_mut(), case, (timing, 4), &mut out)?;
    scorer.score(&batch, &mut out)?;
    let kind = device.about().kind;
    check(case, kind, &out, batch.rows)?;
    let told = scorer.kernel_seconds().is_some();
    let kernel = kernels(scorer.as_mut(), (kind, &batch), timing)?;
    let arrow = case.rows.scored.slice(0, batch.rows);
    let whole = timing.repeat(3, || {
        let encoded = Encoder::new(&case.snapshot.lens, &key()).encode(&arrow);
        let encoded = encoded.map_err(|error| Failure::Refused(error.to_string()))?;
        scorer.score(&encoded, &mut out)?;
        Ok(None)
    })?;
    let arrow_rows_per_s = spread(batch.rows, &whole)?;
    let (views, lookups_per_s) = (case.snapshot.views.len(), kernel.lookups * kernel.rows_per_s.median);
    // Bits, three reasons, and how rare; and the surprisal of each view.
    let scores = 18.0 + 2.0 * views as f64;
    Ok(ScoreFigure {
        views,
        table_bytes: case.table_bytes(),
        rows: batch.rows,
        kernel_rows_per_s: kernel.rows_per_s,
        timed_by: if told { "device" } else { "host" }.to_owned(),
        lookups_per_s,
        share_of_gathers: lookups_per_s / limits.gathers_per_s,
        arrow_rows_per_s,
        share_of_stream: arrow_rows_per_s.median * (bytes_per_row(case, &arrow) + scores) / limits.stream_bytes_per_s,
        share_of_copies: limits.down_bytes_per_s.map(|down| arrow_rows_per_s.median * scores / down),
        joules_per_million_rows: kernel.joules_per_million_rows,
    })
}

/// Whether the first rows of a case have their scores; the processor's own are checked against the plain way.
fn check(case: &Case, kind: Kind, got: &Scores, rows: usize) -> Result<(), Failure> {
    let place = format!("{} views, table of {} bytes", case.snapshot.views.len(), case.table_bytes());
    same(&place, &case.expected, got, rows)?;
    if kind != Kind::Cpu {
        return Ok(());
    }
    let few = head(&case.batch, CHECKED);
    same(&place, &case.expected, &plainly(&case.snapshot, &few)?, few.rows)
}

/// From codes to scores.
struct Kernels {
    rows_per_s: Spread,
    /// Of a row.
    lookups: f64,
    joules_per_million_rows: Option<f64>,
}

fn kernels(
    scorer: &mut dyn Scorer,
    (kind, batch): (Kind, &EncodedBatch),
    timing: &Timing<'_>,
) -> Result<Kernels, Failure> {
    // What the packages take while an adapter works says nothing of the adapter.
    let meter = Meter::open().ok().filter(|_| kind == Kind::Cpu);
    let before = meter.as_ref().and_then(Meter::read);
    let (lookups, mut out) = (scorer.lookups(), Scores::default());
    let seconds = timing.repeat(3, || score_once(scorer, batch, &mut out))?;
    let rows = (seconds.len() * batch.rows).max(1) as f64;
    let joules = meter.zip(before).and_then(|(meter, before)| meter.since(&before));
    Ok(Kernels {
        rows_per_s: spread(batch.rows, &seconds)?,
        lookups: (scorer.lookups() - lookups) as f64 / rows,
        joules_per_million_rows: joules.map(|joules| joules / rows * 1e6),
    })
}

/// The seconds of a device's kernels, where it tells.
fn score_once(scorer: &mut dyn Scorer, batch: &EncodedBatch, out: &mut Scores) -> Result<Option<f64>, Failure> {
    let before = scorer.kernel_seconds();
    scorer.score(batch, out)?;
    Ok(before.zip(scorer.kernel_seconds()).map(|(before, after)| after - before))
}

fn spread(rows: usize, seconds: &[f64]) -> Result<Spread, Failure> {
    Spread::of_rates(rows, seconds).ok_or(Failure::NoTime)
}

/// As many rows of a case as a part of the time is enough for.
fn fitting(
    scorer: &mut dyn Scorer,
    case: &Case,
    (timing, part): (&Timing<'_>, u32),
    out: &mut Scores,
) -> Result<EncodedBatch, Failure> {
    let probe = head(&case.batch, PROBE);
    scorer.score(&probe, out)?;
    let seconds = timing.time(|| scorer.score(&probe, out))?;
    Ok(head(&case.batch, timing.rows(case.batch.rows, part, probe.rows, seconds)))
}

/// Bytes in Arrow of the columns that the lens reads.
fn bytes_per_row(case: &Case, arrow: &RecordBatch) -> f64 {
    let columns = case.snapshot.lens.columns();
    let bytes =
        |name: &&str| arrow.column_by_name(name).and_then(|column| column.to_data().get_slice_memory_size().ok());
    columns.iter().filter_map(bytes).sum::<usize>() as f64 / arrow.num_rows().max(1) as f64
}

/// Scores batches of several sizes.
pub(crate) fn sweep(
    device: &dyn Device,
    case: &Case,
    sizes: &[usize],
    timing: &Timing<'_>,
) -> Result<Vec<BatchFigure>, Failure> {
    let mut scorer = device.open(&case.snapshot)?;
    let mut out = Scores::default();
    let most = fitting(scorer.as_mut(), case, (timing, 2), &mut out)?.rows;
    let mut figures = Vec::new();
    for rows in sizes.iter().copied().filter(|rows| *rows <= most) {
        let batch = head(&case.batch, rows);
        scorer.score(&batch, &mut out)?;
        same(&format!("{rows} rows"), &case.expected, &out, rows)?;
        let seconds = timing.repeat(sizes.len().max(1) as u32, || {
            scorer.score(&batch, &mut out)?;
            Ok(None)
        })?;
        figures.push(BatchFigure { rows, rows_per_s: spread(rows, &seconds)? });
    }
    Ok(figures)
}

/// Counts the rows of a case; wrong counts are an error before anything is timed.
pub(crate) fn learn(
    device: &dyn Device,
    cpu: &dyn Device,
    case: &Case,
    (limits, timing): (&LimitsAt, &Timing<'_>),
) -> Result<LearnFigure, Failure> {
    let (lens, seed) = (&case.snapshot.lens, case.snapshot.seed);
    let mut counter = device.counter(lens, seed)?;
    let all: Vec<u32> = (0..case.batch.rows as u32).collect();
    let few = &all[..all.len().min(CHECKED)];
    let expected = counted(cpu.counter(lens, seed)?.as_mut(), &case.batch, few)?;
    if counted(counter.as_mut(), &case.batch, few)? != expected {
        return Err(Failure::Differs(format!("the counts of {} rows", few.len())));
    }
    let seconds = timing.time(|| counter.count(&case.batch, few).map(drop))?;
    let rows = timing.rows(all.len(), 2, few.len(), seconds);
    let seconds = timing.repeat(2, || {
        counter.count(&case.batch, &all[..rows])?;
        Ok(None)
    })?;
    let rows_per_s = spread(rows, &seconds)?;
    let cells_per_s = rows_per_s.median * case.contexts() as f64;
    let share_of_gathers = cells_per_s / limits.gathers_per_s;
    Ok(LearnFigure { views: case.snapshot.views.len(), rows, rows_per_s, share_of_gathers })
}

/// What was counted, in an order.
fn counted(counter: &mut dyn Counter, batch: &EncodedBatch, rows: &[u32]) -> Result<Vec<Counted>, Failure> {
    let mut counted = counter.count(batch, rows)?;
    counted.iter_mut().for_each(|view| view.sort_unstable());
    Ok(counted)
}

/// The least batch from which on the device is at least as fast as the processor, among those that both scored.
pub(crate) fn crossover(cpu: &[BatchFigure], device: &[BatchFigure]) -> Option<usize> {
    let rate = |figures: &[BatchFigure], rows| figures.iter().find(|f| f.rows == rows).map(|f| f.rows_per_s.median);
    let faster = |rows| rate(device, rows).zip(rate(cpu, rows)).map(|(device, cpu)| device >= cpu);
    let both: Vec<(usize, bool)> = device.iter().filter_map(|f| Some((f.rows, faster(f.rows)?))).collect();
    let slower = both.iter().rposition(|(_, faster)| !faster).map_or(0, |at| at + 1);
    both.get(slower).map(|(rows, _)| *rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(rates: &[(usize, f64)]) -> Vec<BatchFigure> {
        let one = |(rows, rate): &(usize, f64)| BatchFigure {
            rows: *rows,
            rows_per_s: Spread { median: *rate, least: *rate, most: *rate, runs: 1 },
        };
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
    fn slow_devices_get_fewer_rows() {
        let clock = crate::testing::FakeClock::default();
        let timing = Timing { clock: &clock, share: Duration::from_secs(4), runs: 5 };
        // A quarter of the share for four runs: 0.25 s each.
        assert_eq!(timing.rows(65_536, 4, 512, 0.001), 65_536);
        assert_eq!(timing.rows(65_536, 4, 512, 0.064), 1024);
        assert_eq!(timing.rows(65_536, 4, 512, 60.0), 512);
        assert_eq!(timing.rows(100, 4, 100, 60.0), 64);
    }

    #[test]
    fn repeating_ends_with_the_share_or_the_runs() {
        let clock = crate::testing::FakeClock::default();
        let timing = Timing { clock: &clock, share: Duration::from_secs(4), runs: 5 };
        let of = |seconds: u64, told| {
            let work = || {
                clock.pass(Duration::from_secs(seconds));
                Ok(told)
            };
            timing.repeat(1, work).unwrap()
        };
        assert_eq!(of(0, Some(0.5)), [0.5; 5]);
        assert_eq!(of(1, None), [1.0; 4]);
        assert_eq!(of(60, None), [60.0]);
    }
}
