//! A report for people.

use std::fmt::Write;

use bench::names::{
    ARROW, BATCHES, COPY_BACK, COPY_TO, KERNEL, LEARNING, RANDOM, READING, STREAMING, TO_BASELINE, TO_PARQUET,
};
use bench::{Kind, LeftOut, Report, Spread};
use terminal::{bandwidth, bytes, percent, rate};

use crate::output::table;
use crate::words::{Role, mark, plural, thousands};

/// What is not there.
const NONE: &str = "–";

/// The whole report, without a line end.
pub(super) fn report(report: &Report) -> String {
    let mut parts = vec![head(report)];
    parts.extend([limits, scores, energy, batches, learning, files].iter().filter_map(|part| part(report)));
    parts.extend(left_out(&report.left_out));
    parts.join("\n\n")
}

fn head(report: &Report) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "{} of {} s, seed {}, batches of {} at most, {}, last cache {}",
        report.wall_seconds.round(),
        report.budget_seconds,
        report.seed,
        plural(report.rows as u64, "row", "rows"),
        plural(machine.threads as u64, "processor", "processors"),
        bytes(machine.last_cache_bytes as u64),
    );
    if report.stopped {
        text += &format!("\n{}", mark(Role::Warn, "stopped: this is what there was"));
    }
    for device in &report.devices {
        let identity = device.identity.map_or_else(
            || mark(Role::Bad, "not compared"),
            |identity| {
                let (cases, rows) = (identity.cases as u64, identity.rows as u64);
                format!(
                    "{} and {} scored to the CPU's bits",
                    plural(cases, "case", "cases"),
                    plural(rows, "row", "rows")
                )
            },
        );
        let software = if device.kind == Kind::Software { mark(Role::Warn, "software") + ", " } else { String::new() };
        let _ = write!(text, "\n{} ({software}{}): {identity}", device.name, device.details);
    }
    let peak = report.peak_memory_bytes.map_or("unknown".to_owned(), bytes);
    let _ = write!(text, "\npeak memory of the process {peak}; energy: {}", machine.energy);
    text
}

/// A part with a heading, unless it has no rows.
fn part<const N: usize>(title: &str, header: [&str; N], rows: Vec<[String; N]>) -> Option<String> {
    if rows.is_empty() {
        return None;
    }
    let numbers: Vec<usize> = (1..N).collect();
    let mut table = table(header, &numbers);
    rows.into_iter().for_each(|row| _ = table.add_row(row));
    Some(format!("{}\n{table}", mark(Role::Head, title)))
}

fn limits(report: &Report) -> Option<String> {
    let rows = report.devices.iter().flat_map(|device| {
        device.limits.iter().map(move |limits| {
            let of = |rate: Option<f64>| rate.map_or(NONE.to_owned(), bandwidth);
            [
                device.label(),
                bytes(limits.table_bytes as u64),
                bytes(limits.buffer_bytes),
                bandwidth(limits.stream_bytes_per_s),
                rate(limits.gathers_per_s) + "/s",
                of(limits.up_bytes_per_s),
                of(limits.down_bytes_per_s),
            ]
        })
    });
    let header = ["device", "table", "of it read", STREAMING, RANDOM, COPY_TO, COPY_BACK];
    part("What memory gives at most, the best of three", header, rows.collect())
}

fn scores(report: &Report) -> Option<String> {
    let rows = report.devices.iter().flat_map(|device| {
        device.scores.iter().map(move |score| {
            let by = if score.timed_by == "device" { " *" } else { "" };
            [
                device.label(),
                score.views.to_string(),
                bytes(score.table_bytes as u64),
                thousands(score.rows as u64),
                spread(&score.kernel_rows_per_s) + by,
                percent(score.share_of_gathers),
                spread(&score.arrow_rows_per_s),
                percent(score.share_of_stream),
                score.share_of_copies.map_or(NONE.to_owned(), percent),
            ]
        })
    });
    let of = |limit: &str| format!("of {limit}");
    let (random, streaming, back) = (of(RANDOM), of(STREAMING), of(COPY_BACK));
    let header = ["device", "views", "table", "rows", KERNEL, &random, ARROW, &streaming, &back];
    let title = "Scoring, rows/s: median ± half of the range of all runs (* by the device's own clock).\n\
                 Shares are of what memory gives for a table as large, look-ups as if each row were looked up by itself;\n\
                 over 100 %: caches answer, or equal rows are looked up once.";
    let table = part(title, header, rows.collect())?;
    Some(table + &report.devices.iter().filter_map(done).collect::<String>())
}

/// That a device looks up equal rows once, if it does.
fn done(device: &bench::DeviceReport) -> Option<String> {
    let shares = || device.scores.iter().filter_map(|score| score.lookups_done);
    let (least, most) = (shares().reduce(f64::min)?, shares().reduce(f64::max)?);
    let range = if percent(least) == percent(most) {
        percent(least)
    } else {
        format!("{} to {}", percent(least), percent(most))
    };
    (least < 0.95).then(|| {
        format!(
            "\n{} did {range} of these look-ups: rows that a view cannot tell apart are looked up once",
            device.label()
        )
    })
}

