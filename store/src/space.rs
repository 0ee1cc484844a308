//! Keeping an archive small: files of its tables go when they are old, or when all of them take too much room.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::META_ROWS;
use crate::error::StoreError;
use crate::layout::{TableFile, day_text, hour_of};
use crate::read::ArchiveFile;

/// Tables whose files may go. What else lies in an archive is not touched.
const TABLES: [&str; 4] = [events::PROCESS, events::CONNECTION, events::DNS, events::HEARTBEAT];

/// Files removed in one call: each takes a look at its footer.
const AT_ONCE: u64 = 1_000;

const HOUR_NS: i64 = 3_600_000_000_000;

/// What an archive may hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Files whose hour ended longer ago than this go.
    pub keep: Option<Duration>,
    /// The oldest files go until tables, their sidecars and the journal take no more bytes than this.
    pub max_bytes: Option<u64>,
}

/// Of the most that an archive may hold, a segment of the journal takes a part at most: while it becomes files, others are
/// written.
const SEGMENTS: u64 = 4;

impl Limits {
    /// Bytes at which a segment of the journal is closed, if so many are wished.
    #[must_use]
    pub fn segment_bytes(&self, wished: u64) -> u64 {
        self.max_bytes.map_or(wished, |max| wished.min((max / SEGMENTS).max(1)))
    }
}

/// Rows by activity; by table for files that do not say.
pub type RowsByKind = BTreeMap<String, u64>;

/// What [`tidy`] removed.
#[derive(Debug, Default)]
pub struct Removed {
    /// Files of tables.
    pub files: u64,
    /// Their bytes, with those of their sidecars.
    pub bytes: u64,
    /// Rows that were too old.
    pub age: RowsByKind,
    /// Rows for which there was no room.
    pub cap: RowsByKind,
    /// Those of `cap` whose files were nowhere else.
    pub not_uploaded: RowsByKind,
    /// It is still too much, and there is nothing more to remove: the journal alone exceeds the limit.
    pub over: bool,
    /// There is more to remove; the next call does.
    pub more: bool,
    /// The first thing that could not be read or removed.
    pub trouble: Option<StoreError>,
}

/// Removes what is beyond the limits, oldest first, at most 1,000 files a call. `journal_bytes` count, but stay.
/// `may_go` is asked, with a path relative to the archive, whether a file is also elsewhere: those go first when room
/// is wanted. Age asks nobody.
///
/// # Errors
/// [`StoreError::Read`] if the archive cannot be listed. What cannot be removed is in the result.
pub fn tidy(
    root: &Path,
    limits: &Limits,
    now_ns: i64,
    journal_bytes: u64,
    may_go: &dyn Fn(&Path) -> bool,
) -> Result<Removed, StoreError> {
    if limits.keep.is_none() && limits.max_bytes.is_none() {
        return Ok(Removed::default());
    }
    let oldest = limits.keep.map(|keep| now_ns.saturating_sub(i64::try_from(keep.as_nanos()).unwrap_or(i64::MAX)));
    // Where only age counts, later days need not be looked at.
    let until = oldest.filter(|_| limits.max_bytes.is_none()).map(|oldest| format!("day={}", day_text(oldest)));
    let mut files = list(root, until.as_deref())?;
    files.sort();
    let broom = Broom { root, baselines: baselines(root)?, today: day_text(now_ns) };
    let mut removed = Removed::default();
    if let Some(oldest) = oldest {
        let end = |file: &Closed| hour_of(file.start).saturating_add(1).saturating_mul(HOUR_NS);
        let old = files.partition_point(|file| end(file) <= oldest);
        for file in files.drain(..old) {
            broom.remove(&file, &mut removed, |removed| vec![&mut removed.age]);
        }
    }
    if let Some(max_bytes) = limits.max_bytes.filter(|_| !removed.more) {
        broom.make_room(
            files,
            max_bytes.saturating_sub(journal_bytes),
            journal_bytes > max_bytes,
            may_go,
            &mut removed,
        );
    }
    Ok(removed)
}

/// A closed file of a table; older ones are less.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Closed {
    start: i64,
    relative: String,
}

struct Broom<'a> {
    root: &'a Path,
    /// Folders of sidecars.
    baselines: Vec<PathBuf>,
    today: String,
}

