//! The wire record shared with the kernel side, the process key, and the Arrow schemas made from them.
//!
//! The kernel programs build this crate without its default feature `std`; everything but the schemas is `no_std`.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "std", test))]
extern crate std;

mod call;
mod decode;
mod key;
mod kind;
mod offsets;
#[cfg(feature = "std")]
mod schema;
mod wire;

pub use call::Call;
#[cfg(any(feature = "std", test))]
pub use decode::path;
pub use decode::{Call as CallRecord, Dns, Image, Malformed, Record, decode};
pub use key::{ParseKeyError, ProcessKey};
pub use kind::{Count, DropReason, EventType, Outcome, Table, UNIX_SLOT, UnknownEventType};
pub use offsets::{ABSENT, Member, Offsets};
#[cfg(feature = "std")]
pub use schema::{
    CONNECTION, DNS, HEARTBEAT, PROCESS, SCHEMA_VERSION, ancestor_fields, connection_schema, dictionary, dns_schema,
    heartbeat_schema, process_schema, summarised_fields, timestamp,
};
pub use wire::*;
