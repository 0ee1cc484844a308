//! Why a row scored as it did, in exact counts (docs/model.md §7).

use std::fmt;

use crate::encode::EncodedBatch;
use crate::keys::{FLEET, Pair, absorb, context_start, join, scoped};
use crate::log2::lg;
use crate::snapshot::Snapshot;

/// Whose habits a level counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The row's host; counts are rows.
    Host,
    /// The peer group of this name; counts are hosts.
    Group(String),
    /// All hosts; counts are hosts.
    Fleet,
}

impl Scope {
    /// `host`, `group NAME` or `fleet`.
    pub fn name(&self) -> String {
        match self {
            Scope::Host => "host".to_owned(),
            Scope::Group(name) => format!("group {name}"),
            Scope::Fleet => "fleet".to_owned(),
        }
    }
}

/// One context in one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelExplanation {
    /// Number of the context in the view, 0 being the finest.
    pub number: u32,
    /// The context in words: `parent_exe=/usr/sbin/nginx`; empty for the empty context.
    pub context: String,
    /// Whose habits.
    pub scope: Scope,
    /// n: how often the child was seen here.
    pub seen: u32,
    /// N: how much was seen here.
    pub total: u32,
    /// T: how many distinct children were seen here.
    pub kinds: u32,
}

/// One view of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewExplanation {
    /// Number of the view in the lens.
    pub view: usize,
    /// Its name.
    pub name: String,
    /// Whether it applies to rows of this class; if not, all else is empty.
    pub applies: bool,
    /// The child in words: `exe=/usr/bin/curl`.
    pub child: String,
    /// In 1/1024 bit.
    pub surprisal: u16,
    /// Calibrated, in 1/1024 bit.
    pub bits: u16,
    /// All levels, finest first, each context in the scopes of the host, of its group if it has one, and of the fleet.
    pub levels: Vec<LevelExplanation>,
    /// The level that is shown: of those visited, the one that cost most, the finest of equals.
    pub costliest: Option<usize>,
    /// V: distinct children in the fleet.
    pub vocabulary: u32,
}

impl ViewExplanation {
    /// The level that is shown.
    pub fn costliest(&self) -> Option<&LevelExplanation> {
        self.costliest.and_then(|at| self.levels.get(at))
    }
}

impl fmt::Display for ViewExplanation {
    /// `exe=/usr/bin/curl given parent_exe=/usr/sbin/nginx: 0 of 41,220 (312 kinds), this host`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.child)?;
        let level = self.costliest();
        if let Some(level) = level.filter(|level| !level.context.is_empty()) {
            write!(f, " given {}", level.context)?;
        }
        let counts = level.map_or_else(
            || counts_in_words("none", 0, 0, 0),
            |level| counts_in_words(&level.scope.name(), level.seen, level.total, level.kinds),
        );
        write!(f, ": {counts}")
    }
}

/// How often something was seen, by the name of the scope: `0 of 41,220 (312 kinds), this host`.
pub fn counts_in_words(scope: &str, seen: u32, total: u32, kinds: u32) -> String {
    let [n, total, distinct] = [seen, total, kinds].map(|n| thousands(u64::from(n)));
    let distinct = format!("{distinct} {}", if kinds == 1 { "kind" } else { "kinds" });
    let hosts = if seen == 1 { "host" } else { "hosts" };
    match scope {
        "host" => format!("{n} of {total} ({distinct}), this host"),
        "fleet" => format!("on {n} {hosts}, of {total} habits of hosts ({distinct}), fleet"),
        group if group.starts_with("group ") => {
            format!("on {n} {hosts}, of {total} habits of hosts ({distinct}), {group}")
        }
        _ => "nothing like it seen anywhere".to_owned(),
    }
}

/// `41,220`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Explains every view of a row, in the order of the lens.
pub fn explain(snapshot: &Snapshot, batch: &EncodedBatch, row: usize) -> Vec<ViewExplanation> {
    (0..snapshot.views.len()).map(|view| explain_view(snapshot, batch, row, view)).collect()
}

