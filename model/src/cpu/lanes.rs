//! Keys of many rows at once, as a column of low and a column of high words: plain Rust, which says what is meant, and
//! AVX2 where the processor has it (`avx2.rs`). Both give the same bits.

use crate::keys::{Pair, absorb, scoped};
use crate::log2::lg;

/// Pairs in two columns, because vector registers hold eight low words or eight high ones.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Lanes {
    pub(crate) lo: Vec<u32>,
    pub(crate) hi: Vec<u32>,
}

impl Lanes {
    /// `rows` times the same pair.
    pub(crate) fn fill(&mut self, rows: usize, pair: Pair) {
        self.lo.clear();
        self.lo.resize(rows, pair[0]);
        self.hi.clear();
        self.hi.resize(rows, pair[1]);
    }

    pub(crate) fn copy_from(&mut self, other: &Lanes) {
        self.lo.clone_from(&other.lo);
        self.hi.clone_from(&other.hi);
    }
}

/// Keys made at a time: their slots are on their way while those of the chunks before are read.
pub(crate) const CHUNK: usize = 32;

/// The scoped keys of one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) lo: [u32; CHUNK],
    pub(crate) hi: [u32; CHUNK],
}

impl Keys {
    pub(crate) const EMPTY: Keys = Keys { lo: [0; CHUNK], hi: [0; CHUNK] };
}

/// Whose habits a level counts.
#[derive(Clone, Copy)]
pub(crate) enum Scopes<'a> {
    /// One scope for all rows.
    One(Pair),
    /// A scope per row.
    Each(&'a [Pair]),
}

impl Scopes<'_> {
    #[inline]
    pub(crate) fn of(&self, row: usize) -> Pair {
        match self {
            Scopes::One(scope) => *scope,
            Scopes::Each(scopes) => scopes[row],
        }
    }
}

/// Which code makes keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// Plain Rust.
    Plain,
    /// Eight rows at a time.
    #[cfg(target_arch = "x86_64")]
    Avx2(super::avx2::Avx2),
}

impl Path {
    /// The fastest that this processor has.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = super::avx2::Avx2::detect() {
            return Path::Avx2(avx2);
        }
        Path::Plain
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Path::Plain => "plain",
            #[cfg(target_arch = "x86_64")]
            Path::Avx2(_) => "AVX2",
        }
    }

    /// Absorbs into `state[i]` the value of `rows[i]`: `hashes[codes[rows[i]]]`.
    pub(crate) fn absorb(self, state: &mut Lanes, rows: &[u32], codes: &[u32], hashes: &[Pair]) {
        let from = match self {
            Path::Plain => 0,
            #[cfg(target_arch = "x86_64")]
            Path::Avx2(avx2) => avx2.absorb(state, rows, codes, hashes),
        };
        let state = state.lo[from..].iter_mut().zip(&mut state.hi[from..]);
        for ((lo, hi), row) in state.zip(&rows[from..]) {
            [*lo, *hi] = absorb([*lo, *hi], hashes[codes[*row as usize] as usize]);
        }
    }

    /// Puts the scoped keys of the entries `at` of `x` into `out`; entry i is of row `rows[i]`.
    pub(crate) fn scoped(self, out: &mut Keys, x: &Lanes, at: &[u32], rows: &[u32], scopes: Scopes<'_>) {
        let from = match self {
            Path::Plain => 0,
            #[cfg(target_arch = "x86_64")]
            Path::Avx2(avx2) => avx2.scoped(out, x, at, rows, scopes),
        };
        for (i, at) in at.iter().enumerate().skip(from) {
            let at = *at as usize;
            [out.lo[i], out.hi[i]] = scoped([x.lo[at], x.hi[at]], scopes.of(rows[at] as usize));
        }
    }

    /// Adds to each sum what a level costs: `lg(N ⊕ T) − lg(n)`, or `… − lg(T)` for n = 0, from (N, T) of `totals` and
    /// n of `seen`. A context that is not there is (0, 0) and costs nothing.
    pub(crate) fn add_costs(self, sums: &mut [u32], totals: &Lanes, seen: &[u32]) {
        let from = match self {
            Path::Plain => 0,
            #[cfg(target_arch = "x86_64")]
            Path::Avx2(avx2) => avx2.add_costs(sums, totals, seen),
        };
        let totals = totals.lo[from..].iter().zip(&totals.hi[from..]);
        for ((sum, n), (total, kinds)) in sums[from..].iter_mut().zip(&seen[from..]).zip(totals) {
            let part = if *n > 0 { *n } else { *kinds };
            *sum = sum.wrapping_add(lg(total.saturating_add(*kinds)).wrapping_sub(lg(part)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Numbers of every size, and the ends of the range more often than chance would have them.
    fn number() -> impl Strategy<Value = u32> {
        prop_oneof![any::<u32>(), (0u32..32).prop_map(|shift| u32::MAX >> shift), 0u32..4, Just(1 << 31)]
    }

    fn lanes(rows: usize) -> impl Strategy<Value = Lanes> {
        (vec(number(), rows), vec(number(), rows)).prop_map(|(lo, hi)| Lanes { lo, hi })
    }

    /// Rows below 50, now and then many that follow each other.
    fn rows(length: usize) -> impl Strategy<Value = Vec<u32>> {
        let run = (0..50u32).prop_map(move |from| (0..length as u32).map(|row| (from + row) % 50).collect());
        prop_oneof![vec(0u32..50, length), run]
    }

    proptest! {
        #[test]
        fn both_paths_absorb_alike(
            (state, rows) in (0usize..70).prop_flat_map(|n| (lanes(n), rows(n))),
            codes in vec(0u32..30, 50),
            hashes in vec(any::<Pair>(), 30),
        ) {
            let [mut plain, mut fast] = [state.clone(), state];
            Path::Plain.absorb(&mut plain, &rows, &codes, &hashes);
            Path::detect().absorb(&mut fast, &rows, &codes, &hashes);
            prop_assert_eq!(plain, fast);
        }

        #[test]
        fn both_paths_make_the_same_scoped_keys(
            x in lanes(60),
            at in (0..=CHUNK).prop_flat_map(rows),
            rows in rows(60),
            scopes in vec(any::<Pair>(), 50),
        ) {
            for scopes in [Scopes::One(scopes[0]), Scopes::Each(&scopes)] {
                let [mut plain, mut fast] = [Keys::EMPTY; 2];
                Path::Plain.scoped(&mut plain, &x, &at, &rows, scopes);
                Path::detect().scoped(&mut fast, &x, &at, &rows, scopes);
                prop_assert_eq!(plain, fast);
            }
        }

        #[test]
        fn both_paths_add_the_same_costs(
            (sums, totals, seen) in (0usize..70).prop_flat_map(|n| (vec(number(), n), lanes(n), vec(number(), n))),
        ) {
            let [mut plain, mut fast] = [sums.clone(), sums];
            Path::Plain.add_costs(&mut plain, &totals, &seen);
            Path::detect().add_costs(&mut fast, &totals, &seen);
            prop_assert_eq!(plain, fast);
        }
    }

    #[test]
    fn a_code_beyond_its_column_panics_on_both_paths() {
        for path in [Path::Plain, Path::detect()] {
            for code in [30, u32::MAX] {
                let outcome = std::panic::catch_unwind(|| {
                    let mut state = Lanes { lo: vec![0; 8], hi: vec![0; 8] };
                    path.absorb(&mut state, &[0; 8], &[code], &[[1, 2]; 30]);
                });
                assert!(outcome.is_err(), "{} path, code {code}", path.name());
            }
        }
    }
}
