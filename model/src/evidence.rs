//! Evidence: how surprising the rows of one host and day were to counts that they had not taught (docs/model.md §5).
//!
//! Immutable and additive, so that calibration outlives a merge and a forgetting without the rows.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::baseline::UnitCalibration;
use crate::calibrate::Histogram;
use crate::lens::Lens;
use crate::segment::hex_id;
use crate::snapshot::{Basis, Calibration, ROW_BINS, VIEW_BINS};
use crate::stage::Stage;

/// Bins that are not empty, ascending, and what they count.
pub(crate) type Sparse = Vec<(u16, u32)>;

/// Hosts' days of evidence that a stage needs for tables of its own.
const STAGE_DAYS: usize = 7;

/// What a piece of evidence is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subject {
    /// Rows of the table whose lens has this digest.
    Rows([u8; 32]),
    /// Units of this kind.
    Units(String),
}

/// What is known of the circumstances of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// Days of its own that the host had in what its rows were scored against.
    pub own_days: u8,
    /// Whether those days were held out on purpose: the rows are counted once more in other evidence.
    pub held_out: bool,
    /// How many rows or units there were, of which those counted were chosen.
    pub stands_for: u64,
    /// How long the host was watched that day, in seconds.
    pub seconds: u32,
}

/// Surprisals of one host and day. Immutable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// First 16 hex digits of the SHA-256 of all that follows.
    pub id: String,
    /// Rows of a table, or units of a kind.
    pub subject: Subject,
    /// The host; of a unit, the first by name of those that had rows on its first day.
    pub host: Option<String>,
    /// Days since 1970; of a unit, that of its first row.
    pub day: i32,
    /// What they were scored against.
    pub basis: Basis,
    /// How many rows or units were counted.
    pub counted: u64,
    /// Of rows: surprisals of each view by [`VIEW_BINS`], then bits by [`ROW_BINS`]. Of units: bits by [`ROW_BINS`].
    histograms: Vec<Sparse>,
    /// How well the host was known, and how many rows or units these stand for.
    pub measure: Measure,
}

impl Evidence {
    pub(crate) fn new(
        subject: Subject,
        (host, day): (Option<String>, i32),
        basis: Basis,
        counted: u64,
        histograms: Vec<Sparse>,
        measure: Measure,
    ) -> Self {
        let mut evidence = Self { id: String::new(), subject, host, day, basis, counted, histograms, measure };
        evidence.id = evidence.computed_id();
        evidence
    }

    fn computed_id(&self) -> String {
        let content = (&self.subject, &self.host, self.day, self.basis, self.counted, &self.histograms);
        // Encoding to memory has nothing to fail on; an id of nothing would fit no content.
        let bytes = postcard::to_allocvec(&(content, self.measure));
        hex_id(&Sha256::digest(bytes.unwrap_or_default()))
    }

    /// How well its rows' host was known.
    pub fn stage(&self) -> Stage {
        Stage::of(self.measure.own_days.into())
    }

    /// How many rows or units there were, and in how many seconds; `None` if they are counted in other evidence, too.
    pub fn rate(&self) -> Option<(u64, u64)> {
        (!self.measure.held_out).then(|| (self.measure.stands_for, self.measure.seconds.into()))
    }

    /// Whether its parts fit together and the lenses: a file may hold anything.
    pub(crate) fn is_consistent(&self, lenses: &[Lens]) -> bool {
        let views = match &self.subject {
            Subject::Rows(digest) => lenses.iter().find(|l| l.digest() == *digest).map(|l| l.views().len()),
            Subject::Units(kind) => lenses.iter().flat_map(|l| l.units()).any(|u| u.kind == *kind).then_some(0),
        };
        let Some(views) = views else { return false };
        let fits = |(at, bins): (usize, &Sparse)| {
            let (width, total) = match at < views {
                true => (VIEW_BINS, None), // a view need not apply to all rows
                false => (ROW_BINS, Some(self.counted)),
            };
            let counted: u64 = bins.iter().map(|bin| u64::from(bin.1)).sum();
            bins.is_sorted_by(|a, b| a.0 < b.0)
                && bins.iter().all(|bin| usize::from(bin.0) < width && bin.1 > 0)
                && total.map_or(counted <= self.counted, |total| counted == total)
        };
        self.histograms.len() == views + 1
            && self.histograms.iter().enumerate().all(fits)
            && self.id == self.computed_id()
    }

