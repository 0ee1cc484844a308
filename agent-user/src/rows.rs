//! From records to the rows of the tables.

mod connection;
mod dict;
mod dns;
mod process;

pub use connection::{ConnectionRows, Owned};
pub use dns::DnsRows;
pub use process::{ImageFacts, ProcessRows, Row};

pub(crate) use dict::Dict;

use crate::hashes::Waiting;
use arrow_array::{
    RecordBatch,
    builder::{FixedSizeBinaryBuilder, TimestampNanosecondBuilder},
};
use arrow_schema::ArrowError;
use events::{DIRECTION_INBOUND, DIRECTION_OUTBOUND, EventType, ProcessKey, SocketHead};
use std::{sync::Arc, time::Duration};

/// Rows of each event type, in the order of [`EventType::ALL`].
pub type Counts = [u64; EventType::ALL.len()];

/// Rows ready to be written.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Name of the table.
    pub table: &'static str,
    /// The rows.
    pub rows: RecordBatch,
    /// Event type of each row; empty for heartbeats.
    pub kinds: Vec<EventType>,
    /// Digests of images, which may not be known yet: of each row of `process`, else none.
    digests: Waiting,
}

impl Batch {
    /// Rows of a table.
    #[must_use]
    pub fn new(table: &'static str, rows: RecordBatch, kinds: Vec<EventType>) -> Self {
        Self { table, rows, kinds, digests: Waiting::default() }
    }

    /// Enters the digests of images, for which it waits this long at most; the column is null before.
    ///
    /// # Errors
    /// If the columns do not fit their schema, which is a defect.
    pub fn settle(&mut self, patience: Duration) -> Result<(), ArrowError> {
        if self.digests.is_empty() {
            return Ok(());
        }
        let mut column = Dict::new();
        self.digests.take(patience).for_each(|digest| column.append_option(digest));
        let schema = self.rows.schema();
        let mut columns = self.rows.columns().to_vec();
        columns[schema.index_of("exe_sha256")?] = Arc::new(column.finish());
        self.rows = RecordBatch::try_new(schema, columns)?;
        Ok(())
    }
}

/// Where a process runs: its cgroup and, if that is a container's, what the runtime's files say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Path of the cgroup, from the root of the hierarchy.
    pub path: Option<Arc<str>>,
    /// Container id.
    pub container: Option<Arc<str>>,
    /// Container name.
    pub name: Option<Arc<str>>,
    /// Name of the container's image.
    pub image: Option<Arc<str>>,
    /// `namespace/name` of the pod.
    pub pod: Option<Arc<str>>,
}

pub(crate) fn time_column() -> TimestampNanosecondBuilder {
    TimestampNanosecondBuilder::new().with_timezone("UTC")
}

fn key_column() -> FixedSizeBinaryBuilder {
    FixedSizeBinaryBuilder::new(16)
}

/// A key into a column of 16-byte values.
fn append_key(column: &mut FixedSizeBinaryBuilder, key: Option<&ProcessKey>) {
    match key {
        // The column is 16 bytes wide, as keys are: this cannot fail.
        Some(key) => column.append_value(key.as_bytes()).unwrap_or_else(|_| column.append_null()),
        None => column.append_null(),
    }
}

