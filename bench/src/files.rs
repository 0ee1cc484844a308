//! From files to scores in files, as `ebbline learn` and `ebbline score` do it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use archive::{BackendWish, Choice, LearnOptions, ScoreOptions, Silent};
use model::Baseline;
use scorer_gpu::measure::{Clock, Spread};
use store::{ArchiveFile, TableWriter, WriterOptions};

use crate::case::key;
use crate::device::{About, Failure, Kind};
use crate::report::FileFigures;

/// Runs of each figure: these are long.
const RUNS: usize = 3;

/// An archive of generated rows in a folder that goes with this, and what was learned from it.
pub(crate) struct Files {
    folder: PathBuf,
    rows: usize,
    baseline: Baseline,
    read: Spread,
    learned: Spread,
    /// Times that it was scored, by whomever.
    scored: AtomicUsize,
}

impl Files {
    /// Writes the archive into the folder, reads it, and learns from it.
    pub(crate) fn new(folder: PathBuf, seed: u64, rows: usize, clock: &dyn Clock) -> Result<Self, Failure> {
        let archive = folder.join("archive");
        write(&archive, seed, rows).map_err(refused)?;
        let read = times(clock, Duration::MAX, || read(&archive))?;
        let options = LearnOptions { key: Some(key()), ..LearnOptions::default() };
        let mut baseline = None;
        let learned = times(clock, Duration::ZERO, || {
            baseline = Some(archive::learn(&[&archive], &options, &Silent).map_err(refused)?.baseline);
            Ok(())
        })?;
        let of = |seconds: &[f64]| Spread::of_rates(rows, seconds).ok_or(Failure::NoTime);
        let baseline = baseline.ok_or(Failure::NoTime)?;
        Ok(Self { folder, rows, baseline, read: of(&read)?, learned: of(&learned)?, scored: AtomicUsize::new(0) })
    }

    /// Scores the archive on a device, as often as fits into the time, once at least.
    pub(crate) fn score(&self, about: &About, clock: &dyn Clock, share: Duration) -> Result<FileFigures, Failure> {
        let is_cpu = about.kind == Kind::Cpu;
        let choice = if is_cpu { Choice::Cpu } else { Choice::Gpu };
        let backend = BackendWish::for_files(choice, (!is_cpu).then(|| about.name.clone()), None);
        let options = ScoreOptions { backend, ..ScoreOptions::default() };
        let archive = self.folder.join("archive");
        let seconds = times(clock, share, || {
            // A folder of its own: a device that is not waited for any more may be writing still.
            let out = self.folder.join(format!("scored-{}", self.scored.fetch_add(1, Relaxed)));
            let scored = archive::score(&[&archive], &self.baseline, &out, &options, &Silent);
            let _ = std::fs::remove_dir_all(&out);
            scored.map_err(refused).map(drop)
        })?;
        let score_rows_per_s = Spread::of_rates(self.rows, &seconds).ok_or(Failure::NoTime)?;
        Ok(FileFigures {
            rows: self.rows,
            read_rows_per_s: self.read,
            learn_rows_per_s: is_cpu.then_some(self.learned),
            score_rows_per_s,
            share_of_read: score_rows_per_s.median / self.read.median,
        })
    }
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(error.to_string())
}

/// Seconds of each of some runs: no further one where it would be over the time.
fn times(
    clock: &dyn Clock,
    time: Duration,
    mut work: impl FnMut() -> Result<(), Failure>,
) -> Result<Vec<f64>, Failure> {
    let begun = clock.now();
    let mut seconds = Vec::new();
    while seconds.len() < RUNS {
        let start = clock.now();
        work()?;
        let took = clock.now() - start;
        seconds.push(took.as_secs_f64());
        if (clock.now() - begun).saturating_add(took) > time {
            break;
        }
    }
    Ok(seconds)
}

/// One host's day, in files of an hour as the agent writes them.
fn write(root: &Path, seed: u64, rows: usize) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(root)?;
    let mut writers = BTreeMap::new();
    for part in workload::columns::archive(seed, rows as u64, 1, 1) {
        let writer = writers.entry((part.table, part.host.clone())).or_insert_with(|| {
            let options = WriterOptions { boot_id: "00000000-bench".into(), ..WriterOptions::default() };
            TableWriter::new(root, part.table, &part.host, part.batch.schema(), options)
        });
        writer.write(&part.batch)?;
    }
    for writer in writers.values_mut() {
        writer.finish()?;
    }
    Ok(())
}

/// Reads the columns that lenses read, and nothing else.
fn read(root: &Path) -> Result<(), Failure> {
    for source in store::discover(&[root]).map_err(refused)? {
        let file = ArchiveFile::open(&source.path).map_err(refused)?;
        let lens = model::builtin::for_table(file.table().unwrap_or_default());
        let columns = lens.as_ref().map(model::Lens::columns).unwrap_or_default();
        for batch in file.batches(&columns, archive::SCORE_ROWS).map_err(refused)? {
            std::hint::black_box(batch.map_err(refused)?);
        }
    }
    Ok(())
}

/// A folder for this run alone, which goes when this is dropped.
pub(crate) struct Scratch(Option<tempfile::TempDir>);

impl Scratch {
    pub(crate) fn new() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("ebbline-bench-").tempdir();
        folder
            .map(|folder| Self(Some(folder)))
            .map_err(|error| Failure::Refused(format!("no folder for temporary files, which TMPDIR names: {error}")))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.as_ref().map(|folder| folder.path().to_path_buf()).unwrap_or_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let path = self.path();
        drop(self.0.take());
        // Whoever is not waited for any more may be writing still.
        for _ in 0..20 {
            if !path.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

/// Files that threads share.
pub(crate) type Shared = Arc<Files>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Cpu, Device};
    use scorer_gpu::measure::SystemClock;

    #[test]
    fn files_become_scores_and_nothing_stays() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path();
        let clock = SystemClock::default();
        let files = Files::new(path.clone(), 1, 3000, &clock).unwrap();
        let figures = files.score(&Cpu.about(), &clock, Duration::ZERO).unwrap();
        assert!(figures.rows == 3000 && figures.score_rows_per_s.runs == 1 && figures.share_of_read > 0.0);
        assert!(figures.learn_rows_per_s.is_some());
        // As beside a device that is not waited for any more.
        let score = || (0..5).all(|_| files.score(&Cpu.about(), &clock, Duration::ZERO).is_ok());
        let both = std::thread::scope(|scope| [scope.spawn(score), scope.spawn(score)].map(|one| one.join().unwrap()));
        assert_eq!((both, files.scored.load(Relaxed)), ([true; 2], 11));
        let missing = About { name: "no such card".to_owned(), kind: Kind::Hardware, details: String::new() };
        assert!(matches!(files.score(&missing, &clock, Duration::ZERO), Err(Failure::Refused(_))));
        drop(scratch);
        assert!(!path.exists());
    }
}
