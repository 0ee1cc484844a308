//! What was measured, in the form in which it is kept (docs/contracts.md §13).

use scorer_gpu::measure::{BatchFigure, Spread};
use serde::{Deserialize, Serialize};

use crate::device::{Kind, Limits};

/// Version of this form.
pub const FORMAT: u32 = 1;

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
    /// Look-ups a second of the same.
    pub lookups_per_s: f64,
    /// Those, of the random reads that memory gives.
    pub share_of_gathers: f64,
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

/// Why a text is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It is something else.
    #[error("no report of `ebbline bench --json`: {0}")]
    NoReport(String),
    /// It is of another format.
    #[error(
        "its format is {found}, this program reads {FORMAT}: measure again, or compare with the release that wrote it"
    )]
    Format {
        /// The format it says.
        found: u64,
    },
}

impl Report {
    /// Reads a report as JSON.
    ///
    /// # Errors
    /// It is none, or one of another format.
    pub fn parse(text: &str) -> Result<Self, ReportError> {
        let no_report = |error: serde_json::Error| ReportError::NoReport(error.to_string());
        let value: serde_json::Value = serde_json::from_str(text).map_err(no_report)?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(found) if found == u64::from(FORMAT) => serde_json::from_value(value).map_err(no_report),
            Some(found) => Err(ReportError::Format { found }),
            None => Err(ReportError::NoReport("it says no `format`".to_owned())),
        }
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
        let text = serde_json::to_string_pretty(&report).unwrap();
        assert_eq!(Report::parse(&text).unwrap(), report);
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let of = |text: &str| Report::parse(text).unwrap_err().to_string();
        assert!(of("no JSON").starts_with("no report of `ebbline bench --json`: "));
        assert!(of("{}").contains("it says no `format`"));
        assert!(of("{\"format\": 1}").contains("missing field"));
        assert!(of("{\"format\": 2}").starts_with("its format is 2, this program reads 1"));
    }
}
