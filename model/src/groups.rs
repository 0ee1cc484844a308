//! Peer groups learned from what hosts do (docs/model.md §3, "Groups").

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::compile::Group;
use crate::keys::{HashKey, Pair, PairMap, absorb, context_start, finish, join, pair};
use crate::lens::Lens;
use crate::segment::Segment;

/// When hosts are peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Names of the views that are compared, of any lens; all views if empty.
    pub views: Vec<String>,
    /// The least part, in percent, that two hosts must share of what either of them does.
    pub min_shared: u32,
    /// The fewest habits of a host that can be compared.
    pub min_habits: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self { views: Vec::new(), min_shared: 50, min_habits: 32 }
    }
}

/// What was done so often by a host is a habit.
const HABIT: u32 = 3;
/// Places of a signature.
const PLACES: usize = 1024;
/// What the places of cells start from.
const SIGNATURE: Pair = [0x516A_7E05, 0x0F4A_B175];
/// Hosts named when a group is explained.
const NAMED: usize = 4;

/// The groups of all hosts: those given, and for hosts without one those learned, if there are rules.
pub fn assign(
    key: &HashKey,
    lenses: &[&Lens],
    segments: &[Segment],
    given: &BTreeMap<String, Group>,
    rules: Option<&Rules>,
) -> BTreeMap<String, Group> {
    let mut groups = rules.map_or_else(BTreeMap::new, |rules| {
        let free = segments.iter().filter(|s| s.host.as_ref().is_some_and(|host| !given.contains_key(host)));
        learn(key, lenses, free, rules)
    });
    groups.extend(given.iter().map(|(host, group)| (host.clone(), group.clone())));
    groups
}

/// Groups of hosts that share much of what they do; a host that is like no other is in none.
///
/// Hosts are taken by age: the first that is like no other before it leads a group, which those after it may join. So a
/// new host changes no other's group.
pub fn learn<'a>(
    key: &HashKey,
    lenses: &[&Lens],
    segments: impl IntoIterator<Item = &'a Segment>,
    rules: &Rules,
) -> BTreeMap<String, Group> {
    let hosts = hosts(key, lenses, segments, rules);
    let mut leaders: Vec<(usize, Vec<(usize, u32)>)> = Vec::new();
    for (at, host) in hosts.iter().enumerate() {
        let shared = leaders.par_iter().enumerate().map(|(number, (leader, _))| {
            let shared = host.signature.shared(&hosts[*leader].signature);
            (shared, Reverse(&hosts[*leader].name), number)
        });
        match shared.max() {
            Some((shared, _, number)) if shared >= rules.min_shared => leaders[number].1.push((at, shared)),
            _ => leaders.push((at, Vec::new())),
        }
    }
    let mut groups = BTreeMap::new();
    for (leader, followers) in leaders.iter().filter(|(_, followers)| !followers.is_empty()) {
        let name = format!("like {}", hosts[*leader].name);
        let mean = followers.iter().map(|f| f.1).sum::<u32>() / followers.len() as u32;
        for (host, shared) in [(*leader, mean)].iter().chain(followers) {
            let others = [leader].into_iter().chain(followers.iter().map(|f| &f.0)).filter(|other| *other != host);
            let others: Vec<&str> = others.map(|other| hosts[*other].name.as_str()).collect();
            let why = in_words(&hosts[*host].name, &others, *shared);
            groups.insert(hosts[*host].name.clone(), Group { name: name.clone(), why });
        }
    }
    groups
}

/// `web1 is with web2, web3: 61 % of what they do is shared`.
fn in_words(host: &str, others: &[&str], shared: u32) -> String {
    let mut with = others[..others.len().min(NAMED)].join(", ");
    if others.len() > NAMED {
        with.push_str(&format!(" and {} more", others.len() - NAMED));
    }
    format!("{host} is with {with}: {shared} % of what they do is shared")
}

struct Host {
    name: String,
    signature: Signature,
}

