//! A report for people.

use std::fmt::Write;

use bench::{DeviceReport, Kind, LeftOut, Report, Spread};

use crate::output::table;
use crate::words::{Role, mark, plural, thousands};

/// The whole report, without a line end.
pub(super) fn report(report: &Report) -> String {
    let mut parts = vec![head(report)];
    parts.extend([limits, scores, batches, learning, files].iter().filter_map(|part| part(report)));
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
        size(machine.last_cache_bytes),
    );
    if report.stopped {
        text += &format!("\n{}", mark(Role::Warn, "stopped: this is what there was"));
    }
    for device in &report.devices {
        let identity = device.identity.map_or_else(|| mark(Role::Bad, "not compared"), |identity| {
            let (cases, rows) = (identity.cases as u64, identity.rows as u64);
            format!("{} and {} scored to the CPU's bits", plural(cases, "case", "cases"), plural(rows, "row", "rows"))
        });
        let software = if device.kind == Kind::Software { mark(Role::Warn, "software") + ", " } else { String::new() };
        let _ = write!(text, "\n{} ({software}{}): {identity}", device.name, device.details);
    }
    let peak = report.peak_memory_bytes.map_or("unknown".to_owned(), |bytes| size(bytes as usize));
    let _ = write!(text, "\npeak memory of the process {peak}; energy: {}", machine.energy);
    text
}

/// What a device is called in tables: without what drivers put in parentheses.
fn name(device: &DeviceReport) -> String {
    let short = device.name.split(" (").next().unwrap_or_default();
    match device.kind {
        Kind::Software => format!("{short}, software"),
        Kind::Cpu | Kind::Hardware => short.to_owned(),
    }
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
            let of = |rate: Option<f64>| rate.map_or("–".to_owned(), bytes);
            [
                name(device),
                size(limits.buffer_bytes as usize),
                bytes(limits.stream_bytes_per_s),
                millions(limits.gathers_per_s),
                of(limits.up_bytes_per_s),
                of(limits.down_bytes_per_s),
            ]
        })
    });
    let header = ["memory of", "read", "in order", "random 32 bytes", "to the device", "back"];
    part("What memory gives at most, the best of three", header, rows.collect())
}

fn scores(report: &Report) -> Option<String> {
    let rows = report.devices.iter().flat_map(|device| {
        device.scores.iter().map(move |score| {
            let by = if score.timed_by == "device" { " *" } else { "" };
            let limit = match score.share_of_copies {
                Some(share) => format!("{} of copies", percent(share)),
                None => format!("{} of reading", percent(score.share_of_stream)),
            };
            [
                name(device),
                score.views.to_string(),
                size(score.table_bytes),
                thousands(score.rows as u64),
                format!("{}{by}", rate(&score.kernel_rows_per_s)),
                percent(score.share_of_gathers),
                rate(&score.arrow_rows_per_s),
                limit,
                score.joules_per_million_rows.map_or("–".to_owned(), |joules| format!("{joules:.1}")),
            ]
        })
    });
    let header =
        ["scoring on", "views", "table", "rows", "kernels", "of random", "arrow to scores", "that is", "J/M rows"];
    let title = "Rows a second: median ± half of the range of all runs (* by the device's own clock).\n\
                 Beside them look-ups of random reads of a table as large; over 100 %: caches answer.";
    part(title, header, rows.collect())
}

fn batches(report: &Report) -> Option<String> {
    let rows = report.devices.iter().flat_map(|device| {
        device.batches.iter().map(move |batch| [name(device), thousands(batch.rows as u64), rate(&batch.rows_per_s)])
    });
    let table = part("Batches, ways to the device included", ["batches on", "rows", "rows a second"], rows.collect())?;
    let others = report.devices.iter().filter(|device| device.kind != Kind::Cpu && !device.batches.is_empty());
    let lines = others.map(|device| match device.crossover_rows {
        Some(rows) => {
            format!("\n{} is as fast as the CPU from {} on", name(device), plural(rows as u64, "row", "rows"))
        }
        None => format!("\n{} is as fast as the CPU at none of these sizes", name(device)),
    });
    Some(table + &lines.collect::<String>())
}

fn learning(report: &Report) -> Option<String> {
    let rows = report.devices.iter().flat_map(|device| {
        device.learn.iter().map(move |learn| {
            let (rows, share) = (thousands(learn.rows as u64), percent(learn.share_of_gathers));
            [name(device), learn.views.to_string(), rows, rate(&learn.rows_per_s), share]
        })
    });
    part("Counting cells", ["learning on", "views", "rows", "rows a second", "cells of random"], rows.collect())
}

fn files(report: &Report) -> Option<String> {
    let rows = report.devices.iter().filter_map(|device| {
        let files = device.files.as_ref()?;
        let learned = files.learn_rows_per_s.as_ref().map_or("–".to_owned(), rate);
        let (read, scored) = (rate(&files.read_rows_per_s), rate(&files.score_rows_per_s));
        Some([name(device), thousands(files.rows as u64), read, learned, scored, percent(files.share_of_read)])
    });
    let header = ["files on", "rows", "reading alone", "to a baseline", "to scores in files", "of reading"];
    part("From Parquet to Parquet, rows a second", header, rows.collect())
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
    let text: Vec<String> =
        lines.iter().map(|(device, why, all)| format!("{} {device}: {}: {why}", mark(Role::Warn, "left out:"), all.join("; "))).collect();
    (!text.is_empty()).then(|| text.join("\n"))
}

/// A rate and how far its runs lay apart.
pub(super) fn rate(spread: &Spread) -> String {
    if spread.runs == 1 {
        return millions(spread.median);
    }
    let half = (spread.most - spread.least) / 2.0 / spread.median.max(1e-9);
    format!("{} ±{}", millions(spread.median), percent(half))
}

fn percent(share: f64) -> String {
    if share < 0.01 { format!("{:.1} %", share * 100.0) } else { format!("{:.0} %", share * 100.0) }
}

fn millions(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.2} M", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.1} k", rate / 1e3),
        rate => format!("{rate:.0}"),
    }
}

fn bytes(rate: f64) -> String {
    format!("{:.2} GB/s", rate / 1e9)
}

fn size(bytes: usize) -> String {
    match bytes {
        bytes if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        bytes => format!("{} KiB", bytes >> 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_shares_read_well() {
        let spread = |median: f64| Spread { median, least: median * 0.9, most: median * 1.1, runs: 3 };
        assert_eq!(rate(&spread(1_234_567.0)), "1.23 M ±10 %");
        assert_eq!(rate(&spread(43_210.0)), "43.2 k ±10 %");
        assert_eq!((percent(0.004), percent(1.5)), ("0.4 %".to_owned(), "150 %".to_owned()));
        assert_eq!((size(1 << 21), size(1 << 12)), ("2 MiB".to_owned(), "4 KiB".to_owned()));
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
