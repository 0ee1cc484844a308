//! What findings carry, from their rows, and how common that is, from passes over the archive.
//!
//! What is kept between passes: the values that findings carry, for those that several carry the first trees that had them,
//! and the trees above findings. Nothing grows with the archive.

use std::collections::BTreeSet;
use std::collections::HashSet;

use ahash::RandomState;
use arrow_array::RecordBatch;
use events::ProcessKey;
use rayon::prelude::*;
use store::{ArchiveFile, StoreError};

use crate::archive::Archive;
use crate::cells::{Keys, Times, Words, address, hash64, number};
use crate::count::Distinct;
use crate::item::{Evidence, Item, LEVELS, Map, RARE_TREES, Seen, Value};
use crate::skeleton::{Ref, Skeletons};

type Set<T> = HashSet<T, RandomState>;

const HOUR_NS: i64 = 3_600_000_000_000;
/// Processes that trees started which are looked at; a tree that is still counted then is common.
const STARTED_MAX: usize = 4 << 20;
/// Rows of one file that are read at a time.
const ROWS_AT_ONCE: usize = 65_536;

/// What findings carry, and the names that stand for hashes.
pub(crate) fn gather(found: &Skeletons, archive: &Archive) -> (Evidence, Map<u64, String>) {
    let (carried, mut names) = carried(found, archive);
    let mut evidence = Evidence { carried, ..Evidence::default() };
    if archive.is_empty() {
        return (evidence, names);
    }
    lineage(&found.items, archive, &mut evidence);
    evidence.served = served(found, archive, &evidence.carried);
    let shared = shared(&found.items, &evidence);
    names.retain(|hash, _| shared.contains(&Value::Name(*hash)));
    evidence.seen = seen(&shared, found, archive);
    let trees = shared.iter().filter_map(|value| if let Value::Tree(tree) = value { Some(*tree) } else { None });
    started(&trees.collect(), archive, &mut evidence.seen);
    (evidence, names)
}

/// The values that several findings carry, of different units.
fn shared(items: &[Item], evidence: &Evidence) -> Set<Value> {
    let mut first: Map<Value, u64> = Map::default();
    let mut shared = Set::default();
    let mut carries = |value: Value, item: &Item| match first.get(&value) {
        None => drop(first.insert(value, item.subject)),
        Some(subject) if *subject != item.subject => drop(shared.insert(value)),
        Some(_) => {}
    };
    for (value, at) in evidence.carried.iter().chain(&evidence.served) {
        carries(*value, &items[*at as usize]);
    }
    for item in items {
        let trees = item.tree.into_iter().flat_map(|tree| evidence.above(tree).chain([tree]));
        // Only trees that others were started from: the values of most findings would be their own alone.
        trees.for_each(|tree| carries(Value::Tree(tree), item));
    }
    shared
}

/// Values by finding, from its rows.
fn carried(found: &Skeletons, archive: &Archive) -> (Vec<(Value, u32)>, Map<u64, String>) {
    let host_numbers: Map<&str, u32> = found.hosts.iter().map(String::as_str).zip(0..).collect();
    let files: Vec<&[Ref]> = found.refs.chunk_by(|a, b| a.file == b.file).collect();
    let of_file = |(mut carried, mut names): (Vec<(Value, u32)>, Map<u64, String>), refs: &&[Ref]| {
        let path = &found.rows_of[refs[0].file as usize];
        if let Err(error) = of_rows(path, refs, archive, &host_numbers, (&mut carried, &mut names)) {
            archive.cannot_read(path.into(), &error.to_string());
        }
        (carried, names)
    };
    let join = |mut a: (Vec<(Value, u32)>, Map<u64, String>), b: (Vec<(Value, u32)>, Map<u64, String>)| {
        a.0.extend(b.0);
        a.1.extend(b.1);
        a
    };
    let (mut carried, names) = files.par_iter().fold(Default::default, of_file).reduce(Default::default, join);
    carried.sort_unstable();
    carried.dedup();
    (carried, names)
}

