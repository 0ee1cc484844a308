//! Rows of `connection` as Network Activity, and what those of `dns` share with them (docs/contracts.md §9).

use std::net::IpAddr;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, StringArray};
use arrow_schema::Schema;

use crate::columns::{Result, Rows, Struct, at, ints, longs, number, texts, valid_if};
use crate::event::{self, Class, OTHER};
use crate::process::leaf;

/// Columns that no attribute has, or not as exactly.
const REST: [&str; 9] =
    ["activity", "root_key", "parent_exe", "root_exe", "image", "pod", "duration_ns", "outcome", "state"];

/// Why a row is no event, or nothing if it is one.
pub(crate) fn left_out(rows: &Rows<'_>) -> Result<impl Fn(usize) -> Option<&'static str>> {
    let ends = Ends::of(rows)?;
    Ok(move |row| (!ends.has_destination(row)).then_some("where it goes to is not known, which the class requires"))
}

/// Both ends of a socket, and which of them asked.
pub(crate) struct Ends {
    direction: StringArray,
    host: StringArray,
    ips: [StringArray; 2],
    ports: [Int64Array; 2],
}

/// One end of a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Local,
    Remote,
}

impl Ends {
    pub(crate) fn of(rows: &Rows<'_>) -> Result<Self> {
        Ok(Self {
            direction: rows.text("direction")?,
            host: rows.text("host")?,
            ips: [rows.text("local_ip")?, rows.text("remote_ip")?],
            ports: [rows.long("local_port")?, rows.long("remote_port")?],
        })
    }

    pub(crate) fn is_inbound(&self, row: usize) -> bool {
        at(&self.direction, row) == Some("inbound")
    }

    fn ip(&self, end: End, row: usize) -> Option<&str> {
        at(&self.ips[end as usize], row)
    }

    fn port(&self, end: End, row: usize) -> Option<i32> {
        number(&self.ports[end as usize], row).and_then(|port| i32::try_from(port).ok())
    }

    /// Who answers: of what came in this machine, else the other one, if there is one.
    fn destination(&self, row: usize) -> End {
        match at(&self.direction, row) {
            Some("inbound") => End::Local,
            Some(_) => End::Remote,
            None if self.ip(End::Remote, row).is_some() => End::Remote,
            None => End::Local,
        }
    }

    /// This machine has a name at least.
    fn has_destination(&self, row: usize) -> bool {
        self.destination(row) == End::Local || self.ip(End::Remote, row).is_some()
    }

    /// Who asks; nobody where there is one end only.
    fn source(&self, row: usize) -> Option<End> {
        match self.destination(row) {
            End::Remote => Some(End::Local),
            End::Local => (self.is_inbound(row) && self.ip(End::Remote, row).is_some()).then_some(End::Remote),
        }
    }

    fn endpoint(&self, which: impl Fn(usize) -> Option<End>) -> Result<ArrayRef> {
        let rows = self.direction.len();
        let here = |row| (which(row)? == End::Local).then(|| at(&self.host, row)).flatten();
        let mut end = Struct::default();
        end.put("ip", texts(rows, |row| self.ip(which(row)?, row)));
        end.put("port", ints(rows, |row| self.port(which(row)?, row)));
        end.put("name", texts(rows, here));
        end.put("hostname", texts(rows, |row| here(row).filter(|host| event::is_host_name(host))));
        // A port alone names no end.
        end.nested(valid_if(rows, |row| {
            which(row).is_some_and(|which| self.ip(which, row).is_some()) || here(row).is_some()
        }))
    }

    /// `src_endpoint` and `dst_endpoint`.
    pub(crate) fn put(&self, event: &mut Struct) -> Result<()> {
        event.put("src_endpoint", self.endpoint(|row| self.source(row))?);
        event.put("dst_endpoint", self.endpoint(|row| Some(self.destination(row)))?);
        Ok(())
    }

    /// `connection_info`.
    pub(crate) fn info(&self, rows: &Rows<'_>) -> Result<ArrayRef> {
        let count = rows.len();
        let protocol = rows.text("protocol")?;
        let address = |row| self.ip(End::Remote, row).or(self.ip(End::Local, row))?.parse::<IpAddr>().ok();
        let loops =
            |row| self.ip(End::Remote, row).and_then(|ip| ip.parse::<IpAddr>().ok()).is_some_and(|ip| ip.is_loopback());
        let direction = |row| match at(&self.direction, row) {
            Some("inbound") => (1, "Inbound"),
            Some("outbound") => (2, "Outbound"),
            _ => (0, "Unknown"),
        };
        let version = |row| address(row).map(|ip| if ip.is_ipv4() { 4 } else { 6 });
        let protocol_number = |row| match at(&protocol, row) {
            Some("tcp") => Some(6),
            Some("udp") => Some(17),
            _ => None,
        };
        let mut info = Struct::default();
        info.put("uid", Arc::new(rows.text("cookie")?));
        info.put("direction_id", ints(count, |row| Some(direction(row).0)));
        info.put("direction", texts(count, |row| Some(direction(row).1)));
        info.put("protocol_num", ints(count, protocol_number));
        info.put("protocol_name", Arc::new(protocol.clone()));
        info.put("protocol_ver_id", ints(count, version));
        // Whether an address is within the own network is not known; that it is this machine is.
        info.put("boundary_id", ints(count, |row| loops(row).then_some(1)));
        info.put("boundary", texts(count, |row| loops(row).then_some("Localhost")));
        info.nested(None)
    }
}

