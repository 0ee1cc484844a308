//! From findings to incidents: a pure function of what they carry and of the incidents before.

use std::collections::{BTreeMap, BTreeSet};

use events::ProcessKey;

use crate::item::{Evidence, Item, Map, Value};
use crate::join::{Link, Sets, Shared, links};
use crate::surprise::path_bits;

/// An incident as it was written before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Before {
    /// Its id, as a number.
    pub name: u64,
    /// Start of the window of its anchor.
    pub anchor: i64,
    /// Its aliases, as numbers.
    pub aliases: Vec<u64>,
    /// Ids of its findings, as numbers.
    pub findings: Vec<u64>,
}

/// The process that everything else comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// Number of its host.
    pub host: u32,
    /// Its tree.
    pub tree: ProcessKey,
}

/// Findings that are one story.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its id, as a number.
    pub name: u64,
    /// Other ids, ascending.
    pub aliases: Vec<u64>,
    /// Start of the window of the unit that gave it its id.
    pub anchor: i64,
    /// Places of its findings among the items, by window.
    pub items: Vec<u32>,
    /// The links that joined them, one fewer than findings.
    pub links: Vec<Link>,
    /// Bits of the path.
    pub bits: f32,
    /// The place of its rarest finding.
    pub rarest: u32,
    /// Units, and trees that only join others.
    pub steps: u32,
    /// Where it began, if it is about processes.
    pub root: Option<Root>,
}

/// The incidents of findings, the most bits first.
#[must_use]
pub fn group(items: &[Item], evidence: &Evidence, before: &[Before]) -> Vec<Group> {
    let mut sets = Sets::new(items.len());
    let mut used: Vec<Link> = links(items, evidence).into_iter().filter(|link| sets.join(link.from, link.to)).collect();
    // What still joins findings is said anew; what was known once and is not any more stays joined.
    used.extend(of_before(items, before, &mut sets));
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); items.len()];
    for at in 0..items.len() as u32 {
        members[sets.of(at) as usize].push(at);
    }
    let mut joined: Vec<Vec<Link>> = vec![Vec::new(); items.len()];
    for link in used {
        joined[sets.of(link.from) as usize].push(link);
    }
    let mut names = Names::new(items, before);
    let grouped = members.into_iter().zip(joined).enumerate().filter(|(_, (members, _))| !members.is_empty());
    let mut groups: Vec<Group> =
        grouped.map(|(set, (members, links))| one(items, evidence, members, links, names.of(&mut sets, set))).collect();
    groups.sort_by(|a, b| {
        let log2_n = |group: &Group| items[group.rarest as usize].log2_n;
        b.bits.total_cmp(&a.bits).then(log2_n(b).total_cmp(&log2_n(a))).then(a.name.cmp(&b.name))
    });
    groups
}

/// Joins what was one incident before.
fn of_before(items: &[Item], before: &[Before], sets: &mut Sets) -> Vec<Link> {
    let places: Map<u64, u32> = if before.is_empty() { Map::default() } else { places(items) };
    let mut links = Vec::new();
    for incident in before {
        let known: Vec<u32> = incident.findings.iter().filter_map(|id| places.get(id).copied()).collect();
        for pair in known.windows(2) {
            if sets.join(pair[0], pair[1]) {
                links.push(Link { shared: Shared::Before, from: pair[0], to: pair[1], seen: 0 });
            }
        }
    }
    links
}

fn places(items: &[Item]) -> Map<u64, u32> {
    items.iter().enumerate().map(|(at, item)| (item.id, at as u32)).collect()
}

/// What incidents were called before, by their findings.
struct Names<'a> {
    items: &'a [Item],
    before: &'a [Before],
    /// Earlier incidents with a finding among the items: the place of one, and the incident.
    found: Vec<(u32, u32)>,
    /// The same by set, made when first asked.
    by_set: Option<BTreeMap<u32, Vec<u32>>>,
}

impl<'a> Names<'a> {
    fn new(items: &'a [Item], before: &'a [Before]) -> Self {
        let places: Map<u64, u32> = if before.is_empty() { Map::default() } else { places(items) };
        let place = |incident: &Before| incident.findings.iter().find_map(|id| places.get(id).copied());
        let found = before.iter().zip(0..).filter_map(|(incident, at)| Some((place(incident)?, at))).collect();
        Self { items, before, found, by_set: None }
    }

    /// The earlier incidents in a set.
    fn of(&mut self, sets: &mut Sets, set: usize) -> Vec<&'a Before> {
        let found = &self.found;
        let by_set = self.by_set.get_or_insert_with(|| {
            let mut by_set: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            found.iter().for_each(|(place, at)| by_set.entry(sets.of(*place)).or_default().push(*at));
            by_set
        });
        debug_assert!(set < self.items.len());
        by_set.get(&(set as u32)).into_iter().flatten().map(|at| &self.before[*at as usize]).collect()
    }
}

