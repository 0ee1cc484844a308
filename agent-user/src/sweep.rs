//! What the kernel side keeps in tables instead of sending: flows that ended, processes that make too many events.

use crate::{cut::Reported, enrich::Enricher, error::AgentError, facts::Facts, kernel};
use events::{EventType, Flow, FlowEnd, FlowState, Maker, SocketHead, Throttled};
use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    time::{Duration, Instant},
};

/// Time between looks at the tables.
const EVERY: Duration = Duration::from_secs(2);
/// A flow without a datagram for this long has ended, in nanoseconds.
const IDLE: u64 = 60_000_000_000;
/// A process without an event too many for this long is quiet again, in nanoseconds.
const QUIET: u64 = 2_000_000_000;

/// Looks at the tables now and then, and makes records of what is over. It is removed when its rows are in the journal.
pub struct Sweep {
    facts: Facts,
    /// Processes that make too many events, whose beginning is reported, and when they began.
    loud: HashMap<Maker, u64>,
    /// What is in rows and not yet removed, when it began, and the cut that its row is in.
    flows: HashMap<Flow, (u64, u64)>,
    quiet: HashMap<Maker, (u64, u64)>,
    /// The cut that is being made.
    cut: u64,
    last: Instant,
}

impl Sweep {
    /// Looks at the tables that these facts tell of.
    #[must_use]
    pub fn new(facts: Facts) -> Self {
        let (loud, flows, quiet) = Default::default();
        Self { facts, loud, flows, quiet, cut: 1, last: Instant::now() }
    }

    /// Goes on where another stopped, after its cut of this number: removes what its rows tell of.
    ///
    /// # Errors
    /// As those of [`Facts`].
    pub fn resume(mut self, reported: &Reported, number: u64) -> Result<Self, AgentError> {
        self.facts.remove_flows(&reported.flows)?;
        self.facts.remove_throttled(&reported.quiet)?;
        self.cut = number + 1;
        self.loud = reported.loud.iter().copied().collect();
        reported.quiet.iter().for_each(|(maker, _)| _ = self.loud.remove(maker));
        Ok(self)
    }

    /// Looks, if it is time to.
    ///
    /// # Errors
    /// As those of [`Facts`].
    pub fn due(&mut self, enricher: &mut Enricher) -> Result<(), AgentError> {
        if self.last.elapsed() < EVERY {
            return Ok(());
        }
        self.last = Instant::now();
        let now = kernel::boot_time();
        self.report_flows(enricher, Some(now))?;
        self.report_throttled(enricher, |process| now.saturating_sub(process.last) > QUIET)
    }

    /// The flows that are left, for when nothing is attached any more.
    ///
    /// # Errors
    /// As those of [`Facts`].
    pub fn rest(&mut self, enricher: &mut Enricher) -> Result<(), AgentError> {
        self.report_flows(enricher, None)
    }

    /// What is left of processes that made too many events, for when all their other events are recorded.
    ///
    /// # Errors
    /// As those of [`Facts`].
    pub fn last(&mut self, enricher: &mut Enricher) -> Result<(), AgentError> {
        self.report_throttled(enricher, |_| true)
    }

    /// What the cut of this number, and those before it, tell of.
    pub fn cut(&mut self, number: u64) -> Reported {
        self.cut = number + 1;
        Reported {
            flows: self.flows.iter().map(|(flow, (first, _))| (*flow, *first)).collect(),
            quiet: self.quiet.iter().map(|(maker, (first, _))| (*maker, *first)).collect(),
            loud: self.loud.iter().map(|(maker, first)| (*maker, *first)).collect(),
        }
    }

    /// The cuts up to this number are in the journal, or given up: removes what they tell of.
    ///
    /// # Errors
    /// As those of [`Facts`].
    pub fn stored(&mut self, number: u64) -> Result<(), AgentError> {
        let flows = taken(&mut self.flows, number);
        if !flows.is_empty() {
            self.facts.remove_flows(&flows)?;
        }
        let quiet = taken(&mut self.quiet, number);
        if !quiet.is_empty() {
            self.facts.remove_throttled(&quiet)?;
        }
        for (maker, _) in &quiet {
            self.loud.remove(maker);
        }
        Ok(())
    }

    /// Reports the flows that are over at a time: all, if there is none.
    fn report_flows(&mut self, enricher: &mut Enricher, now: Option<u64>) -> Result<(), AgentError> {
        for (flow, state) in self.facts.flows_over(now, IDLE)? {
            if let Entry::Vacant(new) = self.flows.entry(flow) {
                new.insert((state.first, self.cut));
                enricher.record(bytemuck::bytes_of(&end(&flow, &state)));
            }
        }
        Ok(())
    }

    fn report_throttled(
        &mut self,
        enricher: &mut Enricher,
        over: impl Fn(&Throttled) -> bool,
    ) -> Result<(), AgentError> {
        for (maker, counts) in self.facts.throttled()? {
            if self.quiet.contains_key(&maker) {
                continue;
            }
            if self.loud.insert(maker, counts.first).is_none() {
                enricher.throttle(&maker, counts.first, "start", &[0; EventType::ALL.len()]);
            }
            if over(&counts) {
                self.quiet.insert(maker, (counts.first, self.cut));
                enricher.throttle(&maker, counts.last, "stop", &counts.summarised);
            }
        }
        Ok(())
    }
}

/// Takes out what the cuts up to this number tell of: keys, and when each began.
fn taken<K: Copy + Eq + Hash>(from: &mut HashMap<K, (u64, u64)>, number: u64) -> Vec<(K, u64)> {
    from.extract_if(|_, (_, cut)| *cut <= number).map(|(key, (first, _))| (key, first)).collect()
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
