use proptest::prelude::*;

use super::*;
use crate::item::Seen;

const HOUR: i64 = 3_600_000_000_000;

fn tree(n: u32) -> ProcessKey {
    ProcessKey::new([1; 4], u64::from(n), n)
}

fn item(id: u64, tree_of: u32, hour: i64, log2_n: f32) -> Item {
    let (subject, window) = (u64::from(tree_of) + 1000, hour * HOUR);
    let name = subject * 1_000_003 + (hour + 1000) as u64;
    let tree = Some(tree(tree_of));
    Item { id, name, subject, window, time: window + id as i64, log2_n, host: tree_of % 2, tree }
}

fn destination(n: u16) -> Value {
    Value::Destination { ip: [9; 16], port: n, host: None }
}

/// A value that so many trees had from the beginning.
fn had_by(evidence: &mut Evidence, value: Value, trees: u64) {
    let seen: &mut Seen = evidence.seen.entry(value).or_default();
    (0..trees).for_each(|tree| seen.add(tree, 0));
}

fn sets(groups: &[Group], items: &[Item]) -> Vec<Vec<u64>> {
    let ids = |group: &Group| group.items.iter().map(|at| items[*at as usize].id).collect();
    let mut sets: Vec<Vec<u64>> = groups.iter().map(ids).collect();
    sets.iter_mut().for_each(|set| set.sort_unstable());
    sets.sort();
    sets
}

#[test]
fn the_same_tree_goes_on_for_a_day_and_no_longer() {
    let items = [item(1, 7, 0, 12.0), item(2, 7, 20, 12.0), item(3, 7, 50, 12.0), item(4, 8, 0, 12.0)];
    let groups = group(&items, &Evidence::default(), &[]);
    assert_eq!(sets(&groups, &items), [vec![1, 2], vec![3], vec![4]]);
    // Two units of twelve bits are rarer than one, and less than twice as rare.
    assert!(groups[0].bits > 12.0 && groups[0].bits < 24.0 && groups[0].steps == 2);
    assert_eq!(groups[1].bits, 12.0);
}

#[test]
fn a_rare_destination_joins_and_a_common_one_does_not() {
    let items = [item(1, 1, 0, 12.0), item(2, 2, 1, 12.0), item(3, 3, 1, 12.0), item(4, 4, 1, 12.0)];
    let mut evidence = Evidence { trees: 10_000, ..Evidence::default() };
    evidence.carried = vec![(destination(1), 0), (destination(1), 1), (destination(2), 2), (destination(2), 3)];
    had_by(&mut evidence, destination(1), 2);
    had_by(&mut evidence, destination(2), 300);
    let groups = group(&items, &evidence, &[]);
    assert_eq!(sets(&groups, &items), [vec![1, 2], vec![3], vec![4]]);
    let link = groups.iter().find_map(|group| group.links.first()).unwrap();
    assert_eq!((link.shared, link.seen), (Shared::Value(destination(1)), 2));
    // In a small archive nothing is known to be rare.
    evidence.trees = 40;
    assert_eq!(group(&items, &evidence, &[]).len(), 4);
}

#[test]
fn what_starts_everything_joins_nothing_but_what_it_did_itself() {
    // 1, 2 and 3 come from 9, which starts hundreds; 5 comes from 4, which started one.
    let items = [1, 2, 3, 4, 5].map(|n| item(u64::from(n), n, 0, 12.0));
    let mut evidence = Evidence { trees: 10_000, ..Evidence::default() };
    evidence.up = [(1, 9), (2, 9), (3, 9), (5, 4)].into_iter().map(|(a, b)| (tree(a), tree(b))).collect();
    had_by(&mut evidence, Value::Tree(tree(9)), 500);
    had_by(&mut evidence, Value::Tree(tree(4)), 1);
    let groups = group(&items, &evidence, &[]);
    assert_eq!(sets(&groups, &items), [vec![1], vec![2], vec![3], vec![4, 5]]);
    assert_eq!(groups[0].root.unwrap().tree, tree(4));
    // Where it starts few, sisters are joined, over a tree that has no finding and is a step of no bits.
    evidence.seen.clear();
    had_by(&mut evidence, Value::Tree(tree(9)), 3);
    let groups = group(&items, &evidence, &[]);
    assert_eq!(sets(&groups, &items), [vec![1, 2, 3], vec![4, 5]]);
    assert_eq!((groups[0].steps, groups[0].root.unwrap().tree), (4, tree(9)));
}

#[test]
fn a_server_comes_after_its_client_even_if_it_is_older() {
    let items = [item(1, 5, 0, 12.0), item(2, 2, 0, 12.0)];
    let mut evidence = Evidence { trees: 10_000, ..Evidence::default() };
    evidence.carried = vec![(destination(1), 0)];
    evidence.served = [(destination(1), 1)].into();
    had_by(&mut evidence, destination(1), 1);
    let groups = group(&items, &evidence, &[]);
    assert_eq!(sets(&groups, &items), [vec![1, 2]]);
    assert_eq!(groups[0].root.unwrap(), Root { host: 1, tree: tree(5) });
}

#[test]
fn a_unit_that_two_baselines_found_counts_once() {
    let (a, b) = (item(1, 5, 0, 12.0), Item { id: 2, log2_n: 15.0, ..item(1, 5, 0, 12.0) });
    let groups = group(&[a, b], &Evidence::default(), &[]);
    assert_eq!((groups.len(), groups[0].steps, groups[0].bits), (1, 1, 15.0));
}

