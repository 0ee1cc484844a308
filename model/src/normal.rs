//! What is normal, in words: the children of a context (docs/model.md §3).
//!
//! Counts of rows and hosts are taken from the segments, unweighted; n, N and T are those that scoring looks up.

use std::collections::{BTreeMap, BTreeSet};

use crate::baseline::Baseline;
use crate::keys::{FLEET, Pair, absorb, context_start, join, pair, scoped};
use crate::lens::View;
use crate::reading::{Reader, unknown};
use crate::segment::Segment;
use crate::snapshot::Snapshot;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum NormalError {
    /// There is no such table.
    #[error("baseline {id} learned no table {table:?}; it has {}", has.join(", "))]
    NoTable {
        /// The baseline.
        id: String,
        /// What was asked for.
        table: String,
        /// What there is.
        has: Vec<String>,
    },
    /// There is no such view.
    #[error("table {table:?} has no view {view:?}; it has: {}", has.join("; "))]
    NoView {
        /// The table.
        table: String,
        /// What was asked for.
        view: String,
        /// What there is.
        has: Vec<String>,
    },
    /// No context of the view has just these fields.
    #[error("view {view:?} cannot be asked by {asked}; it can by: {}", has.join("; "))]
    NoContext {
        /// The view.
        view: String,
        /// The fields that were given.
        asked: String,
        /// Its contexts.
        has: Vec<String>,
    },
    /// Nothing was learned there.
    #[error("nothing was learned of {place}{hint}")]
    Nothing {
        /// The context and scope.
        place: String,
        /// The next step.
        hint: String,
    },
}

/// Whose habits are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// All hosts'.
    Fleet,
    /// One host's.
    Host(String),
    /// A peer group's.
    Group(String),
}

/// A question: what is normal in this context?
#[derive(Debug, Clone)]
pub struct Question {
    /// The table.
    pub table: String,
    /// The view by name.
    pub view: String,
    /// Values of the fields of one of its contexts.
    pub given: Vec<(String, String)>,
    /// Whose habits.
    pub whose: Whose,
}

/// What is normal in a context.
#[derive(Debug, Clone)]
pub struct Children {
    /// `parent_exe=/usr/sbin/nginx`; empty for the empty context.
    pub context: String,
    /// N and T, as scoring looks them up.
    pub total: u32,
    /// The same.
    pub kinds: u32,
    /// Rows of the segments.
    pub rows: u64,
    /// Hosts of the segments.
    pub hosts: u32,
    /// Most rows first.
    pub children: Vec<Child>,
    /// How many of them are not in the dictionary.
    pub unknown: usize,
}

/// Something that was seen in a context.
#[derive(Debug, Clone)]
pub struct Child {
    /// `exe=/usr/bin/curl`.
    pub words: String,
    /// n, as scoring looks it up: rows of a host, hosts of a group or of the fleet.
    pub n: u32,
    /// Rows.
    pub rows: u64,
    /// Hosts that have it.
    pub hosts: u32,
}

/// How much of something was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Rows.
    pub rows: u64,
    /// Hosts.
    pub hosts: u32,
}

/// The cells of a context in some segments.
pub(crate) fn cells(segments: &[&Segment], context: Pair) -> (BTreeMap<u64, Seen>, Seen) {
    let mut by_host: BTreeMap<Option<&str>, Vec<&Segment>> = BTreeMap::new();
    segments.iter().for_each(|s| by_host.entry(s.host.as_deref()).or_default().push(s));
    let (mut cells, mut all): (BTreeMap<u64, Seen>, Seen) = Default::default();
    for segments in by_host.into_values() {
        let mut of_host: BTreeMap<u64, u64> = BTreeMap::new();
        let counted = segments.iter().flat_map(|s| s.range(s.of_context(join(context))));
        counted.for_each(|(_, cell, n)| *of_host.entry(cell).or_default() += u64::from(n));
        all.hosts += u32::from(!of_host.is_empty());
        for (cell, rows) in of_host {
            let seen = cells.entry(cell).or_default();
            (seen.rows, seen.hosts) = (seen.rows.saturating_add(rows), seen.hosts + 1);
            all.rows = all.rows.saturating_add(rows);
        }
    }
    (cells, all)
}

pub(crate) fn of_table<'a>(
    baseline: &'a Baseline,
    snapshot: &Snapshot,
    wanted: impl Fn(&Segment) -> bool,
) -> Vec<&'a Segment> {
    let digest = snapshot.lens.digest();
    baseline.segments().iter().filter(|s| s.lens_digest == digest && wanted(s)).collect()
}

