//! Programs and the destinations that they reached out to.

use std::cmp::Reverse;

use serde::Serialize;
use store::{ArchiveFile, Source, StoreError};

use super::scores::Scored;
use crate::archive::Archive;
use crate::cells::{Times, Words, number};
use crate::item::Map;

const DAY_NS: i64 = 86_400_000_000_000;
const BATCH_ROWS: usize = 16_384;
/// Pairs that are held; files are read from the last to the first, so that what is dropped is old.
const HELD: usize = 1 << 18;
/// Pairs that are listed.
const SHOWN: usize = 500;
/// Rows rarer than 1 in 1,000, as the progress of `score` counts.
const RARE_LOG2: f32 = 9.965_784;

/// Pairs of program and destination.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Talk {
    /// What was not there before this is new, RFC 3339; null if the rows do not reach back before it.
    pub new_since: Option<String>,
    /// Pairs in all.
    pub total: usize,
    /// Connections and first datagrams in all.
    pub connections: u64,
    /// There were more pairs than are held: `total` is the least that there are.
    pub crowded: bool,
    /// New ones first, then rare ones, then those with the most connections.
    pub shown: Vec<Pair>,
}

/// A program and where it went.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Pair {
    /// Host.
    pub host: String,
    /// Image of the program; empty if it is not known.
    pub exe: String,
    /// Address.
    pub remote: String,
    /// Port.
    pub port: Option<u32>,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Times.
    pub connections: u64,
    /// First, RFC 3339.
    pub first: String,
    /// Last, RFC 3339.
    pub last: String,
    /// Whether the first is not before `new_since`.
    pub is_new: bool,
    /// How rare its rarest row is; null if none was scored.
    pub log2_n: Option<f32>,
}

/// Host, program, address and protocol by number, and port.
type Key = ([u32; 4], Option<u32>);

struct Seen {
    connections: u64,
    first: i64,
    last: i64,
    log2_n: Option<f32>,
}

#[derive(Default)]
struct Pairs {
    words: Vec<String>,
    numbers: Map<String, u32>,
    seen: Map<Key, Seen>,
    connections: u64,
    first: Option<i64>,
    last: Option<i64>,
    crowded: bool,
}

/// Who reached out to whom. `from` is the first row of the last run.
pub(crate) fn talk(archive: &Archive, scored: &Scored<'_>, from: Option<i64>) -> Talk {
    let mut pairs = Pairs::default();
    let mut files = archive.of_table(events::CONNECTION);
    files.sort_by(|a, b| b.relative.cmp(&a.relative));
    for source in files {
        if let Err(error) = pairs.read(source, scored) {
            archive.cannot_read(source.path.clone(), &error.to_string());
        }
    }
    pairs.finish(from)
}

impl Pairs {
    fn read(&mut self, source: &Source, scored: &Scored<'_>) -> Result<(), StoreError> {
        let file = ArchiveFile::open_source(source)?;
        let rarities = scored.log2_n(source, file.rows())?;
        let columns = ["time", "host", "activity", "direction", "exe", "remote_ip", "remote_port", "protocol"];
        let mut before = 0;
        for batch in file.batches(&columns, BATCH_ROWS)? {
            let batch = batch?;
            let [hosts, activities, directions, exes, remotes, protocols] =
                ["host", "activity", "direction", "exe", "remote_ip", "protocol"].map(|name| Words::of(&batch, name));
            let times = Times::of(&batch, "time");
            for row in 0..batch.num_rows() {
                self.note_time(times.at(row));
                let out = match activities.at(row) {
                    Some("connect" | "send") => true,
                    Some("open") => directions.at(row) == Some("outbound"),
                    _ => false,
                };
                let Some(remote) = remotes.at(row).filter(|_| out) else { continue };
                let words =
                    [hosts.at(row), exes.at(row), Some(remote), protocols.at(row)].map(Option::unwrap_or_default);
                let rarity = rarities.get(before + row).copied().flatten();
                self.add(words, number(&batch, "remote_port", row), times.at(row), rarity);
            }
            before += batch.num_rows();
        }
        Ok(())
    }

