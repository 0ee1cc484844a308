//! What the kernel side keeps in tables instead of sending: flows that ended, processes that make too many events.

use crate::{enrich::Enricher, kernel, load::Tables, plain::Plain};
use events::{EventType, Flow, FlowEnd, FlowState, Maker, SocketHead, Throttled};
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

/// Time between looks at the tables.
const EVERY: Duration = Duration::from_secs(2);
/// A flow without a datagram for this long has ended, in nanoseconds.
const IDLE: u64 = 60_000_000_000;
/// A process without an event too many for this long is quiet again, in nanoseconds.
const QUIET: u64 = 2_000_000_000;

/// Looks at the tables now and then, and makes records of what is over.
pub struct Sweep {
    tables: Tables,
    /// Processes that make too many events, whose beginning is reported.
    reported: HashSet<Maker>,
    last: Instant,
}

impl Sweep {
    /// Takes over the tables.
    #[must_use]
    pub fn new(tables: Tables) -> Self {
        Self { tables, reported: HashSet::new(), last: Instant::now() }
    }

    /// Looks, if it is time to.
    pub fn due(&mut self, enricher: &mut Enricher) {
        if self.last.elapsed() >= EVERY {
            self.last = Instant::now();
            let now = kernel::boot_time();
            self.flows(enricher, Some(now));
            self.throttled(enricher, |process| now.saturating_sub(process.last) > QUIET);
        }
    }

    /// The flows that are left, for when nothing is attached any more.
    pub fn rest(&mut self, enricher: &mut Enricher) {
        self.flows(enricher, None);
    }

    /// What is left of processes that made too many events, for when all their other events are recorded.
    pub fn last(&mut self, enricher: &mut Enricher) {
        self.throttled(enricher, |_| true);
    }

    /// Reports the flows that are over at a time: all, if there is none.
    fn flows(&mut self, enricher: &mut Enricher, now: Option<u64>) {
        let Tables { flows, released, .. } = &mut self.tables;
        let over = |flow: &Flow, state: &FlowState| {
            now.is_none_or(|now| now.saturating_sub(state.last) > IDLE || released.get(&flow.cookie, 0).is_ok())
        };
        let found = flows.iter().filter_map(Result::ok);
        let found: Vec<_> = found.filter(|(flow, state)| over(&flow.0, &state.0)).map(|(flow, _)| flow).collect();
        for flow in found {
            // Once more, as late as can be: what is added between here and the removal is not reported.
            let Ok(state) = flows.get(&flow, 0) else { continue };
            if over(&flow.0, &state.0) && flows.remove(&flow).is_ok() {
                enricher.record(bytemuck::bytes_of(&end(&flow.0, &state.0)));
            }
        }
    }

    fn throttled(&mut self, enricher: &mut Enricher, over: impl Fn(&Throttled) -> bool) {
        let found: Vec<_> = self.tables.throttled.iter().filter_map(Result::ok).collect();
        for (Plain(maker), Plain(now)) in found {
            if self.reported.insert(maker) {
                enricher.throttle(&maker, now.first, "start", &[0; EventType::ALL.len()]);
            }
            if over(&now)
                && let Some(counts) = self.end(maker)
            {
                enricher.throttle(&maker, counts.last, "stop", &counts.summarised);
            }
        }
    }

    /// Removes a process; its counts, which may have moved since it was looked at.
    fn end(&mut self, maker: Maker) -> Option<Throttled> {
        let Plain(counts) = self.tables.throttled.get(&Plain(maker), 0).ok()?;
        self.tables.throttled.remove(&Plain(maker)).ok()?;
        self.reported.remove(&maker);
        Some(counts)
    }
}

fn end(flow: &Flow, state: &FlowState) -> FlowEnd {
    let socket = SocketHead {
        kind: EventType::Flow as u16,
        protocol: 17,
        direction: state.direction as u8,
        tgid: state.tgid,
        time: state.last,
        start: state.start,
        cookie: flow.cookie,
        uid: state.uid,
        local_port: state.local_port,
        remote_port: flow.remote_port as u16,
        local_ip: state.local_ip,
        remote_ip: flow.remote_ip,
    };
    let FlowState { first, bytes_out, bytes_in, packets_out, packets_in, .. } = *state;
    FlowEnd { socket, first, bytes_out, bytes_in, packets_out, packets_in }
}
