//! The kernel's tables, which without rights no process can open: before Linux 5.19 `bpf` refuses every call of such a process.

use crate::{
    error::AgentError,
    load::{Attached, Counters, KernelCounts, Tables as Maps},
    plain::Plain,
};
use events::{Flow, FlowState, Maker, Throttled};
use std::os::fd::OwnedFd;

/// What can be asked of the kernel's tables.
pub trait Kernel: Send {
    /// What was counted.
    ///
    /// # Errors
    /// [`AgentError::Read`] if the kernel refuses.
    fn counts(&self) -> Result<KernelCounts, AgentError>;
    /// Flows that are over at a time, which have been silent for `idle` nanoseconds or whose socket is closed: all, if
    /// there is no time.
    fn flows_over(&self, now: Option<u64>, idle: u64) -> Vec<(Flow, FlowState)>;
    /// Takes the flow out that began at this time.
    fn remove_flow(&mut self, flow: &Flow, first: u64);
    /// Processes that make too many events.
    fn throttled(&self) -> Vec<(Maker, Throttled)>;
    /// Takes the process out that began to at this time.
    fn remove_throttled(&mut self, maker: &Maker, first: u64);
    /// Takes all programs out.
    fn detach(&mut self);
    /// New iterators, by the names of their programs; each can be read once.
    fn iterators(&mut self) -> Vec<(String, OwnedFd)>;
}

/// The tables of the programs that this process attached.
pub struct Tables {
    counters: Counters,
    maps: Maps,
    attached: Attached,
    iterators: Vec<(String, OwnedFd)>,
}

impl Tables {
    /// Takes them over.
    #[must_use]
    pub fn new(counters: Counters, maps: Maps, attached: Attached, iterators: Vec<(String, OwnedFd)>) -> Self {
        Self { counters, maps, attached, iterators }
    }
}

impl Kernel for Tables {
    fn counts(&self) -> Result<KernelCounts, AgentError> {
        self.counters.read()
    }

    fn flows_over(&self, now: Option<u64>, idle: u64) -> Vec<(Flow, FlowState)> {
        let over = |flow: &Flow, state: &FlowState| {
            let silent = |now: u64| now.saturating_sub(state.last) > idle;
            now.is_none_or(|now| silent(now) || self.maps.released.get(&flow.cookie, 0).is_ok())
        };
        let found = self.maps.flows.iter().filter_map(Result::ok).map(|(Plain(flow), Plain(state))| (flow, state));
        found.filter(|(flow, state)| over(flow, state)).collect()
    }

    fn remove_flow(&mut self, flow: &Flow, first: u64) {
        if self.maps.flows.get(&Plain(*flow), 0).is_ok_and(|state| state.0.first == first) {
            let _ = self.maps.flows.remove(&Plain(*flow));
        }
    }

    fn throttled(&self) -> Vec<(Maker, Throttled)> {
        let found = self.maps.throttled.iter().filter_map(Result::ok);
        found.map(|(Plain(maker), Plain(counts))| (maker, counts)).collect()
    }

    fn remove_throttled(&mut self, maker: &Maker, first: u64) {
        if self.maps.throttled.get(&Plain(*maker), 0).is_ok_and(|counts| counts.0.first == first) {
            let _ = self.maps.throttled.remove(&Plain(*maker));
        }
    }

    fn detach(&mut self) {
        self.attached.detach();
    }

    fn iterators(&mut self) -> Vec<(String, OwnedFd)> {
        std::mem::take(&mut self.iterators)
    }
}
