//! `ebbline incident accept`, `dismiss`, `watch` and `undo`: what people say of an incident, and what that teaches.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use model::ops;
use model::units::UnitName;
use model::{Baseline, Dismissal, Said, days};
use serde_json::{Value, json};
use store::{Finding, Incident};
use triage::{Feedback, Opinion, Verdict};

use super::Where;
use super::effect::Effect;
use crate::baseline::Original;
use crate::output::{print, print_json};
use crate::words::{inline, plural};

/// Days that a dismissal holds, if not said otherwise.
const DAYS: i32 = 90;

/// Who says what of which incident.
#[derive(Args)]
pub(crate) struct VerdictArgs {
    #[command(flatten)]
    place: Where,
    /// Its id, an alias, or the first four digits or more.
    #[arg(value_name = "ID")]
    id: String,
    /// Why, in a sentence that the next one on duty understands.
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// Who answers for it (default: who is logged in).
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
}

/// Say that an incident is harmless, until a day; with --baseline, teach that to the baseline.
///
/// The incident is not shown any more unless something is added to it. With --baseline all rows of its units (process trees in
/// an hour, for example) count as ordinary on their hosts, so that the same is no finding next time. What that would have
/// hidden in the last 90 days is measured first, by scoring them again; findings of accepted incidents are not hidden unless
/// you say --anyway. The baseline remembers who said it and why, forgets it after the day, and `ebbline incident undo` gives
/// back the file as it was.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline incident dismiss scored/ 3f9c --archive archive/ --why 'backup moved to web2, ticket 4711'
  ebbline incident dismiss scored/ 3f9c --archive archive/ --why '…' --baseline normal.baseline --dry-run
  ebbline incident dismiss scored/ 3f9c --archive archive/ --why '…' --baseline normal.baseline --until 2027-01-31")]
pub(crate) struct DismissArgs {
    #[command(flatten)]
    verdict: VerdictArgs,
    /// The last day (UTC) on which it holds (default: 90 days from today).
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = crate::baseline::args::day)]
    until: Option<i32>,
    /// The baseline to teach; it is written anew.
    #[arg(long, value_name = "BASELINE")]
    baseline: Option<PathBuf>,
    /// Write the taught baseline to this file instead.
    #[arg(long, value_name = "BASELINE", requires = "baseline")]
    out: Option<PathBuf>,
    /// Say what it would do, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not measure what it would have hidden.
    #[arg(long)]
    unmeasured: bool,
    /// Also if findings of accepted incidents would have been hidden.
    #[arg(long)]
    anyway: bool,
}

/// Take back what was said last of an incident; with --baseline, also all that was dismissed of it there.
///
/// The baseline is what it was before, byte for byte. Where the results are gone, `ebbline baseline show` has the ids of
/// dismissals, and `ebbline baseline forget --dismissal` takes one away.
#[derive(Args)]
#[command(after_help = "\
Example:
  ebbline incident undo scored/ 3f9c --why 'it was not the backup' --baseline normal.baseline")]
pub(crate) struct UndoArgs {
    #[command(flatten)]
    verdict: VerdictArgs,
    /// The baseline that was taught; it is written anew, as it was.
    #[arg(long, value_name = "BASELINE")]
    baseline: Option<PathBuf>,
    /// Write that baseline to this file instead.
    #[arg(long, value_name = "BASELINE", requires = "baseline")]
    out: Option<PathBuf>,
}

/// An incident that somebody speaks of.
struct Spoken {
    incident: Incident,
    findings: Vec<Finding>,
    opinion: Opinion,
    at: i64,
}

impl VerdictArgs {
    fn spoken(&self, verdict: Verdict) -> Result<Spoken> {
        ensure!(!self.why.trim().is_empty(), "cannot {}: --why: say why", word(verdict));
        let (_, incident, findings) = triage::look_up(&self.place.options(), &self.id)?;
        let at = store::utc_now();
        let opinion = Opinion {
            incident: incident.id.clone(),
            verdict,
            owner: self.owner()?,
            why: self.why.trim().to_owned(),
            at: store::rfc3339(at),
            until: None,
            units: triage::units(&findings),
            taught: None,
        };
        Ok(Spoken { incident, findings, opinion, at })
    }

    /// Behind `sudo` it is whoever called that; where nobody is logged in by name, whoever the user id is of.
    fn owner(&self) -> Result<String> {
        if let Some(owner) = &self.owner {
            ensure!(!owner.trim().is_empty(), "cannot take it down: --owner: say who answers for it");
            return Ok(owner.trim().to_owned());
        }
        let of = |name: &str| std::env::var(name).ok().filter(|name| !name.trim().is_empty());
        let owner = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| of(name)).or_else(user);
        owner.context("nobody is logged in by name: say who answers for it with --owner NAME")
    }

    fn say(&self, opinion: Opinion, mut value: Value, text: &str) -> Result<()> {
        value["opinion"] = serde_json::to_value(&opinion)?;
        Feedback::say(&self.place.options().out, opinion)?;
        if self.place.json { print_json(&value) } else { print(text) }
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => "accept",
        Verdict::Dismissed => "dismiss",
        Verdict::Watched => "watch",
        Verdict::Undone => "undo",
    }
}

