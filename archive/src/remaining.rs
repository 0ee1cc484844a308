//! From when on the rows are that are still to come, as far as footers say: what is over by then need not be held.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::{EnabledStatistics, WriterProperties};

    use super::*;

    const LENS: &str = "table = \"t\"\ntime = \"time\"\n[fields]\nf = { column = \"time\", kind = \"time\" }\n\
                        [[views]]\nname = \"v\"\nchild = [\"f\"]\ncontext = [[]]\n";

    /// Files of two rows a group, with times in microseconds.
    fn remaining(files: &[(&[i64], bool)]) -> Remaining {
        let folder = tempfile::tempdir().unwrap();
        for (at, (times, statistics)) in files.iter().enumerate() {
            let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times.to_vec()));
            let batch = RecordBatch::try_from_iter([("time", times)]).unwrap();
            let enabled = if *statistics { EnabledStatistics::Chunk } else { EnabledStatistics::None };
            let properties = WriterProperties::builder()
                .set_max_row_group_row_count(Some(2))
                .set_statistics_enabled(enabled)
                .build();
            let file = std::fs::File::create(folder.path().join(format!("{at}.parquet"))).unwrap();
            let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
        }
        let sources = store::discover(&[folder.path()]).unwrap();
        Remaining::of(sources.iter(), &Lens::parse(LENS).unwrap())
    }

    #[test]
    fn the_rest_is_from_the_least_of_all_that_follows() {
        let rest = remaining(&[(&[1, 5, 9, 8, 3], true), (&[4, 7], true)]);
        let after = |file, row| rest.after(file, row);
        assert_eq!([after(0, 0), after(0, 1), after(0, 2)], [Some(1_000), Some(3_000), Some(3_000)]);
        assert_eq!(
            [after(0, 3), after(0, 4), after(1, 0), after(1, 1)],
            [Some(3_000), Some(4_000), Some(4_000), Some(i64::MAX)]
        );
    }

    #[test]
    fn nothing_is_known_before_a_file_that_says_nothing() {
        let rest = remaining(&[(&[1, 2], true), (&[3, 4], false), (&[5, 6, 7], true)]);
        assert_eq!([rest.after(0, 1), rest.after(1, 0), rest.after(1, 1)], [None, None, Some(5_000)]);
        assert_eq!([rest.after(2, 0), rest.after(2, 1)], [Some(5_000), Some(7_000)]);
    }
}
