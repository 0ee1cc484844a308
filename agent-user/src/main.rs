//! The program `ebbline-agent`.

use anyhow::{Context, Result, bail};
use clap::{CommandFactory, Parser};
use ebbline_agent_user::{
    books::WriterBooks,
    cli::{Cli, Command, ConfigArgs, DoctorArgs, RunArgs, StatusArgs},
    config::{self, ConfigError, Configuration},
    doctor,
    drain::KernelRing,
    error::one_line,
    gap::Gap,
    kernel,
    load::{self, Capture, Orders},
    pins::Pins,
    rows::Batch,
    run::{self, Settings, Sources},
    scoring::{self, RemoteScoring},
    sink::{Archive, ArchiveOptions, Before},
    status::{Status, ask::Answers, serve::Listeners, table},
    upload,
    writer::Writer,
};
use std::{
    io::{ErrorKind, IsTerminal, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

/// Done, but some inputs were skipped and named.
const SKIPPED: u8 = 3;

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread.
    unsafe { archive::quiet_drivers() };
    let result = match Cli::parse().command {
        Command::Run(_) => configured().and_then(|configuration| capture(&configuration.args)),
        Command::Doctor(args) => examine(&args),
        Command::Status(args) => ask(&args),
        Command::Config(args) => configuration(&args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "ebbline-agent", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { dir } => manual(&dir),
        Command::Upload(args) => upload::upload(&args).map(ExitCode::from).map_err(Into::into),
        Command::Scorer => scoring::serve().map(|()| ExitCode::SUCCESS).map_err(Into::into),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", one_line(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// The flags again, now with the file between them and the defaults.
fn configured() -> Result<Configuration> {
    let behind_run = std::env::args_os().skip(2);
    match Configuration::load(behind_run) {
        Err(ConfigError::Usage(error)) => error.exit(),
        result => Ok(result?),
    }
}

fn configuration(args: &ConfigArgs) -> Result<ExitCode> {
    match &args.check {
        Some(path) => {
            config::check(path)?;
            println!("{}: good", one_line(&path.display().to_string()));
        }
        None if args.markdown => print!("{}", config::markdown()),
        None => print!("{}", config::toml()),
    }
    Ok(ExitCode::SUCCESS)
}

fn manual(dir: &Path) -> Result<ExitCode> {
    let text = || format!("cannot write manual pages: {}", dir.display());
    clap_mangen::generate_to(Cli::command(), dir).with_context(text)?;
    Ok(ExitCode::SUCCESS)
}

fn examine(args: &DoctorArgs) -> Result<ExitCode> {
    let report = doctor::examine(&args.btf, args.cgroup.as_deref());
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{}", report.text());
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints a running agent's status, once or until it ends.
fn ask(args: &StatusArgs) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    // A terminal shows one table that changes; a file gets them one below the other.
    let clear = if args.watch && !args.json && out.is_terminal() { "\x1b[H\x1b[2J" } else { "" };
    let mut answers = Answers::connect(&args.socket)?;
    while let Some(answer) = answers.receive()? {
        let text = if args.json { answer.line } else { table::text(&answer.status) };
        let gap = if args.watch && !args.json && clear.is_empty() { "\n" } else { "" };
        match writeln!(out, "{clear}{text}{gap}").and_then(|()| out.flush()) {
            // A reader that has seen enough, such as `head`.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            result => result.context("cannot write: standard output")?,
        }
        if !args.watch {
            return Ok(ExitCode::SUCCESS);
        }
    }
    eprintln!("the agent has ended");
    Ok(ExitCode::SUCCESS)
}

fn capture(args: &RunArgs) -> Result<ExitCode> {
    kernel::require_rights()?;
    let layout = kernel::layout(&args.btf)?;
    let cgroup = kernel::cgroup(args.cgroup.as_deref())?;
    let host: Arc<str> = args.host.clone().unwrap_or_else(kernel::host_name).into();
    let boot_id = kernel::boot_id()?;
    let run = kernel::run_id(&boot_id);
    let books = Arc::new(WriterBooks::default());
    let scoring = RemoteScoring::start(args, books.clone())?;
    let (backend, baseline) = match &scoring {
        Some(scoring) => (Some(scoring.backend().0.to_owned()), Some(scoring.baseline().to_owned())),
        None => (None, None),
    };
    if let Some((_, device, reason)) = scoring.as_ref().map(RemoteScoring::backend) {
        eprintln!("scoring on {device} ({reason})");
    }
    let options = ArchiveOptions {
        root: &args.archive,
        host: &host,
        boot_id: &boot_id,
        rotate: args.rotate_age(),
        rotate_bytes: args.rotate_bytes,
        limits: store::Limits { keep: args.keep(), max_bytes: args.max_bytes },
        run: &run,
    };
    let (archive, before) = Archive::open(options, books.clone(), scoring)?;
    let mut pins = args.pin().map(|folder| Pins::open(folder, &args.archive));
    let first = account(&before, &run, pins.as_ref().and_then(|pins| pins.as_ref().ok()), &host)?;
    let orders = Orders { layout: &layout, cgroup: &cgroup, sizes: args.rings(), rate_limit: args.rate_limit };
    let listeners = Listeners::open(args.socket(), args.metrics)?;
    let loaded = load::load(&args.btf, &orders)?;
    if let Some(pins) = &mut pins
        && let Err(why) = pins.as_mut().map_err(|why| why.clone()).and_then(|pins| pins.pin(&run, &loaded))
    {
        let then = "if the agent is killed, how much it lost will not be known";
        eprintln!("warning: counters not pinned: {}; {then}", one_line(&why));
    }
    let capture = loaded.attach_all(&cgroup, if args.follows_calls() { &[] } else { &[load::CALLS] })?;
    for (hook, why) in &capture.refused {
        eprintln!("warning: {hook}: {}; its events will be missing", one_line(why));
    }
    let ring_bytes = capture.rings.bytes;
    let rings = capture.rings.open()?;
    let consumers = rings.iter().map(KernelRing::consumer).collect();
    let writer = Writer::start(archive, consumers).context("writer: cannot start its thread")?;
    let Capture { counters, tables, hooks, iterators, attached, .. } = capture;
    let sources = Sources { rings, counters, tables, hooks, iterators, attached };
    let settings = Settings {
        boot: kernel::boot_prefix(&boot_id),
        host,
        limit: args.limit,
        json: args.json,
        backend,
        baseline,
        ring_bytes,
        resume: before.of_run(&run).cloned(),
        run,
        first,
    };
    let summary = run::run(settings, sources, writer, books, listeners)?;
    if let Some(Ok(pins)) = &mut pins {
        pins.remove();
    }
    if let Some(trouble) = summary.trouble {
        bail!("{trouble}");
    }
    args.learn.as_deref().map_or(Ok(ExitCode::SUCCESS), |baseline| learn(&args.archive, baseline, &summary.status))
}

/// Accounts for a run that was killed: says what it lost, and makes the rows that say so.
fn account(before: &Before, run: &str, pins: Option<&Pins>, host: &str) -> Result<Vec<Batch>> {
    if before.rows > 0 {
        eprintln!("recovered {} rows from the journal", before.rows);
    }
    let Some(note) = before.other_than(run) else { return Ok(Vec::new()) };
    let counts = pins.and_then(|pins| pins.left_by(&note.run));
    let gap = Gap::new(note, counts.as_ref());
    eprintln!("warning: {}", gap.line());
    let rows = gap.rows(host, kernel::utc_now()).context("rows of a gap; this is a defect")?;
    if let Some(pins) = pins {
        pins.clear();
    }
    Ok(vec![rows])
}

/// Learns the archive. Inputs that could not be learned are named.
fn learn(archive: &Path, out: &Path, status: &Status) -> Result<ExitCode> {
    if status.lost() > 0 {
        eprintln!("warning: {} events were lost; the baseline has not seen them", status.lost());
    }
    let learned = archive::learn(&[archive], &archive::LearnOptions::default(), &archive::Silent)?;
    for input in &learned.skipped {
        let named = input.reason.contains(&input.path);
        let text = if named { input.reason.clone() } else { format!("{}: {}", input.path, input.reason) };
        eprintln!("skipped: {}", one_line(&text));
    }
    learned.baseline.save(out)?;
    let place = one_line(&out.display().to_string());
    eprintln!("learned {} rows into {place} (baseline {})", learned.rows, learned.baseline.id());
    Ok(if learned.skipped.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(SKIPPED) })
}