/// `exe, parent_exe`, or `nothing`.
fn fields_in_words(snapshot: &Snapshot, fields: &[usize]) -> String {
    let names: Vec<&str> = fields.iter().map(|f| snapshot.lens.fields()[*f].name.as_str()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// `exe=/usr/bin/curl, user=33`.
pub(crate) fn values_in_words(snapshot: &Snapshot, reader: &Reader<'_>, fields: &[usize], values: &[Pair]) -> String {
    let word = |(field, value): (&usize, &Pair)| {
        let text = reader.text(*value).map_or_else(|| unknown(*value), str::to_owned);
        format!("{}={text}", snapshot.lens.fields()[*field].name)
    };
    fields.iter().zip(values).map(word).collect::<Vec<_>>().join(", ")
}

/// The number of the view, itself, and the number of the context that has just the given fields.
fn place<'a>(snapshot: &'a Snapshot, question: &Question) -> Result<(usize, &'a View, usize), NormalError> {
    let views = snapshot.lens.views();
    let found = views.iter().enumerate().find(|(_, view)| view.name == question.view);
    let (number, view) = found.ok_or_else(|| NormalError::NoView {
        table: question.table.clone(),
        view: question.view.clone(),
        has: views.iter().map(|view| view.name.clone()).collect(),
    })?;
    let asked: BTreeSet<&str> = question.given.iter().map(|g| g.0.as_str()).collect();
    let name = |field: &usize| snapshot.lens.fields()[*field].name.as_str();
    let fits = |fields: &Vec<usize>| {
        fields.len() == question.given.len() && fields.iter().map(name).collect::<BTreeSet<_>>() == asked
    };
    let context = view.contexts.iter().position(fits).ok_or_else(|| NormalError::NoContext {
        view: view.name.clone(),
        asked: asked.into_iter().collect::<Vec<_>>().join(", "),
        has: view.contexts.iter().map(|fields| fields_in_words(snapshot, fields)).collect(),
    })?;
    Ok((number, view, context))
}

/// The children of a context.
pub fn children(baseline: &Baseline, question: &Question) -> Result<Children, NormalError> {
    let snapshot = baseline.snapshot(&question.table).ok_or_else(|| NormalError::NoTable {
        id: baseline.id().to_owned(),
        table: question.table.clone(),
        has: baseline.snapshots().iter().map(|s| s.lens.table().to_owned()).collect(),
    })?;
    let (number, view, at) = place(&snapshot, question)?;
    let key = baseline.hash_key();
    let value = |field: &usize| {
        let name = &snapshot.lens.fields()[*field].name;
        let text = question.given.iter().find(|g| g.0 == *name).map(|g| g.1.as_str());
        key.value(text.filter(|text| *text != "(none)"))
    };
    let values: Vec<Pair> = view.contexts[at].iter().map(value).collect();
    let start = context_start(snapshot.seed, number as u32, at as u32);
    let context = values.iter().fold(start, |state, value| absorb(state, *value));
    let groups = baseline.groups(&question.table);
    let in_scope = |segment: &Segment| match &question.whose {
        Whose::Fleet => true,
        Whose::Host(host) => segment.host.as_ref() == Some(host),
        Whose::Group(name) => {
            let host = segment.host.as_ref();
            host.and_then(|host| groups?.get(host)).is_some_and(|group| group.name == *name)
        }
    };
    let (cells, all) = cells(&of_table(baseline, &snapshot, in_scope), context);
    let mut reader = Reader::new(key, vec![&baseline.parts().words]);
    let words = question.given.iter().map(|(field, text)| format!("{field}={text}")).collect::<Vec<_>>().join(", ");
    if cells.is_empty() {
        return Err(nothing(baseline, question, words));
    }
    let scope = match &question.whose {
        Whose::Fleet => FLEET,
        Whose::Host(host) => key.value(Some(host)),
        Whose::Group(name) => key.group(name),
    };
    let [total, kinds] = snapshot.find(scoped(context, scope));
    let (mut children, mut not_read) = (Vec::new(), 0);
    for (cell, seen) in cells {
        let read = reader.read(context, &view.child, pair(cell));
        not_read += usize::from(read.is_none());
        let words = read.map(|values| values_in_words(&snapshot, &reader, &view.child, &values));
        let n = snapshot.seen(scoped(pair(cell), scope), total);
        let words = words.unwrap_or_else(|| unknown(pair(cell)));
        children.push(Child { words, n, rows: seen.rows, hosts: seen.hosts });
    }
    children.sort_by(|a, b| (b.rows, b.hosts, &a.words).cmp(&(a.rows, a.hosts, &b.words)));
    Ok(Children { context: words, total, kinds, rows: all.rows, hosts: all.hosts, children, unknown: not_read })
}

fn nothing(baseline: &Baseline, question: &Question, context: String) -> NormalError {
    let whose = match &question.whose {
        Whose::Fleet => "any host".to_owned(),
        Whose::Host(host) => format!("host {host}"),
        Whose::Group(name) => format!("group {name}"),
    };
    let place = if context.is_empty() { whose } else { format!("{whose} given {context}") };
    // Values are those after the lens's transform; a name in part is a common slip.
    let like = |text: &str| {
        let known = baseline.parts().words.values().iter().map(|v| v.1.as_str());
        known.filter(|known| !text.is_empty() && known.contains(text)).take(3).collect::<Vec<_>>()
    };
    let near: Vec<&str> = question.given.iter().flat_map(|(_, text)| like(text)).collect();
    let hint = if near.is_empty() { String::new() } else { format!("; known values like it: {}", near.join(", ")) };
    NormalError::Nothing { place, hint }
}
