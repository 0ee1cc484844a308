//! Two reports side by side.

use scorer_gpu::measure::Spread;
use serde::Serialize;
use terminal::{bytes, plural};

use crate::names::{ARROW, BATCHES, KERNEL, LEARNING, READING, TO_BASELINE, TO_PARQUET};
use crate::report::{DeviceReport, Report};

/// Runs of which the range means something.
const ENOUGH: usize = 3;

/// What two reports have in common, and what must be known before it is believed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Where the runs differ in more than their figures.
    pub notes: Vec<String>,
    /// Figures that both have.
    pub pairs: Vec<Pair>,
    /// How many figures only one of them has.
    pub unmatched: usize,
}

/// A figure of both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// Of which device.
    pub device: String,
    /// The same, where there is little room.
    #[serde(skip)]
    pub label: String,
    /// Which figure.
    pub what: String,
    /// Rows a second of the first.
    pub before: Spread,
    /// Rows a second of the second.
    pub after: Spread,
    /// Median of the second by that of the first.
    pub ratio: f64,
    /// Whether no run of one was as fast as any of the other, of three each at least.
    pub is_apart: bool,
}

/// Sets two reports side by side.
#[must_use]
pub fn compare(before: &Report, after: &Report) -> Comparison {
    let (mut pairs, mut unmatched) = (Vec::new(), 0);
    for device in &before.devices {
        let other = after.devices.iter().find(|other| other.name == device.name);
        let others = other.map(figures).unwrap_or_default();
        let own = figures(device);
        unmatched += others.iter().filter(|(what, _)| own.iter().all(|(own, _)| own != what)).count();
        for (what, before) in own {
            match others.iter().find(|(other, _)| *other == what) {
                Some((_, after)) => pairs.push(pair(device, what, before, *after)),
                None => unmatched += 1,
            }
        }
    }
    let is_new = |device: &&DeviceReport| before.devices.iter().all(|known| known.name != device.name);
    unmatched += after.devices.iter().filter(is_new).map(|device| figures(device).len()).sum::<usize>();
    Comparison { notes: notes(before, after), pairs, unmatched }
}

fn pair(device: &DeviceReport, what: String, before: Spread, after: Spread) -> Pair {
    let ratio = after.median / before.median;
    // One or two runs do not say how far others would lie apart.
    let is_apart = before.runs.min(after.runs) >= ENOUGH && !before.overlaps(&after);
    Pair { device: device.name.clone(), label: device.label(), what, before, after, ratio, is_apart }
}

/// All rates of a device, each under a name that says what it is of.
fn figures(device: &DeviceReport) -> Vec<(String, Spread)> {
    let mut all = Vec::new();
    let rows = |rows: usize| plural(rows as u64, "row", "rows");
    for score in &device.scores {
        let table = bytes(score.table_bytes as u64);
        let of = format!("{}, table {table}, {}", plural(score.views as u64, "view", "views"), rows(score.rows));
        all.push((format!("{KERNEL}, by the {}'s clock, {of}", score.timed_by), score.kernel_rows_per_s));
        all.push((format!("{ARROW}, {of}"), score.arrow_rows_per_s));
    }
    all.extend(device.batches.iter().map(|batch| (format!("{BATCHES}, {}", rows(batch.rows)), batch.rows_per_s)));
    for learn in &device.learn {
        let of = format!("{}, {}", plural(learn.views as u64, "view", "views"), rows(learn.rows));
        all.push((format!("{LEARNING}, {of}"), learn.rows_per_s));
    }
    if let Some(files) = &device.files {
        let of = rows(files.rows);
        let known = [
            (READING, Some(files.read_rows_per_s)),
            (TO_BASELINE, files.learn_rows_per_s),
            (TO_PARQUET, Some(files.score_rows_per_s)),
        ];
        all.extend(known.into_iter().filter_map(|(name, rate)| Some((format!("{name}, {of}"), rate?))));
    }
    all
}

/// What a report says of its circumstances.
type Fact = fn(&Report) -> String;

fn notes(before: &Report, after: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |what: &str, one: String, other: String| {
        if one != other {
            notes.push(format!("{what} differ: {one} and {other}"));
        }
    };
    let both = |of: Fact| (of(before), of(after));
    let facts: [(&str, Fact); 6] = [
        ("versions", |report| report.version.clone()),
        ("seeds", |report| report.seed.to_string()),
        ("rows of a batch", |report| report.rows.to_string()),
        ("processors", |report| report.machine.threads.to_string()),
        ("last caches", |report| bytes(report.machine.last_cache_bytes as u64)),
        ("kernels", |report| report.machine.kernel.clone()),
    ];
    for (what, of) in facts {
        let (one, other) = both(of);
        note(what, one, other);
    }
    let words = |report: &Report| {
        let devices = report.devices.iter().map(|device| format!("{} ({})", device.name, device.details));
        devices.collect::<Vec<_>>().join("; ")
    };
    note("devices", words(before), words(after));
    for (which, report) in [("first", before), ("second", after)] {
        if report.stopped || !report.left_out.is_empty() {
            let figures = plural(report.left_out.len() as u64, "figure was", "figures were");
            notes.push(format!("the {which} is not whole: {figures} left out"));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::report;

    #[test]
    fn equal_reports_have_ratios_of_one() {
        let mut whole = report();
        whole.left_out.clear();
        let same = compare(&whole, &whole);
        assert!(same.notes.is_empty() && same.unmatched == 0 && same.pairs.len() == 7, "{same:?}");
        assert!(same.pairs.iter().all(|pair| pair.ratio == 1.0 && !pair.is_apart));
    }

    #[test]
    fn what_differs_is_said() {
        let (before, mut after) = (report(), report());
        after.seed = 2;
        after.version = "0.2.0".to_owned();
        after.devices[0].details = "64 threads".to_owned();
        after.devices[0].scores[0].kernel_rows_per_s = Spread { median: 3e6, least: 2e6, most: 4e6, runs: 5 };
        after.devices[0].learn.clear();
        let compared = compare(&before, &after);
        assert_eq!((compared.pairs[0].ratio, compared.pairs[0].is_apart), (3.0, true));
        assert_eq!(compared.unmatched, 1);
        after.devices[0].scores[0].kernel_rows_per_s.runs = 2;
        assert!(!compare(&before, &after).pairs[0].is_apart);
        for begin in
            ["versions differ: 0.1.0 and 0.2.0", "seeds differ: 1 and 2", "devices differ: ", "the first is not whole"]
        {
            assert!(compared.notes.iter().any(|note| note.starts_with(begin)), "{begin}: {:?}", compared.notes);
        }
        after.devices[0].name = "another".to_owned();
        assert!(compare(&before, &after).pairs.is_empty());
    }
}
