//! Which findings are one story: links between pairs, and what follows from them (docs/decisions/0050).

use events::ProcessKey;

use crate::item::{Evidence, Item, RARE_TREES, Value};

const HOUR_NS: i64 = 3_600_000_000_000;
const DAY_NS: i64 = 24 * HOUR_NS;
/// Fewer false links are expected than 1 in 2^this.
const CHANCE_BITS: f64 = 5.0;

/// What joins two findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shared {
    /// The same unit, of another baseline or window.
    Unit,
    /// A value.
    Value(Value),
    /// They were one incident before.
    Before,
}

/// Two findings that are joined, by their places among the items.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// What they share.
    pub shared: Shared,
    /// The one with the earlier window.
    pub from: u32,
    /// The other.
    pub to: u32,
    /// Trees that carried the value by then; 0 where no rarity is needed.
    pub seen: u32,
}

/// All links that count, in an order of their own that does not depend on that of the items.
pub(crate) fn links(items: &[Item], evidence: &Evidence) -> Vec<Link> {
    let mut links = of_subjects(items);
    of_values(items, evidence, &mut links);
    links.sort_by_key(|link| {
        let place = |at: u32| (items[at as usize].window, items[at as usize].id);
        (link.shared, place(link.to), place(link.from))
    });
    links
}

/// The same unit again: at once by another baseline, or soon after.
fn of_subjects(items: &[Item]) -> Vec<Link> {
    let mut order: Vec<u32> = (0..items.len() as u32).collect();
    let place = |at: u32| &items[at as usize];
    order.sort_unstable_by_key(|at| (place(*at).subject, place(*at).window, place(*at).id));
    let near = |pair: &[u32]| {
        let (from, to) = (place(pair[0]), place(pair[1]));
        let reach = if from.tree.is_some() { DAY_NS } else { HOUR_NS };
        let joined = from.subject == to.subject && to.window.saturating_sub(from.window) <= reach;
        joined.then_some(Link { shared: Shared::Unit, from: pair[0], to: pair[1], seen: 0 })
    };
    order.windows(2).filter_map(near).collect()
}

/// How far apart the windows of findings may begin that share a value.
fn reach(value: &Value) -> i64 {
    if matches!(value, Value::User(_)) { HOUR_NS } else { DAY_NS }
}

fn of_values(items: &[Item], evidence: &Evidence, links: &mut Vec<Link>) {
    let mut carried: Vec<(Value, u32)> = evidence.carried.iter().chain(&evidence.served).copied().collect();
    for (at, item) in items.iter().enumerate() {
        let Some(tree) = item.tree else { continue };
        // A tree is a value only where another was started from it.
        carried.push((Value::Tree(tree), at as u32));
        carried.extend(evidence.above(tree).map(|above| (Value::Tree(above), at as u32)));
    }
    let place = |at: u32| (items[at as usize].window, items[at as usize].id);
    carried.sort_unstable_by_key(|(value, at)| (*value, place(*at)));
    carried.dedup();
    let mut windows: Vec<i64> = items.iter().map(|item| item.window).collect();
    windows.sort_unstable();
    let rarity = Rarity { windows, evidence };
    for group in carried.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1) {
        match group[0].0 {
            Value::Tree(tree) => of_tree(items, tree, group, &rarity, links),
            value => of_value(items, value, group, &rarity, links),
        }
    }
}

/// How common values are when a finding comes.
struct Rarity<'a> {
    /// Starts of all windows, ascending.
    windows: Vec<i64>,
    evidence: &'a Evidence,
}

