//! From scored calibration rows to evidence: how often each surprisal occurred, by host and day (docs/model.md §5).

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::encode::NO_UNIT;
use crate::evidence::{self, Evidence, Measure, Sparse, Subject, sparse};
use crate::keys::join;
use crate::lens::Lens;
use crate::pass::{Plan, Scored, runs};
use crate::presence::Presence;
use crate::sample::{Choice, ChosenUnit, Sorted, Units};
use crate::segment::day_of;
use crate::snapshot::{Basis, ROW_BINS, Snapshot, VIEW_BINS, ViewProgram};
use crate::stage::Stage;
use crate::top::{Bits, Sameness, Top};

/// The scored rows of one table.
pub(crate) struct Tally<'a> {
    pub(crate) scored: &'a Scored,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) basis: Basis,
}

/// Rows of one host and day, scored in one way.
struct Piece {
    host: u64,
    day: i32,
    own_days: u8,
    held_out: bool,
    rows: Vec<u32>,
}

impl Piece {
    fn stage(&self) -> Stage {
        Stage::of(self.own_days.into())
    }
}

/// Tables of the views for one stage.
type Tables = Vec<Vec<u16>>;

impl Tally<'_> {
    /// What was scored, by host and day; adds the rows' bits to their units.
    pub(crate) fn evidence(&self, tops: &mut UnitTops<'_>) -> Vec<Evidence> {
        let pieces = self.pieces();
        if pieces.is_empty() {
            return Vec::new();
        }
        let all: Vec<usize> = (0..pieces.len()).collect();
        // How rare a view's surprisals are is known only of all pieces of a stage together; from that follow the bits of rows.
        let view = |view: usize| {
            let counted: Vec<Sparse> = pieces.iter().map(|piece| self.of_view(piece, view)).collect();
            let table = |stage: Stage| {
                let of_stage = evidence::of_stage(&all, |at| pieces[at].stage(), stage);
                evidence::sum(of_stage.into_iter().map(|at| &counted[at]), VIEW_BINS).view_table()
            };
            let tables = [Stage::New, Stage::Learning, Stage::Settled].map(table);
            (counted, tables)
        };
        let views: Vec<(Vec<Sparse>, [Vec<u16>; 3])> =
            (0..self.snapshot.views.len()).into_par_iter().map(view).collect();
        let (counted, by_view): (Vec<Vec<Sparse>>, Vec<[Vec<u16>; 3]>) = views.into_iter().unzip();
        let tables = |stage: Stage| -> Tables { by_view.iter().map(|of| of[stage as usize].clone()).collect() };
        let tables = [Stage::New, Stage::Learning, Stage::Settled].map(tables);
        let same = Sameness::new(&self.snapshot.lens);
        let mut by_view: Vec<_> = counted.into_iter().map(Vec::into_iter).collect();
        let batch = &self.scored.rows.batch;
        let same: Vec<u64> = (0..batch.rows).into_par_iter().map(|row| same.of(batch, row)).collect();
        let of_rows = |piece: &Piece| {
            let bits = self.bits(piece, &tables[piece.stage() as usize]);
            (sparse(bits.iter().copied(), ROW_BINS), bits)
        };
        let of_rows: Vec<(Sparse, Vec<u32>)> = pieces.par_iter().map(of_rows).collect();
        let evidence = |(piece, (histogram, bits)): (&Piece, (Sparse, Vec<u32>))| {
            let mut histograms: Vec<Sparse> = by_view.iter_mut().filter_map(Iterator::next).collect();
            tops.add(piece, &self.scored.rows, &same, &bits);
            histograms.push(histogram);
            let subject = Subject::Rows(self.snapshot.lens.digest());
            let place = (tops.presence.name(piece.host), piece.day);
            let counted = piece.rows.len() as u64;
            Evidence::new(subject, place, self.basis, counted, histograms, tops.measure(piece, counted))
        };
        pieces.iter().zip(of_rows).map(evidence).collect()
    }

    /// Each host and day as it was scored, and then by its peers.
    fn pieces(&self) -> Vec<Piece> {
        let (batch, scored) = (&self.scored.rows.batch, self.scored);
        let mut parts: BTreeMap<(bool, u64, i32), Vec<u32>> = BTreeMap::new();
        for run in runs(batch.rows, |row| (batch.host.codes[row], day_of(batch.time[row]), scored.has_peers[row])) {
            let (host, day) = (join(batch.host.hash(run.start)), day_of(batch.time[run.start]));
            let mut add = |held_out| {
                parts.entry((held_out, host, day)).or_default().extend(run.start as u32..run.end as u32);
            };
            add(false);
            if scored.has_peers[run.start] {
                add(true);
            }
        }
        let piece = |((held_out, host, day), rows): ((bool, u64, i32), Vec<u32>)| {
            let own_days = if held_out { 0 } else { scored.own_days[rows[0] as usize] };
            Piece { host, day, own_days, held_out, rows }
        };
        parts.into_iter().map(piece).collect()
    }

    /// Surprisals of the rows that a view applies to.
    fn surprisals<'a>(&'a self, piece: &'a Piece, view: usize) -> impl Iterator<Item = (usize, u16)> + 'a {
        let batch = &self.scored.rows.batch;
        let all = if piece.held_out { &self.scored.by_peers } else { &self.scored.surprisal };
        let (column, program): (&[u16], &ViewProgram) =
            (&all[view * batch.rows..(view + 1) * batch.rows], &self.snapshot.views[view]);
        let applies = |row: u32| program.class_mask >> batch.class[row as usize] & 1 == 1;
        let rows = piece.rows.iter().enumerate().filter(move |(_, row)| applies(**row));
        rows.map(|(at, row)| (at, column[*row as usize]))
    }

    fn of_view(&self, piece: &Piece, view: usize) -> Sparse {
        sparse(self.surprisals(piece, view).map(|(_, surprisal)| u32::from(surprisal)), VIEW_BINS)
    }

    /// The bits of a piece's rows.
    fn bits(&self, piece: &Piece, tables: &Tables) -> Vec<u32> {
        let mut bits = vec![0u32; piece.rows.len()];
        for (view, table) in tables.iter().enumerate() {
            for (at, surprisal) in self.surprisals(piece, view) {
                bits[at] += u32::from(table[usize::from(surprisal >> 6)]);
            }
        }
        bits
    }
}

