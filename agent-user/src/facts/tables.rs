//! The kernel's tables, which without rights no process can open: before Linux 5.19 `bpf` refuses every call of such a process.

use crate::{
    error::AgentError,
    load::{Attached, Counters, KernelCounts, Tables as Maps},
    plain::Plain,
};
use events::{Flow, FlowState, Maker, Throttled};
use std::os::fd::OwnedFd;

/// A flow without a datagram for this long has ended, in nanoseconds.
const IDLE: u64 = 60_000_000_000;

/// What can be asked of the kernel's tables.
pub trait Kernel: Send {
    /// What was counted.
    ///
    /// # Errors
    /// [`AgentError::Read`] if the kernel refuses.
    fn counts(&self) -> Result<KernelCounts, AgentError>;
    /// Flows that are over at a time: all, if there is none.
    ///
    /// # Errors
    /// As above.
    fn flows_over(&self, now: Option<u64>) -> Result<Vec<(Flow, FlowState)>, AgentError>;
    /// Takes a flow out; whether it was there.
    fn remove_flow(&mut self, flow: &Flow) -> bool;
    /// Processes that make too many events.
    ///
    /// # Errors
    /// As above.
    fn throttled(&self) -> Result<Vec<(Maker, Throttled)>, AgentError>;
    /// Takes one of them out; its counts, as late as can be.
    fn remove_throttled(&mut self, maker: &Maker) -> Option<Throttled>;
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

    fn flows_over(&self, now: Option<u64>) -> Result<Vec<(Flow, FlowState)>, AgentError> {
        let over = |flow: &Flow, state: &FlowState| {
            let silent = |now: u64| now.saturating_sub(state.last) > IDLE;
            now.is_none_or(|now| silent(now) || self.maps.released.get(&flow.cookie, 0).is_ok())
        };
        let found = self.maps.flows.iter().filter_map(Result::ok).map(|(Plain(flow), Plain(state))| (flow, state));
        Ok(found.filter(|(flow, state)| over(flow, state)).collect())
    }

    fn remove_flow(&mut self, flow: &Flow) -> bool {
        self.maps.flows.remove(&Plain(*flow)).is_ok()
    }

    fn throttled(&self) -> Result<Vec<(Maker, Throttled)>, AgentError> {
        let found = self.maps.throttled.iter().filter_map(Result::ok);
        Ok(found.map(|(Plain(maker), Plain(counts))| (maker, counts)).collect())
    }

    fn remove_throttled(&mut self, maker: &Maker) -> Option<Throttled> {
        let Plain(counts) = self.maps.throttled.get(&Plain(*maker), 0).ok()?;
        self.maps.throttled.remove(&Plain(*maker)).ok()?;
        Some(counts)
    }

    fn detach(&mut self) {
        self.attached.detach();
    }

    fn iterators(&mut self) -> Vec<(String, OwnedFd)> {
        std::mem::take(&mut self.iterators)
    }
}
