//! The process without rights: drains the rings, makes rows, keeps the journal, answers who asks for the status.
//!
//! It begins as its loader did, and gives everything up before it reads a byte of others.

use crate::orders::{Order, Scorer, Start, Word};
use anyhow::{Context, Result, bail};
use ebbline_agent_user::{
    before::Before,
    books::WriterBooks,
    channel::{Channel, ChannelError},
    cli::RunArgs,
    cut::Note,
    drain::KernelRing,
    error::one_line,
    facts::{Away, Facts},
    gap::{self, Gap},
    hashes::Hashes,
    kernel,
    notify::Notifier,
    rows::Batch,
    run::{self, Settings, Sources, Wish},
    sandbox::{self, Report},
    say,
    scoring::{self, RemoteScoring},
    sink::{Archive, ArchiveOptions},
    status::{Status, serve::Listeners},
    writer::Writer,
};
use std::{
    fs::File,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Done, but some inputs were skipped and named.
const SKIPPED: u8 = 3;
/// The loader has its first message ready.
const PATIENCE: Duration = Duration::from_secs(30);
/// Orders may be long in coming.
const BETWEEN: Duration = Duration::from_secs(3600);

/// What came with the first message.
struct Lent {
    facts: Channel,
    digests: Channel,
    scorers: Channel,
    listeners: Listeners,
}

/// Works until its loader wishes an end. Standard input is the channel to it.
pub(crate) fn work() -> Result<ExitCode> {
    // What is started by a link of /proc would have its name.
    let _ = rustix::thread::set_name(c"ebbline-worker");
    let no_loader = "no loader: standard input: this command is for ebbline-agent run";
    let control = Channel::from(std::io::stdin().as_fd().try_clone_to_owned().context(no_loader)?);
    let (start, descriptors) = control.receive::<Start>(PATIENCE).context(no_loader)?;
    let lent = lent(&start, descriptors)?;
    // No socket can be made afterwards.
    let notifier = Notifier::from_environment();
    let report = sandbox::lock_down(&start.plan)?;
    if let Some(path) = &start.args.try_outside {
        let tried = File::open(path).map_or_else(|error| error.to_string(), |_| "could be read".into());
        say!("tried outside: {}: {}", path.display(), one_line(&tried));
    }
    capture(&start, lent, control, (report, notifier))
}

fn lent(start: &Start, descriptors: Vec<OwnedFd>) -> Result<Lent> {
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next().context("no loader: its first message lacks a descriptor; this is a defect");
    let (facts, digests, scorers) = (next()?.into(), next()?.into(), next()?.into());
    let socket = start.socket.then(&mut next).transpose()?;
    let metrics = start.metrics.then(&mut next).transpose()?;
    let listeners = Listeners::lent(socket, metrics).context("no metrics")?;
    Ok(Lent { facts, digests, scorers, listeners })
}

fn capture(start: &Start, lent: Lent, control: Channel, (report, notifier): (Report, Notifier)) -> Result<ExitCode> {
    let Start { args, boot_id, .. } = start;
    let host: Arc<str> = start.host.as_str().into();
    let books = Arc::new(WriterBooks::default());
    let scorers = Scorers { channel: lent.scorers };
    let settings = scoring::Settings::of(args).map(|settings| scoring::Settings {
        again: start.begun,
        left_by: start.scorer,
        ..settings
    });
    let start_scorer = |settings| RemoteScoring::with(settings, Box::new(scorers), books.clone());
    let scoring = match settings.map(start_scorer).transpose() {
        Err(error) if start.lenient => {
            let then = "rows are not scored until the agent is reloaded or restarted";
            say!("warning: {}; {then}", one_line(&error.to_string()));
            None
        }
        scoring => scoring?,
    };
    let (backend, baseline) = match &scoring {
        Some(scoring) => (Some(scoring.backend().0.to_owned()), Some(scoring.baseline().to_owned())),
        None => (None, None),
    };
    if let Some((_, device, reason)) = scoring.as_ref().map(RemoteScoring::backend).filter(|_| !start.begun) {
        say!("scoring on {device} ({reason})");
    }
    let kept = start.note.as_deref().and_then(Note::from_bytes);
    let options = ArchiveOptions {
        root: &args.archive,
        host: &host,
        boot_id,
        rotate: args.rotate_age(),
        rotate_bytes: args.rotate_bytes,
        sync: Duration::from_secs(args.sync),
        limits: store::Limits { keep: args.keep(), max_bytes: args.max_bytes },
        run: &start.run,
        begun: start.begun,
        kept: kept.as_ref(),
    };
    let (archive, before) = Archive::open(options, books.clone(), scoring)?;
    control.send(&Word::Open, &[], PATIENCE).context("no loader")?;
    let (hooks, refused, rings) = begin(&control)?;
    let facts = Facts::away(lent.facts);
    let first = account(&before, &start.run, &facts, &host)?;
    let consumers = rings.iter().map(KernelRing::consumer).collect();
    let writer = Writer::start(archive.kept_by(facts.clone()), consumers).context("writer: cannot start its thread")?;
    let hashes = Hashes::away(Away::new(lent.digests).context("digests: cannot start their thread")?);
    let settings = Settings {
        boot: kernel::boot_prefix(boot_id),
        host,
        limit: args.limit.map(|limit| limit.saturating_sub(start.age)),
        json: args.json,
        backend,
        baseline,
        ring_bytes: args.rings().total(),
        pid: start.pid,
        age: start.age,
        restarts: start.restarts,
        begun: start.begun,
        sandbox: Some(report),
        notifier,
        resume: before.of_run(&start.run).cloned(),
        run: start.run.clone(),
        first,
    };
    let sources = Sources { rings, facts: facts.clone(), hashes, hooks, refused };
    let summary = run::run(settings, sources, writer, books, lent.listeners, wishes(control)?)?;
    if let Some(trouble) = summary.trouble {
        bail!("{trouble}");
    }
    args.learn.as_deref().map_or(Ok(ExitCode::SUCCESS), |baseline| learn(args, baseline, &summary.status))
}

/// Asks the loader for scorers: nothing can be started from here.
struct Scorers {
    channel: Channel,
}

impl scoring::Starter for Scorers {
    fn start(&mut self) -> std::io::Result<UnixStream> {
        let refused = |error: ChannelError| std::io::Error::other(error.to_string());
        self.channel.send(&Scorer::Start, &[], PATIENCE).map_err(refused)?;
        let (said, descriptors) = self.channel.receive::<String>(PATIENCE).map_err(refused)?;
        descriptors.into_iter().next().map(UnixStream::from).ok_or_else(|| std::io::Error::other(said))
    }

    fn stop(&mut self, patience: Duration) -> String {
        let stopped = self.channel.send(&Scorer::Stop(patience), &[], PATIENCE);
        let said = stopped.and_then(|()| self.channel.receive::<String>(patience + PATIENCE));
        said.map_or_else(|error| error.to_string(), |(said, _)| said)
    }
}

/// Waits until the programs are in place: how many are, those that are not, the rings.
fn begin(control: &Channel) -> Result<(u64, Vec<String>, Vec<KernelRing>)> {
    let (hooks, refused, sizes, descriptors) = loop {
        match control.receive(BETWEEN) {
            Ok((Order::Begin { hooks, refused, rings }, descriptors)) if rings.len() == descriptors.len() => {
                break (hooks, refused, rings, descriptors);
            }
            Ok(_) | Err(ChannelError::Late) => {}
            Err(error) => bail!("no loader: {error}"),
        }
    };
    let open = |(descriptor, size)| KernelRing::new(descriptor, size).context("cannot read: rings");
    Ok((hooks, refused, descriptors.into_iter().zip(sizes).map(open).collect::<Result<_>>()?))
}

/// A thread takes what the loader wishes.
fn wishes(control: Channel) -> Result<UnboundedReceiver<Wish>> {
    let (tell, wishes) = unbounded_channel();
    let listen = move || while listen(&control, &tell) {};
    std::thread::Builder::new().name("orders".into()).spawn(listen).context("orders: cannot start their thread")?;
    Ok(wishes)
}

/// Passes one order on; false if no more come.
fn listen(control: &Channel, tell: &UnboundedSender<Wish>) -> bool {
    let wish = match control.receive(BETWEEN) {
        Ok((Order::Stop, _)) => Wish::Stop,
        Ok((Order::Reload, _)) => Wish::Reload,
        Ok((Order::Begin { .. }, _)) | Err(ChannelError::Late) => return true,
        Err(_) => Wish::Gone,
    };
    tell.send(wish).is_ok() && wish != Wish::Gone
}

/// Accounts for a run that was killed: says what it lost, and makes the rows that say so.
fn account(before: &Before, run: &str, facts: &Facts, host: &str) -> Result<Vec<Batch>> {
    if before.rows > 0 {
        say!("recovered {} rows from the journal", before.rows);
    }
    let Some(note) = before.other_than(run) else {
        return if before.note.is_none() { unknown(facts, host) } else { Ok(Vec::new()) };
    };
    let counts = facts.left_by(&note.run)?;
    let gap = Gap::new(note, counts.as_ref());
    let now = kernel::utc_now();
    say!("warning: {}", gap.line(now));
    Ok(vec![gap.rows(host, now).context("rows of a gap; this is a defect")?])
}

/// Rows for runs that were seen by the kernel's counters and left no record here.
fn unknown(facts: &Facts, host: &str) -> Result<Vec<Batch>> {
    let runs = facts.left()?;
    for (run, began) in &runs {
        let seen = facts.left_by(run)?.map_or(0, |counts| counts.events.iter().map(|count| count.produced).sum());
        let since = store::time_text(*began);
        say!(
            "warning: a run that began {since} UTC and saw {seen} events left no record here: how many are lost is not known"
        );
    }
    let rows = gap::unknown(host, kernel::utc_now(), runs.iter().map(|(_, began)| *began));
    Ok(if runs.is_empty() { Vec::new() } else { vec![rows.context("rows of a gap; this is a defect")?] })
}

/// Learns the archive. Inputs that could not be learned are named.
fn learn(args: &RunArgs, out: &Path, status: &Status) -> Result<ExitCode> {
    if status.lost() > 0 {
        say!("warning: {} events were lost; the baseline has not seen them", status.lost());
    }
    let learned = archive::learn(&[&args.archive], &archive::LearnOptions::default(), &archive::Silent)?;
    for input in &learned.skipped {
        let named = input.reason.contains(&input.path);
        let text = if named { input.reason.clone() } else { format!("{}: {}", input.path, input.reason) };
        say!("skipped: {}", one_line(&text));
    }
    learned.baseline.save(out)?;
    let place = one_line(&out.display().to_string());
    say!("learned {} rows into {place} (baseline {})", learned.rows, learned.baseline.id());
    Ok(if learned.skipped.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(SKIPPED) })
}
