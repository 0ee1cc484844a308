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
    error::{AgentError, one_line},
    facts::{Away, Facts},
    gap::{self, Gap},
    hashes::Hashes,
    kernel,
    notify::Notifier,
    rows::Batch,
    run::{self, Settings, Sources, Wish},
    sandbox::{self, Report},
    say,
    scoring::{self, Promise, RemoteScoring},
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
    let books = Arc::new(WriterBooks::default());
    let report = sandbox::lock_down(&start.plan).map_err(anyhow::Error::from);
    let opened = report.and_then(|report| Ok((report, open(&start, lent.scorers, &books)?)));
    let (report, opened) = match opened {
        Ok(opened) => opened,
        // The loader says why, and counts how often.
        Err(error) => {
            let told = control.send(&Word::Failed(format!("{error:#}")), &[], PATIENCE);
            return told.map_or(Err(error), |()| Ok(ExitCode::FAILURE));
        }
    };
    control.send(&Word::Open, &[], PATIENCE).context("no loader")?;
    capture(&start, (lent.facts, lent.digests, lent.listeners), control, opened, books, (report, notifier))
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

/// What must be there before anything is captured.
struct Opened {
    archive: Archive<Option<RemoteScoring>>,
    before: Before,
    /// Backend and baseline.
    scoring: Option<(String, String)>,
    promise: Option<Promise>,
}

fn open(start: &Start, scorers: Channel, books: &Arc<WriterBooks>) -> Result<Opened> {
    let Start { args, boot_id, host, .. } = start;
    if let Some(path) = &args.try_outside {
        let tried = File::open(path).map_or_else(|error| error.to_string(), |_| "could be read".into());
        say!("tried outside: {}: {}", path.display(), one_line(&tried));
    }
    if let Some(baseline) = args.learn.as_deref().filter(|_| !start.begun) {
        learnable(baseline)?;
    }
    let (scoring, unscored) = match scorer(start, scorers, books) {
        Err(error) if start.lenient => {
            let then = "rows are not scored until the agent is reloaded or restarted";
            (None, Some(format!("{}; {then}", one_line(&error.to_string()))))
        }
        scoring => (scoring?, None),
    };
    let described = scoring.as_ref().map(|scoring| {
        let (backend, device, reason) = scoring.backend();
        (backend.to_owned(), scoring.baseline().to_owned(), format!("scoring on {device} ({reason})"))
    });
    let promise = scoring.as_ref().map(|scoring| scoring.promise().clone());
    let kept = start.note.as_deref().and_then(Note::from_bytes);
    let options = ArchiveOptions {
        root: &args.archive,
        host,
        boot_id,
        rotate: args.rotate_age(),
        rotate_bytes: args.rotate_bytes,
        sync: Duration::from_secs(args.sync),
        limits: args.limits(),
        run: &start.run,
        begun: start.begun,
        kept: kept.as_ref(),
    };
    let (archive, before) = Archive::open(options, books.clone(), scoring)?;
    unscored.into_iter().for_each(|why| say!("warning: {why}"));
    let scoring = described.map(|(backend, baseline, how)| {
        if !start.begun {
            say!("{how}");
        }
        (backend, baseline)
    });
    Ok(Opened { archive, before, scoring, promise })
}

/// Starts the scorer, if there is a baseline.
fn scorer(start: &Start, channel: Channel, books: &Arc<WriterBooks>) -> Result<Option<RemoteScoring>, AgentError> {
    let settings = scoring::Settings::of(&start.args).map(|settings| scoring::Settings {
        again: start.begun,
        left_by: start.scorer,
        ..settings
    });
    let started = settings.map(|settings| RemoteScoring::with(settings, Box::new(Scorers { channel }), books.clone()));
    started.transpose()
}

/// Whether a baseline can be written at the end: better to know now than after a week.
fn learnable(baseline: &Path) -> Result<()> {
    let place = baseline.display();
    if baseline.is_dir() {
        bail!("cannot learn: {place}: it is a folder; name a file in it");
    }
    let folder = baseline.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    store::try_folder(folder).with_context(|| format!("cannot learn into {place}"))
}

/// A folder for whoever asks from another one.
fn shown(folder: &Path) -> String {
    std::path::absolute(folder).unwrap_or_else(|_| folder.into()).display().to_string()
}

type Asked = (Channel, Channel, Listeners);

fn capture(
    start: &Start,
    (facts, digests, listeners): Asked,
    control: Channel,
    Opened { archive, before, scoring, promise }: Opened,
    books: Arc<WriterBooks>,
    (report, notifier): (Report, Notifier),
) -> Result<ExitCode> {
    let Start { args, boot_id, .. } = start;
    let host: Arc<str> = start.host.as_str().into();
    let (backend, baseline) = scoring.unzip();
    let (hooks, refused, rings) = begin(&control)?;
    let facts = Facts::away(facts);
    let first = account(&before, &start.run, &facts, &host)?;
    let consumers = rings.iter().map(KernelRing::consumer).collect();
    let writer = Writer::start(archive.kept_by(facts.clone()), consumers).context("writer: cannot start its thread")?;
    let hashes = Hashes::away(Away::new(digests).context("digests: cannot start their thread")?);
    let settings = Settings {
        boot: kernel::boot_prefix(boot_id),
        host,
        limit: args.limit.map(|limit| limit.saturating_sub(start.age)),
        json: args.json,
        backend,
        baseline,
        promise,
        archive: Some(shown(&args.archive)),
        out: args.baseline.as_ref().map(|_| shown(args.out.as_deref().unwrap_or(&args.archive))),
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
        panics: args.try_panic.filter(|_| start.restarts == 0),
    };
    let sources = Sources { rings, facts: facts.clone(), hashes, hooks, refused };
    let summary = run::run(settings, sources, writer, books, listeners, wishes(control)?)?;
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