const EVIDENCE: [&str; 8] = ["host", "activity", "uid", "login_uid", "remote_ip", "remote_port", "direction", "name"];

fn of_rows(
    path: &str,
    refs: &[Ref],
    archive: &Archive,
    hosts: &Map<&str, u32>,
    (carried, names): (&mut Vec<(Value, u32)>, &mut Map<u64, String>),
) -> Result<(), StoreError> {
    let Some(source) = archive.source(path) else {
        let why = "it is not in the archive; --archive names the folder".to_owned();
        return Err(StoreError::Read { path: path.into(), why });
    };
    let file = ArchiveFile::open_source(source)?;
    let there: Vec<&str> = EVIDENCE.into_iter().filter(|column| file.schema().index_of(column).is_ok()).collect();
    for refs in refs.chunks(ROWS_AT_ONCE) {
        let mut rows: Vec<u64> = refs.iter().map(|one| u64::from(one.row)).collect();
        rows.dedup(); // refs are sorted
        let batch = file.read_rows(&there, &rows)?;
        for one in refs {
            let Ok(at) = rows.binary_search(&u64::from(one.row)) else { continue };
            of_row(&batch, at, hosts, &mut |value| carried.push((value, one.item)), names);
        }
    }
    Ok(())
}

/// The values of one row: whose it is, where it went, what it asked for.
fn of_row(
    batch: &RecordBatch,
    row: usize,
    hosts: &Map<&str, u32>,
    put: &mut dyn FnMut(Value),
    names: &mut Map<u64, String>,
) {
    let login = number(batch, "login_uid", row).filter(|uid| *uid != 0 && *uid != u32::MAX);
    if let Some(uid) = login.or_else(|| number(batch, "uid", row).filter(is_person)) {
        put(Value::User(uid));
    }
    let host = Words::of(batch, "host").at(row).and_then(|host| hosts.get(host).copied());
    let out = !matches!(Words::of(batch, "activity").at(row), Some("accept" | "bind" | "listen"))
        && Words::of(batch, "direction").at(row) != Some("inbound");
    if batch.column_by_name("name").is_some() {
        if let Some(name) = Words::of(batch, "name").at(row).filter(|name| !name.is_empty()) {
            names.entry(hash64(name.as_bytes())).or_insert_with(|| name.to_owned());
            put(Value::Name(hash64(name.as_bytes())));
        }
    } else if out && let Some(port) = number(batch, "remote_port", row) {
        let address = address(Words::of(batch, "remote_ip").at(row));
        address.and_then(|address| destination(address, port, host)).into_iter().for_each(put);
    }
}

/// Numbers below a thousand, and nobody's, are those of services by old custom: what a service does has its tree in common.
fn is_person(uid: &u32) -> bool {
    (1000..65_534).contains(uid) || (65_536..u32::MAX).contains(uid)
}

fn destination((ip, loopback): ([u8; 16], bool), port: u32, host: Option<u32>) -> Option<Value> {
    let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
    if loopback {
        return Some(Value::Destination { ip, port, host: Some(host?) });
    }
    Some(Value::Destination { ip, port, host: None })
}

