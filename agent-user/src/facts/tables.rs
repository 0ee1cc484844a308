//! The kernel's tables, which without rights no process can open: before Linux 5.19 `bpf` refuses every call of such a
//! process.

use crate::{
    error::AgentError,
    load::{Attached, Counters, KernelCounts, Tables as Maps},
    pins::Pins,
};
use events::{Flow, FlowState, Maker, Throttled};
use std::{fs::File, os::fd::OwnedFd};

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
    /// What was counted in an earlier run, if it left that.
    fn left_by(&self, run: &str) -> Option<KernelCounts>;
    /// Runs that left counters, this one aside, and when each began in nanoseconds UTC.
    fn left(&self) -> Vec<(String, i64)>;
    /// What earlier runs left is accounted for.
    fn accounted(&mut self);
    /// This run has ended well.
    fn ended(&mut self);
}

/// The tables of the programs that this process attached.
pub struct Tables {
    counters: Counters,
    maps: Maps,
    attached: Attached,
    /// Made when the programs were attached, and not asked for yet.
    iterators: Option<Vec<(&'static str, File)>>,
    pins: Option<Pins>,
}

impl Tables {
    /// Takes them over.
    #[must_use]
    pub fn new(
        counters: Counters,
        maps: Maps,
        attached: Attached,
        iterators: Vec<(&'static str, File)>,
        pins: Option<Pins>,
    ) -> Self {
        Self { counters, maps, attached, iterators: Some(iterators), pins }
    }
}

impl Kernel for Tables {
    fn counts(&self) -> Result<KernelCounts, AgentError> {
        self.counters.read()
    }

    fn flows_over(&self, now: Option<u64>, idle: u64) -> Vec<(Flow, FlowState)> {
        self.maps.flows_over(now, idle)
    }

    fn remove_flow(&mut self, flow: &Flow, first: u64) {
        self.maps.remove_flow(flow, first);
    }

    fn throttled(&self) -> Vec<(Maker, Throttled)> {
        self.maps.throttled()
    }

    fn remove_throttled(&mut self, maker: &Maker, first: u64) {
        self.maps.remove_throttled(maker, first);
    }

    fn detach(&mut self) {
        self.attached.detach();
    }

    fn iterators(&mut self) -> Vec<(String, OwnedFd)> {
        let made = self.iterators.take().unwrap_or_else(|| self.attached.iterators());
        made.into_iter().map(|(name, file)| (name.to_owned(), file.into())).collect()
    }

    fn left_by(&self, run: &str) -> Option<KernelCounts> {
        // It becomes part of a path.
        let plain = run.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        self.pins.as_ref().filter(|_| plain)?.left_by(run)
    }

    fn left(&self) -> Vec<(String, i64)> {
        self.pins.as_ref().map(Pins::others).unwrap_or_default()
    }

    fn accounted(&mut self) {
        self.pins.iter().for_each(Pins::clear);
    }

    fn ended(&mut self) {
        self.pins.iter_mut().for_each(Pins::remove);
    }
}
