//! Watches a folder of results: findings as they come, incidents, what was not seen, rows of the archive. It writes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::Sender;
use store::{ArchiveFile, Finding, StoreError};
use triage::{Gap, Options, Standing, TriageError};

use crate::data::{FINDINGS, Findings, GAPS, INCIDENTS, Incidents, Seen};
use crate::volume::{Footers, Volume};

/// How often it looks for what is new.
const EVERY: Duration = Duration::from_secs(1);
/// Work that took some time waits this many times as long before it is done again.
const REST: u32 = 10;

/// Hands on what is in the folder, and what comes, until nobody listens.
pub(crate) fn follow(options: Options, to: Sender<Seen>) {
    let mut watcher = Watcher { options, ..Watcher::default() };
    while watcher.look(&to).is_some() {
        std::thread::sleep(EVERY);
    }
}

/// When work may be done again.
#[derive(Debug, Default)]
struct Pace(Option<Instant>);

impl Pace {
    fn is_due(&self) -> bool {
        self.0.is_none_or(|next| Instant::now() >= next)
    }

    /// Does it, and rests.
    fn work<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        self.0 = Some(Instant::now() + start.elapsed() * REST);
        done
    }
}

/// Path, size and time of a file.
type Stamp = (PathBuf, u64, Option<SystemTime>);

/// What incidents and gaps depend on: findings files, incidents as they were written, the archive, what people said.
#[derive(Debug, PartialEq)]
struct Made {
    findings: Vec<Stamp>,
    written: Option<Stamp>,
    archive: Option<Arc<Volume>>,
    said: Option<Stamp>,
}

#[derive(Default)]
struct Watcher {
    options: Options,
    /// Findings files that are in `kept`, the oldest first.
    read: Vec<Stamp>,
    kept: Kept,
    footers: Footers,
    volume: Option<Arc<Volume>>,
    /// What the incidents were made from last.
    made_from: Option<Made>,
    archive_pace: Pace,
    findings_pace: Pace,
    incidents_pace: Pace,
    trouble: BTreeMap<&'static str, String>,
}

impl Watcher {
    /// One round; nothing if nobody listens any more.
    fn look(&mut self, to: &Sender<Seen>) -> Option<()> {
        let before = self.trouble.clone();
        let first = self.made_from.is_none();
        let files = self.files();
        if (files != self.read || first) && self.findings_pace.is_due() {
            let mut pace = std::mem::take(&mut self.findings_pace);
            let read = pace.work(|| self.findings(files));
            self.findings_pace = pace;
            self.note("findings", read.as_ref().err());
            let scored = self.options.out.join("findings").is_dir();
            to.send(Seen::Findings(Arc::new(Findings { scored, ..self.kept.findings() }))).ok()?;
        }
        if self.archive_pace.is_due() {
            let volume = self.archive_pace.work(|| self.footers.volume(self.options.archives()));
            if self.volume.as_deref() != Some(&volume) {
                let volume = Arc::new(volume);
                self.volume = Some(volume.clone());
                to.send(Seen::Volume(volume)).ok()?;
            }
        }
        self.incidents(to)?;
        if before != self.trouble {
            to.send(Seen::Trouble(self.trouble.values().next().cloned())).ok()?;
        }
        Some(())
    }

    fn note<E: std::fmt::Display>(&mut self, what: &'static str, error: Option<&E>) {
        match error {
            Some(error) => self.trouble.insert(what, error.to_string()),
            None => self.trouble.remove(what),
        };
    }

    /// The findings files; none while there is no folder of them.
    fn files(&self) -> Vec<Stamp> {
        let wanted = |path: &PathBuf| {
            let folder = path.parent().and_then(Path::file_name);
            self.options.baseline.as_deref().is_none_or(|id| folder.is_some_and(|name| name == id))
        };
        let files = store::findings_files(&self.options.out).unwrap_or_default();
        files.into_iter().filter(wanted).filter_map(|path| stamp(&path)).collect()
    }

    /// Reads what is new. Where a file is gone or changed, all.
    fn findings(&mut self, files: Vec<Stamp>) -> Result<(), StoreError> {
        let known: HashSet<&Stamp> = files.iter().collect();
        if !self.read.iter().all(|file| known.contains(file)) {
            self.read.clear();
            self.kept = Kept::default();
        }
        let known: HashSet<Stamp> = self.read.iter().cloned().collect();
        let mut result = Ok(());
        for file in files.iter().filter(|file| !known.contains(*file)) {
            let read = store::each_finding(&file.0, |finding| self.kept.add(finding));
            result = result.and(read.map(drop));
        }
        self.read = files;
        result
    }

