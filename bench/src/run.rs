//! Goes over a plan, step by step; whatever happens to a step, the others' figures stay.

use std::sync::Arc;
use std::time::Duration;

use scorer_gpu::measure::{Clock, Timing, crossover, sizes, within};
use terminal::{bytes, plural};

use crate::budget::Budget;
use crate::case::{Case, Rows};
use crate::device::{About, Cpu, Device, Failure, Kind};
use crate::energy::Meter;
use crate::files::{Files, Scratch, Shared};
use crate::measure;
use crate::names::{BATCHES, LEARNING, READING, TO_PARQUET};
use crate::plan::Plan;
use crate::report::{DeviceReport, FORMAT, LeftOut, LimitsAt, Machine, Report};
use crate::{identity, memory, room};

/// So much longer than the budget an answer is waited for that is nearly there.
const GRACE: Duration = Duration::from_secs(3);
/// Device of what all have in common.
const ALL: &str = "all";

/// Who wants to know how far a run is.
pub trait Watch {
    /// A step begins, after so many of so many.
    fn begin(&self, _what: &str, _done: usize, _of: usize) {}
    /// A figure could not be had. Those for which no time was left are in the report alone.
    fn left_out(&self, _left_out: &LeftOut) {}
}

/// Measures what the plan wants on each device, until the budget is over.
pub fn run(plan: &Plan, devices: &[Arc<dyn Device>], budget: &Budget, watch: &dyn Watch) -> Report {
    let begun = budget.clock().now();
    let mut run = Run::new(plan, devices, budget, watch);
    run.identity();
    if let Some(rows) = run.rows() {
        for (number, views) in plan.views.iter().enumerate() {
            run.views(*views, &rows, number == 0);
        }
    }
    run.crossovers();
    Report {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        quick: plan.quick,
        seed: plan.seed,
        rows: plan.rows,
        budget_seconds: plan.time.as_secs_f64(),
        wall_seconds: (budget.clock().now() - begun).as_secs_f64(),
        stopped: budget.is_stopped(),
        peak_memory_bytes: memory::peak(),
        machine: machine(),
        devices: run.entries.into_iter().map(|entry| entry.report).collect(),
        left_out: run.left_out,
    }
}

fn machine() -> Machine {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Machine {
        threads: memory::threads(),
        last_cache_bytes: memory::last_cache(),
        memory_bytes: memory::all(),
        kernel: kernel.trim().to_owned(),
        energy: Meter::open().map_or_else(|why| why, |_| "counters of the processor's packages (powercap)".to_owned()),
    }
}

/// A device and what was measured of it.
struct Entry {
    device: Arc<dyn Device>,
    report: DeviceReport,
    /// Whether nothing more can be had of it.
    is_gone: bool,
}

struct Run<'a> {
    plan: &'a Plan,
    budget: &'a Budget,
    watch: &'a dyn Watch,
    entries: Vec<Entry>,
    left_out: Vec<LeftOut>,
    done: usize,
    of: usize,
}

/// What a step is given: the device, a clock, and how long it may take.
struct Given {
    device: Arc<dyn Device>,
    clock: Arc<dyn Clock>,
    share: Duration,
    runs: usize,
}

