//! What one process has counted of some rows for a baseline that another one learns (docs/cluster.md).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::baseline::Words;
use crate::keys::HashKey;
use crate::learn::{LearnError, RowSource, count};
use crate::lens::Lens;
use crate::segment::Segment;
use crate::words::WordCollector;

/// The segments of some rows of a table, whole: no other rows are of their hosts and days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    /// The lens it was counted under.
    lens_digest: [u8; 32],
    rows: u64,
    segments: Vec<Segment>,
    words: Words,
}

impl Partial {
    /// Counts all rows that `source` has of the lens's table. Memory: the distinct cells of their hosts and days.
    ///
    /// # Errors
    /// Those of the source, and when a batch does not fit the lens.
    pub fn count(lens: &Lens, key: &HashKey, source: &dyn RowSource) -> Result<Self, LearnError> {
        let (mut words, mut rows) = (WordCollector::default(), 0);
        let segments = count(lens, key, source, (None, &mut words), &mut rows, &|_, _| {})?;
        Ok(Self { lens_digest: lens.digest(), rows, segments, words: words.finish() })
    }

    /// Rows that were counted.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The hosts and days that it has segments of.
    pub fn places(&self) -> impl Iterator<Item = (Option<&str>, i32)> {
        self.segments.iter().map(|segment| (segment.host.as_deref(), segment.day))
    }

    /// As bytes, for [`Partial::decode`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Writing to memory does not fail, and lengths of vectors are known.
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// Reads what [`Partial::encode`] gave.
    ///
    /// # Errors
    /// In words, when these are no such bytes or their parts do not fit.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let this: Self = postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        let ids: BTreeSet<&str> = this.segments.iter().map(|segment| segment.id.as_str()).collect();
        let fits = |segment: &Segment| segment.is_consistent() && segment.lens_digest == this.lens_digest;
        if !this.segments.iter().all(fits) {
            return Err("a segment is inconsistent".to_owned());
        }
        this.words.check(|id| ids.contains(id))?;
        Ok(this)
    }
}

/// The segments of all partials of a table, in order; rows and words go to where those of the run are.
pub(crate) fn gather(
    lens: &Lens,
    partials: Vec<Partial>,
    words: &mut Vec<Words>,
    rows: &mut u64,
) -> Result<Vec<Segment>, LearnError> {
    let (mut segments, mut places) = (Vec::new(), BTreeSet::new());
    for partial in partials {
        if partial.lens_digest != lens.digest() {
            return Err(LearnError::Inconsistent(format!("table {:?} was counted under another lens", lens.table())));
        }
        let own: BTreeSet<(Option<String>, i32)> =
            partial.places().map(|(host, day)| (host.map(str::to_owned), day)).collect();
        if own.iter().any(|place| places.contains(place)) {
            return Err(LearnError::Inconsistent(format!(
                "a day of table {:?} was counted in two parts",
                lens.table()
            )));
        }
        places.extend(own);
        *rows = rows.saturating_add(partial.rows);
        segments.extend(partial.segments);
        words.push(partial.words);
    }
    segments.sort_by(|a, b| (&a.host, a.day).cmp(&(&b.host, b.day)));
    Ok(segments)
}
