//! A model like the one in use, to measure with: as many views, a table as large, rows that repeat as realistic ones do.

use model::testing::{self, Case, Plan, Rng};
use model::{Codes, EncodedBatch, Snapshot};

/// Rows of a batch, at most: as many as files are read in.
pub(crate) const ROWS: usize = 65_536;
/// Larger tables are measured as if they had so many slots (128 MiB): beyond caches size changes little more, and this one is
/// in memory beside the one in use.
const MOST_SLOTS: usize = 1 << 23;
/// Rows that teach the table.
const TAUGHT: usize = 8192;
/// Most rows times views that do, which takes its time.
const TAUGHT_VIEWS: usize = 1 << 18;
/// Distinct rows that there are to draw from, few of them drawn often.
const DISTINCT: usize = 4608;
/// Rows repeat, and those that do soon: one in so many is drawn, others are one of the last.
const DRAWN: u32 = 4;
const LAST: u32 = 64;

/// How large a model is, as far as it matters for speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Bytes of the count table, at most 128 MiB.
    pub table_bytes: usize,
    /// Views of the lens.
    pub views: usize,
}

impl Size {
    /// That of a snapshot.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self { table_bytes: 16 * snapshot.slots.len().min(MOST_SLOTS), views: snapshot.views.len() }
    }
}

/// A model of that size, and a batch for it.
pub(crate) fn like(size: Size) -> Case {
    let views = u32::try_from(size.views).unwrap_or(u32::MAX).clamp(1, 1024);
    let learned = TAUGHT.min(TAUGHT_VIEWS / views as usize);
    let plan = Plan { rows: DISTINCT, learned, hosts: 64, values: 500, fields: 11, views, ..Plan::default() };
    let mut case = testing::case("like the one in use", plan, 1);
    let slots = size.table_bytes / 16;
    if slots > case.snapshot.slots.len() {
        case.fill(slots);
    }
    case.batch = repeated(&case.batch, ROWS);
    case
}

/// So many rows of those of a batch. As of `ebbline bench`, which has process trees for that, some 50 of 256 and 2,500 of
/// 65,536 are distinct: the processor scores equal ones once.
fn repeated(batch: &EncodedBatch, rows: usize) -> EncodedBatch {
    let mut rng = Rng(2);
    let mut drawn: Vec<usize> = Vec::with_capacity(rows);
    for row in 0..rows {
        let last = row.min(LAST as usize) as u32;
        let is_new = last == 0 || rng.below(DRAWN) == 0;
        let next =
            if is_new { rng.skewed(batch.rows as u32) as usize } else { drawn[row - 1 - rng.below(last) as usize] };
        drawn.push(next);
    }
    let codes = |of: &Codes| Codes { codes: drawn.iter().map(|row| of.codes[*row]).collect(), ..of.clone() };
    EncodedBatch {
        rows,
        fields: batch.fields.iter().map(codes).collect(),
        host: codes(&batch.host),
        class: drawn.iter().map(|row| batch.class[*row]).collect(),
        time: drawn.iter().map(|row| batch.time[*row]).collect(),
        units: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_repeat_as_those_of_the_benchmark_do() {
        let batch = like(Size { table_bytes: 64, views: 1 }).batch;
        let key = |row: usize| batch.fields.iter().map(|field| field.codes[row]).collect::<Vec<u32>>();
        let distinct = |rows: usize| (0..rows).map(key).collect::<std::collections::HashSet<_>>().len();
        // There 52, 832 and 2,523 of a view.
        let found = [256, 4096, ROWS].map(distinct);
        assert!((40..80).contains(&found[0]) && (500..1200).contains(&found[1]), "{found:?}");
        assert!((2000..3200).contains(&found[2]), "{found:?}");
        println!("{found:?}");
    }

    #[test]
    fn it_is_as_large_as_was_asked_and_always_the_same() {
        let size = Size { table_bytes: 16 << 20, views: 9 };
        let case = like(size);
        assert_eq!(Size::of(&case.snapshot), size);
        assert!(case.batch.rows == ROWS && case.batch.is_consistent(case.snapshot.lens.fields().len()));
        let again = like(size);
        assert!(again.snapshot.slots == case.snapshot.slots && again.batch.host.codes == case.batch.host.codes);
        // A model of one view and almost no table.
        assert_eq!(like(Size { table_bytes: 64, views: 1 }).snapshot.views.len(), 1);
    }

    #[test]
    fn the_largest_is_made_in_bearable_time() {
        let begun = std::time::Instant::now();
        let views = 64;
        assert_eq!(like(Size { table_bytes: 16 * MOST_SLOTS, views }).snapshot.views.len(), views);
        println!("{:?}", begun.elapsed());
    }
}