/// A structure of column builders, written down once: name, type, and how to make one, in the order of the schema.
macro_rules! columns {
    ($(#[$doc:meta])* $name:ident: $schema:expr; $($column:ident: $type:ty = $new:expr;)*) => {
        $(#[$doc])*
        pub(crate) struct $name {
            schema: arrow_schema::SchemaRef,
            $(pub(crate) $column: $type,)*
        }

        impl $name {
            /// Empty columns.
            pub(crate) fn new() -> Self {
                Self { schema: $schema, $($column: $new,)* }
            }

            /// Fills all columns up to this many rows with nulls.
            #[allow(dead_code, reason = "tables whose rows fill every column need it not")]
            pub(crate) fn fill(&mut self, rows: usize) {
                use arrow_array::builder::ArrayBuilder as _;
                $(
                    let missing = rows.saturating_sub(self.$column.len());
                    self.$column.append_nulls(missing);
                )*
            }

            /// Takes the rows out.
            pub(crate) fn take(&mut self) -> Result<arrow_array::RecordBatch, arrow_schema::ArrowError> {
                let columns: Vec<arrow_array::ArrayRef> = vec![$(
                    std::sync::Arc::new(self.$column.finish()),
                )*];
                arrow_array::RecordBatch::try_new(self.schema.clone(), columns)
            }
        }
    };
}
pub(crate) use columns;

/// Fills the columns that tables of sockets share: who owns a socket, and its ends.
macro_rules! socket_columns {
    ($columns:ident) => {
        impl $columns {
            fn socket(&mut self, socket: &events::SocketHead, owned: crate::rows::Owned<'_>) {
                let (owner, place) = (owned.map(|(owner, _)| owner), owned.map(|(_, place)| place));
                crate::rows::append_key(&mut self.process_key, owner.map(|owner| &owner.key));
                crate::rows::append_key(&mut self.root_key, owner.map(|owner| &owner.root));
                self.pid.append_option(owner.map(|owner| owner.key.tgid()));
                self.uid.append_option(owner.map(|_| socket.uid));
                self.comm.append_option(owner.map(|owner| &*owner.comm).filter(|comm| !comm.is_empty()));
                self.exe.append_option(owner.and_then(|owner| owner.exe.as_deref()));
                self.parent_exe.append_option(owner.and_then(|owner| owner.parent_exe.as_deref()));
                self.root_exe.append_option(owner.and_then(|owner| owner.root_exe.as_deref()));
                self.container_id.append_option(place.and_then(|place| place.container.as_deref()));
                self.image.append_option(place.and_then(|place| place.image.as_deref()));
                self.pod.append_option(place.and_then(|place| place.pod.as_deref()));
                self.protocol.append_value(if socket.protocol == 17 { "udp" } else { "tcp" });
                self.direction.append_option(crate::rows::direction(socket.direction));
                crate::rows::append_local(&mut self.local_ip, socket);
                crate::rows::append_address(&mut self.remote_ip, &socket.remote_ip);
                self.local_port.append_option((socket.local_port != 0).then_some(socket.local_port));
                self.remote_port.append_option((socket.remote_port != 0).then_some(socket.remote_port));
            }
        }
    };
}
pub(crate) use socket_columns;

fn direction(direction: u8) -> Option<&'static str> {
    match direction {
        DIRECTION_OUTBOUND => Some("outbound"),
        DIRECTION_INBOUND => Some("inbound"),
        _ => None,
    }
}

/// The local address into a column of text. A socket that waits at a port and names no host waits at all addresses.
fn append_local(column: &mut Dict, socket: &SocketHead) {
    let waits = [EventType::Bind, EventType::Listen, EventType::Open].map(|kind| kind as u16).contains(&socket.kind);
    if waits && socket.local_port != 0 && socket.local_ip == [0; 16] {
        column.append_value("::");
    } else {
        append_address(column, &socket.local_ip);
    }
}

/// An address into a column of text; null if it is not known. IPv4 is kept mapped.
fn append_address(column: &mut Dict, bytes: &[u8; 16]) {
    match bytes {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => column.append_null(),
        _ => column.append_as(bytes, || address(*bytes).into()),
    }
}

fn address(bytes: [u8; 16]) -> String {
    std::net::Ipv6Addr::from(bytes).to_canonical().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_in_their_family() {
        let v4 = "::ffff:127.0.0.1".parse::<std::net::Ipv6Addr>().unwrap();
        assert_eq!(address(v4.octets()), "127.0.0.1");
        assert_eq!(address(std::net::Ipv6Addr::LOCALHOST.octets()), "::1");
    }
}
