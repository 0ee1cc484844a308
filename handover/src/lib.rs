//! Gives incidents to other systems, each at least once (docs/contracts.md §12).
//!
//! What is to be sent is written down before it is sent, and what was taken after: see [`Outbox`]. Each message has an id that
//! depends on the incident and its findings alone, by which receivers know it again.

mod courier;
mod error;
mod message;
mod outbox;
mod retry;
mod rfc5424;
mod settings;
mod sink;
mod stop;
mod target;
mod words;

pub use courier::{Courier, Report};
pub use error::HandoverError;
pub use message::{Draft, Event, FORMAT};
pub use outbox::{Dead, Outbox, dead_letters};
pub use settings::{Header, Settings};
pub use stop::Stop;
pub use target::Target;
