//! Generators of snapshots and batches for tests: ordinary, extreme and adversarial. Deterministic in their seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use crate::encode::{Codes, EncodedBatch, NO_UNIT, UnitColumn};
use crate::keys::{HashKey, NO_GROUP, absorb, context_start, join, pair, scoped};
use crate::lens::{Lens, NO_CLASS};
use crate::segment::SegmentBuilder;
use crate::snapshot::{Basis, Calibration, ROW_BINS, Snapshot, VIEW_BINS, lay_out};
use crate::stage::Stage;
use crate::{compile, segment};

/// SplitMix64 (Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
pub struct Rng(pub u64);

impl Rng {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u32) -> u32 {
        (self.bits() % u64::from(n)) as u32
    }

    /// A number below `n`, small ones much more often.
    pub fn skewed(&mut self, n: u32) -> u32 {
        let bound = self.below(n) + 1;
        let bound = self.below(bound) + 1;
        self.below(bound)
    }
}

/// Something to score.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it is meant to provoke.
    pub name: String,
    /// What to score with.
    pub snapshot: Arc<Snapshot>,
    /// What to score.
    pub batch: EncodedBatch,
}

impl Case {
    /// Makes the table one of `slots` slots, half full, by entries that nothing asks for.
    pub fn fill(&mut self, slots: usize) {
        let snapshot = Arc::make_mut(&mut self.snapshot);
        let mut entries: Vec<[u32; 4]> = snapshot.slots.iter().copied().filter(|slot| slot[2] > 0).collect();
        assert!(entries.len() <= slots / 2, "{} entries", entries.len());
        let mut rng = Rng(2);
        entries.resize_with(slots / 2, || [rng.bits() as u32, rng.bits() as u32, 1, 1]);
        snapshot.slots = lay_out(entries);
        snapshot.mask = (slots - 1) as u32;
        assert_eq!(snapshot.slots.len(), slots);
    }
}

/// The shape of a random case.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Rows of the batch.
    pub rows: usize,
    /// Rows counted into the table.
    pub learned: usize,
    /// Distinct hosts.
    pub hosts: u32,
    /// Distinct values of a field.
    pub values: u32,
    /// Fields of the lens.
    pub fields: u32,
    /// Views of the lens.
    pub views: u32,
    /// Classes the views name, at most 31; 0: no view names any.
    pub classes: u32,
    /// One in this many values of the scored batch was never learned; 0: none.
    pub unknown: u32,
    /// Every value is null.
    pub null: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            rows: 1000,
            learned: 3000,
            hosts: 4,
            values: 20,
            fields: 7,
            views: 9,
            classes: 3,
            unknown: 20,
            null: false,
        }
    }
}

/// The key of all test baselines.
pub fn key() -> HashKey {
    HashKey(std::array::from_fn(|i| i as u8 * 7 + 1))
}

/// A lens of `plan.fields` fields and `plan.views` views of one to four contexts.
pub fn lens(plan: &Plan, rng: &mut Rng) -> Lens {
    let mut toml =
        "table = \"t\"\ntime = \"time\"\nclass = \"class\"\n[scopes]\nhost = \"host\"\n[fields]\n".to_owned();
    for f in 0..plan.fields {
        let _ = writeln!(toml, "f{f:03} = {{ column = \"c{f:03}\", kind = \"id\" }}");
    }
    let names = |rng: &mut Rng, n: u32| {
        let names: Vec<String> = (0..n).map(|_| format!("\"f{:03}\"", rng.below(plan.fields))).collect();
        format!("[{}]", names.join(", "))
    };
    for v in 0..plan.views {
        let child = rng.below(2) + 1;
        let child = names(rng, child);
        let contexts: Vec<String> = (0..rng.below(4)).rev().map(|width| names(rng, width + 1)).collect();
        let _ = write!(toml, "[[views]]\nname = \"v{v}\"\nchild = {child}\ncontext = [{}]\n", contexts.join(", "));
        if plan.classes > 0 && v > 0 {
            // The first views name every class once, so that all are in use.
            let _ = writeln!(toml, "when = [\"k{}\", \"k{}\"]", (v - 1) % plan.classes, rng.below(plan.classes));
        }
    }
    Lens::parse(&toml).expect("a generated lens is valid")
}

