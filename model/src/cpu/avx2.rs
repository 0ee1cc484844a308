//! Key building on eight rows at a time with AVX2 (docs/model.md §2).
//!
//! All `unsafe` of the CPU backend's arithmetic is here. It rests on two invariants: an [`Avx2`] exists only where the
//! processor has AVX2, so the functions that need it may be called; and every gather is preceded by a comparison of all
//! its eight indices with the length of what it reads (a panic otherwise, as plain indexing would).

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_andnot_si256, _mm256_blendv_epi8, _mm256_castps_si256,
    _mm256_castsi256_ps, _mm256_castsi256_si128, _mm256_cmpeq_epi32, _mm256_cvtepi32_ps, _mm256_cvtsi256_si32,
    _mm256_extracti128_si256, _mm256_i32gather_epi32, _mm256_i32gather_epi64, _mm256_loadu_si256, _mm256_max_epu32,
    _mm256_min_epu32, _mm256_movemask_epi8, _mm256_mullo_epi32, _mm256_or_si256, _mm256_permute4x64_epi64,
    _mm256_set1_epi32, _mm256_setr_epi32, _mm256_shuffle_ps, _mm256_slli_epi32, _mm256_sllv_epi32, _mm256_srli_epi32,
    _mm256_storeu_si256, _mm256_sub_epi32, _mm256_xor_si256,
};

use super::lanes::{CHUNK, Keys, Scopes};
use super::level::{Level, Open};
use super::part::Counts;
use crate::backend::StageCounters;
use crate::keys::Pair;
use crate::log2::LOG;

const WIDTH: usize = 8;

/// Proof that this processor has AVX2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx2(());

/// Eight pairs: low words, high words.
type Pairs = (__m256i, __m256i);

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// `Level::steps`, with this module's functions in line.
    pub(super) fn level<C: Counts>(
        self,
        level: &Level<'_, C>,
        open: &mut Open,
        out: &mut [u16],
        counters: &mut StageCounters,
    ) {
        #[target_feature(enable = "avx2")]
        fn steps<C: Counts>(level: &Level<'_, C>, open: &mut Open, out: &mut [u16], counters: &mut StageCounters) {
            level.steps(open, out, counters);
        }
        // SAFETY: an Avx2 exists only where the processor has it.
        unsafe { steps(level, open, out, counters) }
    }

    /// `Path::absorb`.
    #[inline(always)]
    pub(crate) fn absorb(self, state: &mut Keys, rows: &[u32; CHUNK], codes: &[u32], hashes: &[Pair]) {
        // SAFETY: an Avx2 exists only where the processor has it.
        unsafe { absorb_values(state, rows, codes, hashes) }
    }

    /// `Path::scoped`.
    #[inline(always)]
    pub(crate) fn scoped(self, out: &mut Keys, x: &Keys, rows: &[u32; CHUNK], scopes: Scopes<'_>) {
        // SAFETY: an Avx2 exists only where the processor has it.
        unsafe { scoped_keys(out, x, rows, scopes) }
    }

    /// `Path::add_costs`.
    #[inline(always)]
    pub(crate) fn add_costs(self, sums: &mut [u32; CHUNK], totals: &Keys, seen: &[u32; CHUNK]) {
        // SAFETY: an Avx2 exists only where the processor has it.
        unsafe { add_costs(sums, totals, seen) }
    }
}

/// A column of a chunk as registers.
#[inline]
fn wide(column: &[u32; CHUNK]) -> &[[u32; WIDTH]] {
    column.as_chunks().0
}

#[inline]
fn wide_mut(column: &mut [u32; CHUNK]) -> &mut [[u32; WIDTH]] {
    column.as_chunks_mut().0
}

#[target_feature(enable = "avx2")]
#[inline]
fn add_costs(sums: &mut [u32; CHUNK], totals: &Keys, seen: &[u32; CHUNK]) {
    let totals = wide(&totals.lo).iter().zip(wide(&totals.hi));
    for ((sum, n), (total, kinds)) in wide_mut(sums).iter_mut().zip(wide(seen)).zip(totals) {
        let (total, kinds, n) = (load(total), load(kinds), load(n));
        // total ⊕ kinds: no more than fits is added.
        let all_of = _mm256_add_epi32(total, _mm256_min_epu32(kinds, _mm256_xor_si256(total, all(u32::MAX))));
        let unseen = _mm256_cmpeq_epi32(n, all(0));
        let part = _mm256_blendv_epi8(n, kinds, unseen);
        let cost = _mm256_sub_epi32(lg(all_of), lg(part));
        store(sum, _mm256_add_epi32(load(sum), cost));
    }
}

