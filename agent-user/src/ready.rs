//! Waiting for a ring that is filling up.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};
use tokio::io::{Interest, unix::AsyncFd};

/// Becomes readable when the kernel wakes the reader of a ring.
///
/// # Errors
/// If the descriptor cannot be duplicated or watched.
pub(crate) fn readable(ring: &impl AsFd) -> io::Result<AsyncFd<OwnedFd>> {
    let own = ring.as_fd().try_clone_to_owned()?;
    // SAFETY: the registration needs the descriptor to stay open as long as it lasts; it owns it.
    unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) }.map_err(io::Error::from)
}
