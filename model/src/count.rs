//! Counting segments together, scope by scope, in parts that fit in little memory (docs/model.md §3).

use rayon::prelude::*;

use crate::decay::decayed;
use crate::keys::{FLEET, Pair, PairMap, absorb, join, pair, scoped};
use crate::segment::{Cell, Segment};

/// Most cells of all segments in a part, except where more segments than this have the same one.
pub(crate) const PART_CELLS: usize = 1 << 18;

/// A segment as it counts: whose it is and how much of it is left.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) segment: &'a Segment,
    /// The host's scope.
    pub(crate) host: Pair,
    /// The scope of its group.
    pub(crate) group: Option<Pair>,
    /// [`crate::decay::weight`].
    pub(crate) weight: u16,
    /// Whether to count what the host alone has: [`Alone`].
    pub(crate) is_asked: bool,
}

/// How many cells of a context only one host has, by [`of_alone`]; contexts without any are absent.
pub(crate) type Alone = PairMap<u32>;

/// The key of a scoped context and a host in [`Alone`].
pub(crate) fn of_alone(context: Pair, host: Pair) -> u64 {
    join(absorb(context, host))
}

/// The slots of a part, in all scopes.
#[derive(Default)]
pub(crate) struct Counted {
    /// Contexts that lie whole in the part.
    pub(crate) contexts: Vec<[u32; 4]>,
    /// Contexts that go on in another part: N and T of what lies in this one.
    pub(crate) cut: Vec<[u32; 4]>,
    pub(crate) cells: Vec<[u32; 4]>,
    /// In the scopes of groups and of the fleet, of the hosts that are asked for.
    pub(crate) alone: Alone,
}

/// A cell of a scope of several hosts: its context, itself, how many hosts have it, and the number of one that has.
type OfHosts = (u64, u64, u32, u32);

/// Some cells of a segment that follow each other.
#[derive(Clone)]
struct Piece<'a> {
    source: Source<'a>,
    from: usize,
    to: usize,
}

impl<'a> Piece<'a> {
    fn whole(source: &Source<'a>) -> Self {
        Self { source: *source, from: 0, to: source.segment.cells() }
    }

    /// What is left of its cells.
    fn cells(&self) -> impl Iterator<Item = Cell> + 'a {
        let Source { segment, weight, .. } = self.source;
        segment.range(self.from..self.to).map(move |(context, cell, n)| (context, cell, decayed(n, weight)))
    }
}

/// A range of (context, cell), as one number, and what the segments have in it; a host's pieces follow each other.
struct Part<'a> {
    first: u128,
    last: u128,
    pieces: Vec<Piece<'a>>,
}