/// A random batch for a lens made by [`lens`]. With `unknown`, some values have never been seen.
pub fn batch(plan: &Plan, rows: usize, unknown: u32, rng: &mut Rng) -> EncodedBatch {
    let key = key();
    let column = |distinct: u32, rng: &mut Rng| {
        let mut values: Vec<Option<String>> = vec![None];
        values.extend((1..distinct).map(|i| Some(format!("value {i}"))));
        values.extend((0..distinct).map(|i| Some(format!("unknown {i}"))));
        let code = |rng: &mut Rng| match plan.null {
            true => 0,
            false if unknown > 0 && rng.below(unknown) == 0 => distinct + rng.below(distinct),
            false => rng.skewed(distinct),
        };
        Codes {
            codes: (0..rows).map(|_| code(rng)).collect(),
            hashes: Arc::new(values.iter().map(|v| key.value(v.as_deref())).collect()),
            values: Arc::new(values),
        }
    };
    let class = |rng: &mut Rng| match rng.below(plan.classes + 1) {
        c if c == plan.classes => NO_CLASS,
        c => c as u8,
    };
    let keys = (0..10).map(|i| format!("unit {i}")).collect();
    let unit = |rng: &mut Rng| Some(rng.below(11)).filter(|u| *u < 10).unwrap_or(NO_UNIT);
    EncodedBatch {
        rows,
        fields: (0..plan.fields).map(|_| column(plan.values, rng)).collect(),
        host: column(plan.hosts, rng),
        class: (0..rows).map(|_| class(rng)).collect(),
        time: (0..rows).map(|i| i as i64 * 1_000_000_000).collect(),
        units: vec![UnitColumn { codes: (0..rows).map(|_| unit(rng)).collect(), keys }],
    }
}

/// Segments of a batch: one per host and day.
pub fn segments(lens: &Lens, key: &HashKey, batch: &EncodedBatch) -> Vec<segment::Segment> {
    let mut groups: BTreeMap<(Option<&str>, i32), Vec<u32>> = Default::default();
    for row in 0..batch.rows {
        let group = (batch.host.value(row), segment::day_of(batch.time[row]));
        groups.entry(group).or_default().push(row as u32);
    }
    let build = |((host, day), rows): ((Option<&str>, i32), Vec<u32>)| {
        let mut builder = SegmentBuilder::new(lens, key, host, day);
        builder.add(batch, &rows);
        builder.finish()
    };
    groups.into_iter().map(build).collect()
}

/// Calibration tables of random, rising numbers.
pub fn calibration(views: usize, rng: &mut Rng) -> Calibration {
    let mut table = |bins: usize, step: u32| {
        let mut sum = 0;
        let next = |_| {
            sum += rng.below(step);
            sum.min(65535) as u16
        };
        (0..bins).map(next).collect::<Vec<u16>>()
    };
    let views = (0..views).map(|_| table(VIEW_BINS, 100)).collect();
    Calibration { views, rows: table(ROW_BINS, 8), basis: Basis::None, rows_used: 0 }
}

/// The group of a host value of [`batch`]: every fourth host has none.
pub fn group_of(host: Option<&str>) -> Option<&'static str> {
    let number: Option<usize> = host?.strip_prefix("value ")?.parse().ok();
    number.and_then(|n| [None, Some("web"), Some("db"), Some("cache")][n % 4])
}

/// Adds the counts of the groups of [`group_of`] to a snapshot: from each segment's cells, one by one.
pub fn add_groups(snapshot: &mut Snapshot, segments: &[segment::Segment]) {
    let mut hosts: BTreeMap<(&str, u64), BTreeMap<u64, BTreeSet<&str>>> = BTreeMap::new();
    for segment in segments {
        let Some((host, group)) = segment.host.as_deref().zip(group_of(segment.host.as_deref())) else { continue };
        for (context, cell, _) in segment.iter() {
            hosts.entry((group, context)).or_default().entry(cell).or_default().insert(host);
        }
    }
    // Also hosts that nothing is known of have groups.
    for host in (0..1000).map(|n| format!("value {n}")) {
        if let Some(group) = group_of(Some(&host)) {
            snapshot.groups.insert(join(key().value(Some(&host))), key().group(group));
        }
    }
    let mut entries: Vec<[u32; 4]> = snapshot.slots.clone();
    for ((group, context), cells) in hosts {
        let slot = |key_of: u64, count: usize, kinds: usize| {
            let [low, high] = scoped(pair(key_of), key().group(group));
            [low, high, count as u32, kinds as u32]
        };
        entries.push(slot(context, cells.values().map(BTreeSet::len).sum(), cells.len()));
        entries.extend(cells.iter().map(|(cell, hosts)| slot(*cell, hosts.len(), 0)));
    }
    snapshot.slots = lay_out(entries);
    snapshot.mask = (snapshot.slots.len() - 1) as u32;
}

