//! JSON lines: one object a line, whose keys may come and go.
//!
//! A wanted column is the value of the key of its very name, else of a path of keys with dots between. Arrays on the way
//! are looked through: the values of all their elements make a list.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::cells::Row;
use super::lines::{Bytes, Lines};
use super::{Bad, Wanted};

/// Dots of a column's name at which a path may be split; beyond, only a key of the rest of the name is looked for.
const MAX_DOTS: usize = 8;
/// Names of columns that are noted of the first rows.
const MAX_NAMES: usize = 10_000;

/// Rows of a file.
pub(super) struct JsonRows {
    lines: Lines,
    tree: Tree,
}

impl JsonRows {
    pub(super) fn new(bytes: Bytes, wanted: &[Wanted]) -> Self {
        let columns = wanted.iter().enumerate().map(|(number, w)| (w.column.as_str(), number)).collect();
        Self { lines: Lines::new(bytes), tree: Tree::new(columns, 0) }
    }

    /// Reads the next row; false at the end.
    pub(super) fn next(&mut self, row: &mut Row) -> Result<bool, Bad> {
        let Some(line) = self.lines.next()? else { return Ok(false) };
        match parse(line, &mut Top { tree: &self.tree, row }) {
            Ok(()) => Ok(true),
            Err(why) => Err(self.lines.bad(why)),
        }
    }

    pub(super) fn line(&self) -> u64 {
        self.lines.number
    }
}

/// The columns that the next rows have, at most so many rows and bytes of them: each path to a value, with dots.
pub(super) fn names(bytes: Bytes, rows: usize, most_bytes: usize) -> Result<BTreeSet<String>, Bad> {
    let (mut lines, mut names, mut read) = (Lines::new(bytes), BTreeSet::new(), 0);
    for _ in 0..rows {
        let Some(line) = lines.next()? else { break };
        read += line.len();
        if let Err(why) = parse(line, &mut Names { prefix: String::new(), names: &mut names }) {
            return Err(lines.bad(why));
        }
        if read > most_bytes {
            break;
        }
    }
    Ok(names)
}

/// Reads a line that must be one object.
fn parse<'a, 'de, V>(line: &'de [u8], visitor: &'a mut V) -> Result<(), String>
where
    &'a mut V: Visitor<'de, Value = ()>,
{
    if line.trim_ascii_start().starts_with(b"[") {
        return Err("an array; one object a line is read, as `jq -c '.[]'` writes it".into());
    }
    let mut json = serde_json::Deserializer::from_slice(line);
    let read = json.deserialize_map(visitor).and_then(|()| json.end());
    read.map_err(|error| {
        // The line is named by its number in the file; within itself it is always line 1.
        let text = error.to_string();
        match text.rsplit_once(" at line 1 column ") {
            Some((what, column)) => format!("byte {column}: {what}"),
            None => text,
        }
    })
}

/// Which keys lead to which columns.
#[derive(Default)]
struct Tree {
    /// Keys whose value is that of columns, by number.
    leaves: Vec<(String, Vec<usize>)>,
    /// Keys whose value is an object on the way to columns.
    branches: Vec<(String, Tree)>,
    depth: usize,
}

impl Tree {
    fn new(columns: Vec<(&str, usize)>, depth: usize) -> Self {
        let mut tree = Self { depth, ..Self::default() };
        let mut below: Vec<(&str, Vec<(&str, usize)>)> = Vec::new();
        for (name, number) in columns {
            match tree.leaves.iter_mut().find(|leaf| leaf.0 == name) {
                Some(leaf) => leaf.1.push(number),
                None => tree.leaves.push((name.to_owned(), vec![number])),
            }
            for (at, _) in name.match_indices('.').take(MAX_DOTS.saturating_sub(depth)) {
                let (key, rest) = (&name[..at], &name[at + 1..]);
                match below.iter_mut().find(|branch| branch.0 == key) {
                    Some(branch) => branch.1.push((rest, number)),
                    None => below.push((key, vec![(rest, number)])),
                }
            }
        }
        tree.branches = below.into_iter().map(|(key, rest)| (key.to_owned(), Self::new(rest, depth + 1))).collect();
        tree
    }
}

