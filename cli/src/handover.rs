//! `ebbline handover`.

mod gather;
mod say;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use handover::{Courier, HandoverError, Settings, Stop, Target};
use triage::Options;

use crate::techniques;
use crate::words::{chain, one_line, visible};
use gather::{Gathered, Gatherer};
use say::{say, say_dead};

/// Where headers may be beside a file, in the form of one.
const HEADERS: &str = "EBBLINE_HANDOVER_HEADERS";

/// Give incidents to other systems: webhooks, syslog, JSON lines.
///
/// Findings are grouped as by `ebbline incident list`, and each incident that is new, or has grown since, is handed over to each
/// target, at least once: what is to be sent is written down before, and a receiver that fails is tried again, now and in the
/// next run. Equal deliveries have equal ids, by which receivers tell what they have.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline handover scored/ --archive archive/ --to incidents.jsonl
  ebbline handover /var/lib/ebbline --to https://hooks.example/in --header-file token.txt --follow
  ebbline handover /var/lib/ebbline --to syslog+tls://logs.example --follow 30
  ebbline handover /var/lib/ebbline --to @webhook.url --dead       what could not be handed over
  ebbline handover /var/lib/ebbline --to @webhook.url --retry-dead

Targets: https://HOST/PATH or http://…, a POST of JSON; syslog+tls://HOST[:6514], syslog+tcp://HOST[:601],
syslog+udp://HOST[:514], syslog+unix:/dev/log, in the form of RFC 5424; a file, or - for standard output, for JSON
lines; @FILE for a file that holds a target, such as a URL with a secret in it.

Exit codes: 0 everything was handed over, 3 some waits for the next run or could not be, 1 failed.")]
pub(crate) struct HandoverArgs {
    /// The folder that was given to `score --out`, or the archive of an agent that scores.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Where incidents go; more than once for several.
    #[arg(long, required = true, value_name = "TARGET")]
    to: Vec<String>,
    /// Where the rows are that were scored, if not in DIR; more than once for several archives.
    #[arg(long, value_name = "FOLDER")]
    archive: Vec<PathBuf>,
    /// Take the findings of this baseline alone: its id, as the folders in DIR/findings are called.
    #[arg(long, value_name = "ID")]
    baseline_id: Option<String>,
    /// The baseline that was scored with, for lenses that do not come with Ebbline.
    #[arg(long, value_name = "BASELINE")]
    baseline: Option<PathBuf>,
    /// Go on until SIGINT or SIGTERM, and look for findings every so many seconds.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    follow: Option<u32>,
    /// Headers for the webhook: a file with a line NAME: VALUE each. The environment variable EBBLINE_HANDOVER_HEADERS can hold
    /// such lines, too.
    #[arg(long, value_name = "FILE", help_heading = "Webhook")]
    header_file: Option<PathBuf>,
    /// Sign each body with the key in this file: HMAC-SHA256, in the header Ebbline-Signature.
    #[arg(long, value_name = "FILE", help_heading = "Webhook")]
    sign_with: Option<PathBuf>,
    /// How long a receiver may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_600), help_heading = "Retry")]
    timeout: u32,
    /// Without --follow: attempts that may fail in a row before the rest is left for the next run.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000), help_heading = "Retry")]
    attempts: u32,
    /// What cannot be handed over for so long goes to the dead letters.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, help_heading = "Retry")]
    give_up_after: u32,
    /// List what could not be handed over, with the reason; nothing is sent.
    #[arg(long, conflicts_with_all = ["follow", "retry_dead"], help_heading = "Dead letters")]
    dead: bool,
    /// Try again, first, what could not be handed over.
    #[arg(long, help_heading = "Dead letters")]
    retry_dead: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &HandoverArgs) -> Result<bool> {
    let targets = targets(args)?;
    if args.dead {
        return say_dead(args, &targets);
    }
    let settings = settings(args, &targets)?;
    // A mistyped folder is no place for state.
    match args.follow {
        Some(_) => ensure!(args.dir.is_dir(), "cannot read: {}: no such folder; check the path", args.dir.display()),
        None => drop(store::findings_files(&args.dir)?),
    }
    let stop =
        if args.follow.is_some() { Stop::on_signals().context("cannot wait: signals")? } else { Stop::default() };
    let couriers: Result<Vec<Courier>, HandoverError> = targets
        .iter()
        .map(|target| Courier::open(&args.dir, target, args.baseline_id.as_deref(), settings.clone()))
        .collect();
    let mut run =
        Run { couriers: couriers?, gatherer: gatherer(args)?, stop, output: targets.iter().any(Target::is_output) };
    if args.retry_dead {
        for courier in &mut run.couriers {
            courier.again()?;
        }
    }
    match args.follow {
        Some(seconds) => run.follow(args, Duration::from_secs(seconds.into())),
        None => run.once(args),
    }
}