/// Follows trees upwards: a process that leads its own session was in another tree when it was forked.
fn lineage(items: &[Item], archive: &Archive, evidence: &mut Evidence) {
    let mut wanted: Set<ProcessKey> = items.iter().filter_map(|item| item.tree).collect();
    let mut known: Set<ProcessKey> = wanted.clone();
    for level in 0..LEVELS {
        if wanted.is_empty() {
            break;
        }
        let each = |(up, trees): &mut (Map<ProcessKey, (i64, ProcessKey)>, Distinct), batch: &RecordBatch| {
            let (keys, roots) = (Keys::of(batch, "process_key"), Keys::of(batch, "root_key"));
            let times = Times::of(batch, "time");
            for row in 0..batch.num_rows() {
                let (Some(key), Some(root)) = (keys.at(row), roots.at(row)) else { continue };
                if level == 0 {
                    trees.add(hash64(root.as_bytes()));
                }
                if key != root && wanted.contains(&key) {
                    let found = (times.at(row), root);
                    let first = up.entry(key).or_insert(found);
                    *first = found.min(*first);
                }
            }
        };
        let join = |mut a: (Map<ProcessKey, (i64, ProcessKey)>, Distinct), b: (Map<_, (i64, _)>, Distinct)| {
            for (key, found) in b.0 {
                let first = a.0.entry(key).or_insert(found);
                *first = found.min(*first);
            }
            a.1.merge(&b.1);
            a
        };
        let (up, trees) = archive.pass(events::PROCESS, &["time", "process_key", "root_key"], each, join);
        if level == 0 {
            evidence.trees = trees.estimate();
        }
        wanted = up.values().map(|(_, root)| *root).filter(|root| known.insert(*root)).collect();
        evidence.up.extend(up.into_iter().map(|(key, (_, root))| (key, root)));
    }
}

/// Destinations that findings carry and the tree of another accepted connections at, in its window.
fn served(found: &Skeletons, archive: &Archive, carried: &[(Value, u32)]) -> BTreeSet<(Value, u32)> {
    let mut of_tree: Map<ProcessKey, Vec<u32>> = Map::default();
    for (at, item) in found.items.iter().enumerate() {
        item.tree.into_iter().for_each(|tree| of_tree.entry(tree).or_default().push(at as u32));
    }
    let hosts: Map<&str, u32> = found.hosts.iter().map(String::as_str).zip(0..).collect();
    let carries = |value: &Value| {
        let at = carried.partition_point(|(known, _)| known < value);
        carried.get(at).is_some_and(|(known, _)| known == value)
    };
    let each = |served: &mut BTreeSet<(Value, u32)>, batch: &RecordBatch| {
        let (activity, times) = (Words::of(batch, "activity"), Times::of(batch, "time"));
        let is_accept = activity.map(|word| word == Some("accept"));
        let (roots, ips) = (Keys::of(batch, "root_key"), Words::of(batch, "local_ip"));
        for row in 0..batch.num_rows() {
            if !activity.code(row).is_some_and(|code| is_accept[code]) {
                continue;
            }
            let Some(items) = roots.at(row).and_then(|root| of_tree.get(&root)) else { continue };
            let host = Words::of(batch, "host").at(row).and_then(|host| hosts.get(host).copied());
            let port = number(batch, "local_port", row);
            let value = address(ips.at(row)).zip(port).and_then(|(ip, port)| destination(ip, port, host));
            let Some(value) = value.filter(carries) else { continue };
            let time = times.at(row);
            let within = |at: &&u32| {
                let item = &found.items[**at as usize];
                time >= item.window && time <= item.window.saturating_add(HOUR_NS).max(item.time)
            };
            served.extend(items.iter().filter(within).map(|at| (value, *at)));
        }
    };
    let columns = ["time", "host", "activity", "root_key", "local_ip", "local_port"];
    archive.pass(events::CONNECTION, &columns, each, |mut a, b| {
        a.extend(b);
        a
    })
}

type Seens = Map<Value, Seen>;

fn merge(mut a: Seens, b: Seens) -> Seens {
    for (value, seen) in b {
        a.entry(value).or_default().merge(&seen);
    }
    a
}