/// `accept` and `watch`.
pub(super) fn mark(args: &VerdictArgs, verdict: Verdict) -> Result<bool> {
    let Spoken { opinion, .. } = args.spoken(verdict)?;
    let text = format!("{}: {} by {}", opinion.incident, verdict.word(), inline(&opinion.owner));
    args.say(opinion, json!({}), &text)?;
    Ok(false)
}

/// The name of the user that runs this, by the system's list.
fn user() -> Option<String> {
    let id = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields.find(|fields| fields.get(2) == Some(&id.as_str())).map(|fields| fields[0].to_owned())
}

/// `dismiss`.
pub(super) fn dismiss(args: &DismissArgs) -> Result<bool> {
    let today = crate::baseline::today();
    let until = args.until.unwrap_or(today + DAYS);
    ensure!(until >= today, "cannot dismiss: --until {} is over; name a day to come", days::day_text(until));
    let mut spoken = args.verdict.spoken(Verdict::Dismissed)?;
    spoken.opinion.until = Some(days::day_text(until));
    let taught = args.baseline.as_deref().map(|path| teach(args, path, &spoken, until)).transpose()?;
    let is_missing = taught.as_ref().is_some_and(|taught| !taught.missing.is_empty());
    let (id, owner) = (&spoken.opinion.incident, inline(&spoken.opinion.owner));
    let done = if args.dry_run { "would be dismissed" } else { "dismissed" };
    let mut lines = vec![format!("{id}: {done} until {} by {owner}", days::day_text(until))];
    let mut value = json!({ "dry_run": args.dry_run });
    if let Some(taught) = &taught {
        lines.extend(taught.in_words(args));
        value["taught"] = taught.to_json();
        spoken.opinion.taught = Some(taught.before.clone());
    } else {
        lines.push("only this incident: --baseline BASELINE teaches that what is alike is harmless".to_owned());
    }
    if args.dry_run {
        value["opinion"] = serde_json::to_value(&spoken.opinion)?;
        if args.verdict.place.json { print_json(&value) } else { print(&lines.join("\n")) }?;
        return Ok(is_missing);
    }
    if let Some(Taught { baseline, out, original, .. }) = &taught {
        crate::baseline::save(baseline, out, original.as_slice())?;
    }
    args.verdict.say(spoken.opinion, value, &lines.join("\n"))?;
    Ok(is_missing)
}

/// A baseline that was taught, not written yet.
struct Taught {
    baseline: Baseline,
    before: String,
    original: Option<Original>,
    out: PathBuf,
    rows: u64,
    missing: Vec<(String, String)>,
    effect: Option<Effect>,
    /// Something that people should know.
    notes: Vec<String>,
}

fn teach(args: &DismissArgs, path: &Path, spoken: &Spoken, until: i32) -> Result<Taught> {
    let options = args.verdict.place.options();
    let original = Original::of(path);
    let baseline = crate::baseline::current(path, crate::baseline::today())?;
    let lessons = lessons(&options, &baseline, spoken).context("cannot teach")?;
    let Opinion { incident, owner, why, .. } = spoken.opinion.clone();
    let said = Said { incident, owner, why, at: spoken.at, until };
    let taught = ops::dismiss(baseline.clone(), Dismissal::new(said, lessons.segments)).context("cannot teach")?;
    let accepted = Feedback::load(&options.out)?.accepted();
    let mut notes = Vec::new();
    let mut effect = None;
    if args.unmeasured {
        if !accepted.is_empty() {
            notes.push("not measured: findings of accepted incidents may be among what it hides".to_owned());
        }
    } else {
        let measured = Effect::measure(&options, (&baseline, &taught), &spoken.opinion.units, &accepted)?;
        let refused = !measured.accepted.is_empty() && !args.anyway;
        let first = measured.accepted.values().next().map_or(String::new(), |title| inline(title));
        let words = measured.in_words();
        ensure!(!refused || args.dry_run, "cannot dismiss: it {words}: {first}; --anyway does it all the same");
        notes.extend(refused.then(|| format!("without --anyway that is refused: {first}")));
        effect = Some(measured);
    }
    let by = store::findings_by_baseline(&options.out)?;
    if !by.contains_key(baseline.id()) {
        let ids: Vec<&str> = by.keys().map(String::as_str).collect();
        notes.push(format!(
            "these findings were made by {}, and {} is {}",
            ids.join(", "),
            path.display(),
            baseline.id()
        ));
    }
    let (rows, missing) = (lessons.rows, lessons.missing);
    let out = args.out.clone().unwrap_or_else(|| path.to_owned());
    Ok(Taught { before: baseline.id().to_owned(), baseline: taught, original, out, rows, missing, effect, notes })
}

