//! Incidents for whoever only looks: grouped as they would be written, and written nowhere.

use store::Incident;

use crate::archive::Archive;
use crate::error::TriageError;
use crate::gather::gather;
use crate::group::group;
use crate::run::{Options, Triaged, Writer, before, titles};
use crate::skeleton::Skeletons;

/// The incidents that [`crate::triage`] would write now, at most so many, the most bits first; and how many there are.
///
/// # Errors
/// As for [`crate::triage`], but that nothing is written.
pub fn grouped(options: &Options, most: usize) -> Result<(Vec<Incident>, Triaged), TriageError> {
    let found = Skeletons::read(&options.out, options.baseline.as_deref())?;
    let archive = Archive::open(options.archives())?;
    let (evidence, names) = gather(&found, &archive);
    let groups = group(&found.items, &evidence, &before(&options.path())?);
    let triaged =
        Triaged { findings: found.items.len() as u64, incidents: groups.len() as u64, unread: archive.unread() };
    let shown = &groups[..groups.len().min(most)];
    let writer = Writer { found: &found, evidence: &evidence, names: &names };
    let incidents = shown.iter().zip(titles(&found, shown)?).map(|(group, title)| writer.incident(group, title));
    Ok((incidents.collect(), triaged))
}
