//! What user space shares with the programs: rings, counters, owners, flows, rates, and the frozen settings.

use aya_ebpf::{
    bindings::{
        BPF_F_NO_PREALLOC, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE,
        bpf_map_type::{BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_RINGBUF},
    },
    cty::c_void,
    helpers::generated::{
        bpf_get_smp_processor_id, bpf_map_lookup_elem, bpf_ringbuf_output, bpf_ringbuf_query, bpf_ringbuf_reserve,
        bpf_ringbuf_submit,
    },
    macros::map,
    maps::{HashMap, LruHashMap, PerCpuArray},
};
use core::{arch::asm, ptr::null};
use events::{Count, EventType, Flow, FlowState, Maker, Offsets, Owner, Rate, Scope, Settings, Throttled};

/// A number as the loader reads it from a map's type: the length of an array that nothing points to.
type Number<const N: usize> = *const [i32; N];

/// The shape of every ring; user space makes them in the size it wants.
#[repr(C)]
pub struct RingShape {
    r#type: Number<{ BPF_MAP_TYPE_RINGBUF as usize }>,
    max_entries: Number<4096>,
}

/// The rings: that of process events, which no flood of sockets can fill, and behind it those of socket events, by
/// processor.
#[repr(C)]
pub struct Rings {
    r#type: Number<{ BPF_MAP_TYPE_ARRAY_OF_MAPS as usize }>,
    key_size: Number<4>,
    value_size: Number<4>,
    max_entries: Number<65>,
    values: [*const RingShape; 0],
}

// SAFETY: nothing reads the pointers; the loader reads their types.
unsafe impl Sync for Rings {}

#[unsafe(link_section = ".maps")]
#[unsafe(no_mangle)]
static RINGS: Rings = Rings { r#type: null(), key_size: null(), value_size: null(), max_entries: null(), values: [] };

/// Rows per event type, see [`EventType::slot`], and the count of unix sockets.
#[map]
pub static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(EventType::SLOTS, 0);
/// Socket cookie to the process that uses it.
#[map]
pub static OWNERS: LruHashMap<u64, Owner> = LruHashMap::with_max_entries(65_536, 0);
/// Flows of UDP sockets. User space reports and removes those that ended.
#[map]
pub static FLOWS: HashMap<Flow, FlowState> = HashMap::with_max_entries(65_536, BPF_F_NO_PREALLOC);
/// Cookies of UDP sockets that were closed, and when. User space ends their flows; the kernel side begins none.
#[map]
pub static RELEASED: LruHashMap<u64, u64> = LruHashMap::with_max_entries(16_384, 0);
/// How many events each process makes.
#[map]
static RATES: LruHashMap<Maker, Rate> = LruHashMap::with_max_entries(16_384, 0);
/// Processes that make too many. User space reports and removes those that are quiet again.
#[map]
static THROTTLED: HashMap<Maker, Throttled> = HashMap::with_max_entries(4096, BPF_F_NO_PREALLOC);

#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::ZERO;
#[unsafe(no_mangle)]
static SCOPE: Scope = Scope { cgroup: 0, level: 0 };
#[unsafe(no_mangle)]
static SETTINGS: Settings = Settings {
    rate_limit: 0,
    shard_mask: 0,
    exit_says_last: 0,
    calls: [u32::MAX; events::Call::ALL.len()],
    registers: [0; 4],
    socket_cookies: 0,
    followed: [0; 8],
};

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

/// What user space decided.
#[inline(always)]
pub fn settings() -> *const Settings {
    &raw const SETTINGS
}

/// A decision, by its name in [`Settings`].
macro_rules! setting {
    ($($field:tt)+) => {{
        // SAFETY: as for `offset`.
        unsafe { core::ptr::read_volatile(&raw const (*$crate::maps::settings()).$($field)+) }
    }};
}
pub(crate) use setting;

/// The scope set by user space.
#[inline(always)]
pub fn scope() -> Scope {
    // SAFETY: as for `offset`.
    unsafe { core::ptr::read_volatile(&raw const SCOPE) }
}

/// Adds to a number that others add to.
#[inline(always)]
pub fn add(number: *mut u64, amount: u64) {
    // One instruction, as a softirq or another task can come between a read and a write. The compiler's own atomics
    // are not offered for this target.
    // SAFETY: the callers have a valid, aligned pointer into a map.
    unsafe { asm!("lock *(u64 *)({number} + 0) += {amount}", number = in(reg) number, amount = in(reg) amount) };
}

/// Adds one to a row of [`COUNTERS`].
#[inline(always)]
pub fn count(slot: u32) {
    count_many(slot, 1);
}

/// Adds to a row of [`COUNTERS`].
#[inline(always)]
pub fn count_many(slot: u32, amount: u64) {
    if let Some(counter) = COUNTERS.get_ptr_mut(slot) {
        add(counter, amount);
    }
}

/// Which ring a record goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ring {
    /// What processes do.
    Lifecycle,
    /// What sockets do.
    Sockets,
}

impl Ring {
    #[inline(always)]
    fn index(self) -> u32 {
        match self {
            Self::Lifecycle => 0,
            // SAFETY: takes nothing, changes nothing.
            Self::Sockets => 1 + (unsafe { bpf_get_smp_processor_id() } & setting!(shard_mask)),
        }
    }
}