/// The hosts with habits enough, oldest first.
fn hosts<'a>(
    key: &HashKey,
    lenses: &[&Lens],
    segments: impl IntoIterator<Item = &'a Segment>,
    rules: &Rules,
) -> Vec<Host> {
    let compared: BTreeMap<[u8; 32], Vec<u64>> =
        lenses.iter().map(|lens| (lens.digest(), compared(key, lens, rules))).collect();
    let mut seen = BTreeSet::new();
    let mut of_host: BTreeMap<&str, Vec<&Segment>> = BTreeMap::new();
    for segment in segments {
        if let Some(host) = segment.host.as_deref().filter(|_| seen.insert(segment.id.as_str())) {
            of_host.entry(host).or_default().push(segment);
        }
    }
    let host = |(name, segments): (&str, Vec<&Segment>)| {
        let mut counts: PairMap<u32> = PairMap::default();
        for segment in &segments {
            for context in compared.get(&segment.lens_digest).into_iter().flatten() {
                for (_, cell, n) in segment.range(segment.of_context(*context)) {
                    let count = counts.entry(cell).or_default();
                    *count = count.saturating_add(n);
                }
            }
        }
        counts.retain(|_, n| *n >= HABIT);
        let first = segments.iter().map(|s| s.day).min();
        let host = Host { name: name.to_owned(), signature: Signature::of(counts.keys().copied()) };
        (counts.len() >= rules.min_habits.max(1)).then_some((first, host))
    };
    let mut hosts: Vec<_> = of_host.into_par_iter().filter_map(host).collect();
    hosts.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    hosts.into_iter().map(|(_, host)| host).collect()
}

/// The empty contexts of the compared views of a lens: their cells are all that a host ever did.
fn compared(key: &HashKey, lens: &Lens, rules: &Rules) -> Vec<u64> {
    let views = lens.views().iter().enumerate();
    let views = views.filter(|(_, view)| rules.views.is_empty() || rules.views.contains(&view.name));
    let empty = |(number, view): (usize, &crate::View)| {
        join(context_start(key.seed(&lens.digest()), number as u32, view.contexts.len() as u32 - 1))
    };
    views.map(empty).collect()
}

/// The least of the cells that fall into each place: of two sets, the places with the same one show how much they share
/// (Li, Owen and Zhang 2012).
struct Signature(Vec<u32>);

impl Signature {
    const EMPTY: u32 = u32::MAX;

    fn of(cells: impl Iterator<Item = u64>) -> Self {
        let mut places = vec![Self::EMPTY; PLACES];
        for cell in cells {
            let [low, high] = finish(absorb(pair(cell), SIGNATURE));
            let place = &mut places[low as usize % PLACES];
            *place = high.min(*place);
        }
        Self(places)
    }

