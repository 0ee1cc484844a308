//! What was measured, in the form in which it is kept (docs/contracts.md §13).

use scorer_gpu::measure::{BatchFigure, Spread};
use serde::{Deserialize, Serialize};

use crate::device::{Kind, Limits};

/// Version of this form.
pub const FORMAT: u32 = 1;

/// The release that a result names, for the end of a word.
fn version_of(value: &serde_json::Value) -> String {
    let version = value.get("version").and_then(serde_json::Value::as_str);
    version.map(|version| format!(" ({})", version.chars().take(40).collect::<String>())).unwrap_or_default()
}

/// A run of the benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// Version of Ebbline.
    pub version: String,
    /// Whether it was the short one.
    pub quick: bool,
    /// Seed of the rows.
    pub seed: u64,
    /// Rows of a batch, at most.
    pub rows: usize,
    /// Seconds that it might take.
    pub budget_seconds: f64,
    /// Seconds that it took.
    pub wall_seconds: f64,
    /// Whether somebody stopped it.
    pub stopped: bool,
    /// The most memory that the process had, in bytes; that of adapters is not in it.
    pub peak_memory_bytes: Option<u64>,
    /// The machine.
    pub machine: Machine,
    /// The devices, the processor first.
    pub devices: Vec<DeviceReport>,
    /// What was wanted and is not there.
    pub left_out: Vec<LeftOut>,
}

/// The machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Processors that the process may use.
    pub threads: usize,
    /// Bytes of the last cache.
    pub last_cache_bytes: usize,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Release of the kernel.
    pub kernel: String,
    /// Where figures of energy come from, or why there are none.
    pub energy: String,
}

/// What a device did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// `cpu`, or the adapter's name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// More in words.
    pub details: String,
    /// What was compared and found equal; nothing is timed before.
    pub identity: Option<Identity>,
    /// What its memory gives.
    pub limits: Vec<LimitsAt>,
    /// Scoring.
    pub scores: Vec<ScoreFigure>,
    /// Scoring batches of several sizes.
    pub batches: Vec<BatchFigure>,
    /// Rows of a batch from which on it was at least as fast as the processor; nothing if it never was.
    pub crossover_rows: Option<usize>,
    /// Learning.
    pub learn: Vec<LearnFigure>,
    /// From file to file.
    pub files: Option<FileFigures>,
}

impl DeviceReport {
    /// What it is called where there is little room: without what drivers put in parentheses, and marked if it is no device
    /// of its own.
    #[must_use]
    pub fn label(&self) -> String {
        let short = self.name.split(" (").next().filter(|short| !short.is_empty()).unwrap_or(&self.name);
        match self.kind {
            Kind::Software => format!("{short}, software"),
            Kind::Cpu | Kind::Hardware => short.to_owned(),
        }
    }
}

/// Cases that were scored to the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Cases.
    pub cases: usize,
    /// Rows of all cases.
    pub rows: usize,
}

/// What memory gives at best, of a buffer as large as a table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LimitsAt {
    /// Bytes of the table.
    pub table_bytes: usize,
    /// Bytes that were read: less where an adapter binds no more.
    pub buffer_bytes: u64,
    /// Bytes a second, read in order.
    pub stream_bytes_per_s: f64,
    /// 32-byte reads a second from random places.
    pub gathers_per_s: f64,
    /// Bytes a second from host to device, where that is a way.
    pub up_bytes_per_s: Option<f64>,
    /// Bytes a second from device to host.
    pub down_bytes_per_s: Option<f64>,
}

impl LimitsAt {
    pub(crate) fn new(table_bytes: usize, limits: &Limits) -> Self {
        Self {
            table_bytes,
            buffer_bytes: limits.bytes,
            stream_bytes_per_s: limits.stream,
            gathers_per_s: limits.gather,
            up_bytes_per_s: limits.copies.map(|[up, _]| up),
            down_bytes_per_s: limits.copies.map(|[_, down]| down),
        }
    }
}

/// How fast batches are scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreFigure {
    /// Views of the lens.
    pub views: usize,
    /// Bytes of the table.
    pub table_bytes: usize,
    /// Rows of the batch: fewer than wanted on a device that would take too long.
    pub rows: usize,
    /// Rows a second from codes to scores.
    pub kernel_rows_per_s: Spread,
    /// `device` if that is the time its kernels took, `host` if it is the time of the whole call.
    pub timed_by: String,
    /// Look-ups a second that these rows ask for, each by itself.
    pub lookups_per_s: f64,
    /// Those, of the random reads that memory gives: more than 1 where caches answer, or where equal rows are looked up once.
    pub share_of_gathers: f64,
    /// Look-ups that were done, of those; results of before do not say.
    #[serde(default)]
    pub lookups_done: Option<f64>,
    /// Rows a second from Arrow to scores.
    pub arrow_rows_per_s: Spread,
    /// Bytes of Arrow and of scores a row, of what is read in order.
    pub share_of_stream: f64,
    /// Bytes of scores a row, of what comes back from the device.
    pub share_of_copies: Option<f64>,
    /// Energy of the processor's packages.
    pub joules_per_million_rows: Option<f64>,
}

/// How fast rows are counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LearnFigure {
    /// Views of the lens.
    pub views: usize,
    /// Rows counted at a time.
    pub rows: usize,
    /// Rows a second.
    pub rows_per_s: Spread,
    /// Cells a second, of the random reads that memory gives.
    pub share_of_gathers: f64,
}

