//! Ctrl-C, and being told to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of who is interrupted twice, as shells have it.
const INTERRUPTED: u8 = 130;

/// Becomes true when somebody asks to stop; whoever asks twice does not want to wait for results.
pub(super) fn asked() -> Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().context("cannot wait for signals")?;
    let (mut interrupt, mut terminate) = {
        let _within = runtime.enter();
        let of = |kind| signal(kind).context("cannot wait for signals");
        (of(SignalKind::interrupt())?, of(SignalKind::terminate())?)
    };
    let told = Arc::clone(&asked);
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if told.swap(true, Relaxed) {
                    crate::leave::at_once(INTERRUPTED);
                }
            }
        });
    });
    Ok(asked)
}