    /// Whether it is about a table of this lens, or about units that its rows make up.
    pub fn is_of(&self, lens: &Lens) -> bool {
        match &self.subject {
            Subject::Rows(digest) => *digest == lens.digest(),
            Subject::Units(kind) => lens.units().iter().any(|u| u.kind == *kind),
        }
    }
}

/// Values in 1/1024 bit, counted in `bins` bins.
pub(crate) fn sparse(values: impl Iterator<Item = u32>, bins: usize) -> Sparse {
    let mut all: Vec<u16> = values.map(|value| (value >> 6).min(bins as u32 - 1) as u16).collect();
    all.sort_unstable();
    all.chunk_by(|a, b| a == b).map(|of_bin| (of_bin[0], of_bin.len() as u32)).collect()
}

/// The sum of sparse histograms.
pub(crate) fn sum<'a>(parts: impl IntoIterator<Item = &'a Sparse>, bins: usize) -> Histogram {
    let mut sum = Histogram::new(bins);
    parts.into_iter().flatten().for_each(|(bin, count)| sum.add_counted(usize::from(*bin), *count));
    sum
}

/// The evidence that makes the tables of a stage (docs/model.md §5, "Stages"): its own, if that is of [`STAGE_DAYS`] hosts'
/// days at least, else all that is not of new hosts. Of new hosts their own alone counts, however little.
pub(crate) fn of_stage<T: Copy>(all: &[T], stage_of: impl Fn(T) -> Stage, stage: Stage) -> Vec<T> {
    let own: Vec<T> = all.iter().copied().filter(|e| stage_of(*e) == stage).collect();
    if stage == Stage::New || own.len() >= STAGE_DAYS {
        return own;
    }
    all.iter().copied().filter(|e| stage_of(*e) != Stage::New).collect()
}

/// The calibration of a table for hosts of a stage, by all evidence about it; the weakest way of the parts is that of the
/// whole. `None` for new hosts if none was ever scored as one.
pub(crate) fn calibration(lens: &Lens, evidence: &[Evidence], stage: Stage) -> Option<Calibration> {
    let subject = Subject::Rows(lens.digest());
    let of_table: Vec<&Evidence> = evidence.iter().filter(|e| e.subject == subject).collect();
    let of_stage = of_stage(&of_table, Evidence::stage, stage);
    let views = lens.views().len();
    let Some(basis) = of_stage.iter().map(|e| e.basis).min() else {
        return (stage != Stage::New).then(|| Calibration::identity(views));
    };
    let counted = |at: usize, bins| sum(of_stage.iter().map(|e| &e.histograms[at]), bins);
    Some(Calibration {
        views: (0..views).map(|view| counted(view, VIEW_BINS).view_table()).collect(),
        rows: counted(views, ROW_BINS).table(),
        basis,
        rows_used: of_stage.iter().fold(0, |sum, e| sum.saturating_add(e.counted)),
    })
}

