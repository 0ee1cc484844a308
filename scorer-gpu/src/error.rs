//! What can go wrong between a wish for a GPU and a working one.

use crate::adapter::{AdapterInfo, AdapterKind};
use thiserror::Error;

/// Why no backend could be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// `--backend` is none of the three words.
    #[error("unknown backend {0:?}: use --backend auto, cpu or gpu")]
    UnknownChoice(String),
    /// There is no card, or none with a driver.
    #[error("{}: install the card's Vulkan driver, or use --backend cpu{}", no_hardware(.found), name_hint(.found))]
    NoHardware {
        /// What there was instead.
        found: Vec<AdapterInfo>,
    },
    /// No adapter has the name.
    #[error("{}: use one of these with --adapter, or --backend cpu", no_such(.name, .found))]
    NoSuchAdapter {
        /// The name asked for.
        name: String,
        /// What there was instead.
        found: Vec<AdapterInfo>,
    },
    /// The baseline needs more than the adapter offers.
    #[error(
        "{adapter}: {what} needs {needed} bytes and the adapter takes at most {limit}: use --backend cpu or another --adapter"
    )]
    TooLarge {
        /// The adapter.
        adapter: String,
        /// What is too large.
        what: &'static str,
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The driver refused the device, a buffer or a shader.
    #[error("{adapter}: {why}: update the driver, or use --backend cpu")]
    Device {
        /// The adapter.
        adapter: String,
        /// The driver's words, on one line.
        why: String,
    },
}

impl OpenError {
    /// The cause alone, without the next step: what `auto` says when it takes the CPU.
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::NoHardware { found } => no_hardware(found),
            Self::NoSuchAdapter { name, found } => no_such(name, found),
            other => other.to_string(),
        }
    }
}

fn no_hardware(found: &[AdapterInfo]) -> String {
    let software: Vec<&str> = found
        .iter()
        .filter(|adapter| adapter.kind == AdapterKind::Software)
        .map(|adapter| adapter.name.as_str())
        .collect();
    match software.as_slice() {
        [] => "no hardware GPU found (no Vulkan adapter)".to_owned(),
        [one] => format!("no hardware GPU found ({one} is a software adapter)"),
        several => format!("no hardware GPU found ({} are software adapters)", several.join(", ")),
    }
}

fn name_hint(found: &[AdapterInfo]) -> String {
    match found.first() {
        Some(adapter) => format!(", or --adapter {:?} to test on it", adapter.name),
        None => String::new(),
    }
}

fn no_such(name: &str, found: &[AdapterInfo]) -> String {
    let names: Vec<&str> = found.iter().map(|adapter| adapter.name.as_str()).collect();
    match names.as_slice() {
        [] => format!("no adapter named {name:?} (no Vulkan adapter found)"),
        names => format!("no adapter named {name:?} (found {})", names.join(", ")),
    }
}

/// The driver's words on one line.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
