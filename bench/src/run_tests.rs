use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::testing::{FakeClock, FakeDevice, Fate};

/// A watch that keeps what it was told.
#[derive(Default)]
struct Kept {
    lines: Mutex<Vec<String>>,
    steps: Mutex<Vec<(usize, usize)>>,
}

impl Watch for Kept {
    fn begin(&self, _: &str, done: usize, of: usize) {
        self.steps.lock().unwrap().push((done, of));
    }

    fn left_out(&self, left_out: &LeftOut) {
        let LeftOut { device, what, why } = left_out;
        self.lines.lock().unwrap().push(format!("{device}: {what}: {why}"));
    }
}

fn plan() -> Plan {
    Plan {
        views: vec![8, 16],
        tables: vec![1 << 10, 16 << 20],
        rows: 2048,
        file_rows: 2000,
        runs: 2,
        time: Duration::from_secs(1000),
        patience: Duration::from_secs(600),
        ..Plan::quick()
    }
}

/// Runs the processor and a made-up device.
fn run_with(plan: &Plan, fate: Fate) -> (Report, Vec<String>) {
    run_slowly(plan, fate, Duration::from_millis(1))
}

/// The same, where each batch takes the made-up device so long.
fn run_slowly(plan: &Plan, fate: Fate, takes: Duration) -> (Report, Vec<String>) {
    let clock = Arc::new(FakeClock::default());
    let card = FakeDevice { takes, ..FakeDevice::new(fate, &clock) };
    let devices: Vec<Arc<dyn Device>> = vec![Arc::new(Cpu), Arc::new(card)];
    let budget = Budget::new(clock, plan.time, Arc::new(AtomicBool::new(false)));
    let kept = Kept::default();
    let report = run(plan, &devices, &budget, &kept);
    assert_eq!(report.devices.len(), 2);
    let steps = kept.steps.into_inner().unwrap();
    assert!(steps.iter().all(|(done, of)| done < of) && steps.windows(2).all(|two| two[0].0 < two[1].0), "{steps:?}");
    // No adapter has the name of one that is made up.
    let of_files = |line: &String| line.starts_with("a card: Parquet to Parquet: ");
    (report, kept.lines.into_inner().unwrap().into_iter().filter(|line| !of_files(line)).collect())
}

/// Everything that the plan wants is there of the processor.
fn is_whole(plan: &Plan, device: &DeviceReport) -> bool {
    let figures = plan.views.len() * plan.tables.len();
    device.identity.is_some()
        && device.scores.len() <= figures
        && device.scores.len() > plan.views.len()
        && device.learn.len() == plan.views.len()
        && device.batches.len() == 2
}

#[test]
fn everything_is_measured_of_devices_that_work() {
    let plan = plan();
    let (report, lines) = run_with(&plan, Fate::Works);
    assert!(lines.is_empty() && report.left_out.len() == 1, "{lines:?} {:?}", report.left_out);
    assert_eq!(report.left_out[0].what, "Parquet to Parquet");
    assert!(report.devices.iter().all(|device| is_whole(&plan, device)), "{:#?}", report.devices);
    assert!(report.devices[0].files.is_some() && report.devices[0].crossover_rows.is_none());
    for device in &report.devices {
        let tables: Vec<usize> = device.limits.iter().map(|limits| limits.table_bytes).collect();
        assert!(tables.len() > 2 && tables.is_sorted(), "learning is beside the last, the largest: {tables:?}");
    }
    let score = &report.devices[1].scores[0];
    // A batch takes a millisecond on the card, whatever is in it.
    assert!(score.rows == 2048 && score.timed_by == "host" && score.kernel_rows_per_s.median.round() == 2_048_000.0);
    assert!(score.share_of_copies.is_some() && !report.stopped && report.differs().is_none());
}

#[test]
fn wrong_bits_are_one_line_and_nothing_is_timed() {
    // As many views as most of the cases of identity have.
    let (report, lines) = run_with(&plan(), Fate::Differs(9));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("a card: identity: differs from the CPU: ordinary: row "), "{}", lines[0]);
    let card = &report.devices[1];
    assert!(card.identity.is_none() && card.limits.is_empty() && card.scores.is_empty() && card.learn.is_empty());
    assert!(report.differs().is_some() && is_whole(&plan(), &report.devices[0]));
}

#[test]
fn bits_that_are_wrong_later_end_the_device_too() {
    let (report, lines) = run_with(&plan(), Fate::Differs(16));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("differs from the CPU: 16 views"), "{}", lines[0]);
    let card = &report.devices[1];
    assert!(card.scores.iter().all(|score| score.views == 8) && !card.scores.is_empty() && report.differs().is_some());
}

#[test]
fn a_device_that_is_lost_or_falls_over_keeps_what_it_did() {
    for (fate, why) in [(Fate::Lost(16), "lost; nothing more"), (Fate::Panics(16), "its driver panicked; nothing more")]
    {
        let (report, lines) = run_with(&plan(), fate);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(why) && !lines[0].contains('\n'), "{}", lines[0]);
        let card = &report.devices[1];
        assert!(card.scores.iter().all(|score| score.views == 8) && !card.scores.is_empty() && card.batches.len() == 2);
        assert!(report.differs().is_none() && is_whole(&plan(), &report.devices[0]));
    }
}

#[test]
fn what_has_no_room_is_left_out_alone() {
    let (report, lines) = run_with(&plan(), Fate::OutOfMemory(8));
    assert!(
        lines.iter().all(|line| line.ends_with(": out of memory: take smaller ones of --table-mib or --views"))
            && lines.len() >= 2,
        "{lines:?}"
    );
    let card = &report.devices[1];
    assert!(card.scores.iter().all(|score| score.views == 16) && !card.scores.is_empty() && card.learn.len() == 2);
}

#[test]
fn a_device_that_hangs_holds_nobody_up() {
    let plan = Plan { patience: Duration::from_secs(20), ..plan() };
    let (report, lines) = run_with(&plan, Fate::Hangs(16));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("no answer within 20 s; nothing more is asked of it"), "{}", lines[0]);
    assert!(!report.devices[1].scores.is_empty() && is_whole(&plan, &report.devices[0]));
}

#[test]
fn what_does_not_fit_into_the_time_is_named() {
    // Enough for the cases that every device scores, and little more.
    let plan = Plan { time: Duration::from_secs(20), ..plan() };
    let (report, lines) = run_slowly(&plan, Fate::Works, Duration::from_secs(2));
    assert!(lines.is_empty() && report.devices[1].identity.is_some(), "{lines:?}");
    let named: Vec<&LeftOut> = report.left_out.iter().filter(|one| one.why.starts_with("no time was left")).collect();
    assert!(!named.is_empty() && named.iter().all(|one| one.why.contains("--seconds")), "{:?}", report.left_out);
}

#[test]
fn who_stops_has_what_there_is() {
    struct Stopper(Arc<AtomicBool>);
    impl Watch for Stopper {
        fn begin(&self, what: &str, _: usize, _: usize) {
            self.0.store(what.contains("learning"), std::sync::atomic::Ordering::Relaxed);
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let clock = Arc::new(FakeClock::default());
    let budget = Budget::new(clock, plan().time, Arc::clone(&stop));
    let report = run(&plan(), &[Arc::new(Cpu)], &budget, &Stopper(stop.clone()));
    assert!(report.stopped && !report.devices[0].scores.is_empty() && report.devices[0].learn.is_empty());
    assert!(report.left_out.iter().all(|one| one.why == "stopped before") && !report.left_out.is_empty());
}