fn targets(args: &HandoverArgs) -> Result<Vec<Target>> {
    let targets: Vec<Target> = args.to.iter().map(|text| Target::parse(text)).collect::<Result<_, _>>()?;
    let mut names: Vec<String> = targets.iter().map(|target| target.state_name(None)).collect();
    names.sort_unstable();
    names.dedup();
    ensure!(names.len() == targets.len(), "cannot use: --to: a target is named twice; name each once");
    let output = targets.iter().any(Target::is_output);
    ensure!(
        !(output && args.json),
        "cannot use: --json: standard output is for the incidents themselves; leave it out"
    );
    let open = targets.iter().filter(|target| target.is_open());
    open.for_each(|target| warn(&format!("{}: nothing is encrypted on the way", target.shown())));
    Ok(targets)
}

fn settings(args: &HandoverArgs, targets: &[Target]) -> Result<Settings> {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let mut settings = Settings {
        timeout: seconds(args.timeout),
        give_up_after: seconds(args.give_up_after),
        attempts: args.attempts,
        ..Settings::default()
    };
    if let Some(path) = &args.header_file {
        settings.read_headers(path)?;
    }
    if let Ok(text) = std::env::var(HEADERS) {
        settings.take_headers(Path::new(HEADERS), &text)?;
    }
    if let Some(path) = &args.sign_with {
        settings.read_key(path)?;
    }
    let secret = settings.key.is_some() || !settings.headers.is_empty();
    let webhooks = targets.iter().filter(|target| target.is_webhook()).count();
    let why = "cannot use: headers and keys: they are for one webhook, here are";
    ensure!(!secret || webhooks == 1, "{why} {webhooks}; run the command once for each");
    Ok(settings)
}

fn gatherer(args: &HandoverArgs) -> Result<Gatherer> {
    let options = Options { out: args.dir.clone(), archives: args.archive.clone(), baseline: args.baseline_id.clone() };
    let given = args.baseline.as_deref().map(crate::baseline::load).transpose()?;
    Ok(Gatherer::new(options, techniques::lenses(given.map(|baseline| baseline.parts().lenses.clone()))))
}

/// A command that goes on.
struct Run {
    couriers: Vec<Courier>,
    gatherer: Gatherer,
    stop: Stop,
    /// Standard output is for incidents.
    output: bool,
}

impl Run {
    fn once(mut self, args: &HandoverArgs) -> Result<bool> {
        let mut gathered = self.gatherer.gather(&mut self.couriers)?;
        loop {
            let before = self.sent();
            self.deliver(None)?;
            // More than an outbox holds goes in several turns, as long as there is room again.
            if !gathered.left || self.sent() == before {
                break;
            }
            gathered = self.gatherer.gather(&mut self.couriers)?;
        }
        let whole = say(args, &self.couriers, &gathered, self.output)?;
        Ok(!whole || gathered.left || !gathered.unread.is_empty())
    }

    fn follow(mut self, args: &HandoverArgs, every: Duration) -> Result<bool> {
        let (mut last, mut trouble) = (Gathered::default(), None);
        while !self.stop.is_set() {
            let until = Instant::now() + every;
            match self.gatherer.gather_if_new(&mut self.couriers) {
                Ok(Some(gathered)) => last = gathered,
                Ok(None) => {}
                Err(error) => warn_once(&mut trouble, &format!("{}; trying again", chain(&error))),
            }
            let before = self.sent();
            self.deliver(Some(until))?;
            self.couriers.iter().for_each(say::say_trouble);
            let goes_on = last.left && self.sent() > before;
            if !goes_on && !self.stop.rest(until) {
                break;
            }
        }
        let whole = say(args, &self.couriers, &last, self.output)?;
        Ok(!whole || last.left || !last.unread.is_empty())
    }

    fn sent(&self) -> u64 {
        self.couriers.iter().map(|courier| courier.report().sent + courier.report().given_up).sum()
    }

    /// All targets at once: one that is slow holds up no other.
    fn deliver(&mut self, until: Option<Instant>) -> Result<(), HandoverError> {
        let stop = &self.stop;
        std::thread::scope(|scope| {
            let deliver = |courier| scope.spawn(move || Courier::deliver(courier, until, stop));
            let threads: Vec<_> = self.couriers.iter_mut().map(deliver).collect();
            // All of them end before an error of one counts.
            let ended: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
            ended.into_iter().try_for_each(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }
}

/// Once for each thing that goes wrong, as long as it does.
fn warn_once(before: &mut Option<String>, text: &str) {
    if before.as_deref() != Some(text) {
        warn(text);
    }
    *before = Some(text.to_owned());
}

fn warn(text: &str) {
    eprintln!("warning: {}", visible(&one_line(text)));
}
