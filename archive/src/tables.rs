//! Which table a file holds, and how its lens wants the columns (docs/contracts.md §1, "Inputs").

use model::Lens;
use store::{Form, Format, PassedOver, Search, Source, StoreError, TableFile, Wanted};

use crate::Progress;
use crate::condition::Condition;
use crate::error::ArchiveError;
use crate::filter::Filter;

/// Columns that are named of those a file lacks.
const NAMED: usize = 4;

/// The columns of a lens, each as it is to be read.
pub(crate) fn wanted(lens: &Lens) -> Vec<Wanted> {
    let form = |column: &str| match column {
        column if lens.reads_times(column) => Form::Time,
        column if lens.reads_words(column) => Form::Words,
        _ => Form::Text,
    };
    let columns = lens.columns().into_iter();
    let wanted = columns.map(|column| Wanted {
        column: column.to_owned(),
        form: form(column),
        required: column == lens.time_column(),
    });
    wanted.collect()
}

/// Whether a lens reads a table that other programs write.
pub(crate) fn is_foreign(lens: &Lens) -> bool {
    ![events::PROCESS, events::CONNECTION, events::DNS, events::HEARTBEAT].contains(&lens.table())
}

/// The files among and below the sources: of every format if there is a lens for what others write, else Parquet alone.
/// What folders hold beside is said.
pub(crate) fn discover<'a, P: AsRef<std::path::Path>>(
    sources: &[P],
    mut lenses: impl Iterator<Item = &'a Lens>,
    settings: &[(String, String)],
    filter: &Filter,
    progress: &dyn Progress,
) -> Result<Vec<Source>, StoreError> {
    let enters = |folder: &str| filter.enters(folder);
    let enter = (!filter.is_all()).then_some(&enters as _);
    let beside = PassedOver::default();
    let search = Search { tables: lenses.any(is_foreign), settings, enter, passed_over: Some(&beside) };
    let found = search.run(sources);
    if let Some(words) = beside.words() {
        progress.passed_over(&words);
    }
    let mut found = found?;
    // Named outright, or by a pattern.
    found.retain(|source| source.relative.rsplit_once('/').is_none_or(|(folder, _)| filter.enters(folder)));
    Ok(found)
}

/// Which columns of a condition some input has: one that none has is a mistake and not a column of nulls.
pub struct Known<'a>(Vec<(&'a str, bool)>);

impl<'a> Known<'a> {
    /// None was seen yet.
    #[must_use]
    pub fn of(filter: &'a Filter) -> Self {
        let columns = filter.condition.iter().flat_map(Condition::columns);
        Self(columns.map(|column| (column, false)).collect())
    }

    /// Notes which of them a file has.
    pub fn look(&mut self, file: &TableFile) {
        self.0.iter_mut().for_each(|(column, known)| *known |= file.has(column));
    }

    /// What another look showed, too.
    pub(crate) fn join(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|((_, known), (_, more))| *known |= more);
    }

    /// Whether every column was in some file.
    ///
    /// # Errors
    /// Names one that was not.
    pub fn check(&self) -> Result<(), ArchiveError> {
        match self.0.iter().find(|(_, known)| !known) {
            Some((column, _)) => Err(ArchiveError::Filter(format!("no input has a column {column}"))),
            None => Ok(()),
        }
    }
}

/// The table of a file: as the file says, else that of the one lens whose columns it has.
pub(crate) fn table_of<'a>(file: &TableFile, lenses: impl Iterator<Item = &'a Lens>) -> Result<String, ArchiveError> {
    if let Some(table) = file.table() {
        return Ok(table.to_owned());
    }
    let fits: Vec<Fit<'_>> = lenses.filter(|lens| is_foreign(lens)).map(|lens| Fit::new(file, lens)).collect();
    let wrong = |why: String| Err(ArchiveError::NoLens { path: file.path().into(), why });
    let Some(best) = fits.iter().filter(|fit| fit.is_one(file.format())).max_by_key(|fit| fit.rank()) else {
        return wrong(no_fit(&fits));
    };
    let also = |fit: &&Fit<'_>| fit.is_one(file.format()) && fit.rank() == best.rank();
    let tables: Vec<&str> = fits.iter().filter(also).map(|fit| fit.lens.table()).collect();
    match tables.as_slice() {
        [table] => Ok((*table).to_owned()),
        [first, ..] if file.is_blank() => Ok((*first).to_owned()),
        several => wrong(format!("it has the columns of several lenses: {}; give one of them", several.join(", "))),
    }
}

/// Why no lens fits: which comes closest, and what is missing for it.
fn no_fit(fits: &[Fit<'_>]) -> String {
    let Some(closest) = fits.iter().max_by_key(|fit| (fit.has_time, fit.rank())) else {
        return "its footer names no table and its columns fit none; name a lens for it with --lens".into();
    };
    let mut missing = closest.missing.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if closest.missing.len() > NAMED {
        missing.push_str(", …");
    }
    format!("its columns fit no lens; for table {} it lacks {missing}", closest.lens.table())
}

/// How a lens fits a file.
struct Fit<'a> {
    lens: &'a Lens,
    has_time: bool,
    found: usize,
    missing: Vec<&'a str>,
}

impl<'a> Fit<'a> {
    fn new(file: &TableFile, lens: &'a Lens) -> Self {
        let columns = lens.columns();
        // A file without rows is one of any table: that of the first lens, as good as the others.
        let has = |column: &str| file.is_blank() || file.has(column);
        let missing: Vec<&str> = columns.iter().copied().filter(|column| !has(column)).collect();
        Self { lens, has_time: has(lens.time_column()), found: columns.len() - missing.len(), missing }
    }

    /// All columns must be there; in JSON lines, whose keys come and go, half of them and the time.
    fn is_one(&self, format: Format) -> bool {
        match format {
            Format::JsonLines => self.has_time && self.found >= self.missing.len(),
            _ => self.missing.is_empty(),
        }
    }

    /// Of JSON lines the lens with the most columns counts; other formats have all of them.
    fn rank(&self) -> usize {
        if self.missing.is_empty() { usize::MAX } else { self.found }
    }
}
