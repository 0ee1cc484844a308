//! What `auto` measured on this machine, in one small file (docs/contracts.md §14): whatever is wrong with it, it is as if it
//! were not there.

use std::fs::{self, DirBuilder, File};
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use scorer_gpu::measure::{BatchFigure, Spread};
use scorer_gpu::{About, AdapterInfo, Batches, Choice, Measured, Memory, Opener, Recalled, Wish};
use serde::{Deserialize, Serialize};

use crate::SCORE_ROWS;

/// Version of the file's form.
const FORMAT: u32 = 2;
/// Models that are remembered; the oldest go.
const ENTRIES: usize = 64;
/// Figures of a device, at most, and bytes of the file: more is damage.
const FIGURES: usize = 16;
const BYTES: u64 = 1 << 20;
/// Rows that a busy host's agent hands over at a time: what some 4,000 events a second make in a quarter of one.
const LIVE_ROWS: usize = 1024;
/// Name of the file in the folder of an agent's results; hidden, as it is none of them.
const IN_RESULTS: &str = ".backend.json";

/// What scores are wanted from, and where `auto` keeps what it measured.
#[derive(Debug, Clone)]
pub struct BackendWish {
    /// What is wished.
    pub wish: Wish,
    /// The file of figures; without one they are measured each time.
    pub kept: Option<PathBuf>,
}

impl From<Choice> for BackendWish {
    /// For files, without an adapter's name or a file of figures.
    fn from(choice: Choice) -> Self {
        Self::for_files(choice, None, None)
    }
}

impl BackendWish {
    /// For files: as many rows a batch as are best, or so many.
    #[must_use]
    pub fn for_files(choice: Choice, adapter: Option<String>, batch_rows: Option<usize>) -> Self {
        let batches = batch_rows.map_or(Batches::UpTo(SCORE_ROWS), Batches::Of);
        Self { wish: Wish { adapter, ..Wish::new(choice, batches) }, kept: None }
    }

    /// For rows as they are captured.
    #[must_use]
    pub fn live(choice: Choice, adapter: Option<String>) -> Self {
        Self { wish: Wish { adapter, ..Wish::new(choice, Batches::Of(LIVE_ROWS)) }, kept: None }
    }

    /// Figures are kept for the user who runs this.
    #[must_use]
    pub fn kept_for_user(self) -> Self {
        Self { kept: kept_for_user(), ..self }
    }

    /// Figures are kept in the folder of the results, the only one that a confined process may write to.
    #[must_use]
    pub fn kept_in_results(self, out: &Path) -> Self {
        Self { kept: Some(out.join(IN_RESULTS)), ..self }
    }

    /// The file of figures.
    #[must_use]
    pub fn memory(&self) -> Kept {
        Kept { path: self.kept.clone(), holds: false }
    }

    /// Opens backends as wished, by what is remembered.
    pub fn opener<'a>(&self, memory: &'a mut Kept) -> Opener<'a> {
        Opener::new(self.wish.clone(), memory)
    }
}

/// `ebbline/backend.json` in the user's folder for what can be made again; nothing if there is no such folder.
fn kept_for_user() -> Option<PathBuf> {
    kept_in(std::env::var_os("XDG_CACHE_HOME").map(Into::into), std::env::var_os("HOME").map(Into::into))
}

/// Folders that are not absolute do not count, as the XDG base directory specification has it.
fn kept_in(cache: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let sound = |folder: &PathBuf| folder.is_absolute();
    let folder = cache.filter(sound).or_else(|| Some(home.filter(sound)?.join(".cache")));
    Some(folder?.join("ebbline").join("backend.json"))
}

/// A file of figures.
#[derive(Debug, Clone)]
pub struct Kept {
    path: Option<PathBuf>,
    /// Whether figures came out of it, or went into it.
    holds: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Figures {
    format: u32,
    measured: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    version: String,
    adapter: String,
    interface: String,
    driver: String,
    processor: String,
    threads: usize,
    table_bytes: usize,
    views: usize,
    date: String,
    cpu: Vec<BatchFigure>,
    gpu: Vec<BatchFigure>,
}

impl Entry {
    fn new(about: &About, measured: &Measured) -> Self {
        let About { adapter: AdapterInfo { name, backend, driver, .. }, processor, threads, size } = about.clone();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            adapter: name,
            interface: backend,
            driver,
            processor,
            threads,
            table_bytes: size.table_bytes,
            views: size.views,
            date: jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC).date().to_string(),
            cpu: measured.cpu.clone(),
            gpu: measured.gpu.clone(),
        }
    }

    /// Whether it is about the same, whenever that was measured.
    fn is_about(&self, about: &About) -> bool {
        let other = Self::new(about, &Measured::default());
        *self == Self { date: self.date.clone(), cpu: self.cpu.clone(), gpu: self.gpu.clone(), ..other }
    }

    /// Whether it can have been written by this program.
    fn is_sound(&self) -> bool {
        let sound = |figures: &[BatchFigure]| {
            let rising = |rate: &Spread| rate.least > 0.0 && rate.least <= rate.median && rate.median <= rate.most;
            let rates = figures.iter().all(|figure| figure.rows > 0 && rising(&figure.rows_per_s));
            rates && figures.len() <= FIGURES && figures.is_sorted_by(|a, b| a.rows < b.rows)
        };
        sound(&self.cpu) && sound(&self.gpu) && self.date.parse::<jiff::civil::Date>().is_ok()
    }
}

impl Kept {
    /// The file, if figures that were asked for are in it.
    #[must_use]
    pub fn holds(&self) -> Option<&Path> {
        self.path.as_deref().filter(|_| self.holds)
    }

    fn load(&self) -> Option<Vec<Entry>> {
        let path = self.path.as_ref()?;
        if !fs::metadata(path).ok()?.is_file() {
            return None;
        }
        let mut text = String::new();
        File::open(path).ok()?.take(BYTES + 1).read_to_string(&mut text).ok()?;
        if text.len() as u64 > BYTES {
            return None;
        }
        let figures: Figures = serde_json::from_str(&text).ok()?;
        (figures.format == FORMAT).then_some(figures.measured)
    }
}

impl Memory for Kept {
    fn recall(&mut self, about: &About) -> Option<Recalled> {
        let entry = self.load()?.into_iter().find(|entry| entry.is_about(about) && entry.is_sound())?;
        self.holds = true;
        Some(Recalled { measured: Measured { cpu: entry.cpu, gpu: entry.gpu }, when: entry.date })
    }

    fn keep(&mut self, about: &About, measured: &Measured) -> Result<(), String> {
        let path = self.path.as_ref().ok_or("neither XDG_CACHE_HOME nor HOME names a folder")?;
        let new = Entry::new(about, measured);
        let mut entries = self.load().unwrap_or_default();
        // Those of other versions are of no use any more.
        entries.retain(|entry| entry.version == new.version && !entry.is_about(about) && entry.is_sound());
        entries.push(new);
        entries.drain(..entries.len().saturating_sub(ENTRIES));
        if let Some(folder) = path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let text = serde_json::to_string_pretty(&Figures { format: FORMAT, measured: entries });
        let text = text.map_err(|error| error.to_string())?;
        store::write_whole(path, |to| writeln!(to, "{text}")).map_err(|error| error.to_string())?;
        self.holds = true;
        Ok(())
    }

    fn place(&self) -> String {
        self.path.as_ref().map_or_else(|| "nowhere".to_owned(), |path| path.display().to_string())
    }
}

#[cfg(test)]
mod tests;