/// Which trees had the values, and when first.
fn seen(shared: &Set<Value>, found: &Skeletons, archive: &Archive) -> Seens {
    let hosts: Map<&str, u32> = found.hosts.iter().map(String::as_str).zip(0..).collect();
    let has = |is: fn(&Value) -> bool| shared.iter().any(is);
    let mut all = Seens::default();
    if has(|value| matches!(value, Value::User(_))) {
        let each = |seen: &mut Seens, batch: &RecordBatch| {
            each_row(batch, seen, shared, |row| number(batch, "uid", row).map(Value::User));
            each_row(batch, seen, shared, |row| number(batch, "login_uid", row).map(Value::User));
        };
        all = merge(all, archive.pass(events::PROCESS, &["time", "root_key", "uid", "login_uid"], each, merge));
    }
    if has(|value| matches!(value, Value::Destination { .. })) {
        let each = |seen: &mut Seens, batch: &RecordBatch| destinations(batch, seen, shared, &hosts);
        let columns = ["time", "host", "activity", "root_key", "remote_ip", "remote_port"];
        all = merge(all, archive.pass(events::CONNECTION, &columns, each, merge));
    }
    if has(|value| matches!(value, Value::Name(_))) {
        let each = |seen: &mut Seens, batch: &RecordBatch| {
            let words = Words::of(batch, "name");
            let names = words.map(|name| name.map(|name| Value::Name(hash64(name.as_bytes()))));
            each_row(batch, seen, shared, |row| words.code(row).and_then(|code| names[code]));
        };
        all = merge(all, archive.pass(events::DNS, &["time", "root_key", "name"], each, merge));
    }
    all
}

fn each_row(batch: &RecordBatch, seen: &mut Seens, shared: &Set<Value>, of: impl Fn(usize) -> Option<Value>) {
    let (roots, times) = (Keys::of(batch, "root_key"), Times::of(batch, "time"));
    for row in 0..batch.num_rows() {
        if let Some(value) = of(row).filter(|value| shared.contains(value))
            && let Some(root) = roots.at(row)
        {
            seen.entry(value).or_default().add(hash64(root.as_bytes()), times.at(row));
        }
    }
}

fn destinations(batch: &RecordBatch, seen: &mut Seens, shared: &Set<Value>, hosts: &Map<&str, u32>) {
    let activity = Words::of(batch, "activity");
    let is_out = activity.map(|word| matches!(word, Some("connect" | "send")));
    let (ips, words) = (Words::of(batch, "remote_ip"), Words::of(batch, "host"));
    let addresses = ips.map(address);
    each_row(batch, seen, shared, |row| {
        let address =
            activity.code(row).filter(|code| is_out[*code]).and(ips.code(row)).and_then(|at| addresses[at])?;
        let host = words.at(row).and_then(|host| hosts.get(host).copied());
        destination(address, number(batch, "remote_port", row)?, host)
    });
}

/// How many trees each of these started: processes that were forked in it and led a session later.
fn started(trees: &Set<ProcessKey>, archive: &Archive, seen: &mut Seens) {
    if trees.is_empty() {
        return;
    }
    let columns = ["time", "process_key", "root_key"];
    let forked = |forks: &mut Map<ProcessKey, ProcessKey>, batch: &RecordBatch| {
        let (keys, roots) = (Keys::of(batch, "process_key"), Keys::of(batch, "root_key"));
        for row in 0..batch.num_rows() {
            let (Some(key), Some(root)) = (keys.at(row), roots.at(row)) else { continue };
            if key != root && trees.contains(&root) && forks.len() < STARTED_MAX {
                forks.insert(key, root);
            }
        }
    };
    let forks = archive.pass(events::PROCESS, &columns, forked, |mut a, b| {
        a.extend(b);
        a
    });
    if forks.len() >= STARTED_MAX {
        // Not all were looked at: none of them is known to be rare.
        for tree in trees {
            let common = seen.entry(Value::Tree(*tree)).or_default();
            (0..=RARE_TREES as u64).for_each(|child| common.add(child, i64::MIN));
        }
        return;
    }
    let leads = |seen: &mut Seens, batch: &RecordBatch| {
        let (keys, roots) = (Keys::of(batch, "process_key"), Keys::of(batch, "root_key"));
        let times = Times::of(batch, "time");
        for row in 0..batch.num_rows() {
            let Some(key) = keys.at(row).filter(|key| roots.at(row) == Some(*key)) else { continue };
            if let Some(above) = forks.get(&key) {
                seen.entry(Value::Tree(*above)).or_default().add(hash64(key.as_bytes()), times.at(row));
            }
        }
    };
    let counted = archive.pass(events::PROCESS, &columns, leads, merge);
    *seen = merge(std::mem::take(seen), counted);
}