/// The most surprising rows of every calibrating unit, over all tables: as they were scored, and by their peers.
pub(crate) struct UnitTops<'a> {
    presence: &'a Presence,
    choice: Choice,
    /// By number of the unit.
    tops: [Vec<Top<Bits>>; 2],
    /// Days of its own of each host and day.
    own_days: BTreeMap<(Option<String>, i32), (u64, u8)>,
}

impl<'a> UnitTops<'a> {
    pub(crate) fn new(presence: &'a Presence, choice: Choice) -> Self {
        Self { presence, choice, tops: Default::default(), own_days: BTreeMap::new() }
    }

    fn measure(&self, piece: &Piece, counted: u64) -> Measure {
        let Piece { host, day, own_days, held_out, .. } = *piece;
        let seconds = self.presence.seconds(host, day);
        Measure { own_days, held_out, stands_for: self.choice.stands_for(counted), seconds }
    }

    /// Adds a piece's rows to their units.
    fn add(&mut self, piece: &Piece, rows: &Sorted, same: &[u64], bits: &[u32]) {
        if !piece.held_out {
            let place = (self.presence.name(piece.host), piece.day);
            let known = self.own_days.entry(place).or_insert((piece.host, 0));
            known.1 = known.1.max(piece.own_days);
        }
        for (row, bits) in piece.rows.iter().map(|row| *row as usize).zip(bits) {
            let row_bits = Bits { bits: *bits, same: same[row] };
            let tops = &mut self.tops[usize::from(piece.held_out)];
            for unit in rows.units.iter().map(|column| column[row]).filter(|unit| *unit != NO_UNIT) {
                let unit = unit as usize;
                if tops.len() <= unit {
                    tops.resize_with(unit + 1, Top::default);
                }
                tops[unit].insert(row_bits);
            }
        }
    }

    /// Of the unit kinds of all tables, by host and day.
    pub(crate) fn evidence(&self, units: &Units, tables: &[(&Lens, &Plan)]) -> Vec<Evidence> {
        let of_kind = |kind: &str| -> Vec<&Plan> {
            let has = |lens: &Lens| lens.units().iter().any(|unit| unit.kind == kind);
            tables.iter().filter(|(lens, _)| has(lens)).map(|(_, plan)| *plan).collect()
        };
        // Where a table has rows that do not calibrate, a unit's sum lacks them. A kind of which none is whole keeps all.
        let whole = |unit: &ChosenUnit| !of_kind(&unit.kind).iter().any(|plan| plan.cuts(&unit.days));
        let mut some_whole: BTreeMap<&str, bool> = BTreeMap::new();
        let with_rows = |tops: &[Top<Bits>]| -> Vec<usize> {
            (0..tops.len()).filter(|unit| !tops[*unit].rows().is_empty()).collect()
        };
        for unit in with_rows(&self.tops[0]).into_iter().map(|unit| &units.chosen[unit]) {
            *some_whole.entry(&unit.kind).or_default() |= whole(unit);
        }
        let mut parts: BTreeMap<(&str, Option<&str>, i32, bool), Vec<u32>> = BTreeMap::new();
        for (held_out, tops) in [false, true].into_iter().zip(&self.tops) {
            for at in with_rows(tops) {
                let (unit, top) = (&units.chosen[at], &tops[at]);
                if whole(unit) || some_whole.get(unit.kind.as_str()) != Some(&true) {
                    let part = (unit.kind.as_str(), unit.host.as_deref(), unit.day, held_out);
                    parts.entry(part).or_default().push(top.bits());
                }
            }
        }
        let evidence = |((kind, host, day, held_out), bits): ((&str, Option<&str>, i32, bool), Vec<u32>)| {
            // A unit's rows may be of several tables: it is as good as the weakest.
            let bases = of_kind(kind).into_iter().map(|plan| plan.basis).filter(|basis| *basis != Basis::None);
            let place = (host.map(str::to_owned), day);
            let (hash, own_days) = self.own_days.get(&place).copied().unwrap_or_default();
            let piece =
                Piece { host: hash, day, own_days: if held_out { 0 } else { own_days }, held_out, rows: Vec::new() };
            let counted = bits.len() as u64;
            let (subject, measure) = (Subject::Units(kind.to_owned()), self.measure(&piece, counted));
            let bits = vec![sparse(bits.into_iter(), ROW_BINS)];
            Evidence::new(subject, place, bases.min().unwrap_or(Basis::None), counted, bits, measure)
        };
        parts.into_iter().map(evidence).collect()
    }
}
