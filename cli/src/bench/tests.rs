//! What people see of devices that fail, and what is kept: cards that the processor plays.

use std::sync::atomic::AtomicBool;

use bench::testing::{FakeClock, FakeDevice, Fate};
use bench::{LeftOut, Watch};
use clap::Parser;

use super::*;
use crate::args::{Cli, Command};

struct Deaf;

impl Watch for Deaf {}

/// How a run with a card of that fate ended.
struct Ended {
    code: u8,
    error: String,
    /// Of `--out`.
    kept: Report,
    /// The lines that people see.
    lines: Vec<String>,
}

fn run_with(fate: Fate) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let (out, page) = (folder.path().join("result.json"), folder.path().join("page.html"));
    let line =
        ["ebbline", "bench", "--quick", "--views=8,16", "--rows=2048", "--table-mib=4,16", "--seconds=1000", "--json"];
    let paths = ["--out".as_ref(), out.as_os_str(), "--html".as_ref(), page.as_os_str()];
    let cli = Cli::parse_from(line.iter().map(AsRef::as_ref).chain(paths));
    let Command::Bench(args) = cli.command else { panic!("another command") };
    let plan = Plan { runs: 2, file_rows: 2000, patience: Duration::from_secs(20), ..plan(&args) };
    let clock = Arc::new(FakeClock::default());
    let [cpu] = &bench::devices("cpu")[..] else { panic!("one CPU") };
    let devices: Vec<Arc<dyn Device>> = vec![Arc::clone(cpu), Arc::new(FakeDevice::new(fate, &clock))];
    let budget = Budget::new(clock, plan.time, Arc::new(AtomicBool::new(false)));
    let report = bench::run(&plan, &devices, &budget, &Deaf);
    let done = tell(&args, &report);
    let kept = Report::parse(&std::fs::read(&out).unwrap()).unwrap();
    assert!(kept.left_out == report.left_out && page.is_file(), "what was measured is written, whatever failed");
    // Of files there is nothing, as no adapter has the name of one that is made up.
    let of_files = |line: &String| line.starts_with("left out: a card: Parquet to Parquet: ");
    let lines = print::report(&report).lines().map(terminal::for_stdout).collect::<Vec<_>>();
    let lines = lines.into_iter().filter(|line| line.starts_with("left out: ") && !of_files(line)).collect();
    Ended {
        code: crate::code(&done),
        error: done.err().map(|error| error.to_string()).unwrap_or_default(),
        kept,
        lines,
    }
}

/// The CPU is whole, and of the card there is what it did with 8 views; one line says why not more.
fn keeps_what_there_was(ended: &Ended, line: &str) {
    let Ended { kept, lines, .. } = ended;
    assert_eq!(lines.as_slice(), [line], "one line");
    let views = |at: usize| kept.devices[at].scores.iter().map(|score| score.views).collect::<Vec<_>>();
    assert_eq!((views(0), views(1)), (vec![8, 8, 16, 16], vec![8, 8]));
    let cpu = &kept.devices[0];
    assert!(cpu.learn.len() == 2 && cpu.files.is_some() && !kept.devices[1].batches.is_empty());
}

#[test]
fn out_of_memory_is_a_line_and_the_rest_stays() {
    let ended = run_with(Fate::OutOfMemory(16));
    assert_eq!((ended.code, ended.error.as_str()), (3, ""));
    let why = "out of memory: take smaller ones of --table-mib or --views";
    let line = format!("left out: a card: 16 views, table 4.0 MiB; 16 views, table 16.0 MiB: {why}");
    keeps_what_there_was(&ended, &line);
}

#[test]
fn a_device_that_does_not_answer_is_a_line_and_the_rest_stays() {
    let ended = run_with(Fate::Hangs(16));
    assert_eq!((ended.code, ended.error.as_str()), (3, ""));
    let why = "no answer within 20 s; nothing more is asked of it";
    keeps_what_there_was(&ended, &format!("left out: a card: 16 views, table 4.0 MiB: {why}"));
}

#[test]
fn a_device_that_is_lost_is_a_line_and_the_rest_stays() {
    let ended = run_with(Fate::Lost(16));
    assert_eq!((ended.code, ended.error.as_str()), (3, ""));
    let why = "lost; nothing more is asked of it";
    keeps_what_there_was(&ended, &format!("left out: a card: 16 views, table 4.0 MiB: {why}"));
}

#[test]
fn wrong_scores_are_an_error_and_nothing_of_the_device_is_timed() {
    // As many views as most of the cases of identity have.
    let ended = run_with(Fate::Differs(9));
    assert_eq!((ended.code, ended.lines.len()), (1, 1), "{:?}", ended.lines);
    assert!(
        ended.error.starts_with("scores are not the CPU's: a card: identity: differs from the CPU: "),
        "{}",
        ended.error
    );
    assert!(ended.lines[0].starts_with("left out: a card: identity: differs from the CPU: "), "{}", ended.lines[0]);
    assert!(ended.lines[0].ends_with("; nothing of it is timed"), "{}", ended.lines[0]);
    let [cpu, card] = &ended.kept.devices[..] else { panic!("two devices") };
    assert!(cpu.scores.len() == 4 && cpu.files.is_some() && card.scores.is_empty() && card.identity.is_none());
}

#[test]
fn what_cannot_be_written_costs_nobody_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (out, page) = (folder.path().join("gone/result.json"), folder.path().join("page.html"));
    let (out, html) = (out.to_str().unwrap(), page.to_str().unwrap());
    let cli = Cli::parse_from(["ebbline", "bench", "--out", out, "--html", html, "--json"]);
    let Command::Bench(args) = cli.command else { panic!("another command") };
    let error = tell(&args, &bench::testing::report()).unwrap_err().to_string();
    assert!(error.contains("gone/result.json") && page.is_file(), "{error}");
}

#[test]
fn numbers_that_are_named_twice_are_measured_once() {
    let cli = Cli::parse_from(["ebbline", "bench", "--views=8,4,8", "--table-mib=2,2"]);
    let Command::Bench(args) = cli.command else { panic!("another command") };
    let plan = plan(&args);
    assert_eq!((plan.views, plan.tables), (vec![8, 4], vec![2 << 20]));
}

#[test]
fn reasons_are_shown_whole() {
    let LeftOut { device, what, why } = bench::testing::report().left_out[0].clone();
    let text = terminal::for_stdout(&print::report(&bench::testing::report()));
    assert!(text.ends_with(&format!("left out: {device}: {what}: {why}")), "{text}");
}
