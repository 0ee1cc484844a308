//! Where records of varying length are put together: too long for the stack.

use crate::task::Kernel;
use aya_ebpf::{
    helpers::generated::{bpf_probe_read_kernel_str, bpf_probe_read_user, bpf_probe_read_user_str},
    macros::map,
    maps::PerCpuArray,
};
use core::hint::black_box;
use events::{ARGS_MAX, NAME_MAX};

const SIZE: usize = 16_384;
/// What is appended starts below this, so that the longest piece fits behind it.
const START_MASK: usize = 8191;

/// One for each program that uses one: a program may interrupt another on its processor, but never itself.
#[map]
pub static EXEC_SCRATCH: PerCpuArray<[u8; SIZE]> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub static CALL_SCRATCH: PerCpuArray<[u8; SIZE]> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub static ITER_SCRATCH: PerCpuArray<[u8; SIZE]> = PerCpuArray::with_max_entries(1, 0);

/// Where the length is kept, behind everything else.
const LEN: usize = SIZE - size_of::<u64>();

/// A record in the making.
///
/// Its length lies in the map, too: what is read from there the verifier knows nothing of, so that all ways through a loop
/// look the same to it. A length in a register would be followed along every one of them.
pub struct Scratch {
    bytes: *mut u8,
}

/// Keeps `len` in sight of the verifier: `max` is a power of two less one.
#[inline(always)]
fn bound(len: usize, max: usize) -> usize {
    let len = if len > max { max } else { len };
    black_box(len) & max
}

impl Scratch {
    /// This processor's, with room for a head of type `T` at its beginning.
    #[inline(always)]
    pub fn with_head<T>(map: &'static PerCpuArray<[u8; SIZE]>) -> Option<Self> {
        let scratch = Self { bytes: map.get_ptr_mut(0)?.cast() };
        scratch.set(size_of::<T>());
        Some(scratch)
    }

    /// Bytes so far.
    #[inline(always)]
    pub fn len(&self) -> usize {
        // SAFETY: within the scratch, which is this processor's.
        (unsafe { self.bytes.add(LEN).cast::<u64>().read_volatile() }) as usize & START_MASK
    }

    #[inline(always)]
    fn set(&self, len: usize) {
        // SAFETY: as for reading.
        unsafe { self.bytes.add(LEN).cast::<u64>().write_volatile(len as u64) };
    }

    /// Takes back what was appended since `len`.
    #[inline(always)]
    pub fn cut(&mut self, len: usize) {
        self.set(len);
    }

    #[inline(always)]
    fn end(&self) -> *mut u8 {
        // SAFETY: the mask keeps it within the scratch.
        unsafe { self.bytes.add(black_box(self.len()) & START_MASK) }
    }

    /// Appends a kernel string without its NUL; returns its bytes.
    #[inline(always)]
    pub fn string(&mut self, text: Kernel) -> usize {
        // SAFETY: 256 bytes fit behind the end; the helper catches faults.
        let got = unsafe { bpf_probe_read_kernel_str(self.end().cast(), NAME_MAX as u32 + 1, text.0.cast()) };
        let len = if got > 0 { bound(got as usize - 1, NAME_MAX) } else { 0 };
        self.set(self.len() + len);
        len
    }

    /// Appends the name of a BPF program from the memory of the running process.
    #[inline(always)]
    pub fn user_name(&mut self, address: u64) {
        // SAFETY: 16 bytes fit behind the end; the helper catches faults.
        let got = unsafe { bpf_probe_read_user_str(self.end().cast(), 16, address as *const _) };
        let len = if got > 0 { bound(got as usize - 1, 15) } else { 0 };
        self.set(self.len() + len);
    }

    /// Appends a name and `/`; false if it cannot be read.
    #[inline(always)]
    pub fn name(&mut self, text: Kernel) -> bool {
        let len = self.string(text);
        // SAFETY: one byte fits behind the end.
        unsafe { self.end().write(b'/') };
        self.set(self.len() + 1);
        len > 0
    }

    /// Appends arguments of the running process, from `first`; returns the bytes.
    #[inline(always)]
    pub fn arguments(&mut self, first: u64, len: u64) -> usize {
        let want = bound(len as usize, ARGS_MAX);
        // SAFETY: 4,095 bytes fit behind the end; the helper catches faults.
        let failed = unsafe { bpf_probe_read_user(self.end().cast(), want as u32, first as *const _) };
        let got = if failed == 0 { want } else { 0 };
        self.set(self.len() + got);
        got
    }

    /// Writes the head; the record is complete.
    #[inline(always)]
    pub fn finish<T: bytemuck::NoUninit>(self, head: T) -> &'static [u8] {
        let len = black_box(self.len()) & START_MASK;
        // SAFETY: a head fits at the beginning, and `len` bytes are within the scratch, which is this processor's.
        unsafe {
            self.bytes.cast::<T>().write(head);
            core::slice::from_raw_parts(self.bytes, len)
        }
    }
}
