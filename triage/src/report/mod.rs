//! What the report shows beside incidents (docs/contracts.md §11).

mod scores;
mod seen;
mod talk;

use serde::Serialize;
use store::Manifest;

use crate::archive::Archive;
use crate::error::TriageError;
use crate::run::Options;

pub use scores::Scores;
pub use seen::{Axis, HostSeen, Hosts, Volume};
pub use talk::{Pair, Talk};

/// Format of the data in the page.
pub const REPORT_FORMAT: u32 = 1;

/// Volume, scores, coverage by host, and who talks to whom.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Overview {
    /// First row, RFC 3339.
    pub from: Option<String>,
    /// Last row, RFC 3339.
    pub until: Option<String>,
    /// What places in lists of numbers are about.
    pub axis: Option<Axis>,
    /// Rows by table.
    pub volume: Vec<Volume>,
    /// Bits of rows by table.
    pub scores: Vec<Scores>,
    /// When hosts were seen.
    pub hosts: Hosts,
    /// Programs and destinations.
    pub talk: Talk,
    /// Files that could not be read, with the reason.
    #[serde(skip)]
    pub unread: Vec<(std::path::PathBuf, String)>,
}

/// Goes over the archive and the sidecars of the last run, or of the baseline that is named.
///
/// Memory is some 8 KiB a host, 8 bytes a row of the file in work, and at most some 50 MB for pairs of program and destination.
///
/// # Errors
/// The manifest is damaged, or the archive's folders cannot be listed. Files that cannot be read are named.
pub fn overview(options: &Options) -> Result<Overview, TriageError> {
    let archive = Archive::open(options.archives())?;
    let runs = Manifest::load(&options.out)?.runs;
    let fits = |run: &&store::Run| options.baseline.as_ref().is_none_or(|id| *id == run.baseline);
    let last = runs.iter().rev().find(fits);
    let scored = scores::Scored { out: &options.out, baseline: last.map(|run| run.baseline.as_str()) };
    let bounds = seen::bounds(&archive);
    let (volume, hosts) = bounds.map_or_else(Default::default, |bounds| seen::seen(&archive, bounds));
    let from = last.and_then(|run| store::from_rfc3339(run.from.as_ref()?));
    let talk = talk::talk(&archive, &scored, from);
    let time = |time: i64| store::rfc3339(time);
    Ok(Overview {
        from: bounds.map(|bounds| time(bounds.first)),
        until: bounds.map(|bounds| time(bounds.last)),
        axis: bounds.map(|bounds| bounds.axis()),
        volume,
        scores: scores::scores(&archive, &scored),
        hosts,
        talk,
        unread: archive.unread(),
    })
}