/// The process that owns a socket, and its user; null where neither is known.
pub(crate) fn owner(rows: &Rows<'_>) -> Result<ArrayRef> {
    let count = rows.len();
    let (pid, key, comm, exe) = (rows.int("pid")?, rows.text("process_key")?, rows.text("comm")?, rows.text("exe")?);
    let mut process = Struct::default();
    process.put("name", texts(count, |row| at(&comm, row).or(at(&exe, row).map(leaf))));
    process.put("file", event::file(&exe, None)?);
    process.put("container", event::container(rows)?);
    let there = valid_if(count, |row| pid.is_valid(row) || key.is_valid(row));
    process.put("pid", Arc::new(pid));
    process.put("uid", Arc::new(key));
    let mut actor = Struct::default();
    actor.put("process", process.nested(there)?);
    actor.put("user", event::user(rows, "uid")?);
    actor.nested_if_any(count)
}

/// How an event of a connection ended.
fn activity_id(activity: Option<&str>, outcome: Option<&str>) -> i32 {
    match (activity, outcome) {
        (Some("connect" | "accept" | "send"), _) => 1,
        (Some("close"), Some("aborted")) => 3,
        (Some("close"), Some("timeout" | "unreachable")) => 4,
        (Some("close"), Some("refused")) => 5,
        (Some("close"), _) => 2,
        (Some("flow"), _) => 6,
        (Some("listen"), _) => 7,
        _ => OTHER,
    }
}

/// The events of rows; `ids` are theirs.
pub(crate) fn events(rows: &Rows<'_>, schema: &Schema, ids: ArrayRef) -> Result<Struct> {
    let (count, times) = (rows.len(), rows.nanos("time")?);
    let (activity, outcome) = (rows.text("activity")?, rows.text("outcome")?);
    let ends = Ends::of(rows)?;
    let mut event = Struct::default();
    let id = |row| activity_id(at(&activity, row), at(&outcome, row));
    let own = |row| at(&activity, row).unwrap_or("unknown").to_owned();
    event::classify(&mut event, Class::NetworkActivity, count, id, own);
    event::severity(&mut event, count, |_| 1);
    let duration = rows.long("duration_ns")?;
    event::when(&mut event, &times, |row| Some(number(&times, row)?.saturating_sub(number(&duration, row)?)));
    let success = |row| at(&outcome, row).map(|outcome| outcome == "closed");
    event::status(&mut event, count, success, texts(count, |_| None::<&str>), Arc::new(outcome.clone()));
    let source =
        event::Source { profiles: &["host", "container"], log_name: events::CONNECTION, log_provider: "ebbline-agent" };
    event.put("metadata", event::metadata(&source, &times, ids, Arc::new(activity.clone()))?);
    event.put("device", event::device(&rows.text("host")?, true)?);
    event.put("actor", owner(rows)?);
    ends.put(&mut event)?;
    event.put("connection_info", ends.info(rows)?);
    event.put("traffic", traffic(rows, &ends)?);
    event.put("unmapped", rows.rest(&REST, schema)?.nested(None)?);
    Ok(event)
}

/// Bytes and packets: `out` is from who asked to who answered, `in` the way back.
fn traffic(rows: &Rows<'_>, ends: &Ends) -> Result<ArrayRef> {
    let count = rows.len();
    let mut traffic = Struct::default();
    for unit in ["bytes", "packets"] {
        let (sent, got) = (rows.long(&format!("{unit}_out"))?, rows.long(&format!("{unit}_in"))?);
        let there = |row| number(if ends.is_inbound(row) { &got } else { &sent }, row);
        let back = |row| number(if ends.is_inbound(row) { &sent } else { &got }, row);
        traffic.put(unit, longs(count, |row| there(row)?.checked_add(back(row)?)));
        traffic.put(&format!("{unit}_out"), longs(count, there));
        traffic.put(&format!("{unit}_in"), longs(count, back));
    }
    traffic.nested_if_any(count)
}
