//! Look-ups of a chunk of keys in the count table, without a branch that the processor could guess wrong.

use super::lanes::{CHUNK, Keys, Mask};
use super::memory::prefetch;

/// Asks for the slots of the keys that are asked for.
#[inline(always)]
pub(crate) fn expect(slots: &[[u32; 4]], mask: u32, keys: &Keys, asked: &Mask) {
    for (lo, asked) in keys.lo.iter().zip(asked) {
        // The others ask for the first slot, which is in the cache.
        let slot = (lo & mask & asked) as usize;
        prefetch(slots, slot);
        // Every second look-up goes on to further slots, which may be in the next line.
        prefetch(slots, slot + 2);
    }
}

/// What `Snapshot::find` gives for the keys that are asked for; zeros for the others.
///
/// Whether a slot is free, has the key or has another one is chance. So all keys take one step, those whose slot has
/// another key take the next one, and so on.
#[inline(always)]
pub(crate) fn find(slots: &[[u32; 4]], mask: u32, keys: &Keys, asked: &Mask, found: &mut Keys) {
    let mut unsettled = [0; CHUNK];
    let mut left = 0;
    for i in 0..CHUNK {
        let key = [keys.lo[i], keys.hi[i]];
        let slot = &slots[(key[0] & mask & asked[i]) as usize];
        let other = step(slot, key, asked[i], (&mut found.lo[i], &mut found.hi[i]));
        unsettled[left] = i as u8;
        left += usize::from(other);
    }
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
            let other = step(&slots[slot as usize], key, u32::MAX, (&mut found.lo[i], &mut found.hi[i]));
            unsettled[still] = i as u8;
            still += usize::from(other);
        }
        left = still;
    }
}

/// Takes a slot's counts if it has the key and is asked for, else zeros; whether it has another key.
#[inline(always)]
fn step(slot: &[u32; 4], key: [u32; 2], asked: u32, found: (&mut u32, &mut u32)) -> bool {
    let used = (slot[2] != 0) & (asked != 0);
    let same = (slot[0] ^ key[0]) | (slot[1] ^ key[1]) == 0;
    let keep = 0u32.wrapping_sub(u32::from(used & same));
    *found.0 = slot[2] & keep;
    *found.1 = slot[3] & keep;
    used & !same
}
