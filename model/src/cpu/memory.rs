//! Advice to the processor and the kernel about the memory of the count table. Neither changes what is read.

/// The smallest table worth huge pages, in bytes.
const HUGE: usize = 8 << 20;

/// Asks the kernel to back memory by huge pages where they are whole. It costs nothing where there are none; where there
/// are, a random look-up in a large table finds its page in the processor's own list. Call it before the memory is used
/// first: what is used already is changed later, if at all.
pub(crate) fn huge_pages<T>(entries: &mut [T]) {
    #[cfg(target_os = "linux")]
    {
        use rustix::mm::{Advice, madvise};
        let page = rustix::param::page_size();
        let start = entries.as_ptr().addr();
        let first = start.next_multiple_of(page) - start;
        let length = size_of_val(entries).saturating_sub(first) / page * page;
        if length >= HUGE {
            let at = entries.as_mut_ptr().wrapping_byte_add(first);
            // SAFETY: whole pages within the slice; this advice changes no content. A refusal changes nothing at all.
            let _ = unsafe { madvise(at.cast(), length, Advice::LinuxHugepage) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = entries;
}

/// Asks for an entry that will be read soon.
#[inline(always)]
pub(crate) fn prefetch<T>(entries: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let entry = entries.as_ptr().wrapping_add(at);
        // SAFETY: a prefetch of any address reads nothing and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(entry.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (entries, at);
}