/// A case by plan, whose hosts have groups.
pub fn grouped_case(name: &str, plan: Plan, seed: u64) -> Case {
    let mut case = case(name, plan, seed);
    let mut rng = Rng(seed);
    // As `case` drew them.
    let lens = lens(&plan, &mut rng);
    let learned = self::batch(&plan, plan.learned, 0, &mut rng);
    add_groups(Arc::make_mut(&mut case.snapshot), &segments(&lens, &key(), &learned));
    case
}

/// A case by plan.
pub fn case(name: &str, plan: Plan, seed: u64) -> Case {
    let mut rng = Rng(seed);
    let lens = lens(&plan, &mut rng);
    let learned = batch(&plan, plan.learned, 0, &mut rng);
    let slots = compile::compile(&key(), &segments(&lens, &key(), &learned));
    let calibration = calibration(lens.views().len(), &mut rng);
    let snapshot = Snapshot::new(lens, &key(), slots, calibration).expect("a compiled table fits");
    let batch = batch(&plan, plan.rows, plan.unknown, &mut rng);
    Case { name: name.to_owned(), snapshot: Arc::new(snapshot), batch }
}

/// The cases that every backend must score alike, bit for bit.
pub fn cases(seed: u64) -> Vec<Case> {
    let plan = Plan::default();
    let mut cases = vec![case("ordinary", plan, seed)];
    let mut add = |name: &str, plan: Plan| cases.push(case(name, plan, seed ^ name.len() as u64));
    add("one row", Plan { rows: 1, ..plan });
    add("one row less than a workgroup", Plan { rows: 255, ..plan });
    add("a workgroup", Plan { rows: 256, ..plan });
    add("one row more than a workgroup", Plan { rows: 257, ..plan });
    add("more rows than a block, not a multiple", Plan { rows: 20_011, ..plan });
    add("no rows", Plan { rows: 0, ..plan });
    add("nothing learned", Plan { learned: 0, ..plan });
    add("all null", Plan { null: true, ..plan });
    add("all unknown", Plan { unknown: 1, ..plan });
    add("one host", Plan { hosts: 1, ..plan });
    add("many hosts", Plan { hosts: 500, learned: 20_000, ..plan });
    add("32 classes", Plan { classes: 31, views: 40, ..plan });
    add("no class", Plan { classes: 0, ..plan });
    add("one view, one field", Plan { views: 1, fields: 1, ..plan });
    add("many views", Plan { views: 100, fields: 40, ..plan });
    add("many values", Plan { values: 50_000, learned: 50_000, rows: 5000, ..plan });
    let groups = [("groups", 20, 7), ("groups, many hosts, little known", 500, 200)];
    cases.extend(groups.map(|(name, hosts, values)| grouped_case(name, Plan { hosts, values, ..plan }, seed)));
    cases.push(groups_of_strangers(seed));
    let staged = [("three stages", true, true), ("only new hosts apart", false, true), ("none new", true, false)];
    cases.extend(staged.map(|(name, learning, newcomers)| staged_case(name, (learning, newcomers), seed)));
    cases.push(overflown("a sketch of half of the cells", seed, |slot| slot[0] % 2 == 0));
    cases.push(overflown("a sketch of all cells", seed, |_| true));
    cases.push(no_view_applies(seed));
    cases.push(saturated(seed));
    cases.push(wrapping_chains(seed));
    cases.push(false_friends(seed));
    cases
}

/// Hosts of which each is known in its own way, those that were never learned included, and some in groups.
fn staged_case(name: &str, (learning, newcomers): (bool, bool), seed: u64) -> Case {
    let mut case = grouped_case(name, Plan { hosts: 30, rows: 3000, ..Plan::default() }, seed);
    let mut rng = Rng(seed ^ 77);
    let snapshot = Arc::make_mut(&mut case.snapshot);
    let views = snapshot.lens.views().len();
    snapshot.learning = learning.then(|| calibration(views, &mut rng));
    snapshot.newcomers = newcomers.then(|| calibration(views, &mut rng));
    let hosts = case.batch.host.hashes.iter().map(|host| join(*host));
    let staged = hosts.zip([Stage::Settled, Stage::Learning, Stage::New].into_iter().cycle());
    snapshot.stages = Some(staged.filter(|(_, stage)| *stage != Stage::New).collect());
    case
}

fn changed(name: &str, seed: u64, change: impl FnOnce(&mut Snapshot, &mut EncodedBatch, &mut Rng)) -> Case {
    let mut case = case(name, Plan::default(), seed);
    change(Arc::make_mut(&mut case.snapshot), &mut case.batch, &mut Rng(seed));
    case
}

