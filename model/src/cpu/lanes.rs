//! Keys of many rows at once, as a column of low and a column of high words: plain Rust, which says what is meant, and
//! AVX2 where the processor has it (`avx2.rs`). Both give the same bits.

use crate::keys::{Pair, absorb, scoped};
use crate::log2::lg;

/// Rows whose keys are made at a time.
pub(crate) const CHUNK: usize = 16;

/// For each row of a chunk all ones or zero.
pub(crate) type Mask = [u32; CHUNK];

/// The pairs of a chunk in two columns, because vector registers hold eight low words or eight high ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) lo: [u32; CHUNK],
    pub(crate) hi: [u32; CHUNK],
}

impl Keys {
    pub(crate) const EMPTY: Keys = Keys::all([0; 2]);

    /// The same pair for every row.
    pub(crate) const fn all(pair: Pair) -> Keys {
        Keys { lo: [pair[0]; CHUNK], hi: [pair[1]; CHUNK] }
    }

    /// The keys in one scope.
    #[inline(always)]
    pub(crate) fn of_scope(&self, scope: Pair) -> Keys {
        let mut keys = Self::EMPTY;
        for i in 0..CHUNK {
            [keys.lo[i], keys.hi[i]] = scoped(self.pair(i), scope);
        }
        keys
    }

    /// One of them.
    #[inline(always)]
    pub(crate) fn pair(&self, i: usize) -> Pair {
        [self.lo[i], self.hi[i]]
    }
}

/// Whose habits a level counts.
#[derive(Clone, Copy)]
pub(crate) enum Scopes<'a> {
    /// One scope for all rows.
    One(Pair),
    /// A scope per row.
    Each(&'a [Pair]),
    /// A scope per row, and none for some.
    OfMembers(&'a [Pair]),
}

impl Scopes<'_> {
    #[inline]
    pub(crate) fn of(&self, row: usize) -> Pair {
        match self {
            Scopes::One(scope) => *scope,
            Scopes::Each(scopes) | Scopes::OfMembers(scopes) => scopes[row],
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
    #[inline(always)]
    pub(crate) fn absorb(self, state: &mut Keys, rows: &[u32; CHUNK], codes: &[u32], hashes: &[Pair]) {
        match self {
            Path::Plain => {
                for ((lo, hi), row) in state.lo.iter_mut().zip(&mut state.hi).zip(rows) {
                    [*lo, *hi] = absorb([*lo, *hi], hashes[codes[*row as usize] as usize]);
                }
            }
            #[cfg(target_arch = "x86_64")]
            Path::Avx2(avx2) => avx2.absorb(state, rows, codes, hashes),
        }
    }

    /// The scoped keys of `x`, entry i of which is of row `rows[i]`.
    #[inline(always)]
    pub(crate) fn scoped(self, out: &mut Keys, x: &Keys, rows: &[u32; CHUNK], scopes: Scopes<'_>) {
        match self {
            Path::Plain => {
                for (i, row) in rows.iter().enumerate() {
                    [out.lo[i], out.hi[i]] = scoped([x.lo[i], x.hi[i]], scopes.of(*row as usize));
                }
            }
            #[cfg(target_arch = "x86_64")]
            Path::Avx2(avx2) => avx2.scoped(out, x, rows, scopes),
        }
    }

    /// Adds to each sum what a level costs: `lg(N ⊕ T) − lg(n)`, or `… − lg(T)` for n = 0, from (N, T) of `totals` and
    /// n of `seen`. A context that is not there is (0, 0) and costs nothing.
    #[inline(always)]
    pub(crate) fn add_costs(self, sums: &mut [u32; CHUNK], totals: &Keys, seen: &[u32; CHUNK]) {
        match self {
            Path::Plain => {
                let totals = totals.lo.iter().zip(&totals.hi);
                for ((sum, n), (total, kinds)) in sums.iter_mut().zip(seen).zip(totals) {
                    let part = if *n > 0 { *n } else { *kinds };
                    *sum = sum.wrapping_add(lg(total.saturating_add(*kinds)).wrapping_sub(lg(part)));
                }
            }
            #[cfg(target_arch = "x86_64")]
            Path::Avx2(avx2) => avx2.add_costs(sums, totals, seen),
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

    fn keys() -> impl Strategy<Value = Keys> {
        (vec(number(), CHUNK), vec(number(), CHUNK)).prop_map(|(lo, hi)| Keys { lo: chunk(&lo), hi: chunk(&hi) })
    }

    fn chunk(numbers: &[u32]) -> [u32; CHUNK] {
        numbers.try_into().expect("as many as a chunk has")
    }

    /// Rows below 50, now and then many that follow each other.
    fn rows() -> impl Strategy<Value = [u32; CHUNK]> {
        let run = (0..50u32).prop_map(move |from| (0..CHUNK as u32).map(|row| (from + row) % 50).collect::<Vec<_>>());
        prop_oneof![vec(0u32..50, CHUNK), run].prop_map(|rows| chunk(&rows))
    }

    proptest! {
        #[test]
        fn both_paths_absorb_alike(
            state in keys(),
            rows in rows(),
            codes in vec(0u32..30, 50),
            hashes in vec(any::<Pair>(), 30),
        ) {
            let [mut plain, mut fast] = [state; 2];
            Path::Plain.absorb(&mut plain, &rows, &codes, &hashes);
            Path::detect().absorb(&mut fast, &rows, &codes, &hashes);
            prop_assert_eq!(plain, fast);
        }

        #[test]
        fn both_paths_make_the_same_scoped_keys(x in keys(), rows in rows(), scopes in vec(any::<Pair>(), 50)) {
            for scopes in [Scopes::One(scopes[0]), Scopes::Each(&scopes)] {
                let [mut plain, mut fast] = [Keys::EMPTY; 2];
                Path::Plain.scoped(&mut plain, &x, &rows, scopes);
                Path::detect().scoped(&mut fast, &x, &rows, scopes);
                prop_assert_eq!(plain, fast);
            }
        }

        #[test]
        fn both_paths_add_the_same_costs(sums in keys(), totals in keys(), seen in keys()) {
            let [mut plain, mut fast] = [sums.lo; 2];
            Path::Plain.add_costs(&mut plain, &totals, &seen.lo);
            Path::detect().add_costs(&mut fast, &totals, &seen.lo);
            prop_assert_eq!(plain, fast);
        }
    }

    #[test]
    fn a_code_beyond_its_column_panics_on_both_paths() {
        for path in [Path::Plain, Path::detect()] {
            for code in [30, u32::MAX] {
                let outcome = std::panic::catch_unwind(|| {
                    let mut state = Keys::EMPTY;
                    path.absorb(&mut state, &[0; CHUNK], &[code], &[[1, 2]; 30]);
                });
                assert!(outcome.is_err(), "{} path, code {code}", path.name());
            }
        }
    }
}