/// What the processor's packages took, where the kernel tells.
fn energy(report: &Report) -> Option<String> {
    let scores = report.devices.iter().flat_map(|device| device.scores.iter().map(move |score| (device, score)));
    let lines: Vec<String> = scores
        .filter_map(|(device, score)| {
            let (views, table) = (plural(score.views as u64, "view", "views"), bytes(score.table_bytes as u64));
            let joules = score.joules_per_million_rows?;
            Some(format!(
                "energy of {}, {KERNEL}, {views}, table {table}: {joules:.1} J a million rows",
                device.label()
            ))
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn batches(report: &Report) -> Option<String> {
    let rows = report.devices.iter().flat_map(|device| {
        let line =
            |batch: &bench::BatchFigure| [device.label(), thousands(batch.rows as u64), spread(&batch.rows_per_s)];
        device.batches.iter().map(line).collect::<Vec<_>>()
    });
    let title = format!("Scoring in {BATCHES}, copies included");
    let table = part(&title, ["device", "rows", "rows/s"], rows.collect())?;
    let others = report.devices.iter().filter(|device| device.kind != Kind::Cpu && !device.batches.is_empty());
    let lines = others.map(|device| match device.crossover_rows {
        Some(rows) => {
            format!("\n{} is as fast as the CPU from {} on", device.label(), plural(rows as u64, "row", "rows"))
        }
        None => format!("\n{} is as fast as the CPU at none of these sizes", device.label()),
    });
    Some(table + &lines.collect::<String>())
}

fn learning(report: &Report) -> Option<String> {
    let rows = report.devices.iter().flat_map(|device| {
        device.learn.iter().map(move |learn| {
            let (rows, share) = (thousands(learn.rows as u64), percent(learn.share_of_gathers));
            [device.label(), learn.views.to_string(), rows, spread(&learn.rows_per_s), share]
        })
    });
    let share = format!("cells of {RANDOM}");
    part(&format!("Counting cells: {LEARNING}"), ["device", "views", "rows", "rows/s", &share], rows.collect())
}

fn files(report: &Report) -> Option<String> {
    let rows = report.devices.iter().filter_map(|device| {
        let files = device.files.as_ref()?;
        let learned = files.learn_rows_per_s.as_ref().map_or(NONE.to_owned(), spread);
        let (read, scored) = (spread(&files.read_rows_per_s), spread(&files.score_rows_per_s));
        Some([device.label(), thousands(files.rows as u64), read, learned, scored, percent(files.share_of_read)])
    });
    let share = format!("of {READING}");
    let header = ["device", "rows", READING, TO_BASELINE, TO_PARQUET, &share];
    part("Files, rows/s", header, rows.collect())
}

/// What is not there: of one device and for one reason in one line.
fn left_out(left_out: &[LeftOut]) -> Option<String> {
    let mut lines: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for LeftOut { device, what, why } in left_out {
        match lines.iter_mut().find(|(known, reason, _)| known == device && reason == why) {
            Some((_, _, all)) => all.push(what),
            None => lines.push((device, why, vec![what])),
        }
    }
    let text: Vec<String> = lines
        .iter()
        .map(|(device, why, all)| format!("{} {device}: {}: {why}", mark(Role::Warn, "left out:"), all.join("; ")))
        .collect();
    (!text.is_empty()).then(|| text.join("\n"))
}

/// A rate and how far its runs lay apart.
pub(super) fn spread(spread: &Spread) -> String {
    if spread.runs == 1 {
        return rate(spread.median);
    }
    let half = (spread.most - spread.least) / 2.0 / spread.median;
    format!("{} ±{}", rate(spread.median), percent(half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_say_how_far_runs_lay_apart() {
        let of = |median: f64, runs| spread(&Spread { median, least: median * 0.9, most: median * 1.1, runs });
        assert_eq!((of(1_234_567.0, 3), of(43_210.0, 2)), ("1.23 M ±10 %".to_owned(), "43.2 k ±10 %".to_owned()));
        assert_eq!((of(43_210.0, 1), of(0.0, 2)), ("43.2 k".to_owned(), "– ±–".to_owned()));
    }

    #[test]
    fn figures_of_a_reason_are_a_line() {
        let one = |what: &str, why: &str| LeftOut { device: "a card".into(), what: what.into(), why: why.into() };
        let text = left_out(&[one("8 views", "stopped"), one("files", "lost"), one("16 views", "stopped")]).unwrap();
        let left = mark(Role::Warn, "left out:");
        assert_eq!(text, format!("{left} a card: 8 views; 16 views: stopped\n{left} a card: files: lost"));
        assert_eq!(left_out(&[]), None);
    }
}
