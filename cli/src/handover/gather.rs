//! From findings to messages.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use handover::{Courier, Draft};
use model::Lens;
use serde_json::Value;
use store::Incident;
use triage::{Gap, Options, Standing, Standings};

use crate::incident::{Promise, standings, to_json};

/// Incidents that are told together.
const AT_ONCE: usize = 100;

/// Whether people want it handed over at all: not while it is dismissed.
fn wanted(incident: &Incident, standings: &Standings) -> bool {
    !standings.get(&incident.id).is_some_and(Standing::is_hidden)
}

/// What a look at the findings gave.
#[derive(Default)]
pub(super) struct Gathered {
    /// Incidents that there are.
    pub(super) incidents: u64,
    /// Some are wanted that an outbox had no room for.
    pub(super) left: bool,
    /// Files of rows that could not be read.
    pub(super) unread: Vec<(PathBuf, String)>,
}

/// Incidents that somebody needs, with their ranks.
#[derive(Default)]
struct Needed {
    incidents: Vec<(usize, Incident)>,
    /// When each incident that there is was last.
    lasts: Vec<i64>,
    /// Some were passed over for want of room.
    left: bool,
}

/// Makes incidents of findings, and messages of those that a receiver needs.
pub(super) struct Gatherer {
    options: Options,
    lenses: Vec<Lens>,
    /// What the findings looked like when all that was needed of them had been queued.
    seen: Option<u64>,
}

impl Gatherer {
    pub(super) fn new(options: Options, lenses: Vec<Lens>) -> Self {
        Self { options, lenses, seen: None }
    }

    /// The same as [`Gatherer::gather`], if anything changed since it was done to the end.
    pub(super) fn gather_if_new(&mut self, couriers: &mut [Courier]) -> Result<Option<Gathered>> {
        let looks = looks(&self.options)?;
        if self.seen == Some(looks) {
            return Ok(None);
        }
        let gathered = self.gather(couriers)?;
        self.seen = (!gathered.left).then_some(looks);
        Ok(Some(gathered))
    }

    /// Groups the findings, and queues what is new or has grown for each receiver, as long as there is room.
    pub(super) fn gather(&mut self, couriers: &mut [Courier]) -> Result<Gathered> {
        let triaged = triage::triage(&self.options)?;
        if !triaged.unread.is_empty() {
            self.ensure_rows()?;
        }
        let needed = self.needed(couriers)?;
        let mut gathered = Gathered { incidents: triaged.incidents, left: needed.left, unread: triaged.unread };
        if needed.incidents.is_empty() {
            return Ok(gathered);
        }
        let expected = Promise::of(&self.options, &needed.lasts)?.expected;
        let gaps = triage::coverage(&self.options, &gathered.unread)?;
        for some in needed.incidents.chunks(AT_ONCE) {
            if !couriers.iter().any(has_room) {
                gathered.left = true;
                break;
            }
            let drafts = self.drafts(some, &gaps, expected, &mut gathered.unread)?;
            for courier in couriers.iter_mut() {
                if has_room(courier) {
                    courier.queue(&drafts)?;
                } else {
                    gathered.left = true;
                }
            }
        }
        Ok(gathered)
    }

    /// What is handed over cannot be taken back: without any row nothing could be told.
    fn ensure_rows(&self) -> Result<()> {
        let archives: Vec<&PathBuf> = self.options.archives().iter().collect();
        let named: Vec<String> = archives.iter().map(|folder| folder.display().to_string()).collect();
        ensure!(
            store::discover_tables(&archives).is_ok(),
            "cannot read: {}: no rows in it to tell incidents by; name their folder with --archive",
            named.join(", ")
        );
        Ok(())
    }

    fn needed(&self, couriers: &[Courier]) -> Result<Needed> {
        let most = couriers.iter().map(|courier| courier.outbox().room()).max().unwrap_or_default();
        let standings = standings(&self.options)?;
        let mut needed = Needed::default();
        store::read_incidents(&self.options.path(), |incident| {
            needed.lasts.push(incident.last);
            let needs = |courier: &Courier| courier.outbox().needs(&incident.id, &incident.findings);
            if !wanted(&incident, &standings) || !couriers.iter().any(needs) {
                return true;
            }
            if needed.incidents.len() < most {
                needed.incidents.push((needed.lasts.len(), incident));
            } else {
                needed.left = true;
            }
            true
        })?;
        Ok(needed)
    }

    fn drafts(
        &self,
        some: &[(usize, Incident)],
        gaps: &[Gap],
        expected: Option<f64>,
        unread: &mut Vec<(PathBuf, String)>,
    ) -> Result<Vec<Draft>> {
        let incidents: Vec<Incident> = some.iter().map(|(_, incident)| incident.clone()).collect();
        let findings = triage::findings_of_all(&self.options, &incidents)?;
        let incidents: Vec<_> = incidents.into_iter().zip(findings).collect();
        let (told, more) = triage::tell_all(&self.options, &incidents, &self.lenses)?;
        unread.extend(more);
        unread.sort();
        unread.dedup();
        let ranks = some.iter().map(|(rank, _)| *rank);
        let drafts = ranks.zip(&incidents).zip(told).map(|((rank, (incident, _)), told)| {
            let mut value = to_json(rank, incident);
            value["expected_per_day"] = expected.into();
            value["coverage"] = coverage(gaps, incident)?;
            value["narrative"] = serde_json::to_value(&told.narrative)?;
            Ok(Draft::new(&incident.id, &incident.findings, value))
        });
        drafts.collect()
    }
}

fn has_room(courier: &Courier) -> bool {
    courier.outbox().room() > 0
}

/// What was not seen of the incident's hosts, or of none in particular.
fn coverage(gaps: &[Gap], incident: &Incident) -> Result<Value> {
    let concerns = |gap: &&Gap| gap.host.as_ref().is_none_or(|host| incident.hosts.contains(host));
    Ok(serde_json::to_value(gaps.iter().filter(concerns).collect::<Vec<_>>())?)
}

/// A digest of what incidents are made from: files of findings, and what people say beside the incidents.
fn looks(options: &Options) -> Result<u64> {
    let mut hash = DefaultHasher::new();
    // Dismissals end with a day.
    crate::baseline::today().hash(&mut hash);
    let beside = std::fs::read_dir(options.out.join("incidents")).into_iter().flatten().flatten();
    let beside = beside.map(|entry| entry.path()).filter(|path| path.is_file());
    // Those of incidents are written each time.
    let beside =
        beside.filter(|path| path.extension().is_none_or(|extension| extension != "parquet" && extension != "tmp"));
    let mut beside: Vec<PathBuf> = beside.collect();
    beside.sort_unstable();
    for path in store::findings_files(&options.out)?.into_iter().chain(beside) {
        let found = path.metadata().ok();
        (&path, found.map(|found| (found.ino(), found.len(), found.mtime(), found.mtime_nsec()))).hash(&mut hash);
    }
    Ok(hash.finish())
}
