//! The books as rows of the table `heartbeat`.

use crate::{
    books::Snapshot,
    rows::{Batch, Dict, columns, time_column},
};
use arrow_array::builder::{TimestampNanosecondBuilder, UInt64Builder};
use arrow_schema::ArrowError;
use events::{DropReason, EventType};

impl Snapshot {
    /// Rows of `heartbeat` at a time in nanoseconds UTC.
    ///
    /// # Errors
    /// If columns do not fit the schema, which is a defect.
    pub fn heartbeat(&self, host: &str, time: i64) -> Result<Batch, ArrowError> {
        let mut rows = HeartbeatRows::new(host, time);
        rows.books(self);
        if self.agent.unknown > 0 {
            rows.push("agent", "unknown", "dropped", Some(DropReason::Malformed.name()), self.agent.unknown);
        }
        rows.push("kernel", "unix", "value", None, self.unix);
        let cpu_ns = (self.usage.cpu_s * 1e9) as u64;
        for (resource, count) in [
            ("rss_bytes", self.usage.rss_bytes),
            ("pss_bytes", self.usage.pss_bytes),
            ("ring_bytes", self.ring_bytes),
            ("cpu_ns", cpu_ns),
            ("hooks", self.hooks),
            ("restarts", self.restarts),
            ("processes", self.processes),
            ("processes_evicted", self.evicted),
            ("reorder_window_ns", self.order.window_ns),
            ("late_records", self.order.late),
            ("early_records", self.order.early),
            ("held_bytes_max", self.order.held_bytes_max),
            ("unscored", self.unscored),
        ] {
            rows.push("self", resource, "value", None, count);
        }
        for hook in &self.refused {
            rows.push("self", &format!("hook:{hook}"), "value", None, 0);
        }
        rows.take()
    }
}

columns! {
    /// The columns of `heartbeat`, in the order of its schema.
    HeartbeatColumns: events::heartbeat_schema();
    time: TimestampNanosecondBuilder = time_column();
    host: Dict = Dict::new();
    stage: Dict = Dict::new();
    event: Dict = Dict::new();
    outcome: Dict = Dict::new();
    reason: Dict = Dict::new();
    count: UInt64Builder = UInt64Builder::new();
    since: TimestampNanosecondBuilder = time_column();
}

pub(crate) struct HeartbeatRows<'a> {
    columns: HeartbeatColumns,
    host: &'a str,
    time: i64,
}

impl<'a> HeartbeatRows<'a> {
    /// None yet, of a host at a time in nanoseconds UTC.
    pub(crate) fn new(host: &'a str, time: i64) -> Self {
        Self { columns: HeartbeatColumns::new(), host, time }
    }

    /// What each stage counted, by event type.
    pub(crate) fn books(&mut self, books: &Snapshot) {
        for kind in EventType::ALL {
            let (at, name) = (kind.index(), kind.name());
            self.push("kernel", name, "produced", None, books.kernel[at].produced);
            self.push("kernel", name, "summarised", None, books.kernel[at].summarised);
            self.push("agent", name, "received", None, books.agent.received[at]);
            self.push("writer", name, "open", None, books.open[at]);
            self.push("writer", name, "written", None, books.written[at]);
            for (stage, reason, count) in books.drops(at) {
                // Rings are where events are lost, if anywhere: this one is said although it is 0.
                if count > 0 || reason == DropReason::RingFull {
                    self.push(stage.name(), name, "dropped", Some(reason.name()), count);
                }
            }
            for (reason, count) in books.removals(at).into_iter().filter(|(_, count)| *count > 0) {
                self.push("writer", name, "removed", Some(reason), count);
            }
        }
    }

    fn push(&mut self, stage: &str, event: &str, outcome: &str, reason: Option<&str>, count: u64) {
        self.row((stage, event, outcome), reason, Some(count), None);
    }

    /// Events that were dropped since a time; how many, if anybody knows.
    pub(crate) fn lost(&mut self, event: &str, count: Option<u64>, since: i64) {
        self.row(("agent", event, "dropped"), Some(DropReason::Killed.name()), count, Some(since));
    }

    fn row(
        &mut self,
        (stage, event, outcome): (&str, &str, &str),
        reason: Option<&str>,
        count: Option<u64>,
        since: Option<i64>,
    ) {
        let to = &mut self.columns;
        to.time.append_value(self.time);
        to.host.append_value(self.host);
        to.stage.append_value(stage);
        to.event.append_value(event);
        to.outcome.append_value(outcome);
        to.reason.append_option(reason);
        to.count.append_option(count);
        to.since.append_option(since);
    }

    pub(crate) fn take(mut self) -> Result<Batch, ArrowError> {
        Ok(Batch::new(events::HEARTBEAT, self.columns.take()?, Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        books::{RunFacts, tests::busy},
        status::Dropped,
    };
    use arrow_array::{cast::AsArray, types::UInt64Type};
    use std::collections::BTreeMap;

    #[test]
    fn a_heartbeat_says_what_the_status_says_of_each_stage() {
        let (snapshot, mut said) = (busy(), BTreeMap::new());
        let rows = snapshot.heartbeat("h", 0).unwrap().rows;
        let text = |column: usize, row: usize| {
            let column = rows.column(column).as_any_dictionary();
            let keys = column.normalized_keys();
            column.values().as_string::<i32>().value(keys[row]).to_owned()
        };
        let counts = rows.column(6).as_primitive::<UInt64Type>();
        for row in 0..rows.num_rows() {
            *said.entry((text(2, row), text(3, row), text(4, row))).or_insert(0) += counts.value(row);
        }
        let of = |stage: &str, event: &str, outcome: &str| said[&(stage.into(), event.into(), outcome.into())];
        let exec = &snapshot.status(&RunFacts::default()).events["exec"];
        let sum = |dropped: &Dropped| dropped.values().sum::<u64>();
        let produced = (of("kernel", "exec", "produced"), of("kernel", "exec", "dropped"));
        assert_eq!(produced, (exec.kernel.produced, sum(&exec.kernel.dropped)));
        let received = (of("agent", "exec", "received"), of("agent", "exec", "dropped"));
        assert_eq!(received, (exec.agent.received, sum(&exec.agent.dropped)));
        let stored = ["open", "written", "dropped"].map(|outcome| of("writer", "exec", outcome));
        assert_eq!(stored, [exec.writer.open, exec.writer.written, sum(&exec.writer.dropped)]);
        assert_eq!(of("self", "ring_bytes", "value"), 4096);
        assert_eq!(of("self", "pss_bytes", "value"), 0);
        let hooks: Vec<_> = said.iter().filter(|((_, event, _), _)| event.starts_with("hook:")).collect();
        assert_eq!(hooks, [(&("self".into(), "hook:socket_open".into(), "value".into()), &0)]);
    }
}