impl Given {
    fn timing(&self) -> Timing<'_> {
        Timing { clock: self.clock.as_ref(), share: self.share, runs: self.runs }
    }
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, devices: &[Arc<dyn Device>], budget: &'a Budget, watch: &'a dyn Watch) -> Self {
        let entry = |device: &Arc<dyn Device>| {
            let About { name, kind, details } = device.about();
            let report = DeviceReport {
                name,
                kind,
                details,
                identity: None,
                limits: Vec::new(),
                scores: Vec::new(),
                batches: Vec::new(),
                crossover_rows: None,
                learn: Vec::new(),
                files: None,
            };
            Entry { device: Arc::clone(device), report, is_gone: false }
        };
        let (views, tables) = (plan.views.len(), plan.tables.len());
        // Of each device: identity, limits and scores of every table, learning, the sweep, files. Of all: what these need.
        let of = devices.len() * (1 + views * (2 * tables + 1) + 2) + 2 + views * (1 + tables);
        let entries = devices.iter().map(entry).collect();
        Self { plan, budget, watch, entries, left_out: Vec::new(), done: 0, of }
    }

    fn identity(&mut self) {
        let seed = self.plan.seed;
        for at in 0..self.entries.len() {
            let work = move |given: &Given| {
                identity::check(given.device.as_ref(), seed, given.clock.as_ref(), 2 * given.share)
            };
            let found = self.measure(at, "identity", work);
            // What was not compared is not timed.
            self.entries[at].is_gone |= found.is_none();
            self.entries[at].report.identity = found;
        }
    }

    fn rows(&mut self) -> Option<Arc<Rows>> {
        let (seed, rows) = (self.plan.seed, self.plan.rows);
        self.prepare("rows", move |_| Ok(Arc::new(Rows::new(seed, rows)?)))
    }

    /// All of a number of views; the first also from file to file, and in batches of several sizes.
    fn views(&mut self, views: usize, rows: &Arc<Rows>, is_first: bool) {
        let rows = Arc::clone(rows);
        let Some(case) = self.prepare(&views_in_words(views), move |_| Case::new(views, &rows)) else { return };
        let mut sizes = Vec::new();
        for table in self.plan.tables.clone() {
            self.table(&case, table, &mut sizes);
        }
        self.learn(&case);
        if is_first {
            self.sweep(&case);
            self.files();
        }
    }

    /// Scores with a table of about so many bytes, unless that was done.
    fn table(&mut self, case: &Case, wanted: usize, sizes: &mut Vec<usize>) {
        let views = case.snapshot.views.len();
        let what = format!("{}, {}", views_in_words(views), table(wanted));
        let (case, seed) = (case.clone(), self.plan.seed);
        let case = self.prepare(&what, move |_| {
            // Entries, and the table made of them, beside the one that it replaces.
            let needed = 3 * wanted as u64;
            room::check(needed).map_err(Failure::Refused)?;
            case.with_table(wanted, seed)
        });
        let Some(case) = case.filter(|case| !sizes.contains(&case.table_bytes())) else {
            self.done += 2 * self.entries.len();
            return;
        };
        sizes.push(case.table_bytes());
        let what = format!("{}, {}", views_in_words(views), table(case.table_bytes()));
        for at in 0..self.entries.len() {
            let Some(limits) = self.limits(at, &case) else {
                self.done += 1;
                continue;
            };
            let case = case.clone();
            let work = move |given: &Given| measure::score(given.device.as_ref(), &case, &limits, &given.timing());
            let figure = self.measure(at, &what, work);
            self.entries[at].report.scores.extend(figure);
        }
    }

    /// What the device's memory gives for the table of a case.
    fn limits(&mut self, at: usize, case: &Case) -> Option<LimitsAt> {
        let known = &self.entries[at].report.limits;
        if let Some(limits) = known.iter().find(|limits| limits.table_bytes == case.table_bytes()) {
            let limits = *limits;
            self.done += 1;
            return Some(limits);
        }
        let (what, case) = (format!("limits, {}", table(case.table_bytes())), case.clone());
        let limits = self.measure(at, &what, move |given| measure::limits(given.device.as_ref(), &case))?;
        let known = &mut self.entries[at].report.limits;
        known.push(limits);
        // The smallest table first, in whatever order they were met.
        known.sort_by_key(|limits| limits.table_bytes);
        Some(limits)
    }

    fn learn(&mut self, case: &Case) {
        let what = format!("{LEARNING}, {}", views_in_words(case.snapshot.views.len()));
        for at in 0..self.entries.len() {
            // Of the largest table: what is learned grows beyond caches.
            let Some(limits) = self.entries[at].report.limits.last().copied() else {
                self.done += 1;
                continue;
            };
            let case = case.clone();
            let work =
                move |given: &Given| measure::learn(given.device.as_ref(), &Cpu, &case, (&limits, &given.timing()));
            let figure = self.measure(at, &what, work);
            self.entries[at].report.learn.extend(figure);
        }
    }

    fn sweep(&mut self, case: &Case) {
        let sizes = sizes(self.plan.rows);
        for at in 0..self.entries.len() {
            let (case, sizes) = (case.clone(), sizes.clone());
            let work = move |given: &Given| measure::sweep(given.device.as_ref(), &case, &sizes, &given.timing());
            self.entries[at].report.batches = self.measure(at, BATCHES, work).unwrap_or_default();
        }
    }

    fn files(&mut self) {
        let scratch = Scratch::new();
        let (seed, rows, clock) = (self.plan.seed, self.plan.file_rows, Arc::clone(self.budget.clock()));
        let folder = scratch.as_ref().map(Scratch::path).map_err(Clone::clone);
        let files: Option<Shared> =
            self.prepare(READING, move |_| Ok(Arc::new(Files::new(folder?, seed, rows, clock.as_ref())?)));
        let Some(files) = files else {
            self.done += self.entries.len();
            return;
        };
        for at in 0..self.entries.len() {
            let files = Arc::clone(&files);
            let work = move |given: &Given| files.score(&given.device.about(), given.clock.as_ref(), given.share);
            self.entries[at].report.files = self.measure(at, TO_PARQUET, work);
        }
    }

    fn crossovers(&mut self) {
        let is_cpu = |entry: &&Entry| entry.report.kind == Kind::Cpu;
        let Some(cpu) = self.entries.iter().find(is_cpu).map(|entry| entry.report.batches.clone()) else { return };
        for entry in self.entries.iter_mut().filter(|entry| entry.report.kind != Kind::Cpu) {
            entry.report.crossover_rows = crossover(&cpu, &entry.report.batches);
        }
    }

    /// A step of one device; nothing if the device is gone or goes.
    fn measure<T: Send + 'static>(
        &mut self,
        at: usize,
        what: &str,
        work: impl FnOnce(&Given) -> Result<T, Failure> + Send + 'static,
    ) -> Option<T> {
        if self.entries[at].is_gone {
            self.done += 1;
            return None;
        }
        let (device, name) = (Arc::clone(&self.entries[at].device), self.entries[at].report.name.clone());
        let result = self.step(device, (&name, what), work);
        self.entries[at].is_gone |= result.as_ref().is_err_and(Failure::ends_device);
        self.kept(&name, what, result)
    }

    /// A step that all devices need.
    fn prepare<T: Send + 'static>(
        &mut self,
        what: &str,
        work: impl FnOnce(&Given) -> Result<T, Failure> + Send + 'static,
    ) -> Option<T> {
        let result = self.step(Arc::new(Cpu), (ALL, what), work);
        self.kept(ALL, what, result)
    }

    fn step<T: Send + 'static>(
        &mut self,
        device: Arc<dyn Device>,
        (name, what): (&str, &str),
        work: impl FnOnce(&Given) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        if self.budget.is_stopped() {
            return Err(Failure::Stopped);
        }
        let share = self.budget.share(self.of.saturating_sub(self.done)).ok_or(Failure::NoTime);
        self.done += 1;
        self.watch.begin(&format!("{name}: {what}"), self.done - 1, self.of);
        let given = Given { device, clock: Arc::clone(self.budget.clock()), share: share?, runs: self.plan.runs };
        let patience = self.plan.patience.min(self.budget.left() + GRACE);
        within(patience, &|| self.budget.is_stopped(), move || work(&given))?
    }

    /// The figure, or a line about why there is none.
    fn kept<T>(&mut self, device: &str, what: &str, result: Result<T, Failure>) -> Option<T> {
        let failure = match result {
            Ok(figure) => return Some(figure),
            Err(failure) => failure,
        };
        let left_out = LeftOut { device: device.to_owned(), what: what.to_owned(), why: failure.to_string() };
        if !matches!(failure, Failure::NoTime | Failure::Stopped) {
            self.watch.left_out(&left_out);
        }
        self.left_out.push(left_out);
        None
    }
}

fn views_in_words(views: usize) -> String {
    plural(views as u64, "view", "views")
}

/// A table in words.
fn table(size: usize) -> String {
    format!("table {}", bytes(size as u64))
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