/// All rows of the incident's units.
fn lessons(options: &triage::Options, baseline: &Baseline, spoken: &Spoken) -> Result<archive::Lessons> {
    let findings = &spoken.findings;
    let files = findings.iter().flat_map(|finding| &finding.rows).map(|row| row.file.clone()).collect();
    let unit = |one: &Finding| UnitName { kind: one.unit_kind.clone(), key: one.unit_key.clone(), window: one.window };
    let units = findings.iter().map(unit).collect();
    let lessons = archive::lessons(options.archives(), &files, &units, baseline)?;
    if lessons.rows == 0 {
        let none = "the baseline has no lens for their table".to_owned();
        let why = lessons.missing.first().map_or(none, |(_, why)| why.clone());
        bail!("no row of incident {} can be read: {why}", spoken.incident.id);
    }
    Ok(lessons)
}

impl Taught {
    fn in_words(&self, args: &DismissArgs) -> Vec<String> {
        let (rows, out) = (plural(self.rows, "row", "rows"), self.out.display());
        let mut lines = vec![match args.dry_run {
            true => format!("{rows} would teach {out}, which is made of {}", self.before),
            false => format!("{rows} taught {out}, which was {} and is {}", self.before, self.baseline.id()),
        }];
        if let Some(effect) = &self.effect {
            lines.push(format!("it {}", effect.in_words()));
            lines.extend(effect.details());
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines.extend(self.missing.iter().map(|(_, why)| format!("warning: not taught: {}", inline(why))));
        if !args.dry_run {
            let (dir, id) = (args.verdict.place.dir.display(), &args.verdict.id);
            lines.push(format!("take it back with: ebbline incident undo {dir} {id} --why TEXT --baseline {out}"));
        }
        lines
    }

    fn to_json(&self) -> Value {
        let missing = |(file, why): &(String, String)| json!({ "file": file, "why": why });
        json!({
            "baseline": self.out, "before": self.before, "id": self.baseline.id(), "rows": self.rows,
            "missing": self.missing.iter().map(missing).collect::<Vec<_>>(), "notes": self.notes,
            "effect": self.effect.as_ref().map(Effect::to_json),
        })
    }
}

/// `undo`.
pub(super) fn undo(args: &UndoArgs) -> Result<bool> {
    let spoken = args.verdict.spoken(Verdict::Undone)?;
    let incident = &spoken.incident;
    let feedback = Feedback::load(&args.verdict.place.options().out)?;
    let last = feedback.last(incident).cloned();
    let taken = args.baseline.as_deref().map(|path| take_back(args, path, incident)).transpose()?;
    let (mut value, mut lines) = (json!({ "undone": last, "taught": taken }), Vec::new());
    if let Some(last) = &last {
        lines.push(format!("{}: no longer {} by {}", incident.id, last.verdict.word(), inline(&last.owner)));
    }
    if let Some(TakenBack { baseline, before, id, dismissals }) = &taken {
        let dismissals = plural(*dismissals, "dismissal", "dismissals");
        lines.push(format!("{dismissals} taken back from {}, which was {before} and is {id}", baseline.display()));
    } else if last.as_ref().is_some_and(|last| last.taught.is_some()) {
        lines.push("the baseline that it taught still knows it: undo again with --baseline".to_owned());
    }
    if last.is_none() {
        let gone = taken.as_ref().map_or(0, |taken| taken.dismissals);
        ensure!(gone > 0, "nothing to undo: nobody said anything of incident {}", incident.id);
        return if args.verdict.place.json { print_json(&value) } else { print(&lines.join("\n")) }.map(|()| false);
    }
    let mut left = feedback;
    left.opinions.push(spoken.opinion.clone());
    let now = left.last(incident);
    lines.extend(now.map(|now| format!("it is {} by {} again", now.verdict.word(), inline(&now.owner))));
    value["now"] = serde_json::to_value(now)?;
    args.verdict.say(spoken.opinion, value, &lines.join("\n"))?;
    Ok(false)
}

/// What became of a baseline.
#[derive(serde::Serialize)]
struct TakenBack {
    baseline: PathBuf,
    before: String,
    id: String,
    dismissals: u64,
}

/// Takes all that was dismissed of an incident out of a baseline, whoever said it.
fn take_back(args: &UndoArgs, path: &Path, incident: &Incident) -> Result<TakenBack> {
    let original = Original::of(path);
    let baseline = crate::baseline::load(path)?;
    let before = baseline.id().to_owned();
    let is_it = |one: &Dismissal| one.said.incident == incident.id || incident.aliases.contains(&one.said.incident);
    let (less, gone) = ops::take_back(baseline, is_it).context("cannot undo")?;
    let out = args.out.clone().unwrap_or_else(|| path.to_owned());
    if !gone.is_empty() {
        crate::baseline::save(&less, &out, original.as_slice())?;
    }
    Ok(TakenBack { baseline: out, before, id: less.id().to_owned(), dismissals: gone.len() as u64 })
}