    fn note_time(&mut self, time: i64) {
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
    }

    fn add(&mut self, words: [&str; 4], port: Option<u32>, time: i64, rarity: Option<f32>) {
        self.connections += 1;
        // Words of pairs that are not held are not held either.
        let known = words.map(|word| self.numbers.get(word).copied());
        let full = self.seen.len() >= HELD;
        if full && known.iter().any(Option::is_none) {
            self.crowded = true;
            return;
        }
        let key = (words.map(|word| self.number(word)), port);
        if full && !self.seen.contains_key(&key) {
            self.crowded = true;
            return;
        }
        let seen = self.seen.entry(key).or_insert(Seen { connections: 0, first: time, last: time, log2_n: None });
        seen.connections += 1;
        seen.first = seen.first.min(time);
        seen.last = seen.last.max(time);
        seen.log2_n = match (seen.log2_n, rarity) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
    }

    fn number(&mut self, word: &str) -> u32 {
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = self.words.len() as u32;
        self.words.push(word.to_owned());
        self.numbers.insert(word.to_owned(), number);
        number
    }

    fn finish(self, from: Option<i64>) -> Talk {
        let reaches_back = |since: &i64| self.first.is_some_and(|first| first < *since);
        let day = self.last.map(|last| last.saturating_sub(DAY_NS));
        let since = from.filter(reaches_back).or_else(|| day.filter(reaches_back));
        let is_new = |seen: &Seen| since.is_some_and(|since| seen.first >= since);
        let is_rare = |seen: &Seen| seen.log2_n.is_some_and(|log2_n| log2_n >= RARE_LOG2);
        let word = |number: u32| self.words[number as usize].as_str();
        let mut all: Vec<(&Key, &Seen)> = self.seen.iter().collect();
        all.sort_by_cached_key(|((words, port), seen)| {
            (Reverse((is_new(seen), is_rare(seen), seen.connections)), words.map(word), *port)
        });
        let pair = |((words, port), seen): &(&Key, &Seen)| Pair {
            host: word(words[0]).to_owned(),
            exe: word(words[1]).to_owned(),
            remote: word(words[2]).to_owned(),
            port: *port,
            protocol: word(words[3]).to_owned(),
            connections: seen.connections,
            first: store::rfc3339(seen.first),
            last: store::rfc3339(seen.last),
            is_new: is_new(seen),
            log2_n: seen.log2_n,
        };
        Talk {
            new_since: since.map(store::rfc3339),
            total: all.len(),
            connections: self.connections,
            crowded: self.crowded,
            shown: all.iter().take(SHOWN).map(pair).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(times: &[(&str, i64, Option<f32>)]) -> Pairs {
        let mut pairs = Pairs::default();
        for (remote, time, rarity) in times {
            pairs.note_time(*time);
            pairs.add(["web1", "/usr/bin/curl", remote, "tcp"], Some(443), *time, *rarity);
        }
        pairs
    }

    #[test]
    fn what_is_new_comes_first_then_what_is_rare() {
        let rows = [("often", 1, None), ("often", 9, Some(1.0)), ("rare", 2, Some(12.0)), ("new", 8, Some(0.5))];
        let talk = pairs(&rows).finish(Some(5));
        let order: Vec<(&str, bool)> = talk.shown.iter().map(|pair| (pair.remote.as_str(), pair.is_new)).collect();
        assert_eq!(order, [("new", true), ("rare", false), ("often", false)]);
        assert_eq!((talk.total, talk.connections, talk.shown[2].connections), (3, 4, 2));
    }

    #[test]
    fn nothing_is_new_where_nothing_is_older() {
        let talk = pairs(&[("a", 5, None), ("b", 8, None)]).finish(Some(5));
        assert_eq!(talk.new_since, None);
        assert!(talk.shown.iter().all(|pair| !pair.is_new));
    }
}