/// Explains one view of a row.
pub fn explain_view(snapshot: &Snapshot, batch: &EncodedBatch, row: usize, view: usize) -> ViewExplanation {
    let program = &snapshot.views[view];
    let mut out = ViewExplanation {
        view,
        name: snapshot.lens.views()[view].name.clone(),
        applies: program.class_mask >> batch.class[row] & 1 == 1,
        child: words(snapshot, batch, row, &program.child),
        surprisal: 0,
        bits: 0,
        levels: Vec::new(),
        costliest: None,
        vocabulary: program.vocabulary,
    };
    if !out.applies {
        return out;
    }
    let take = |state, field: &u32| absorb(state, batch.fields[*field as usize].hash(row));
    for (number, fields) in program.contexts.iter().enumerate() {
        let context = fields.iter().fold(context_start(snapshot.seed, view as u32, number as u32), take);
        let cell = program.child.iter().fold(context, take);
        for (scope, key) in scopes(snapshot, batch.host.hash(row)) {
            let [total, kinds] = snapshot.find(scoped(context, key));
            let seen = if total > 0 { snapshot.seen(scoped(cell, key), total) } else { 0 };
            let context = words(snapshot, batch, row, fields);
            out.levels.push(LevelExplanation { number: number as u32, context, scope, seen, total, kinds });
        }
    }
    out.surprisal = surprisal(&out.levels, program.vocabulary);
    out.bits = snapshot.calibration_of(batch.host.hash(row)).view_bits(view, out.surprisal);
    out.costliest = costliest(&out.levels);
    out
}

/// The scopes of a host's levels in one context, finest first.
fn scopes(snapshot: &Snapshot, host: Pair) -> Vec<(Scope, Pair)> {
    let group = snapshot.group(host).map(|scope| {
        let name = snapshot.members.get(&join(host)).map_or_else(String::new, |group| group.name.clone());
        (Scope::Group(name), scope)
    });
    [Some((Scope::Host, host)), group, Some((Scope::Fleet, FLEET))].into_iter().flatten().collect()
}

/// The levels that scoring visits: down to the first where the child was seen.
fn visited(levels: &[LevelExplanation]) -> &[LevelExplanation] {
    let known = levels.iter().position(|l| l.seen > 0);
    &levels[..known.map_or(levels.len(), |at| at + 1)]
}

/// What a level adds to the surprisal, in Q16; nothing if nothing was seen in its context.
fn cost(level: &LevelExplanation) -> u32 {
    if level.total == 0 {
        return 0;
    }
    let part = if level.seen > 0 { level.seen } else { level.kinds };
    lg(level.total.saturating_add(level.kinds)).wrapping_sub(lg(part))
}

fn costliest(levels: &[LevelExplanation]) -> Option<usize> {
    let counted = visited(levels).iter().enumerate().filter(|(_, level)| level.total > 0);
    counted.max_by_key(|(at, level)| (cost(level), std::cmp::Reverse(*at))).map(|(at, _)| at)
}

/// docs/model.md §4, over levels already looked up.
fn surprisal(levels: &[LevelExplanation], vocabulary: u32) -> u16 {
    let sum = visited(levels).iter().fold(0u32, |sum, level| sum.wrapping_add(cost(level)));
    let known = levels.iter().any(|level| level.seen > 0);
    let end = if known { 0 } else { lg(vocabulary.saturating_add(1)) };
    (sum.wrapping_add(end).wrapping_add(32) >> 6).min(u32::from(u16::MAX)) as u16
}

/// Fields and their values: `exe=/usr/bin/curl, user=33`.
fn words(snapshot: &Snapshot, batch: &EncodedBatch, row: usize, fields: &[u32]) -> String {
    let word = |f: &u32| {
        let name = &snapshot.lens.fields()[*f as usize].name;
        format!("{name}={}", batch.fields[*f as usize].text(row))
    };
    fields.iter().map(word).collect::<Vec<_>>().join(", ")
}