/// What was written of groups.
fn written(groups: &[Group], items: &[Item]) -> Vec<Before> {
    let one = |group: &Group| Before {
        name: group.name,
        anchor: group.anchor,
        aliases: group.aliases.clone(),
        findings: group.items.iter().map(|at| items[*at as usize].id).collect(),
    };
    groups.iter().map(one).collect()
}

#[test]
fn of_two_that_grow_together_the_older_name_stays() {
    let items = [item(1, 1, 0, 12.0), item(2, 2, 1, 12.0), item(3, 1, 2, 12.0)];
    let mut evidence = Evidence { trees: 100_000, ..Evidence::default() };
    let first = group(&items[..2], &evidence, &[]);
    assert_eq!(first.len(), 2);
    evidence.carried = vec![(destination(1), 1), (destination(1), 2)];
    had_by(&mut evidence, destination(1), 2);
    let second = group(&items, &evidence, &written(&first, &items));
    assert_eq!(second.len(), 1);
    assert_eq!((second[0].name, second[0].aliases.as_slice()), (items[0].name, &[items[1].name][..]));
    // Again, and with something that came late and is older: the name stays.
    let mut late = items.to_vec();
    late.push(item(4, 1, -3, 12.0));
    let third = group(&late, &evidence, &written(&second, &items));
    assert_eq!((third.len(), third[0].name), (1, items[0].name));
    assert_eq!(third[0].aliases, [items[1].name]);
}

prop_compose! {
    fn findings()(raw in proptest::collection::vec((0u32..12, 0i64..60, 1u32..20, 0u16..6), 1..40)) -> Vec<(Item, Option<Value>)> {
        let one = |(id, (tree, hour, bits, value)): (usize, (u32, i64, u32, u16))| {
            (item(id as u64 + 1, tree, hour, bits as f32), (value > 0).then(|| destination(value)))
        };
        raw.into_iter().enumerate().map(one).collect()
    }
}

/// Evidence for findings, of which each value is as common as its number says.
fn evidence_of(found: &[(Item, Option<Value>)]) -> Evidence {
    let mut evidence = Evidence { trees: 50_000, ..Evidence::default() };
    evidence.carried = found.iter().zip(0..).filter_map(|((_, value), at)| Some(((*value)?, at))).collect();
    evidence.up = [(tree(3), tree(1)), (tree(4), tree(1)), (tree(5), tree(4))].into_iter().collect();
    for (port, trees) in [(1, 2), (2, 10), (3, 32), (4, 33), (5, 4000)] {
        had_by(&mut evidence, destination(port), trees);
    }
    evidence
}

/// All there is to say of groups, without places.
fn said(groups: &[Group], items: &[Item]) -> Vec<String> {
    let id = |at: u32| items[at as usize].id;
    let one = |g: &Group| {
        let links: Vec<_> = g.links.iter().map(|l| (l.shared, id(l.from), id(l.to), l.seen)).collect();
        let ids: Vec<u64> = g.items.iter().map(|at| id(*at)).collect();
        format!("{} {:?} {} {} {ids:?} {links:?} {:?} {}", g.name, g.aliases, g.bits, g.steps, g.root, id(g.rarest))
    };
    groups.iter().map(one).collect()
}

proptest! {
    #[test]
    fn order_makes_no_difference(found in findings(), seed in any::<u64>()) {
        let items: Vec<Item> = found.iter().map(|(item, _)| *item).collect();
        let mut shuffled = found.clone();
        shuffled.sort_by_key(|(item, _)| crate::cells::hash64(&(item.id ^ seed).to_le_bytes()));
        let others: Vec<Item> = shuffled.iter().map(|(item, _)| *item).collect();
        let (a, b) = (group(&items, &evidence_of(&found), &[]), group(&others, &evidence_of(&shuffled), &[]));
        prop_assert_eq!(said(&a, &items), said(&b, &others));
        prop_assert_eq!(a.iter().map(|g| g.items.len()).sum::<usize>(), items.len());
        prop_assert!(a.iter().all(|g| g.links.len() + 1 == g.items.len()));
    }

    #[test]
    fn again_is_the_same_and_more_extends(found in findings(), cut in 0i64..60) {
        let early: Vec<(Item, Option<Value>)> = found.iter().filter(|(item, _)| item.window < cut * HOUR).copied().collect();
        let items: Vec<Item> = found.iter().map(|(item, _)| *item).collect();
        let first_items: Vec<Item> = early.iter().map(|(item, _)| *item).collect();
        let first = group(&first_items, &evidence_of(&early), &[]);
        let again = group(&first_items, &evidence_of(&early), &written(&first, &first_items));
        prop_assert_eq!(said(&first, &first_items), said(&again, &first_items));
        // More data, from there on or not.
        let more = group(&items, &evidence_of(&found), &written(&first, &first_items));
        for old in &first {
            let ids: Vec<u64> = old.items.iter().map(|at| first_items[*at as usize].id).collect();
            let now: Vec<&Group> =
                more.iter().filter(|g| g.items.iter().any(|at| ids.contains(&items[*at as usize].id))).collect();
            prop_assert_eq!(now.len(), 1, "an incident never falls apart");
            prop_assert!(now[0].name == old.name || now[0].aliases.contains(&old.name));
        }
        // Data that comes in order of time gives what all of it gives at once, names and all.
        let fresh = group(&items, &evidence_of(&found), &[]);
        for g in &more {
            let ids: Vec<u64> = g.items.iter().map(|at| items[*at as usize].id).collect();
            let same = fresh.iter().find(|f| f.items.iter().any(|at| ids.contains(&items[*at as usize].id))).unwrap();
            prop_assert_eq!(same.items.len(), g.items.len());
            prop_assert_eq!(same.name, g.name);
        }
    }
}