/// `log2::lg`.
#[target_feature(enable = "avx2")]
#[inline]
fn lg(x: __m256i) -> __m256i {
    let x = _mm256_max_epu32(x, all(1));
    // The highest bit from the exponent of a float, which has 16 bits exactly.
    let high = _mm256_srli_epi32::<16>(x);
    let small = _mm256_cmpeq_epi32(high, all(0));
    let exact = _mm256_castps_si256(_mm256_cvtepi32_ps(_mm256_blendv_epi8(high, x, small)));
    let exponent = _mm256_sub_epi32(_mm256_srli_epi32::<23>(exact), all(127));
    let exponent = _mm256_add_epi32(exponent, _mm256_andnot_si256(small, all(16)));
    let top = _mm256_sllv_epi32(x, _mm256_sub_epi32(all(31), exponent));
    let mantissa = _mm256_and_si256(_mm256_srli_epi32::<20>(top), all(2047));
    _mm256_add_epi32(_mm256_slli_epi32::<16>(exponent), pick_words(&LOG, Picks::Any(mantissa)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn absorb_values(state: &mut Keys, rows: &[u32; CHUNK], codes: &[u32], hashes: &[Pair]) {
    let state = wide_mut(&mut state.lo).iter_mut().zip(wide_mut(&mut state.hi));
    for ((lo, hi), rows) in state.zip(wide(rows)) {
        let values = pick_pairs(hashes, Picks::Any(pick_words(codes, picks(rows))));
        let (a, b) = absorb((load(lo), load(hi)), values);
        store(lo, a);
        store(hi, b);
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn scoped_keys(out: &mut Keys, x: &Keys, rows: &[u32; CHUNK], scopes: Scopes<'_>) {
    let out = wide_mut(&mut out.lo).iter_mut().zip(wide_mut(&mut out.hi));
    let x = wide(&x.lo).iter().zip(wide(&x.hi));
    for (((lo, hi), x), rows) in out.zip(x).zip(wide(rows)) {
        let scope = match scopes {
            Scopes::One(scope) => (all(scope[0]), all(scope[1])),
            Scopes::Each(scopes) | Scopes::OfMembers(scopes) => pick_pairs(scopes, picks(rows)),
        };
        let (a, b) = finish(absorb((load(x.0), load(x.1)), scope));
        store(lo, a);
        store(hi, b);
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn absorb(s: Pairs, v: Pairs) -> Pairs {
    let a = _mm256_mullo_epi32(_mm256_xor_si256(s.0, v.0), all(0x9E37_79B1));
    let b = _mm256_mullo_epi32(_mm256_xor_si256(s.1, v.1), all(0x85EB_CA77));
    let a = _mm256_add_epi32(_mm256_or_si256(_mm256_slli_epi32::<15>(a), _mm256_srli_epi32::<17>(a)), b);
    let b = _mm256_xor_si256(_mm256_or_si256(_mm256_slli_epi32::<13>(b), _mm256_srli_epi32::<19>(b)), a);
    (_mm256_mullo_epi32(a, all(0xC2B2_AE3D)), _mm256_mullo_epi32(b, all(0x27D4_EB2F)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn finish(s: Pairs) -> Pairs {
    let zero = (all(0), all(0));
    let (a, b) = absorb(absorb(s, zero), zero);
    (_mm256_xor_si256(a, _mm256_srli_epi32::<16>(a)), _mm256_xor_si256(b, _mm256_srli_epi32::<16>(b)))
}

#[target_feature(enable = "avx2")]
#[inline]
fn all(word: u32) -> __m256i {
    _mm256_set1_epi32(word.cast_signed())
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(words: &[u32; WIDTH]) -> __m256i {
    // SAFETY: 32 bytes are there, and the load asks for no alignment.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(words: &mut [u32; WIDTH], x: __m256i) {
    // SAFETY: 32 bytes are there, and the store asks for no alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), x) }
}

/// Panics unless all indices are below `length`. Gathers take signed indices, hence the second limit.
#[target_feature(enable = "avx2")]
#[inline]
fn check(indices: __m256i, length: usize) {
    let limit = length.min(i32::MAX as usize) as u32;
    // max(index, limit) = index means index ≥ limit.
    let reaches = _mm256_cmpeq_epi32(_mm256_max_epu32(indices, all(limit)), indices);
    let none = _mm256_movemask_epi8(reaches) == 0;
    assert!(none, "an index reaches beyond a column of {length} entries");
}

/// Eight entries of a column.
#[derive(Clone, Copy)]
enum Picks {
    /// These follow each other: as a rule the rows of the finest context do. Two loads cost a fraction of a gather.
    Run(usize),
    /// Entries at these places.
    Any(__m256i),
}

#[target_feature(enable = "avx2")]
#[inline]
fn picks(at: &[u32; WIDTH]) -> Picks {
    let at = load(at);
    let first = _mm256_cvtsi256_si32(at);
    let run = _mm256_add_epi32(_mm256_set1_epi32(first), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    if _mm256_movemask_epi8(_mm256_cmpeq_epi32(at, run)) == -1 {
        return Picks::Run(first.cast_unsigned() as usize);
    }
    Picks::Any(at)
}

#[target_feature(enable = "avx2")]
#[inline]
fn pick_words(words: &[u32], picks: Picks) -> __m256i {
    let at = match picks {
        Picks::Run(first) => return load(&words[first..first + WIDTH].as_chunks().0[0]),
        Picks::Any(at) => at,
    };
    check(at, words.len());
    // SAFETY: all eight indices are below the length and positive as signed numbers.
    unsafe { _mm256_i32gather_epi32::<4>(words.as_ptr().cast(), at) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn pick_pairs(pairs: &[Pair], picks: Picks) -> Pairs {
    let (first, last) = match picks {
        Picks::Run(first) => {
            let words = pairs[first..first + WIDTH].as_flattened().as_chunks::<WIDTH>().0;
            (load(&words[0]), load(&words[1]))
        }
        Picks::Any(at) => {
            check(at, pairs.len());
            let (first, last) = (_mm256_castsi256_si128(at), _mm256_extracti128_si256::<1>(at));
            let from = pairs.as_ptr().cast();
            // SAFETY: all eight indices are below the length and positive as signed numbers; a pair has eight bytes.
            unsafe { (_mm256_i32gather_epi64::<8>(from, first), _mm256_i32gather_epi64::<8>(from, last)) }
        }
    };
    let (first, last) = (_mm256_castsi256_ps(first), _mm256_castsi256_ps(last));
    // Low (or high) words of pairs 0, 1, 4, 5, 2, 3, 6, 7; then in order.
    let lo = _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(first, last));
    let hi = _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(first, last));
    (_mm256_permute4x64_epi64::<0b11_01_10_00>(lo), _mm256_permute4x64_epi64::<0b11_01_10_00>(hi))
}