/// Rows whose class no view names, under a calibration that would give bits for a surprisal of 0.
fn no_view_applies(seed: u64) -> Case {
    changed("no view applies", seed, |snapshot, batch, _| {
        batch.class.fill(NO_CLASS);
        for (program, table) in snapshot.views.iter_mut().zip(&mut snapshot.calibration.views) {
            program.class_mask &= 0x7FFF_FFFF;
            table.fill(1000);
        }
    })
}

/// Cells that `gone` picks are in the sketch and not in the table; counts are larger than contexts have room for.
fn overflown(name: &str, seed: u64, gone: impl Fn(&[u32; 4]) -> bool) -> Case {
    let mut case = grouped_case(name, Plan { hosts: 20, ..Plan::default() }, seed);
    let snapshot = Arc::make_mut(&mut case.snapshot);
    let (cells, rest): (Vec<[u32; 4]>, Vec<[u32; 4]>) =
        snapshot.slots.iter().copied().filter(|s| s[2] != 0).partition(|s| s[3] == 0 && gone(s));
    let cells: Vec<_> = cells.iter().map(|s| ([s[0], s[1]], s[2].saturating_mul(3))).collect();
    snapshot.sketch = crate::sketch::sketch(&cells);
    snapshot.slots = lay_out(rest);
    snapshot.mask = (snapshot.slots.len() - 1) as u32;
    case
}

/// Groups that nothing was counted for, of some hosts; the scope of one is the mark of none.
fn groups_of_strangers(seed: u64) -> Case {
    changed("groups of strangers", seed, |snapshot, batch, _| {
        for (i, host) in (0..).zip(batch.host.hashes.iter()) {
            if i % 3 != 0 {
                snapshot.groups.insert(join(*host), if i == 1 { NO_GROUP } else { key().group("strangers") });
            }
        }
    })
}

/// Counts at and near the largest number.
fn saturated(seed: u64) -> Case {
    changed("saturated counts", seed, |snapshot, _, rng| {
        for slot in snapshot.slots.iter_mut().filter(|s| s[2] != 0) {
            slot[2] = u32::MAX - rng.below(3);
            if slot[3] != 0 {
                slot[3] = u32::MAX - rng.below(3);
            }
        }
        for program in &mut snapshot.views {
            program.vocabulary = u32::MAX;
        }
    })
}

/// Longer than any run of pseudo-random keys, short enough for Mesa's software driver: it cuts the loops of a shader
/// invocation at 65,535 iterations in all.
const HALF_RUN: usize = 500;

/// A small table with a long occupied run across its end, so that look-ups wrap around.
fn wrapping_chains(seed: u64) -> Case {
    changed("chains that wrap", seed, |snapshot, _, rng| {
        let entries: Vec<[u32; 4]> = snapshot.slots.iter().copied().filter(|s| s[2] != 0).collect();
        let capacity = (entries.len() * 4).next_power_of_two();
        let (mask, half_run) = (capacity - 1, (entries.len() / 2).min(HALF_RUN));
        let mut slots = vec![[0; 4]; capacity];
        for at in (0..half_run).chain(capacity - half_run..capacity) {
            let home = at as u32 | rng.below(1 << 8) << 24;
            slots[at] = [home, rng.bits() as u32, 1 + rng.below(9), 1];
        }
        for entry in entries {
            let mut at = entry[0] as usize & mask;
            while slots[at][2] != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = entry;
        }
        snapshot.mask = mask as u32;
        snapshot.slots = slots;
    })
}

/// Slots whose keys agree with looked-up keys in one half only.
fn false_friends(seed: u64) -> Case {
    changed("half-equal keys", seed, |snapshot, batch, rng| {
        let mut entries: Vec<[u32; 4]> = snapshot.slots.iter().copied().filter(|s| s[2] != 0).collect();
        for row in 0..batch.rows.min(50) {
            for (v, program) in snapshot.views.iter().enumerate() {
                let take = |s, f: &u32| absorb(s, batch.fields[*f as usize].hash(row));
                let context = program.contexts[0].iter().fold(context_start(snapshot.seed, v as u32, 0), take);
                let [low, high] = scoped(context, batch.host.hash(row));
                let [other, _] = pair(rng.bits());
                entries.push([low, high ^ (other | 1), 7, 2]);
                entries.push([low ^ 1 << 31, high, 7, 2]);
            }
        }
        snapshot.slots = lay_out(entries);
        snapshot.mask = (snapshot.slots.len() - 1) as u32;
    })
}

/// The number of every slot that the CPU backend reads first for a look-up, in the order in which one thread reads them.
pub fn slots_read(snapshot: &Snapshot, batch: &EncodedBatch) -> Vec<u32> {
    crate::cpu::traced(snapshot, batch)
}
