//! Look-ups of a chunk of keys in the count table, without a branch that the processor could guess wrong.

use super::lanes::{CHUNK, Keys};
use super::memory::prefetch;

/// What `Snapshot::find` gives for the first `due` keys; asks for the slots of the first `coming` of `next`.
///
/// Whether a slot is free, has the key or has another one is chance. So all keys take one step, those whose slot has
/// another key take the next one, and so on.
#[inline]
pub(crate) fn chunk(
    slots: &[[u32; 4]],
    mask: u32,
    keys: &Keys,
    due: usize,
    next: &Keys,
    coming: usize,
    found: &mut Keys,
) {
    let mut unsettled = [0; CHUNK];
    // Whole chunks are the rule, and a loop of known length is faster.
    let mut left = if due == CHUNK && coming == CHUNK {
        first(slots, mask, keys, CHUNK, next, CHUNK, found, &mut unsettled)
    } else {
        first(slots, mask, keys, due, next, coming, found, &mut unsettled)
    };
    // A table is at most half full, but a look-up ends in any table.
    for further in 1..slots.len() {
        if left == 0 {
            break;
        }
        let mut still = 0;
        for at in 0..left {
            let i = usize::from(unsettled[at]);
            let key = [keys.lo[i], keys.hi[i]];
            let slot = key[0].wrapping_add(further as u32) & mask;
            let other = step(&slots[slot as usize], key, (&mut found.lo[i], &mut found.hi[i]));
            unsettled[still] = i as u8;
            still += usize::from(other);
        }
        left = still;
    }
}

/// The first step of all keys; returns how many took no answer from it, and lists them.
#[inline(always)]
#[allow(clippy::too_many_arguments)] // one loop over what `chunk` has
fn first(
    slots: &[[u32; 4]],
    mask: u32,
    keys: &Keys,
    due: usize,
    next: &Keys,
    coming: usize,
    found: &mut Keys,
    unsettled: &mut [u8; CHUNK],
) -> usize {
    let mut left = 0;
    for i in 0..CHUNK {
        if i < coming {
            prefetch(slots, (next.lo[i] & mask) as usize);
        }
        if i < due {
            let key = [keys.lo[i], keys.hi[i]];
            let slot = &slots[(key[0] & mask) as usize];
            let other = step(slot, key, (&mut found.lo[i], &mut found.hi[i]));
            unsettled[left] = i as u8;
            left += usize::from(other);
        }
    }
    left
}

/// Takes a slot's counts if it has the key, else zeros; whether it has another key.
#[inline]
fn step(slot: &[u32; 4], key: [u32; 2], found: (&mut u32, &mut u32)) -> bool {
    let used = slot[2] != 0;
    let same = (slot[0] ^ key[0]) | (slot[1] ^ key[1]) == 0;
    let keep = 0u32.wrapping_sub(u32::from(used & same));
    *found.0 = slot[2] & keep;
    *found.1 = slot[3] & keep;
    used & !same
}
