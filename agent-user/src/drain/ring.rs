//! A ring of the kernel, read without giving room back: what was read stays there until it is committed.
//!
//! Layout of a ring's memory: `linux/bpf.h` and the kernel's page on the BPF ring buffer. One page holds the consumer's
//! position, one the producer's, then come the records, mapped twice in a row so that each is in one piece.

use super::Ring;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::{
    ffi::c_void,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    ptr::null_mut,
    slice,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

/// The kernel is still writing this record.
const BUSY: u32 = 1 << 31;
/// The kernel gave this record up.
const DISCARDED: u32 = 1 << 30;
/// Bytes before each record.
const HEADER: u64 = 8;

/// Memory of a ring, unmapped when nobody uses it any more.
struct Mapped {
    address: *mut c_void,
    len: usize,
}

// SAFETY: the addresses are valid until the value is dropped, whichever thread uses them; all that changes there is
// read and written by atomics.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    fn new(ring: &OwnedFd, len: usize, protection: ProtFlags, offset: u64) -> io::Result<Self> {
        // SAFETY: the kernel chooses the address, so that nothing is mapped over.
        let address = unsafe { mmap(null_mut(), len, protection, MapFlags::SHARED, ring, offset)? };
        Ok(Self { address, len })
    }

    fn position(&self) -> &AtomicU64 {
        // SAFETY: a page begins with the position; it is aligned and lives as long as `self`.
        unsafe { &*self.address.cast::<AtomicU64>() }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; no reference outlives `self`.
        let _ = unsafe { munmap(self.address, self.len) };
    }
}

/// Gives the kernel its room back, from any thread.
#[derive(Clone)]
pub struct Consumer(Arc<Mapped>);

impl Consumer {
    /// Everything before this position may be overwritten. A position never falls.
    pub fn commit(&self, position: u64) {
        self.0.position().fetch_max(position, Ordering::Release);
    }

    /// Up to where room was given back.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.0.position().load(Ordering::Acquire)
    }
}

/// A ring of the kernel.
pub struct KernelRing {
    descriptor: OwnedFd,
    consumer: Consumer,
    /// The producer's page, then the records twice.
    records: Mapped,
    size: u64,
    /// Up to where records were seen.
    seen: u64,
}

impl KernelRing {
    /// Maps a ring of this many bytes of records.
    ///
    /// # Errors
    /// If the kernel refuses to map it.
    pub fn new(descriptor: OwnedFd, size: u32) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let consumer = Mapped::new(&descriptor, page, ProtFlags::READ | ProtFlags::WRITE, 0)?;
        let records = Mapped::new(&descriptor, page + 2 * size as usize, ProtFlags::READ, page as u64)?;
        let consumer = Consumer(Arc::new(consumer));
        let seen = consumer.committed();
        Ok(Self { descriptor, consumer, records, size: size.into(), seen })
    }

    /// What gives its room back.
    #[must_use]
    pub fn consumer(&self) -> Consumer {
        self.consumer.clone()
    }

    fn header(&self, position: u64) -> u32 {
        // SAFETY: `at` keeps within the mapping, whose records begin at multiples of 8. The kernel writes the word
        // atomically.
        unsafe { &*self.at(position).cast::<AtomicU32>() }.load(Ordering::Acquire)
    }

    /// The address of a position: after the producer's page, within the first of the two copies.
    fn at(&self, position: u64) -> *const u8 {
        let offset = rustix::param::page_size() + (position & (self.size - 1)) as usize;
        // SAFETY: the offset is less than the length of the mapping.
        unsafe { self.records.address.cast::<u8>().add(offset) }
    }
}

impl AsFd for KernelRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Ring for KernelRing {
    fn look(&mut self) -> Option<u64> {
        loop {
            let position = self.seen;
            if position >= self.records.position().load(Ordering::Acquire) {
                return None;
            }
            let header = self.header(position);
            if header & BUSY != 0 {
                return None;
            }
            self.seen += HEADER + u64::from(header & !DISCARDED).next_multiple_of(8);
            if header & DISCARDED == 0 {
                return Some(position);
            }
        }
    }

    fn record(&self, position: u64) -> &[u8] {
        let len = u64::from(self.header(position) & !(BUSY | DISCARDED)).min(self.size - HEADER);
        // SAFETY: a record that was seen and not committed is not written to. It is at most as long as the ring, which
        // is mapped twice, so that it ends within the mapping.
        unsafe { slice::from_raw_parts(self.at(position).add(HEADER as usize), len as usize) }
    }

    fn seen(&self) -> u64 {
        self.seen
    }

    fn resume(&mut self, position: u64) {
        self.consumer.commit(position);
        self.seen = self.consumer.committed();
    }

    fn committed(&self) -> u64 {
        self.consumer.committed()
    }

    fn size(&self) -> u64 {
        self.size
    }
}