/// How fast files become scores in files.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FileFigures {
    /// Rows in the files.
    pub rows: usize,
    /// Rows a second of reading the columns alone: the limit.
    pub read_rows_per_s: Spread,
    /// Rows a second from files to a baseline; by the processor.
    pub learn_rows_per_s: Option<Spread>,
    /// Rows a second from files to scores in files.
    pub score_rows_per_s: Spread,
    /// The same, of reading.
    pub share_of_read: f64,
}

/// A figure that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Of which device.
    pub device: String,
    /// Which figure.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// What makes a result.
pub const MAKE: &str = "make one with: ebbline bench --quick --out FILE";

/// Why a text is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// There is no text.
    #[error("it is empty, so no result of `ebbline bench --json`; {MAKE}")]
    Empty,
    /// It is no JSON.
    #[error("it is not JSON, so no result of `ebbline bench --json`; {MAKE} ({0})")]
    NoJson(String),
    /// It is something else as JSON.
    #[error("it is JSON, but no result of `ebbline bench --json`; {MAKE} ({0})")]
    NoReport(String),
    /// It is of another format.
    #[error(
        "it is a result of {} Ebbline{version}: its format is {found}, this program reads {FORMAT}; use that release, or {MAKE}",
        if *.found > u64::from(FORMAT) { "a newer" } else { "an older" }
    )]
    Format {
        /// The format it says.
        found: u64,
        /// The release it says, in parentheses, if it does.
        version: String,
    },
}

impl Report {
    /// Reads a report as JSON. Devices are in the order in which all that is shown has them: the processor, hardware,
    /// software.
    ///
    /// # Errors
    /// It is none, or one of another format.
    pub fn parse(text: &[u8]) -> Result<Self, ReportError> {
        if text.iter().all(u8::is_ascii_whitespace) {
            return Err(ReportError::Empty);
        }
        let value: serde_json::Value =
            serde_json::from_slice(text).map_err(|error| ReportError::NoJson(error.to_string()))?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(found) if found == u64::from(FORMAT) => {}
            Some(found) => return Err(ReportError::Format { found, version: version_of(&value) }),
            None => return Err(ReportError::NoReport("it has no `format`".to_owned())),
        }
        // From the text again, for the line and column of what is wrong.
        let mut report: Self =
            serde_json::from_slice(text).map_err(|error| ReportError::NoReport(error.to_string()))?;
        report.devices.sort_by_key(|device| device.kind);
        Ok(report)
    }

    /// Whether the scores or counts of some device were wrong.
    #[must_use]
    pub fn differs(&self) -> Option<&LeftOut> {
        self.left_out.iter().find(|left_out| left_out.why.starts_with("differs from the CPU"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::report;

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let report = report();
        let text = serde_json::to_vec_pretty(&report).unwrap();
        assert_eq!(Report::parse(&text).unwrap(), report);
    }

    #[test]
    fn devices_have_one_order() {
        let mut mixed = report();
        let of = |kind, name: &str| DeviceReport { kind, name: name.to_owned(), ..report().devices[0].clone() };
        mixed.devices =
            vec![of(Kind::Software, "s"), of(Kind::Hardware, "a"), of(Kind::Cpu, "cpu"), of(Kind::Hardware, "b")];
        let read = Report::parse(&serde_json::to_vec(&mixed).unwrap()).unwrap();
        let names: Vec<&str> = read.devices.iter().map(|device| device.name.as_str()).collect();
        assert_eq!(names, ["cpu", "a", "b", "s"]);
    }

    #[test]
    fn what_is_no_report_is_said_with_what_makes_one() {
        let of = |text: &str| Report::parse(text.as_bytes()).unwrap_err().to_string();
        for (text, begins, ends) in [
            ("", "it is empty, so no result of `ebbline bench --json`; ", "--out FILE"),
            ("  \n", "it is empty, ", "--out FILE"),
            ("no JSON", "it is not JSON, so no result of ", "(expected ident at line 1 column 2)"),
            ("{\"format\": NaN}", "it is not JSON, so no result of ", "(expected value at line 1 column 12)"),
            ("[]", "it is JSON, but no result of ", "(it has no `format`)"),
            ("{\"format\": 1}", "it is JSON, but no result of ", "(missing field `version` at line 1 column 13)"),
            (
                "{\"format\": 2}",
                "it is a result of a newer Ebbline: its format is 2, this program reads 1; ",
                "--out FILE",
            ),
            ("{\"format\": 7, \"version\": \"9.1.0\"}", "it is a result of a newer Ebbline (9.1.0): ", "--out FILE"),
            ("{\"format\": 0, \"version\": \"0.0.1\"}", "it is a result of an older Ebbline (0.0.1): ", "--out FILE"),
        ] {
            let said = of(text);
            assert!(said.starts_with(begins) && said.ends_with(ends), "{text}: {said}");
            assert!(said.contains("make one with: ebbline bench --quick --out FILE"), "{text}: {said}");
        }
    }

    #[test]
    fn what_is_cut_or_changed_is_an_error_or_another_report() {
        let text = serde_json::to_vec(&report()).unwrap();
        for at in 0..text.len() {
            assert!(Report::parse(&text[..at]).is_err(), "cut at {at}");
            for other in [b'0', b'9', b'-', b'"', b'}', 0xff, 0] {
                let mut changed = text.clone();
                changed[at] = other;
                // What is still a report can be compared, whatever numbers it has.
                if let Ok(report) = Report::parse(&changed) {
                    let _ = crate::compare(&report, &crate::testing::report());
                }
            }
        }
    }
}
