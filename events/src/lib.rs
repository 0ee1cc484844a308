//! The wire record shared with the kernel side, the process key, and the Arrow schemas made from them.
//!
//! The kernel programs build this crate without its default feature `std`; everything but the schemas is `no_std`.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "std", test))]
extern crate std;

mod decode;
mod key;
mod kind;
mod offsets;
#[cfg(feature = "std")]
mod schema;
mod wire;

pub use decode::{Exec, Malformed, Record, decode};
pub use key::{ParseKeyError, ProcessKey};
pub use kind::{DropReason, EventType, Outcome, UnknownEventType};
pub use offsets::{Member, Offsets};
#[cfg(feature = "std")]
pub use schema::{
    CONNECTION, HEARTBEAT, PROCESS, SCHEMA_VERSION, connection_schema, dictionary, heartbeat_schema, process_schema,
    timestamp,
};
pub use wire::*;
