//! Keys of the count table: keyed hashing of values, and the mixing that combines them (docs/model.md §1, §2).

use std::fmt;
use std::hash::Hasher;
use std::io::Read;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

/// A 64-bit quantity as `[low, high]`, because shaders have no 64-bit integers.
pub type Pair = [u32; 2];

/// The scope of the whole fleet, in the place where a host's value hash stands for host scope.
pub const FLEET: Pair = [0x461E_E700, 0x46A5_C0DE];

/// What the scope of a peer group starts from.
pub const GROUP: Pair = [0x9EE2_6009, 0x0601_D5A7];

/// In the place of a group's scope: the host has no group, and the level is skipped.
pub const NO_GROUP: Pair = [0, 0];

/// The secret of a baseline: bytes 0–15 key the value hash, 16–23 the table keys; the rest is unused.
///
/// Under an unknown key nobody can choose values that collide with those of another program.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashKey(pub [u8; 32]);

impl HashKey {
    /// A new key from the operating system's random source.
    pub fn generate() -> std::io::Result<Self> {
        let mut bytes = [0; 32];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The hash of a value: null is the byte 0, a string the byte 1 and its UTF-8.
    pub fn value(&self, value: Option<&str>) -> Pair {
        let mut key = [0; 16];
        key.copy_from_slice(&self.0[..16]);
        let mut sip = SipHasher24::new_with_key(&key);
        match value {
            None => sip.write(&[0]),
            Some(text) => {
                sip.write(&[1]);
                sip.write(text.as_bytes());
            }
        }
        pair(sip.finish())
    }

    /// The scope of the peer group of this name.
    pub fn group(&self, name: &str) -> Pair {
        absorb(GROUP, self.value(Some(name)))
    }

    /// Where the keys of a lens start: this key's bytes 16–23 absorbed with the lens digest's first eight.
    pub fn seed(&self, lens_digest: &[u8; 32]) -> Pair {
        absorb(pair_at(&self.0, 16), pair_at(lens_digest, 0))
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(..)") // a secret: never in logs
    }
}

/// Splits a 64-bit number into `[low, high]`.
pub const fn pair(x: u64) -> Pair {
    [x as u32, (x >> 32) as u32]
}

/// Joins `[low, high]`; pairs are ordered by this number.
pub const fn join(p: Pair) -> u64 {
    (p[1] as u64) << 32 | p[0] as u64
}

fn pair_at(bytes: &[u8; 32], at: usize) -> Pair {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    pair(u64::from_le_bytes(eight))
}

/// Mixes `v` into `s`; for a fixed `v` a bijection of `s`.
#[inline]
pub const fn absorb(s: Pair, v: Pair) -> Pair {
    let a = (s[0] ^ v[0]).wrapping_mul(0x9E37_79B1);
    let b = (s[1] ^ v[1]).wrapping_mul(0x85EB_CA77);
    let a = a.rotate_left(15).wrapping_add(b);
    let b = b.rotate_left(13) ^ a;
    [a.wrapping_mul(0xC2B2_AE3D), b.wrapping_mul(0x27D4_EB2F)]
}

/// Turns a state into a table key whose low bits are well mixed.
#[inline]
pub const fn finish(s: Pair) -> Pair {
    let t = absorb(absorb(s, [0, 0]), [0, 0]);
    [t[0] ^ t[0] >> 16, t[1] ^ t[1] >> 16]
}

/// The table key of context or cell `x` in a scope: a host's value hash, or [`FLEET`].
#[inline]
pub const fn scoped(x: Pair, scope: Pair) -> Pair {
    finish(absorb(x, scope))
}

/// The state before the fields of context number `context` (0 is the finest) of view number `view`.
#[inline]
pub const fn context_start(seed: Pair, view: u32, context: u32) -> Pair {
    absorb(seed, [view, context])
}

/// A hasher for keys that are already pseudo-random: it passes their low and high halves through.
#[derive(Default, Clone, Copy)]
pub(crate) struct PassThrough(u64);

impl Hasher for PassThrough {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = (self.0 ^ u64::from(*b)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
    }

    fn write_u64(&mut self, x: u64) {
        self.0 = x;
    }
}

/// A map from [`join`]ed pairs.
pub(crate) type PairMap<V> = std::collections::HashMap<u64, V, std::hash::BuildHasherDefault<PassThrough>>;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn null_is_not_the_empty_string() {
        let key = HashKey([7; 32]);
        assert_ne!(key.value(None), key.value(Some("")));
        assert_ne!(key.value(Some("a")), HashKey([8; 32]).value(Some("a")));
    }

    #[test]
    fn siphash_reference_vector() {
        // SipHash-2-4 paper, appendix A: key 00..0f, message 00..0e.
        let mut sip = SipHasher24::new_with_key(&std::array::from_fn(|i| i as u8));
        sip.write(&std::array::from_fn::<u8, 15, _>(|i| i as u8));
        assert_eq!(sip.finish(), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn absorb_golden() {
        // Worked by hand from docs/model.md §2 with s = (1, 2), v = (3, 4).
        let a: u64 = (1 ^ 3) * 0x9E37_79B1 % (1 << 32);
        let b: u64 = (2 ^ 4) * 0x85EB_CA77 % (1 << 32);
        let a = ((a << 15 | a >> 17) % (1 << 32) + b) % (1 << 32);
        let b = ((b << 13 | b >> 19) % (1 << 32)) ^ a;
        let want = [(a * 0xC2B2_AE3D) as u32, (b * 0x27D4_EB2F) as u32];
        assert_eq!(absorb([1, 2], [3, 4]), want);
    }

    proptest! {
        #[test]
        fn absorb_is_injective_in_the_state(s: Pair, t: Pair, v: Pair) {
            prop_assert_eq!(s == t, absorb(s, v) == absorb(t, v));
            prop_assert_eq!(pair(join(s)), s);
        }
    }
}
