//! Finding an incident again, with its findings.

use std::collections::BTreeMap;

use store::{Finding, Incident, StoreError, findings_files, incident_id, read_findings, read_incidents};

use crate::error::TriageError;
use crate::run::Options;

/// Digits of an id that are asked for at least.
const LEAST: usize = 4;

/// An incident as it was written last: by its id, an alias, the beginning of its id, or the id that any unit in it would
/// have given. Its place, the most surprising first, and its findings by window.
///
/// # Errors
/// None are written, none or several have the id, or a file cannot be read.
pub fn look_up(options: &Options, id: &str) -> Result<(usize, Incident, Vec<Finding>), TriageError> {
    let path = options.path();
    if !path.exists() {
        return Err(TriageError::NotListed { folder: options.out.display().to_string() });
    }
    let (mut exact, mut beginning, mut number, mut known) = (None, None, 0, 0);
    read_incidents(&path, |incident| {
        known += 1;
        if incident.id == id || incident.aliases.iter().any(|alias| alias == id) {
            exact = Some((known, incident));
        } else if id.len() >= LEAST && incident.id.starts_with(id) {
            number += 1;
            beginning = Some((known, incident));
        }
        exact.is_none()
    })?;
    let found = match exact.or(if number == 1 { beginning } else { None }) {
        None if number > 1 => return Err(TriageError::Ambiguous { id: id.to_owned(), number }),
        None => by_unit(options, id)?,
        found => found,
    };
    let folder = || options.out.display().to_string();
    let (rank, incident) =
        found.ok_or_else(|| TriageError::NoIncident { id: id.to_owned(), known, folder: folder() })?;
    let findings = findings_of(options, &incident)?;
    Ok((rank, incident, findings))
}

/// The incident with a unit that would have given this id.
fn by_unit(options: &Options, id: &str) -> Result<Option<(usize, Incident)>, StoreError> {
    let mut finding = None;
    each_finding(options, |one| {
        if incident_id(&one.unit_kind, &one.unit_key, one.window) == id {
            finding = Some(one.id);
        }
    })?;
    let Some(finding) = finding else { return Ok(None) };
    let (mut rank, mut found) = (0, None);
    read_incidents(&options.path(), |incident| {
        rank += 1;
        if incident.findings.contains(&finding) {
            found = Some((rank, incident));
        }
        found.is_none()
    })?;
    Ok(found)
}

fn findings_of(options: &Options, incident: &Incident) -> Result<Vec<Finding>, StoreError> {
    Ok(findings_of_all(options, std::slice::from_ref(incident))?.pop().unwrap_or_default())
}

/// The findings of each incident, by window; those that are gone are left out.
///
/// # Errors
/// A file of findings cannot be read.
pub fn findings_of_all(options: &Options, incidents: &[Incident]) -> Result<Vec<Vec<Finding>>, StoreError> {
    let of_one = |(at, incident)| {
        let incident: &Incident = incident;
        incident.findings.iter().zip(0..).map(move |(id, place)| (id.as_str(), (at, place)))
    };
    let places: BTreeMap<&str, (usize, usize)> = incidents.iter().enumerate().flat_map(of_one).collect();
    let mut found: Vec<Vec<Option<Finding>>> = incidents.iter().map(|one| vec![None; one.findings.len()]).collect();
    each_finding(options, |finding| {
        if let Some((at, place)) = places.get(finding.id.as_str()) {
            found[*at][*place] = Some(finding);
        }
    })?;
    Ok(found.into_iter().map(|findings| findings.into_iter().flatten().collect()).collect())
}

/// Findings file by file, the oldest first.
fn each_finding(options: &Options, mut each: impl FnMut(Finding)) -> Result<(), StoreError> {
    for path in findings_files(&options.out)? {
        let folder = path.parent().and_then(|folder| folder.file_name());
        if options.baseline.as_deref().is_none_or(|id| folder.is_some_and(|name| name == id)) {
            read_findings(&path)?.findings.into_iter().for_each(&mut each);
        }
    }
    Ok(())
}
