//! What user space shares with the programs: rings, counters, owners, and the frozen settings.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE},
    macros::map,
    maps::{LruHashMap, PerCpuArray, RingBuf},
};
use core::arch::asm;
use events::{EventType, Flow, Offsets, Owner, Scope};

/// Process events. A flood of sockets cannot push them out.
#[map]
pub static LIFECYCLE: RingBuf = RingBuf::with_byte_size(1 << 22, 0);
/// Socket events.
#[map]
pub static SOCKETS: RingBuf = RingBuf::with_byte_size(1 << 23, 0);
/// Two rows per event type, see [`EventType::produced_slot`].
#[map]
pub static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(EventType::SLOTS, 0);
/// Socket cookie to the process that uses it.
#[map]
pub static OWNERS: LruHashMap<u64, Owner> = LruHashMap::with_max_entries(65_536, 0);
/// Destinations that an unconnected socket has been seen to send to.
#[map]
pub static FLOWS: LruHashMap<Flow, u8> = LruHashMap::with_max_entries(65_536, 0);
/// Where an exec record is put together. Only the exec program may use it.
#[map]
pub static EXEC_SCRATCH: PerCpuArray<[u8; 8192]> = PerCpuArray::with_max_entries(1, 0);

#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::ZERO;
#[unsafe(no_mangle)]
static SCOPE: Scope = Scope { cgroup: 0, level: 0 };
/// 1 if the exit tracepoint says whether the last thread went, 0 if the kernel is older than that.
#[unsafe(no_mangle)]
static EXIT_SAYS_LAST: u32 = 0;

/// The offsets in the running kernel.
#[inline(always)]
pub fn offsets() -> *const Offsets {
    &raw const OFFSETS
}

/// Offset of a member, by its name in [`Offsets`].
macro_rules! offset {
    ($field:ident) => {{
        // SAFETY: reads a static that nothing in this program writes; volatile because user space does, before the load.
        (unsafe { core::ptr::read_volatile(&raw const (*$crate::maps::offsets()).$field) }) as usize
    }};
}
pub(crate) use offset;

/// The scope set by user space.
#[inline(always)]
pub fn scope() -> Scope {
    // SAFETY: as for `offset`.
    unsafe { core::ptr::read_volatile(&raw const SCOPE) }
}

/// Whether the exit tracepoint carries the flag.
#[inline(always)]
pub fn exit_says_last() -> bool {
    // SAFETY: as for `offset`.
    unsafe { core::ptr::read_volatile(&raw const EXIT_SAYS_LAST) != 0 }
}

/// Adds one to a row of [`COUNTERS`].
#[inline(always)]
fn count(slot: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(slot) {
        // One instruction, as a softirq or another task can come between a read and a write. The compiler's own atomics
        // are not offered for this target.
        // SAFETY: the map gave a valid, aligned pointer to this processor's row.
        unsafe { asm!("lock *(u64 *)({counter} + 0) += {one}", counter = in(reg) counter, one = in(reg) 1_u64) };
    }
}

/// Wake the reader only when a quarter of the ring waits for it; a wake costs more than the record.
#[inline(always)]
fn wakeup(ring: &RingBuf) -> u64 {
    let full = ring.query(BPF_RB_AVAIL_DATA as u64) >= ring.query(BPF_RB_RING_SIZE as u64) / 4;
    if full { BPF_RB_FORCE_WAKEUP as u64 } else { BPF_RB_NO_WAKEUP as u64 }
}

/// Sends a record of fixed size, or counts that there was no room.
#[inline(always)]
pub fn emit<T: 'static>(ring: &RingBuf, kind: EventType, record: T) {
    count(kind.produced_slot());
    match ring.reserve::<T>(0) {
        Some(mut entry) => {
            entry.write(record);
            entry.submit(wakeup(ring));
        }
        None => count(kind.ring_full_slot()),
    }
}

/// Sends a record of any size, or counts that there was no room.
#[inline(always)]
pub fn emit_bytes(ring: &RingBuf, kind: EventType, record: &[u8]) {
    count(kind.produced_slot());
    if ring.output::<[u8]>(record, wakeup(ring)).is_err() {
        count(kind.ring_full_slot());
    }
}