/// Sends a record, or counts what became of it: everything that happens is one or the other.
///
/// `maker` is the process whose rate it counts for; that with number 0 is nobody.
#[inline(always)]
pub fn emit(ring: Ring, kind: EventType, maker: Maker, time: u64, record: &[u8]) {
    if wanted(kind, maker, time) && send(ring.index(), record).is_none() {
        count(kind.slot(Count::RingFull));
    }
}

/// As [`emit`], for a record that is put together in the ring: for programs that may be interrupted by themselves, and
/// so can share no scratch.
#[inline(always)]
pub fn emit_in_place<T>(ring: Ring, kind: EventType, maker: Maker, time: u64, fill: impl FnOnce(*mut T)) {
    if wanted(kind, maker, time) && reserve(ring.index(), fill).is_none() {
        count(kind.slot(Count::RingFull));
    }
}

/// Counts an event; false if its process makes too many, which is counted too.
#[inline(always)]
fn wanted(kind: EventType, maker: Maker, time: u64) -> bool {
    count(kind.slot(Count::Produced));
    let summarised = kind.may_be_summarised() && maker.tgid != 0 && too_many(kind, maker, time);
    if summarised {
        count(kind.slot(Count::Summarised));
    }
    !summarised
}

/// As [`emit`], for a record of fixed size.
#[inline(always)]
pub fn emit_all<T: bytemuck::NoUninit>(ring: Ring, kind: EventType, maker: Maker, time: u64, record: &T) {
    emit(ring, kind, maker, time, bytemuck::bytes_of(record));
}

/// A ring by its place in the map, and how to wake its reader: only when a quarter of it waits, as a wake costs more
/// than a record.
#[inline(always)]
fn ring(index: u32) -> Option<(*mut c_void, u64)> {
    // SAFETY: the helpers take a map, a key for it, and a ring that is not null.
    unsafe {
        let ring = bpf_map_lookup_elem((&raw const RINGS).cast_mut().cast(), (&raw const index).cast());
        if ring.is_null() {
            return None;
        }
        let full =
            bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA as u64) >= bpf_ringbuf_query(ring, BPF_RB_RING_SIZE as u64) / 4;
        Some((ring, if full { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP } as u64))
    }
}

#[inline(always)]
fn send(index: u32, record: &[u8]) -> Option<()> {
    let (ring, wake) = ring(index)?;
    let bytes = record.as_ptr().cast_mut().cast::<c_void>();
    // SAFETY: the helper takes a ring, and bytes that are readable for their length.
    (unsafe { bpf_ringbuf_output(ring, bytes, record.len() as u64, wake) } == 0).then_some(())
}

#[inline(always)]
fn reserve<T>(index: u32, fill: impl FnOnce(*mut T)) -> Option<()> {
    let (ring, wake) = ring(index)?;
    // SAFETY: what is reserved is submitted, and belongs to this program in between.
    unsafe {
        let record = bpf_ringbuf_reserve(ring, size_of::<T>() as u64, 0);
        if record.is_null() {
            return None;
        }
        fill(record.cast());
        bpf_ringbuf_submit(record, wake);
    }
    Some(())
}

/// Whether a process makes more events of one type than it may in this second, and if so counts one more of them.
#[inline(always)]
fn too_many(kind: EventType, maker: Maker, time: u64) -> bool {
    let limit = setting!(rate_limit);
    if limit == 0 {
        return false;
    }
    // A second of 2^30 nanoseconds: a division less.
    let second = time >> 30;
    // Each type has a limit of its own: many of one kind do not hide a few of another.
    let of_kind = Maker { tgid: maker.tgid | (kind as u64) << 32, ..maker };
    let Some(rate) = RATES.get_ptr_mut(&of_kind) else {
        let _ = RATES.insert(&of_kind, &Rate { second, events: 1 }, 0);
        return false;
    };
    // SAFETY: the map keeps the memory. Two processors that come at once may lose a count, which moves the limit by one.
    unsafe {
        if (*rate).second != second {
            (*rate).second = second;
            (*rate).events = 0;
        }
        (*rate).events += 1;
        if (*rate).events <= limit {
            return false;
        }
    }
    summarise(kind, maker, time)
}

/// Counts an event for a process that makes too many; false if there is no room to.
#[inline(always)]
fn summarise(kind: EventType, maker: Maker, time: u64) -> bool {
    let mut entry = THROTTLED.get_ptr_mut(&maker);
    if entry.is_none() {
        insert(maker, time);
        entry = THROTTLED.get_ptr_mut(&maker);
    }
    let Some(entry) = entry else { return false };
    // SAFETY: the map keeps the memory.
    unsafe {
        (*entry).last = time;
        add(&raw mut (*entry).summarised[kind as usize], 1);
    }
    true
}

/// Where a new entry is put together. Its counts stay zero; of two programs that come at once either may set the times.
#[map]
static NEW_THROTTLED: PerCpuArray<Throttled> = PerCpuArray::with_max_entries(1, 0);

/// Not a function of its own: in programs that have one, old verifiers take every number for one that matters.
#[inline(always)]
fn insert(maker: Maker, time: u64) {
    const BPF_NOEXIST: u64 = 1;
    let Some(entry) = NEW_THROTTLED.get_ptr_mut(0) else { return };
    // SAFETY: the map keeps the memory.
    unsafe {
        (*entry).first = time;
        (*entry).last = time;
        let _ = THROTTLED.insert(&maker, &*entry, BPF_NOEXIST);
    }
}