/// One calibration for each unit kind of the lenses, for hosts of a stage, by all evidence about it.
pub(crate) fn unit_calibrations(lenses: &[Lens], evidence: &[Evidence], stage: Stage) -> Vec<UnitCalibration> {
    let mut kinds: Vec<&str> = lenses.iter().flat_map(|l| l.units()).map(|u| u.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let calibration = |kind: &str| {
        let of_kind = evidence.iter().filter(|e| matches!(&e.subject, Subject::Units(k) if k == kind));
        let of_stage = of_stage(&of_kind.collect::<Vec<_>>(), Evidence::stage, stage);
        if stage == Stage::New && of_stage.is_empty() {
            return None;
        }
        let counted = sum(of_stage.iter().map(|e| &e.histograms[0]), ROW_BINS);
        Some(UnitCalibration { kind: kind.to_owned(), table: counted.table(), units_used: counted.total() })
    };
    kinds.into_iter().filter_map(calibration).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use crate::stage::SETTLED_DAYS;

    fn rows(values: &[u32]) -> Evidence {
        rows_of(values, SETTLED_DAYS)
    }

    fn rows_of(values: &[u32], own_days: usize) -> Evidence {
        let lens = builtin::process();
        let mut histograms = vec![sparse(values.iter().copied(), VIEW_BINS); lens.views().len()];
        histograms.push(sparse(values.iter().copied(), ROW_BINS));
        let host = (Some("web1".to_owned()), 100);
        let counted = values.len() as u64;
        let measure = Measure { own_days: own_days as u8, held_out: own_days == 0, stands_for: counted, seconds: 60 };
        Evidence::new(Subject::Rows(lens.digest()), host, Basis::Forward, counted, histograms, measure)
    }

    #[test]
    fn parts_calibrate_as_the_whole_would() {
        let lens = builtin::process();
        let values: Vec<u32> = (0..3000).map(|i: u32| i.wrapping_mul(2_654_435_761) >> 17).collect();
        let whole = calibration(&lens, &[rows(&values)], Stage::Settled).unwrap();
        let parts: Vec<Evidence> = values.chunks(700).map(rows).collect();
        assert_eq!(calibration(&lens, &parts, Stage::Settled), Some(whole.clone()));
        assert_eq!(whole.rows_used, 3000);
        assert!(whole.views[0].iter().any(|bits| *bits > 0));
    }

    #[test]
    fn each_stage_has_its_own_evidence_if_there_is_enough() {
        let lens = builtin::process();
        let used = |evidence: &[Evidence]| {
            [Stage::New, Stage::Learning, Stage::Settled]
                .map(|stage| calibration(&lens, evidence, stage).map(|c| c.rows_used))
        };
        let of = |days: usize, pieces: u32| (0..pieces).map(move |i| rows_of(&[1000 + i; 10], days));
        assert_eq!(used(&[]), [None, Some(0), Some(0)]);
        assert_eq!(used(&of(3, 6).collect::<Vec<_>>()), [None, Some(60), Some(60)]);
        let all: Vec<Evidence> = of(0, 2).chain(of(6, 7)).chain(of(7, 6)).collect();
        assert_eq!(used(&all), [Some(20), Some(70), Some(130)], "six days of settled hosts are too few");
        let all: Vec<Evidence> = of(0, 2).chain(of(1, 6)).chain(of(40, 7)).collect();
        assert_eq!(used(&all), [Some(20), Some(130), Some(70)]);
    }

    #[test]
    fn evidence_that_does_not_fit_is_noticed() {
        let lenses = [builtin::process()];
        let good = rows(&[1000, 2000, 2000]);
        assert!(good.is_consistent(&lenses) && !good.is_consistent(&[]));
        let broken = |change: &dyn Fn(&mut Evidence)| {
            let mut evidence = good.clone();
            change(&mut evidence);
            evidence.id = evidence.computed_id();
            assert!(!evidence.is_consistent(&lenses), "{evidence:?}");
        };
        broken(&|e| e.counted += 1);
        broken(&|e| e.histograms[0].reverse());
        broken(&|e| e.histograms[0][0].0 = VIEW_BINS as u16);
        broken(&|e| drop(e.histograms.pop()));
        let renamed = Evidence { id: "0".repeat(16), ..good };
        assert!(!renamed.is_consistent(&lenses));
    }
}
