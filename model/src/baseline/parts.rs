//! What a baseline is made of: immutable parts, which run of learning brought each, and the words that they showed.

use std::collections::{BTreeMap, BTreeSet};

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::dismissal::Dismissal;
use crate::entities::Entities;
use crate::evidence::Evidence;
use crate::keys::{HashKey, Pair, join};
use crate::lens::Lens;
use crate::pod;
use crate::segment::{Segment, hex_id};
use crate::values::{MAX_BYTES, MAX_VALUES};

/// All that was learned. Everything else in a baseline follows from it and the options of compiling.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts {
    /// The secret under which all is hashed.
    pub key: HashKey,
    /// One per table, ascending by its name.
    pub lenses: Vec<Lens>,
    /// What was counted, ascending by id.
    pub segments: Vec<Segment>,
    /// What calibrates, ascending by id.
    pub evidence: Vec<Evidence>,
    /// What was said to be harmless, ascending by id.
    pub dismissals: Vec<Dismissal>,
    /// Which run of learning brought what.
    pub origins: Origins,
    /// Texts behind the hashes.
    pub words: Words,
}

/// The ids of the segments and of the evidence that each run of learning brought, by the id of the run.
pub type Origins = BTreeMap<String, BTreeSet<String>>;

impl Parts {
    /// The parts of one run of learning.
    pub(crate) fn learned(
        key: HashKey,
        lenses: Vec<Lens>,
        segments: Vec<Segment>,
        evidence: Vec<Evidence>,
        words: Words,
    ) -> Self {
        let (origins, dismissals) = (Origins::new(), Vec::new());
        let mut parts = Self { key, lenses, segments, evidence, dismissals, origins, words };
        parts.origins = [Self::run(parts.ids())].into();
        parts.tidy();
        parts
    }

    /// Who is who for the lenses that ask: the same for all.
    pub fn entities(&self) -> Option<&Arc<Entities>> {
        self.lenses.iter().find_map(Lens::entities)
    }

    /// The run of learning that brought these parts: equal parts are of the same run.
    pub(crate) fn run<'a>(ids: impl Iterator<Item = &'a str>) -> (String, BTreeSet<String>) {
        let ids: BTreeSet<String> = ids.map(str::to_owned).collect();
        let mut hash = Sha256::new();
        ids.iter().for_each(|id| hash.update(id));
        (hex_id(&hash.finalize()), ids)
    }

    /// The ids of all segments and all evidence.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map(|s| s.id.as_str()).chain(self.evidence.iter().map(|e| e.id.as_str()))
    }

    /// The one form of these parts: in order, each once, nothing that belongs to nothing.
    pub(crate) fn tidy(&mut self) {
        self.segments.sort_by(|a, b| a.id.cmp(&b.id));
        self.segments.dedup_by(|a, b| a.id == b.id);
        self.evidence.sort_by(|a, b| a.id.cmp(&b.id));
        self.evidence.dedup_by(|a, b| a.id == b.id);
        let owned: BTreeSet<&String> = self.origins.values().flatten().collect();
        self.segments.retain(|s| owned.contains(&s.id));
        // Evidence is about rows that taught: without those it goes, too.
        let taught: BTreeSet<_> = self.segments.iter().map(|s| (&s.host, s.day, s.lens_digest)).collect();
        let lenses = &self.lenses;
        let taught = |e: &Evidence| {
            lenses.iter().filter(|lens| e.is_of(lens)).any(|lens| taught.contains(&(&e.host, e.day, lens.digest())))
        };
        self.evidence.retain(|e| owned.contains(&e.id) && taught(e));
        let ids: BTreeSet<String> = self.ids().map(str::to_owned).collect();
        self.origins.values_mut().for_each(|brought| brought.retain(|id| ids.contains(id)));
        self.origins.retain(|_, brought| !brought.is_empty());
        let used: BTreeSet<[u8; 32]> = self.segments.iter().map(|s| s.lens_digest).collect();
        self.lenses.retain(|l| used.contains(&l.digest()));
        self.lenses.sort_by(|a, b| a.table().cmp(b.table()));
        self.dismissals.sort_by(|a, b| a.id.cmp(&b.id));
        self.dismissals.dedup_by(|a, b| a.id == b.id);
        let used = |dismissal: &Dismissal| dismissal.lessons.iter().any(|lesson| used.contains(&lesson.lens_digest));
        self.dismissals.retain(used);
        self.words.retain(|id| ids.contains(id));
    }

    /// Checks that the parts fit each other: a file may hold anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(twice) = self.lenses.windows(2).find(|pair| pair[0].table() >= pair[1].table()) {
            return Err(format!("two lenses for table {:?}, or lenses out of order", twice[1].table()));
        }
        let who = self.entities();
        if let Some(lens) = self.lenses.iter().find(|lens| lens.entities().is_some_and(|e| Some(e) != who)) {
            return Err(format!("the lens of table {:?} has entities of its own", lens.table()));
        }
        let known = |s: &Segment| s.is_consistent() && self.lenses.iter().any(|l| l.digest() == s.lens_digest);
        if let Some(segment) = self.segments.iter().find(|s| !known(s)) {
            return Err(format!("segment {:?} is inconsistent", segment.id));
        }
        if let Some(evidence) = self.evidence.iter().find(|e| !e.is_consistent(&self.lenses)) {
            return Err(format!("evidence {:?} is inconsistent", evidence.id));
        }
        if let Some(dismissal) = self.dismissals.iter().find(|dismissal| !dismissal.is_consistent()) {
            return Err(format!("dismissal {:?} is inconsistent", dismissal.id));
        }
        if !self.dismissals.is_sorted_by(|a, b| a.id < b.id) {
            return Err("dismissals are out of order".to_owned());
        }
        if !self.segments.is_sorted_by(|a, b| a.id < b.id) || !self.evidence.is_sorted_by(|a, b| a.id < b.id) {
            return Err("segments or evidence are out of order".to_owned());
        }
        let ids: BTreeSet<&str> = self.ids().collect();
        let owned: BTreeSet<&str> = self.origins.values().flatten().map(String::as_str).collect();
        if ids != owned {
            return Err("what the runs of learning brought is not what is there".to_owned());
        }
        self.words.check(|id| ids.contains(id))
    }

    /// Rows of segments that no evidence came with, as learned by a version that kept none.
    pub fn rows_without_evidence(&self) -> u64 {
        let evidence: BTreeSet<&str> = self.evidence.iter().map(|e| e.id.as_str()).collect();
        let bare = |brought: &&BTreeSet<String>| !brought.iter().any(|id| evidence.contains(id.as_str()));
        let with: BTreeSet<&String> = self.origins.values().filter(|b| !bare(b)).flatten().collect();
        self.segments.iter().filter(|s| !with.contains(&s.id)).fold(0, |sum, s| sum.saturating_add(s.rows))
    }
}