impl Rarity<'_> {
    /// Trees that carried the value up to the end of the finding's hour; `None` if that is common.
    fn seen(&self, value: &Value, item: &Item) -> Option<usize> {
        let until = item.window.saturating_add(HOUR_NS).max(item.time);
        let seen = self.evidence.seen.get(value).map_or(0, |seen| seen.until(until)).max(1);
        (seen <= RARE_TREES).then_some(seen)
    }

    /// The same if a chance partner is hardly to be expected among the findings in reach: Fellegi and Sunter's weight of
    /// the agreement against how many there are to agree with.
    fn rare(&self, value: &Value, item: &Item) -> Option<usize> {
        let seen = self.seen(value, item)?;
        let up_to = |time: i64| self.windows.partition_point(|window| *window <= time);
        let others = up_to(item.window) - up_to(item.window.saturating_sub(reach(value)));
        let weight = (self.evidence.trees.max(1) as f64 / seen as f64).log2();
        (weight >= (others.max(1) as f64).log2() + CHANCE_BITS).then_some(seen)
    }
}

/// Each finding to the one before it, while the value is rare.
fn of_value(items: &[Item], value: Value, group: &[(Value, u32)], rarity: &Rarity<'_>, links: &mut Vec<Link>) {
    for pair in group.windows(2) {
        let (from, to) = (pair[0].1, pair[1].1);
        let (before, item) = (&items[from as usize], &items[to as usize]);
        let near = item.window.saturating_sub(before.window) <= reach(&value);
        if before.subject == item.subject || !near {
            continue;
        }
        if let Some(seen) = rarity.rare(&value, item) {
            links.push(Link { shared: Shared::Value(value), from, to, seen: seen as u32 });
        }
    }
}

/// Findings of a tree and of those below it. One that descends from a tree with a finding is joined to it unless the tree
/// starts many; those of sister trees need rarity, as whatever starts services is above them all.
fn of_tree(items: &[Item], tree: ProcessKey, group: &[(Value, u32)], rarity: &Rarity<'_>, links: &mut Vec<Link>) {
    let value = Value::Tree(tree);
    let own = |at: u32| items[at as usize].tree == Some(tree);
    let near = |a: u32, b: u32| items[a as usize].window.abs_diff(items[b as usize].window) <= DAY_NS as u64;
    let owners: Vec<u32> = group.iter().map(|(_, at)| *at).filter(|at| own(*at)).collect();
    let mut sister: Option<u32> = None;
    for (_, at) in group.iter().filter(|(_, at)| !own(*at)) {
        let item = &items[*at as usize];
        let after = owners.partition_point(|owner| items[*owner as usize].window <= item.window);
        let near_owner = [after.checked_sub(1), Some(after)].into_iter().flatten().filter_map(|i| owners.get(i));
        let owner = near_owner.copied().find(|owner| near(*owner, *at));
        let sister_of = sister.filter(|last| near(*last, *at) && items[*last as usize].subject != item.subject);
        let pairs = [
            owner.and_then(|owner| Some((owner, rarity.seen(&value, item)?))),
            sister_of.and_then(|last| Some((last, rarity.rare(&value, item)?))),
        ];
        for (other, seen) in pairs.into_iter().flatten() {
            let (from, to) = if items[other as usize].window <= item.window { (other, *at) } else { (*at, other) };
            links.push(Link { shared: Shared::Value(value), from, to, seen: seen as u32 });
        }
        sister = Some(*at);
    }
}

/// Sets that grow together.
pub(crate) struct Sets(Vec<u32>);

impl Sets {
    pub(crate) fn new(number: usize) -> Self {
        Self((0..number as u32).collect())
    }

    /// The one that stands for the set of another.
    pub(crate) fn of(&mut self, at: u32) -> u32 {
        let mut at = at;
        while self.0[at as usize] != at {
            self.0[at as usize] = self.0[self.0[at as usize] as usize]; // halves the path
            at = self.0[at as usize];
        }
        at
    }

    /// Joins two; false if they were one.
    pub(crate) fn join(&mut self, a: u32, b: u32) -> bool {
        let (a, b) = (self.of(a), self.of(b));
        let (low, high) = (a.min(b), a.max(b));
        self.0[high as usize] = low;
        a != b
    }
}
