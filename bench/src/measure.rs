//! Times of scoring and learning on one device.

use arrow_array::{Array, RecordBatch};
use model::cpu::Counted;
use model::{EncodedBatch, Encoder, Scores};
use scorer_gpu::measure::{self, BatchFigure, Spread, Timing, head};

use crate::case::{Case, key};
use crate::device::{Counter, Device, Failure, Kind, Scorer};
use crate::energy::Meter;
use crate::identity::{plainly, same};
use crate::report::{LearnFigure, LimitsAt, ScoreFigure};

/// Rows that are scored plainly, too, and counted by both.
const CHECKED: usize = 1024;
/// Bytes that come of a row: bits, three reasons, and how rare.
const SCORES: f64 = 18.0;

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
    let rows = measure::fitting(&mut |batch, out| scorer.score(batch, out), &case.batch, (timing, 4))?;
    let batch = head(&case.batch, rows);
    let (mut all, mut out) = (Scores::default(), Scores::of_rows());
    scorer.score(&batch, &mut all)?;
    scorer.score(&batch, &mut out)?;
    let kind = device.about().kind;
    let plain = check(case, kind, [&all, &out], batch.rows)?;
    let told = scorer.kernel_seconds().is_some();
    let kernel = kernels(scorer.as_mut(), (kind, &batch), timing)?;
    let arrow = case.rows.scored.slice(0, batch.rows);
    let whole = timing.repeat(3, || {
        let encoded = Encoder::new(&case.snapshot.lens, &key()).encode(&arrow);
        let encoded = encoded.map_err(|error| Failure::Refused(error.to_string()))?;
        scorer.score(&encoded, &mut out)?;
        Ok::<_, Failure>(None)
    })?;
    let arrow_rows_per_s = spread(batch.rows, &whole)?;
    // An adapter looks up every row by itself.
    let asked = plain.unwrap_or(kernel.lookups);
    let (views, lookups_per_s) = (case.snapshot.views.len(), asked * kernel.rows_per_s.median);
    Ok(ScoreFigure {
        views,
        table_bytes: case.table_bytes(),
        rows: batch.rows,
        kernel_rows_per_s: kernel.rows_per_s,
        timed_by: if told { "device" } else { "host" }.to_owned(),
        lookups_per_s,
        share_of_gathers: lookups_per_s / limits.gathers_per_s,
        lookups_done: (asked > 0.0).then(|| kernel.lookups / asked),
        arrow_rows_per_s,
        share_of_stream: arrow_rows_per_s.median * (bytes_per_row(case, &arrow) + SCORES) / limits.stream_bytes_per_s,
        share_of_copies: limits.down_bytes_per_s.map(|down| arrow_rows_per_s.median * SCORES / down),
        joules_per_million_rows: kernel.joules_per_million_rows,
    })
}

/// Whether the first rows of a case have their scores, with and without surprisals; the processor's own are checked against the plain way, and how many
/// look-ups of a row that takes is returned.
fn check(case: &Case, kind: Kind, got: [&Scores; 2], rows: usize) -> Result<Option<f64>, Failure> {
    let views = terminal::plural(case.snapshot.views.len() as u64, "view", "views");
    let place = format!("{views}, table {}", terminal::bytes(case.table_bytes() as u64));
    got.into_iter().try_for_each(|got| same(&place, &case.expected, got, rows))?;
    if kind != Kind::Cpu {
        return Ok(None);
    }
    let few = head(&case.batch, CHECKED);
    let (scores, lookups) = plainly(&case.snapshot, &few)?;
    same(&place, &case.expected, &scores, few.rows)?;
    Ok(Some(lookups as f64 / few.rows.max(1) as f64))
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
    let (lookups, mut out) = (scorer.lookups(), Scores::of_rows());
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
    let mut check = |rows: usize, got: &Scores| same(&format!("{rows} rows"), &case.expected, got, rows);
    measure::sweep(&mut |batch, out| scorer.score(batch, out), &case.batch, sizes, timing, &mut check)
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
        Ok::<_, Failure>(None)
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
