//! Rows of `connection`.

use super::{Batch, Dict, batch, keys, put_key, times};
use crate::lineage::Process;
use arrow_array::builder::{
    FixedSizeBinaryBuilder, TimestampNanosecondBuilder, UInt16Builder, UInt32Builder, UInt64Builder,
};
use arrow_schema::{ArrowError, SchemaRef};
use events::{Close, DIRECTION_INBOUND, DIRECTION_OUTBOUND, EventType, SocketHead};
use std::sync::Arc;

/// Builds rows of `connection`.
pub struct ConnectionRows {
    schema: SchemaRef,
    host: Arc<str>,
    kinds: Vec<EventType>,
    time: TimestampNanosecondBuilder,
    hosts: Dict,
    activity: Dict,
    process_key: FixedSizeBinaryBuilder,
    root_key: FixedSizeBinaryBuilder,
    pid: UInt32Builder,
    uid: UInt32Builder,
    comm: Dict,
    exe: Dict,
    parent_exe: Dict,
    root_exe: Dict,
    protocol: Dict,
    direction: Dict,
    local_ip: Dict,
    remote_ip: Dict,
    local_port: UInt16Builder,
    remote_port: UInt16Builder,
    bytes_out: UInt64Builder,
    bytes_in: UInt64Builder,
    duration: UInt64Builder,
    outcome: Dict,
    cookie: UInt64Builder,
}

impl ConnectionRows {
    /// No rows yet, for a host.
    #[must_use]
    pub fn new(host: Arc<str>) -> Self {
        Self {
            schema: events::connection_schema(),
            host,
            kinds: Vec::new(),
            time: times(),
            hosts: Dict::new(),
            activity: Dict::new(),
            process_key: keys(),
            root_key: keys(),
            pid: UInt32Builder::new(),
            uid: UInt32Builder::new(),
            comm: Dict::new(),
            exe: Dict::new(),
            parent_exe: Dict::new(),
            root_exe: Dict::new(),
            protocol: Dict::new(),
            direction: Dict::new(),
            local_ip: Dict::new(),
            remote_ip: Dict::new(),
            local_port: UInt16Builder::new(),
            remote_port: UInt16Builder::new(),
            bytes_out: UInt64Builder::new(),
            bytes_in: UInt64Builder::new(),
            duration: UInt64Builder::new(),
            outcome: Dict::new(),
            cookie: UInt64Builder::new(),
        }
    }

    /// Rows waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether no row waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// A row for a connect, accept or first datagram.
    pub fn socket(&mut self, time: i64, kind: EventType, socket: &SocketHead, owner: Option<&Process>) {
        self.common(time, kind, socket, owner);
        self.bytes_out.append_null();
        self.bytes_in.append_null();
        self.duration.append_null();
        self.outcome.append_null();
    }

    /// A row for the end of a connection.
    pub fn close(&mut self, time: i64, close: &Close, owner: Option<&Process>) {
        self.common(time, EventType::Close, &close.socket, owner);
        self.bytes_out.append_option(close.bytes_out());
        self.bytes_in.append_value(close.bytes_in());
        self.duration.append_option(close.duration());
        self.outcome.append_value(close.outcome().name());
    }

    fn common(&mut self, time: i64, kind: EventType, socket: &SocketHead, owner: Option<&Process>) {
        self.kinds.push(kind);
        self.time.append_value(time);
        self.hosts.append_value(&self.host);
        self.activity.append_value(kind.name());
        put_key(&mut self.process_key, owner.map(|owner| &owner.key));
        put_key(&mut self.root_key, owner.map(|owner| &owner.root));
        self.pid.append_option(owner.map(|owner| owner.key.tgid()));
        self.uid.append_option(owner.map(|_| socket.uid));
        self.comm.append_option(owner.map(|owner| &*owner.comm).filter(|comm| !comm.is_empty()));
        self.exe.append_option(owner.and_then(|owner| owner.exe.as_deref()));
        self.parent_exe.append_option(owner.and_then(|owner| owner.parent_exe.as_deref()));
        self.root_exe.append_option(owner.and_then(|owner| owner.root_exe.as_deref()));
        self.protocol.append_value(if socket.protocol == 17 { "udp" } else { "tcp" });
        self.direction.append_option(match socket.direction {
            DIRECTION_OUTBOUND => Some("outbound"),
            DIRECTION_INBOUND => Some("inbound"),
            _ => None,
        });
        self.local_ip.append_option(address(socket.local_ip));
        self.remote_ip.append_option(address(socket.remote_ip));
        self.local_port.append_option((socket.local_port != 0).then_some(socket.local_port));
        self.remote_port.append_option((socket.remote_port != 0).then_some(socket.remote_port));
        self.cookie.append_value(socket.cookie);
    }

    /// Takes the rows out.
    ///
    /// # Errors
    /// If the columns do not fit the schema.
    pub fn take(&mut self) -> Result<Batch, ArrowError> {
        let rows = batch(
            self.schema.clone(),
            &mut [
                &mut self.time,
                &mut self.hosts,
                &mut self.activity,
                &mut self.process_key,
                &mut self.root_key,
                &mut self.pid,
                &mut self.uid,
                &mut self.comm,
                &mut self.exe,
                &mut self.parent_exe,
                &mut self.root_exe,
                &mut self.protocol,
                &mut self.direction,
                &mut self.local_ip,
                &mut self.remote_ip,
                &mut self.local_port,
                &mut self.remote_port,
                &mut self.bytes_out,
                &mut self.bytes_in,
                &mut self.duration,
                &mut self.outcome,
                &mut self.cookie,
            ],
        )?;
        Ok(Batch { table: events::CONNECTION, rows, kinds: std::mem::take(&mut self.kinds) })
    }
}

/// An address as text; `None` if it is not known. IPv4 is kept mapped.
fn address(bytes: [u8; 16]) -> Option<String> {
    (bytes != [0; 16]).then(|| std::net::Ipv6Addr::from(bytes).to_canonical().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_in_their_family() {
        let v4 = "::ffff:127.0.0.1".parse::<std::net::Ipv6Addr>().unwrap();
        assert_eq!(address(v4.octets()).as_deref(), Some("127.0.0.1"));
        assert_eq!(address(std::net::Ipv6Addr::LOCALHOST.octets()).as_deref(), Some("::1"));
        assert_eq!(address([0; 16]), None);
    }

    #[test]
    fn rows_fit_the_schema() {
        assert_eq!(ConnectionRows::new("h".into()).take().unwrap().rows.num_rows(), 0);
    }
}