    /// How much of what either has both have, in percent, rounded down.
    fn shared(&self, other: &Self) -> u32 {
        let (mut both, mut either) = (0, 0);
        for (a, b) in self.0.iter().zip(&other.0) {
            either += u32::from(*a.min(b) < Self::EMPTY);
            both += u32::from(a == b && *a < Self::EMPTY);
        }
        both * 100 / either.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::SegmentBuilder;
    use crate::testing::{self, Plan, Rng};

    /// A host that does `habits` on a day, each as often as a habit is.
    fn segment(lens: &Lens, host: &str, day: i32, habits: impl Iterator<Item = u32>) -> Segment {
        let plan = Plan { rows: 0, fields: 1, classes: 0, hosts: 1, ..Plan::default() };
        let values: Vec<Option<String>> = habits.map(|h| Some(format!("habit {h}"))).collect();
        let rows = values.len() * HABIT as usize;
        let mut batch = testing::batch(&plan, rows, 0, &mut Rng(1));
        batch.fields[0].codes = (0..rows as u32).map(|row| row / HABIT).collect();
        batch.fields[0].hashes = values.iter().map(|v| testing::key().value(v.as_deref())).collect::<Vec<_>>().into();
        batch.fields[0].values = values.into();
        let mut builder = SegmentBuilder::new(lens, &testing::key(), Some(host), day);
        builder.add(&batch, &(0..rows as u32).collect::<Vec<_>>());
        builder.finish()
    }

    fn lens() -> Lens {
        Lens::parse(
            "table = \"t\"\ntime = \"time\"\n[scopes]\nhost = \"host\"\n[fields]\nf = { column = \"c\", kind = \"id\" }\n\
             [[views]]\nname = \"v\"\nchild = [\"f\"]\ncontext = [[]]\n",
        )
        .unwrap()
    }

    fn learned(segments: &[Segment]) -> BTreeMap<String, Group> {
        learn(&testing::key(), &[&lens()], segments, &Rules::default())
    }

    fn names(groups: &BTreeMap<String, Group>) -> BTreeMap<&str, &str> {
        groups.iter().map(|(host, group)| (host.as_str(), group.name.as_str())).collect()
    }

    /// Three web servers and two databases that share a third of their habits with them, one that is alone and one that
    /// does little.
    fn fleet() -> Vec<Segment> {
        let lens = lens();
        let mut all: Vec<Segment> = Vec::new();
        for (n, name) in ["web1", "web2", "web3"].into_iter().enumerate() {
            let own = (0..30).map(move |h| 1000 * (n as u32 + 1) + h);
            all.push(segment(&lens, name, 10, (0..100).chain(own)));
        }
        for name in ["db1", "db2"] {
            all.push(segment(&lens, name, 11, (0..40).chain(500..560)));
        }
        all.push(segment(&lens, "alone", 9, 9000..9100));
        all.push(segment(&lens, "idle", 9, 0..31));
        all
    }

    #[test]
    fn hosts_that_do_the_same_are_peers() {
        let groups = learned(&fleet());
        let want = [("db1", "like db1"), ("db2", "like db1")];
        let want = want.into_iter().chain(["web1", "web2", "web3"].map(|host| (host, "like web1")));
        assert_eq!(names(&groups), want.collect());
        // 100 of 160 that either does.
        let shared = |host: &str| groups[host].why.split_once(": ").unwrap().1.to_owned();
        let percent: u32 = shared("web2").split(' ').next().unwrap().parse().unwrap();
        assert!((57..=68).contains(&percent), "{percent}");
        assert_eq!(groups["db2"].why, "db2 is with db1: 100 % of what they do is shared");
        assert!(groups["web1"].why.starts_with("web1 is with web2, web3: "), "{}", groups["web1"].why);
    }

    #[test]
    fn neither_order_nor_a_new_host_changes_the_groups_of_others() {
        let mut segments = fleet();
        let before = learned(&segments);
        segments.reverse();
        segments.push(segments[0].clone());
        assert_eq!(learned(&segments), before);
        // Names that come first, and habits between those of the groups.
        for (name, habits) in [("a", 0..110), ("b", 500..560), ("c", 9000..9090), ("d", 0..31)] {
            segments.push(segment(&lens(), name, 12, habits));
            let after = learned(&segments);
            for (host, group) in names(&before) {
                assert_eq!(after[host].name, group, "{host} after {name}");
            }
        }
        assert_eq!(names(&learned(&segments))["a"], "like web1");
    }

    #[test]
    fn what_is_given_wins() {
        let given = Group { name: "shop".into(), why: "given".into() };
        let given = BTreeMap::from([("web1".to_owned(), given.clone()), ("not yet".to_owned(), given)]);
        let groups = assign(&testing::key(), &[&lens()], &fleet(), &given, Some(&Rules::default()));
        assert_eq!(groups["web1"].why, "given");
        assert_eq!([&groups["web2"].name, &groups["not yet"].name], ["like web2", "shop"]);
        assert_eq!(assign(&testing::key(), &[&lens()], &fleet(), &given, None), given);
    }

    #[test]
    fn the_signature_shows_the_shared_part() {
        let mut rng = Rng(5);
        for (both, each) in [(1000, 0), (500, 500), (3000, 1000), (40_000, 20_000), (0, 300), (10, 5)] {
            let mut some = |n: u32| (0..n).map(|_| rng.bits()).collect::<Vec<u64>>();
            let (common, a, b) = (some(both), some(each), some(each));
            let of = |own: Vec<u64>| Signature::of(common.iter().copied().chain(own));
            let exact = 100 * both / (both + 2 * each);
            assert!(of(a).shared(&of(b)).abs_diff(exact) <= 6, "{both}, {each}");
        }
    }
}
