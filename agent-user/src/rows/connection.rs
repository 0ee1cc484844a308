//! Rows of `connection`.

use super::{Batch, Dict, Place, columns, key_column, socket_columns, time_column};
use crate::lineage::Process;
use arrow_array::builder::{
    FixedSizeBinaryBuilder, TimestampNanosecondBuilder, UInt16Builder, UInt32Builder, UInt64Builder,
};
use arrow_schema::ArrowError;
use events::{Close, EventType, FlowEnd, Open, SocketHead, tcp_state};
use std::sync::Arc;

columns! {
    /// The columns of `connection`, in the order of its schema.
    ConnectionColumns: events::connection_schema();
    time: TimestampNanosecondBuilder = time_column();
    host: Dict = Dict::new();
    activity: Dict = Dict::new();
    process_key: FixedSizeBinaryBuilder = key_column();
    root_key: FixedSizeBinaryBuilder = key_column();
    pid: UInt32Builder = UInt32Builder::new();
    uid: UInt32Builder = UInt32Builder::new();
    comm: Dict = Dict::new();
    exe: Dict = Dict::new();
    parent_exe: Dict = Dict::new();
    root_exe: Dict = Dict::new();
    container_id: Dict = Dict::new();
    image: Dict = Dict::new();
    pod: Dict = Dict::new();
    protocol: Dict = Dict::new();
    direction: Dict = Dict::new();
    local_ip: Dict = Dict::new();
    remote_ip: Dict = Dict::new();
    local_port: UInt16Builder = UInt16Builder::new();
    remote_port: UInt16Builder = UInt16Builder::new();
    bytes_out: UInt64Builder = UInt64Builder::new();
    bytes_in: UInt64Builder = UInt64Builder::new();
    packets_out: UInt64Builder = UInt64Builder::new();
    packets_in: UInt64Builder = UInt64Builder::new();
    duration: UInt64Builder = UInt64Builder::new();
    outcome: Dict = Dict::new();
    state: Dict = Dict::new();
    cookie: UInt64Builder = UInt64Builder::new();
}
socket_columns!(ConnectionColumns);

/// What a row says beyond its socket.
#[derive(Default)]
struct Traffic {
    bytes: (Option<u64>, Option<u64>),
    packets: (Option<u64>, Option<u64>),
    duration: Option<u64>,
    outcome: Option<&'static str>,
    state: Option<&'static str>,
}

/// Builds rows of `connection`.
pub struct ConnectionRows {
    columns: ConnectionColumns,
    host: Arc<str>,
    kinds: Vec<EventType>,
}

/// Who owns a socket, and where that process runs.
pub type Owned<'a> = Option<(&'a Process, &'a Place)>;

impl ConnectionRows {
    /// No rows yet, for a host.
    #[must_use]
    pub fn new(host: Arc<str>) -> Self {
        Self { columns: ConnectionColumns::new(), host, kinds: Vec::new() }
    }

    /// Rows waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Gives up the rows that wait, the last of which may be half a row. Returns of what types they were.
    pub fn abandon(&mut self) -> Vec<EventType> {
        self.columns = ConnectionColumns::new();
        std::mem::take(&mut self.kinds)
    }

    /// Whether no row waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// A row for a connect, accept, bind, listen or first datagram.
    pub fn socket(&mut self, time: i64, kind: EventType, socket: &SocketHead, owner: Owned<'_>) {
        self.push(time, kind, socket, owner, &Traffic::default());
    }

    /// A row for the end of a connection.
    pub fn close(&mut self, time: i64, close: &Close, owner: Owned<'_>) {
        let traffic = Traffic {
            bytes: (close.bytes_out(), Some(close.bytes_in())),
            duration: close.duration(),
            outcome: Some(close.outcome().name()),
            ..Traffic::default()
        };
        self.push(time, EventType::Close, &close.socket, owner, &traffic);
    }

    /// A row for the end of a UDP flow.
    pub fn flow(&mut self, time: i64, flow: &FlowEnd, owner: Owned<'_>) {
        let traffic = Traffic {
            bytes: (Some(flow.bytes_out), Some(flow.bytes_in)),
            packets: (Some(flow.packets_out), Some(flow.packets_in)),
            duration: Some(flow.socket.time.saturating_sub(flow.first)),
            ..Traffic::default()
        };
        self.push(time, EventType::Flow, &flow.socket, owner, &traffic);
    }

    /// A row for a socket that was there when the agent started.
    pub fn open(&mut self, time: i64, open: &Open, owner: Owned<'_>) {
        let traffic = Traffic { state: Some(state(open)), ..Traffic::default() };
        self.push(time, EventType::Open, &open.socket, owner, &traffic);
    }

    fn push(&mut self, time: i64, kind: EventType, socket: &SocketHead, owner: Owned<'_>, traffic: &Traffic) {
        self.kinds.push(kind);
        let to = &mut self.columns;
        to.time.append_value(time);
        to.host.append_value(&self.host);
        to.activity.append_value(kind.name());
        to.socket(socket, owner);
        to.bytes_out.append_option(traffic.bytes.0);
        to.bytes_in.append_option(traffic.bytes.1);
        to.packets_out.append_option(traffic.packets.0);
        to.packets_in.append_option(traffic.packets.1);
        to.duration.append_option(traffic.duration);
        to.outcome.append_option(traffic.outcome);
        to.state.append_option(traffic.state);
        to.cookie.append_value(socket.cookie);
    }

    /// Takes the rows out.
    ///
    /// # Errors
    /// If the columns do not fit the schema.
    pub fn take(&mut self) -> Result<Batch, ArrowError> {
        let rows = self.columns.take()?;
        Ok(Batch::new(events::CONNECTION, rows, std::mem::take(&mut self.kinds)))
    }
}

fn state(open: &Open) -> &'static str {
    match open.state as u8 {
        tcp_state::ESTABLISHED => "established",
        tcp_state::LISTEN => "listening",
        tcp_state::SYN_SENT | tcp_state::SYN_RECV => "opening",
        tcp_state::CLOSE => "unconnected",
        _ => "closing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_fit_the_schema() {
        assert_eq!(ConnectionRows::new("h".into()).take().unwrap().rows.num_rows(), 0);
    }
}
