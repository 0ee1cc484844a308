//! One view's surprisals of a range of rows: of each kind of row once, where rows repeat.

use std::ops::Range;

use super::BLOCK;
use super::lanes::Path;
use super::part::{Columns, Part, Scratch};
use crate::alike::Alike;
use crate::backend::StageCounters;
use crate::encode::EncodedBatch;
use crate::snapshot::{Snapshot, ViewProgram};

/// Rows among which a view looks for those that are alike: an archive's row group.
const RANGE: usize = 1 << 16;
/// Fewer rows than this are scored each by itself.
pub(super) const FEWEST: usize = 4096;

/// What is asked of a batch.
pub(super) struct Asked<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) batch: &'a EncodedBatch,
    /// Whether rows that a view cannot tell apart are scored once.
    pub(super) by_kind: bool,
}

/// One view of one range of rows, and where its surprisals go.
pub(super) struct OfView<'a> {
    view: usize,
    rows: Range<usize>,
    out: &'a mut [u16],
}

/// Working memory of a thread.
pub(super) struct Work {
    scratch: Scratch,
    alike: Alike,
    kinds: Kinds,
    /// Surprisals by kind.
    out: Vec<u16>,
}

impl Work {
    pub(super) fn new(path: Path) -> Self {
        Self { scratch: Scratch::new(path), alike: Alike::default(), kinds: Kinds::default(), out: Vec::new() }
    }
}

impl Asked<'_> {
    /// The work, cut for threads; `surprisal` is view-major.
    pub(super) fn of<'o>(&self, surprisal: &'o mut [u16]) -> Vec<OfView<'o>> {
        let views = surprisal.chunks_mut(self.batch.rows.max(1)).enumerate();
        let ranges = views.flat_map(|(view, column)| {
            column.chunks_mut(RANGE).enumerate().map(move |(at, out)| {
                let rows = at * RANGE..at * RANGE + out.len();
                OfView { view, rows, out }
            })
        });
        ranges.collect()
    }
}

impl OfView<'_> {
    /// Writes the surprisals, 0 where the view does not apply.
    pub(super) fn score(self, asked: &Asked<'_>, work: &mut Work) -> StageCounters {
        let Asked { snapshot, batch, by_kind } = asked;
        let Work { scratch, alike, kinds, out } = work;
        let program = &snapshot.views[self.view];
        let columns = Columns::of(batch, self.rows.clone());
        if !by_kind || self.rows.len() < FEWEST || !find(alike, program, &columns) {
            return in_blocks(snapshot, self.view, &columns, scratch, self.out);
        }
        kinds.take(program, &columns, &alike.first);
        out.clear();
        out.resize(alike.first.len(), 0);
        let counters = in_blocks(snapshot, self.view, &kinds.columns(&columns), scratch, out);
        for (of_row, kind) in self.out.iter_mut().zip(&alike.of) {
            *of_row = out[*kind as usize];
        }
        counters
    }
}

/// Finds the rows that a view cannot tell apart.
fn find(alike: &mut Alike, program: &ViewProgram, columns: &Columns<'_>) -> bool {
    let applies: Vec<u32> = columns.class.iter().map(|class| program.class_mask >> class & 1).collect();
    let classes = if applies.contains(&0) { 2 } else { 1 };
    let fields = fields(program).into_iter().map(|field| columns.fields[field]);
    let codes = fields.chain([columns.host]).map(|(codes, hashes)| (codes, hashes.len()));
    alike.find_repeats([(&applies[..], classes)].into_iter().chain(codes), columns.class.len())
}

/// The fields that a view reads, each once.
fn fields(program: &ViewProgram) -> Vec<usize> {
    let mut fields: Vec<usize> =
        program.contexts.iter().flatten().chain(&program.child).map(|field| *field as usize).collect();
    fields.sort_unstable();
    fields.dedup();
    fields
}

/// Surprisals of a view, block by block.
fn in_blocks(
    snapshot: &Snapshot,
    view: usize,
    columns: &Columns<'_>,
    scratch: &mut Scratch,
    out: &mut [u16],
) -> StageCounters {
    let mut counters = StageCounters::default();
    for (at, out) in out.chunks_mut(BLOCK).enumerate() {
        let rows = at * BLOCK..at * BLOCK + out.len();
        let mut part = Part::of(snapshot, snapshot.seed, columns.part(rows), scratch);
        counters += part.score(view as u32, &snapshot.views[view], out);
    }
    counters
}

/// The columns that a view reads, of one row of each kind.
#[derive(Default)]
struct Kinds {
    class: Vec<u8>,
    host: Vec<u32>,
    /// By number; empty if the view does not read it.
    fields: Vec<Vec<u32>>,
}

impl Kinds {
    fn take(&mut self, program: &ViewProgram, columns: &Columns<'_>, rows: &[u32]) {
        self.class.clear();
        self.class.extend(rows.iter().map(|row| columns.class[*row as usize]));
        gather(&mut self.host, columns.host.0, rows);
        self.fields.resize_with(columns.fields.len(), Vec::new);
        self.fields.iter_mut().for_each(Vec::clear);
        for field in fields(program) {
            gather(&mut self.fields[field], columns.fields[field].0, rows);
        }
    }

    /// With the hashes of the columns that they were taken from.
    fn columns<'a>(&'a self, from: &Columns<'a>) -> Columns<'a> {
        let fields = self.fields.iter().zip(&from.fields).map(|(codes, (_, hashes))| (&codes[..], *hashes)).collect();
        Columns { class: &self.class, host: (&self.host, from.host.1), fields }
    }
}

fn gather(out: &mut Vec<u32>, codes: &[u32], rows: &[u32]) {
    out.clear();
    out.extend(rows.iter().map(|row| codes[*row as usize]));
}
