//! From when on the rows are that are still to come, as far as footers say: what is over by then need not be held.

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use arrow_array::Array;
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};
use model::Lens;
use store::{Source, TableFile};

/// The row groups of files that are read one after the other.
pub(crate) struct Remaining(Vec<Vec<Group>>);

/// A row group.
struct Group {
    /// The number of the row after its last one.
    end: u64,
    /// No row of it and of all that follow is earlier; nothing is known if there is none.
    from: Option<i64>,
}

impl Remaining {
    /// Looks at every footer. A file that cannot be read now says nothing, and fails when its turn comes.
    pub(crate) fn of<'a>(files: impl DoubleEndedIterator<Item = &'a Source>, lens: &Lens) -> Self {
        let mut from = Some(i64::MAX);
        let mut all: Vec<Vec<Group>> = files
            .rev()
            .map(|source| {
                let mut groups = groups(source, lens);
                for group in groups.iter_mut().rev() {
                    from = from.zip(group.from).map(|(rest, own)| rest.min(own));
                    group.from = from;
                }
                groups
            })
            .collect();
        all.reverse();
        Self(all)
    }

    /// A time before which no row is that comes after this one of a file; of the end of all that is the last.
    pub(crate) fn after(&self, file: usize, row: u64) -> Option<i64> {
        let groups = self.0.get(file)?;
        let here = groups.get(groups.partition_point(|group| group.end <= row.saturating_add(1)));
        let next = || self.0.get(file + 1..)?.iter().find_map(|groups| groups.first());
        here.or_else(next).map_or(Some(i64::MAX), |group| group.from)
    }
}

/// The row groups of a file, each with its own first time; one of which nothing is known if it has none.
fn groups(source: &Source, lens: &Lens) -> Vec<Group> {
    let nothing = || vec![Group { end: u64::MAX, from: None }];
    let Ok(file) = TableFile::open_source(source) else { return nothing() };
    let (Some(ends), Some(bounds)) = (file.group_ends(), file.bounds(lens.time_column())) else { return nothing() };
    if !matches!(bounds.least.data_type(), DataType::Timestamp(..)) {
        return nothing();
    }
    let Ok(least) = cast(&bounds.least, &DataType::Timestamp(TimeUnit::Nanosecond, None)) else { return nothing() };
    let least = least.as_primitive::<TimestampNanosecondType>();
    if least.len() != ends.len() {
        return nothing();
    }
    ends.into_iter().zip(least).map(|(end, from)| Group { end, from }).collect()
}