/// Texts of hashed values, and which segment showed which.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// Known values by hash, ascending; bounded.
    pub(crate) values: Vec<(Pair, String)>,
    /// By the id of a segment: numbers in `values`.
    pub(crate) shown: BTreeMap<String, Shown>,
}

/// The values that one segment showed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// Ascending.
    #[serde(with = "pod")]
    pub(crate) values: Vec<u32>,
    /// Whether these are all.
    pub(crate) complete: bool,
}

impl Words {
    /// The value with this hash, if it is known; long values are cut.
    pub fn value(&self, hash: Pair) -> Option<&str> {
        let at = self.values.binary_search_by_key(&join(hash), |v| join(v.0)).ok()?;
        Some(&self.values[at].1)
    }

    /// All known values, ascending by hash.
    pub fn values(&self) -> &[(Pair, String)] {
        &self.values
    }

    /// Whether all values that were learned are known.
    pub fn complete(&self) -> bool {
        self.shown.values().all(|shown| shown.complete)
    }

    /// Adds what others know. Beyond the bounds the values with the smallest hashes stay, as in learning.
    pub(crate) fn merge(&mut self, other: Self) {
        let [mine, theirs] = [&*self, &other].map(Words::hashes);
        self.values.extend(other.values);
        self.values.sort_by_key(|v| join(v.0));
        self.values.dedup_by_key(|v| v.0);
        let all = self.hashes();
        let renumbered = |shown: &Shown, from: &[u64]| -> Vec<u32> {
            let place = |at: &u32| all.partition_point(|hash| *hash < from[*at as usize]) as u32;
            shown.values.iter().map(place).collect()
        };
        self.shown.values_mut().for_each(|shown| shown.values = renumbered(shown, &mine));
        for (id, shown) in other.shown {
            let here = self.shown.entry(id).or_default();
            here.values.extend(renumbered(&shown, &theirs));
            here.values.sort_unstable();
            here.values.dedup();
            here.complete |= shown.complete; // each lists what the same rows showed
        }
        let mut bytes = 0;
        let fits = |(at, value): (usize, &(Pair, String))| {
            bytes += value.1.len();
            at < MAX_VALUES && bytes <= MAX_BYTES
        };
        let used: Vec<bool> = self.values.iter().enumerate().map(fits).collect();
        self.renumber(&used);
    }

    fn hashes(&self) -> Vec<u64> {
        self.values.iter().map(|v| join(v.0)).collect()
    }

    /// Keeps what the segments and runs show that `keeps` allows.
    pub(crate) fn retain(&mut self, keeps: impl Fn(&String) -> bool) {
        self.shown.retain(|id, _| keeps(id));
        let mut used = vec![false; self.values.len()];
        self.shown.values().flat_map(|s| &s.values).for_each(|at| used[*at as usize] = true);
        self.renumber(&used);
    }

    /// Leaves out the values that are not marked, and gives the others new numbers.
    fn renumber(&mut self, used: &[bool]) {
        let mut next = 0;
        let numbers: Vec<Option<u32>> = used
            .iter()
            .map(|used| {
                next += u32::from(*used);
                used.then(|| next - 1)
            })
            .collect();
        for shown in self.shown.values_mut() {
            let before = shown.values.len();
            shown.values = shown.values.iter().filter_map(|at| numbers[*at as usize]).collect();
            shown.complete &= shown.values.len() == before;
        }
        let mut used = used.iter();
        self.values.retain(|_| *used.next().unwrap_or(&false));
    }

    pub(crate) fn check(&self, known: impl Fn(&str) -> bool) -> Result<(), String> {
        if !self.values.is_sorted_by(|a, b| join(a.0) < join(b.0)) {
            return Err("the value dictionary is out of order".to_owned());
        }
        for (id, shown) in &self.shown {
            let fits = shown.values.last().is_none_or(|at| (*at as usize) < self.values.len());
            if !fits || !shown.values.is_sorted_by(|a, b| a < b) || !known(id) {
                return Err(format!("the values of segment {id:?} are inconsistent"));
            }
        }
        Ok(())
    }
}