impl Broom<'_> {
    /// Removes the oldest files until the others have room: first those that are elsewhere too.
    fn make_room(
        &self,
        files: Vec<Closed>,
        room: u64,
        journal_exceeds: bool,
        may_go: &dyn Fn(&Path) -> bool,
        removed: &mut Removed,
    ) {
        let sizes: Vec<u64> = files.iter().map(|file| self.bytes(file)).collect();
        let mut total: u64 = sizes.iter().sum();
        let mut kept = Vec::new();
        for (file, bytes) in files.iter().zip(&sizes) {
            if total <= room {
                break;
            }
            match may_go(Path::new(&file.relative)) {
                true if self.remove(file, removed, |removed| vec![&mut removed.cap]) => total -= bytes,
                true => {}
                false => kept.push((file, bytes)),
            }
        }
        for (file, bytes) in kept {
            if total <= room {
                break;
            }
            if self.remove(file, removed, |removed| vec![&mut removed.cap, &mut removed.not_uploaded]) {
                total -= bytes;
            }
        }
        removed.over = !removed.more && (total > room || journal_exceeds);
    }

    /// Removes a file and its sidecars. Those go first: whoever is stopped in between finds the file again.
    fn remove(
        &self,
        file: &Closed,
        removed: &mut Removed,
        reasons: impl Fn(&mut Removed) -> Vec<&mut RowsByKind>,
    ) -> bool {
        if removed.files >= AT_ONCE {
            removed.more = true;
            return false;
        }
        let path = self.root.join(&file.relative);
        let (rows, bytes) = (rows_of(&path, &file.relative), self.bytes(file));
        let sidecars = self.baselines.iter().map(|folder| folder.join(&file.relative));
        for path in sidecars.chain([path]) {
            if path.symlink_metadata().is_ok_and(|meta| !meta.is_file()) {
                continue; // a link or a folder in the place of a sidecar
            }
            if let Err(error) = gone(fs::remove_file(&path)) {
                removed.trouble.get_or_insert(StoreError::write(&path, &error));
                return false;
            }
            self.fold(&path);
        }
        removed.files += 1;
        removed.bytes += bytes;
        for counts in reasons(removed) {
            rows.iter().for_each(|(kind, rows)| *counts.entry(kind.clone()).or_default() += rows);
        }
        true
    }

    /// Removes the folders of a file that are empty now, unless more will be written there.
    fn fold(&self, path: &Path) {
        let mut folders = path.ancestors().skip(1).take(2);
        let (Some(host), Some(day)) = (folders.next(), folders.next()) else { return };
        if day.file_name().is_some_and(|name| *name != *format!("day={}", self.today)) && fs::remove_dir(host).is_ok() {
            let _ = fs::remove_dir(day); // other hosts may have files there
        }
    }

    fn bytes(&self, file: &Closed) -> u64 {
        let folders = [self.root].into_iter().chain(self.baselines.iter().map(PathBuf::as_path));
        let sizes = folders.filter_map(|folder| folder.join(&file.relative).symlink_metadata().ok());
        sizes.filter(fs::Metadata::is_file).map(|meta| meta.len()).sum()
    }
}

/// What somebody else removed is removed.
fn gone(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Rows by activity, from the footer. A file that cannot be read has none that could be lost.
fn rows_of(path: &Path, relative: &str) -> RowsByKind {
    let Ok(file) = ArchiveFile::open(path) else { return RowsByKind::new() };
    let told = file.footer(META_ROWS).and_then(|text| serde_json::from_str::<RowsByKind>(&text).ok());
    told.unwrap_or_else(|| {
        let table = relative.split('/').next().unwrap_or_default();
        RowsByKind::from([(table.to_owned(), file.rows())])
    })
}

/// All closed files of the tables, up to and with a day. Links are not followed.
fn list(root: &Path, until: Option<&str>) -> Result<Vec<Closed>, StoreError> {
    let mut files = Vec::new();
    for table in TABLES {
        let mut days = names(&root.join(table), fs::FileType::is_dir)?;
        days.retain(|day| until.is_none_or(|until| day.as_str() <= until));
        for day in days {
            for host in names(&root.join(table).join(&day), fs::FileType::is_dir)? {
                for name in names(&root.join(table).join(&day).join(&host), fs::FileType::is_file)? {
                    let relative = format!("{table}/{day}/{host}/{name}");
                    if let Some(start) = TableFile::of(&relative).map(|file| file.start) {
                        files.push(Closed { start, relative });
                    }
                }
            }
        }
    }
    Ok(files)
}

/// Folders of sidecars below an archive, one for each baseline.
fn baselines(root: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let scores = root.join("scores");
    let mut ids = names(&scores, fs::FileType::is_dir)?;
    ids.retain(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    Ok(ids.into_iter().map(|id| scores.join(id)).collect())
}

/// Names of one kind in a folder; none if it is not there, or a link.
fn names(folder: &Path, kind: impl Fn(&fs::FileType) -> bool) -> Result<Vec<String>, StoreError> {
    let failed = |error: io::Error| StoreError::read(folder, &error);
    match folder.symlink_metadata() {
        Ok(meta) if meta.is_dir() => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => return Ok(Vec::new()),
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().is_ok_and(|found| kind(&found))
            && let Ok(name) = entry.file_name().into_string()
        {
            found.push(name);
        }
    }
    Ok(found)
}