/// Counts all sources, of which a host's follow each other, and hands over part after part. How many cells a part has
/// does not change what they come to.
pub(crate) fn for_each_part(sources: &[Source<'_>], part_cells: usize, f: &mut dyn FnMut(Counted)) {
    let mut waiting = Vec::new();
    let all = Part { first: 0, last: u128::MAX, pieces: sources.iter().map(Piece::whole).collect() };
    let batch = rayon::current_num_threads();
    divide(all, part_cells, &mut |part| {
        waiting.push(part);
        if waiting.len() >= batch {
            waiting.par_drain(..).map(|part| part.count()).collect::<Vec<_>>().into_iter().for_each(&mut *f);
        }
    });
    waiting.into_par_iter().map(|part| part.count()).collect::<Vec<_>>().into_iter().for_each(f);
}

/// Halves a part until its parts are small.
fn divide<'a>(part: Part<'a>, part_cells: usize, f: &mut dyn FnMut(Part<'a>)) {
    let cells: usize = part.pieces.iter().map(|p| p.to - p.from).sum();
    if cells <= part_cells || part.first == part.last {
        if cells > 0 {
            f(part);
        }
        return;
    }
    let middle = part.first + (part.last - part.first) / 2;
    let (mut low, mut high) = (Vec::new(), Vec::new());
    for piece in part.pieces {
        let at = piece.source.segment.position(middle + 1).clamp(piece.from, piece.to);
        if at > piece.from {
            low.push(Piece { to: at, ..piece.clone() });
        }
        if at < piece.to {
            high.push(Piece { from: at, ..piece });
        }
    }
    divide(Part { first: part.first, last: middle, pieces: low }, part_cells, f);
    divide(Part { first: middle + 1, last: part.last, pieces: high }, part_cells, f);
}

impl Part<'_> {
    fn count(self) -> Counted {
        let mut out = Counted::default();
        let (mut hosts, mut fleet) = (Vec::new(), Vec::new());
        let mut groups: std::collections::BTreeMap<Pair, Vec<OfHosts>> = Default::default();
        for of_host in self.pieces.chunk_by(|a, b| a.source.host == b.source.host) {
            let cells = merged(of_host);
            let Source { host, group, is_asked, .. } = of_host[0].source;
            self.emit(&cells, host, &mut out);
            let number = hosts.len() as u32;
            hosts.push(is_asked.then_some(host));
            let once = cells.iter().map(|(context, cell, _)| (*context, *cell, 1, number));
            if let Some(group) = group {
                groups.entry(group).or_default().extend(once.clone());
            }
            fleet.extend(once);
        }
        groups
            .into_iter()
            .chain([(FLEET, fleet)])
            .for_each(|(scope, cells)| self.emit_shared(cells, scope, &hosts, &mut out));
        out
    }

    /// Adds the slots of a scope of several hosts, and what each of them alone has there.
    fn emit_shared(&self, cells: Vec<OfHosts>, scope: Pair, hosts: &[Option<Pair>], out: &mut Counted) {
        let cells = shared(cells);
        for (context, _, _, number) in cells.iter().filter(|cell| cell.2 == 1) {
            if let Some(host) = hosts[*number as usize] {
                *out.alone.entry(of_alone(scoped(pair(*context), scope), host)).or_default() += 1;
            }
        }
        let cells: Vec<Cell> = cells.into_iter().map(|(context, cell, n, _)| (context, cell, n)).collect();
        self.emit(&cells, scope, out);
    }

    /// Whether a context may have cells in other parts.
    fn cuts(&self, context: u64) -> bool {
        let (first, last) = (key(context, 0), key(context, u64::MAX));
        first < self.first || last > self.last
    }

    /// Adds the slots of sorted, distinct cells and of their contexts in one scope.
    fn emit(&self, cells: &[Cell], scope: Pair, out: &mut Counted) {
        for of_context in cells.chunk_by(|a, b| a.0 == b.0) {
            let context = of_context[0].0;
            let total = of_context.iter().fold(0u32, |sum, c| sum.saturating_add(c.2));
            let kinds = u32::try_from(of_context.len()).unwrap_or(u32::MAX);
            let [low, high] = scoped(pair(context), scope);
            let contexts = if self.cuts(context) { &mut out.cut } else { &mut out.contexts };
            contexts.push([low, high, total, kinds]);
            for (_, cell, n) in of_context {
                let [low, high] = scoped(pair(*cell), scope);
                out.cells.push([low, high, *n, 0]);
            }
        }
    }
}

/// A cell's place in the order of all.
pub(crate) fn key(context: u64, cell: u64) -> u128 {
    u128::from(context) << 64 | u128::from(cell)
}

/// What is left of the cells of some pieces, added up.
fn merged(pieces: &[Piece<'_>]) -> Vec<Cell> {
    merge(pieces.iter().flat_map(Piece::cells).collect())
}

/// What is left of the cells of some sources, added up.
#[cfg(test)]
pub(crate) fn contributions(sources: &[Source<'_>]) -> Vec<Cell> {
    merged(&sources.iter().map(Piece::whole).collect::<Vec<_>>())
}

/// Sorts cells and adds up those that are equal.
pub(crate) fn merge(mut cells: Vec<Cell>) -> Vec<Cell> {
    // Stable, because that sort finds the runs that each segment is.
    cells.sort_by_key(|c| (c.0, c.1));
    cells.dedup_by(|next, kept| {
        let same = next.0 == kept.0 && next.1 == kept.1;
        if same {
            kept.2 = kept.2.saturating_add(next.2);
        }
        same
    });
    cells
}

/// Sorts cells of several hosts, each of which has a cell once, and counts their hosts.
fn shared(mut cells: Vec<OfHosts>) -> Vec<OfHosts> {
    cells.sort_by_key(|c| (c.0, c.1));
    cells.dedup_by(|next, kept| {
        let same = next.0 == kept.0 && next.1 == kept.1;
        kept.2 += u32::from(same);
        same
    });
    cells
}