    fn incidents(&mut self, to: &Sender<Seen>) -> Option<()> {
        let written = stamp(&self.options.path());
        let said = stamp(&triage::feedback_path(&self.options.out));
        let from = Made { findings: self.read.clone(), written, archive: self.volume.clone(), said };
        if self.made_from.as_ref() == Some(&from) || !self.incidents_pace.is_due() {
            return Some(());
        }
        let made = self.incidents_pace.work(|| made(&self.options, &from.findings, from.written.as_ref()));
        self.made_from = Some(from);
        self.note("incidents", made.as_ref().err());
        match made {
            Ok(incidents) => to.send(Seen::Incidents(Arc::new(incidents))).ok(),
            Err(_) => Some(()),
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = path.metadata().ok()?;
    Some((path.to_path_buf(), meta.len(), meta.modified().ok()))
}

/// As they were written, if that was after the last findings; else as they would be written now.
fn made(options: &Options, findings: &[Stamp], written: Option<&Stamp>) -> Result<Incidents, TriageError> {
    let last = findings.iter().map(|file| file.2).max().flatten();
    let (mut made, mut first, mut unread) = (Incidents::default(), Vec::new(), Vec::new());
    match written.filter(|written| written.2 >= last) {
        Some((path, ..)) => {
            made.total = ArchiveFile::open(path)?.rows();
            store::read_incidents(path, |incident| {
                first.push(incident);
                first.len() < INCIDENTS
            })?;
        }
        None if findings.is_empty() => {}
        None => {
            let (grouped, triaged) = triage::grouped(options, INCIDENTS)?;
            (first, made.total, made.grouped, unread) = (grouped, triaged.incidents, true, triaged.unread);
        }
    }
    made.standings = triage::standings_of(options, &first, &store::day_text(crate::now()))?;
    let before = first.len();
    first.retain(|incident| !made.standings.get(&incident.id).is_some_and(Standing::is_hidden));
    let hidden = (before - first.len()) as u64;
    made.first = first.into_iter().map(Arc::new).collect();
    made.total -= hidden;
    made.gaps = triage::coverage(options, &unread)?;
    made.gaps.extend(Gap::dismissed(hidden));
    made.more_gaps = made.gaps.len().saturating_sub(GAPS);
    made.gaps.truncate(GAPS);
    Ok(made)
}

/// The newest findings, and of all of them the ids.
#[derive(Debug, Default)]
struct Kept {
    /// By time; of one id the last that was read.
    newest: BTreeMap<(i64, u64), Arc<Finding>>,
    times: HashMap<u64, i64>,
    ids: HashSet<u64>,
}

impl Kept {
    fn add(&mut self, finding: Finding) {
        let id = u64::from_str_radix(&finding.id, 16).unwrap_or_default();
        self.ids.insert(id);
        if let Some(time) = self.times.remove(&id) {
            self.newest.remove(&(time, id));
        }
        self.times.insert(id, finding.time);
        self.newest.insert((finding.time, id), Arc::new(finding));
        if self.newest.len() > FINDINGS
            && let Some(((_, id), _)) = self.newest.pop_first()
        {
            self.times.remove(&id);
        }
    }

    fn findings(&self) -> Findings {
        Findings { newest: self.newest.values().rev().cloned().collect(), total: self.ids.len() as u64, scored: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{finding_id, write_findings};

    fn finding(key: u32, time: i64) -> Finding {
        let id = finding_id("b", "tree", &key.to_string(), 0);
        Finding { id, time, unit_key: key.to_string(), title: format!("{key} at {time}"), ..Finding::default() }
    }

    fn titles(kept: &Kept) -> Vec<String> {
        kept.findings().newest.iter().map(|finding| finding.title.clone()).collect()
    }

    #[test]
    fn the_newest_stay_and_the_last_of_one_id_counts() {
        let mut kept = Kept::default();
        [(1, 5), (2, 7), (1, 9), (3, 1)].into_iter().for_each(|(key, time)| kept.add(finding(key, time)));
        assert_eq!(titles(&kept), ["1 at 9", "2 at 7", "3 at 1"]);
        for key in 0..3 * FINDINGS as u32 {
            kept.add(finding(key, 100 + i64::from(key)));
        }
        let all = kept.findings();
        assert_eq!((all.newest.len(), all.total, kept.times.len()), (FINDINGS, 3 * FINDINGS as u64, FINDINGS));
        assert_eq!(all.newest[0].time, 99 + 3 * FINDINGS as i64);
    }

    #[test]
    fn files_that_come_change_and_go_are_noticed_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { out: folder.path().into(), ..Options::default() };
        let mut watcher = Watcher { options, ..Watcher::default() };
        let (to, seen) = crossbeam_channel::unbounded();
        let look = |watcher: &mut Watcher| {
            watcher.findings_pace = Pace::default();
            watcher.incidents_pace = Pace::default();
            watcher.look(&to).unwrap();
            seen.try_iter().collect::<Vec<_>>()
        };
        let found = |seen: &[Seen]| {
            seen.iter().find_map(|seen| if let Seen::Findings(all) = seen { Some(all.newest.len()) } else { None })
        };
        assert_eq!(found(&look(&mut watcher)), Some(0));
        assert_eq!(found(&look(&mut watcher)), None, "nothing changed");
        let path = write_findings(folder.path(), "b", "one", &[finding(1, 1), finding(2, 2)], None).unwrap();
        let came = look(&mut watcher);
        assert_eq!(found(&came), Some(2));
        assert!(
            came.iter().any(|seen| matches!(seen, Seen::Incidents(all) if all.grouped && all.total == 2)),
            "{came:?}"
        );
        write_findings(folder.path(), "b", "two", &[finding(3, 3)], None).unwrap();
        assert_eq!(found(&look(&mut watcher)), Some(3));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(found(&look(&mut watcher)), Some(1));
        std::fs::write(folder.path().join("findings/b/three.parquet"), "PAR1 no").unwrap();
        let damaged = look(&mut watcher);
        assert!(damaged.iter().any(|seen| matches!(seen, Seen::Trouble(Some(why)) if why.contains("three"))));
        std::fs::remove_file(folder.path().join("findings/b/three.parquet")).unwrap();
        assert!(look(&mut watcher).iter().any(|seen| matches!(seen, Seen::Trouble(None))));
        assert!(!folder.path().join("incidents").exists(), "a view writes nothing");
    }
}