/// The object of a row.
struct Top<'a> {
    tree: &'a Tree,
    row: &'a mut Row,
}

impl<'de> Visitor<'de> for &mut Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.row.clear();
        object(self.tree, self.row, false, map)
    }
}

fn object<'de, A: MapAccess<'de>>(tree: &Tree, row: &mut Row, in_list: bool, mut map: A) -> Result<(), A::Error> {
    while let Some((leaf, branch)) = map.next_key_seed(Key(tree))? {
        if leaf.is_none() && branch.is_none() {
            map.next_value::<IgnoredAny>()?;
            continue;
        }
        let leaf = leaf.map(|leaf| (leaf, tree.depth));
        map.next_value_seed(Value { leaf, branch, row, in_list })?;
    }
    Ok(())
}

/// A key: the columns that its value is of, and what may be found below it.
struct Key<'a>(&'a Tree);

impl<'a, 'de> DeserializeSeed<'de> for Key<'a> {
    type Value = (Option<&'a (String, Vec<usize>)>, Option<&'a Tree>);

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Key<'a> {
    type Value = (Option<&'a (String, Vec<usize>)>, Option<&'a Tree>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        let leaf = self.0.leaves.iter().find(|leaf| leaf.0 == key);
        let branch = self.0.branches.iter().find(|branch| branch.0 == key).map(|branch| &branch.1);
        Ok((leaf, branch))
    }
}

/// A value that columns take, or that has some of them inside.
struct Value<'a> {
    leaf: Option<(&'a (String, Vec<usize>), usize)>,
    branch: Option<&'a Tree>,
    row: &'a mut Row,
    in_list: bool,
}

impl Value<'_> {
    fn put(&mut self, text: &str) {
        if let Some(((_, columns), depth)) = self.leaf {
            columns.iter().for_each(|column| self.row.put(*column, depth, self.in_list, text));
        }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        self.put(text);
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, truth: bool) -> Result<(), E> {
        self.put(if truth { "true" } else { "false" });
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, number: u64) -> Result<(), E> {
        self.put(&number.to_string());
        Ok(())
    }

    fn visit_i64<E: Error>(mut self, number: i64) -> Result<(), E> {
        self.put(&number.to_string());
        Ok(())
    }

    fn visit_f64<E: Error>(mut self, number: f64) -> Result<(), E> {
        self.put(&number.to_string());
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(()) // null is as if the key were not there
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if let Some(((_, columns), depth)) = self.leaf
            && !self.in_list
        {
            columns.iter().for_each(|column| self.row.begin_list(*column, depth));
        }
        let (leaf, branch) = (self.leaf, self.branch);
        while list.next_element_seed(Value { leaf, branch, row: self.row, in_list: true })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        match (self.branch, self.leaf) {
            (Some(tree), _) => object(tree, self.row, self.in_list, map),
            (None, Some(((name, _), _))) => {
                Err(A::Error::custom(format!("column {name}: an object where a value is wanted; name a path into it")))
            }
            (None, None) => {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(())
            }
        }
    }
}

/// Collects the paths to values.
struct Names<'a> {
    prefix: String,
    names: &'a mut BTreeSet<String>,
}

impl<'de> Visitor<'de> for &mut Names<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let prefix = if self.prefix.is_empty() { key } else { format!("{}.{key}", self.prefix) };
            map.next_value_seed(NamesBelow { prefix, names: self.names })?;
        }
        Ok(())
    }
}

/// What lies at a path.
struct NamesBelow<'a> {
    prefix: String,
    names: &'a mut BTreeSet<String>,
}

impl NamesBelow<'_> {
    fn note(self) {
        if self.names.len() < MAX_NAMES {
            self.names.insert(self.prefix);
        }
    }
}

impl<'de> DeserializeSeed<'de> for NamesBelow<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NamesBelow<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.note();
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.note();
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.note();
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.note();
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.note();
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(NamesBelow { prefix: self.prefix.clone(), names: self.names })?.is_some() {}
        self.note();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        (&mut Names { prefix: self.prefix, names: self.names }).visit_map(map)
    }
}
