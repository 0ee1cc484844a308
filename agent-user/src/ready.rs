//! Waiting for a ring that is filling up.

use rustix::event::epoll;
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};
use tokio::io::{Interest, unix::AsyncFd};

/// Becomes readable when the kernel wakes the reader of any of the rings.
///
/// # Errors
/// If a descriptor cannot be watched.
pub(crate) fn readable<'a, R: AsFd + 'a>(rings: impl Iterator<Item = &'a R>) -> io::Result<AsyncFd<OwnedFd>> {
    let all = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for ring in rings {
        // By edge: what a wake was for is read in any case, and a ring is hardly ever empty.
        epoll::add(&all, ring, epoll::EventData::new_u64(0), epoll::EventFlags::IN | epoll::EventFlags::ET)?;
    }
    // SAFETY: the registration needs the descriptor to stay open as long as it lasts; it owns it.
    unsafe { AsyncFd::register_with_interest(all, Interest::READABLE) }.map_err(io::Error::from)
}