fn one(items: &[Item], evidence: &Evidence, mut places: Vec<u32>, links: Vec<Link>, before: Vec<&Before>) -> Group {
    let item = |at: u32| &items[at as usize];
    places.sort_by_key(|at| (item(*at).window, item(*at).id));
    let (anchor, name, aliases) = called(items, &places, &before);
    // A unit that several baselines found counts once, as the rarest.
    let mut units: BTreeMap<(i64, u64), f32> = BTreeMap::new();
    for at in &places {
        let bits = units.entry((item(*at).window, item(*at).subject)).or_insert(0.0);
        *bits = bits.max(item(*at).log2_n);
    }
    let lineage = Lineage::of(items, evidence, &places, &links);
    let steps = units.len() + lineage.bridges.len();
    let sum: f64 = units.values().map(|bits| f64::from(*bits)).sum();
    let rarer = |a: &&u32, b: &&u32| {
        item(**a).log2_n.total_cmp(&item(**b).log2_n).then(item(**b).window.cmp(&item(**a).window))
    };
    let rarest = places.iter().max_by(|a, b| rarer(a, b).then(item(**b).id.cmp(&item(**a).id)));
    Group {
        name,
        aliases,
        anchor,
        bits: path_bits(sum, steps) as f32,
        rarest: rarest.copied().unwrap_or_default(),
        steps: u32::try_from(steps).unwrap_or(u32::MAX),
        root: lineage.root(),
        items: places,
        links,
    }
}

/// Anchor and names: the oldest that is known stays, else the earliest unit gives it. Places are by window.
fn called(items: &[Item], places: &[u32], before: &[&Before]) -> (i64, u64, Vec<u64>) {
    let units = places.iter().map(|at| (items[*at as usize].window, items[*at as usize].name));
    let oldest = before.iter().map(|incident| (incident.anchor, incident.name)).min();
    let Some((anchor, name)) = oldest.or_else(|| units.min()) else { return (0, 0, Vec::new()) };
    let mut aliases: Vec<u64> = before.iter().flat_map(|incident| incident.aliases.iter().copied()).collect();
    aliases.extend(before.iter().map(|incident| incident.name));
    aliases.sort_unstable();
    aliases.dedup();
    aliases.retain(|alias| *alias != name);
    (anchor, name, aliases)
}

/// Which tree of an incident comes from which.
struct Lineage {
    /// Each tree: its host, and when it was first heard of.
    trees: BTreeMap<ProcessKey, (u32, i64)>,
    /// Trees without a finding that joined others.
    bridges: Vec<ProcessKey>,
    /// Trees that another one of the incident started or reached.
    below: BTreeSet<ProcessKey>,
}

impl Lineage {
    fn of(items: &[Item], evidence: &Evidence, places: &[u32], links: &[Link]) -> Self {
        let mut this = Self { trees: BTreeMap::new(), bridges: Vec::new(), below: BTreeSet::new() };
        for item in places.iter().map(|at| &items[*at as usize]) {
            this.hears_of(item.tree, item);
        }
        for link in links {
            let Shared::Value(value) = link.shared else { continue };
            let ends = [&items[link.from as usize], &items[link.to as usize]];
            if let Value::Tree(tree) = value {
                let known = this.trees.contains_key(&tree);
                ends.iter().for_each(|item| this.hears_of(Some(tree), item));
                if !known {
                    this.bridges.push(tree);
                }
            }
        }
        let below = |tree: &&ProcessKey| evidence.above(**tree).any(|above| this.trees.contains_key(&above));
        this.below = this.trees.keys().filter(below).copied().collect();
        this.served(items, evidence, links);
        this
    }

    fn hears_of(&mut self, tree: Option<ProcessKey>, item: &Item) {
        let Some(tree) = tree else { return };
        let known = self.trees.entry(tree).or_insert((item.host, item.time));
        known.1 = known.1.min(item.time);
    }

    /// Who accepted a connection comes after who made it.
    fn served(&mut self, items: &[Item], evidence: &Evidence, links: &[Link]) {
        for link in links {
            let Shared::Value(value @ Value::Destination { .. }) = link.shared else { continue };
            let serves = |at: u32| evidence.served.contains(&(value, at));
            let server = match (serves(link.from), serves(link.to)) {
                (true, false) => link.from,
                (false, true) => link.to,
                _ => continue,
            };
            self.below.extend(items[server as usize].tree);
        }
    }

    /// The earliest tree that comes from no other.
    fn root(&self) -> Option<Root> {
        let tops = self.trees.iter().filter(|(tree, _)| !self.below.contains(tree));
        let first = |(tree, (_, time)): &(&ProcessKey, &(u32, i64))| (*time, **tree);
        let top = tops.min_by_key(first).or_else(|| self.trees.iter().min_by_key(first));
        top.map(|(tree, (host, _))| Root { host: *host, tree: *tree })
    }
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
