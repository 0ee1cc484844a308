//! `ebbline incident accept`, `dismiss`, `watch` and `undo`: what people say of an incident, and what that teaches.

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

/// Take back what was said last of an incident; with --baseline, also what that taught.
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

    /// Behind `sudo` it is whoever called that.
    fn owner(&self) -> Result<String> {
        let of = |name: &str| std::env::var(name).ok().filter(|name| !name.trim().is_empty());
        let owner = self.owner.clone().or_else(|| ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| of(name)));
        let owner = owner.map(|owner| owner.trim().to_owned()).filter(|owner| !owner.is_empty());
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

/// `dismiss`.
pub(super) fn dismiss(args: &DismissArgs) -> Result<bool> {
    let today = crate::baseline::today();
    let until = args.until.unwrap_or(today + DAYS);
    ensure!(until >= today, "cannot dismiss: --until {} is over; name a day to come", days::day_text(until));
    let mut spoken = args.verdict.spoken(Verdict::Dismissed)?;
    spoken.opinion.until = Some(days::day_text(until));
    let taught = args.baseline.as_deref().map(|path| teach(args, path, &spoken, until)).transpose()?;
    let mut value = json!({ "dry_run": args.dry_run });
    let mut lines = vec![format!(
        "{}{}: dismissed until {} by {}",
        if args.dry_run { "not done: " } else { "" },
        spoken.opinion.incident,
        days::day_text(until),
        inline(&spoken.opinion.owner)
    )];
    if let Some(taught) = &taught {
        lines.extend(taught.in_words(args));
        value["taught"] = taught.to_json();
        spoken.opinion.taught = Some(taught.before.clone());
    } else {
        lines.push("only this incident: --baseline BASELINE teaches that what is alike is harmless".to_owned());
    }
    if args.dry_run {
        value["opinion"] = serde_json::to_value(&spoken.opinion)?;
        return if args.verdict.place.json { print_json(&value) } else { print(&lines.join("\n")) }.map(|()| false);
    }
    if let Some(taught) = &taught {
        taught.baseline.save(&taught.out).context("cannot write")?;
    }
    args.verdict.say(spoken.opinion, value, &lines.join("\n"))?;
    Ok(taught.is_some_and(|taught| !taught.missing.is_empty()))
}

/// A baseline that was taught, not written yet.
struct Taught {
    baseline: Baseline,
    before: String,
    out: PathBuf,
    rows: u64,
    missing: Vec<(String, String)>,
    effect: Option<Effect>,
}

fn teach(args: &DismissArgs, path: &Path, spoken: &Spoken, until: i32) -> Result<Taught> {
    let options = args.verdict.place.options();
    let baseline = crate::baseline::current(path, crate::baseline::today())?;
    let findings = &spoken.findings;
    let files = findings.iter().flat_map(|finding| &finding.rows).map(|row| row.file.clone()).collect();
    let unit = |one: &Finding| UnitName { kind: one.unit_kind.clone(), key: one.unit_key.clone(), window: one.window };
    let units = findings.iter().map(unit).collect();
    let lessons = archive::lessons(options.archives(), &files, &units, &baseline).context("cannot teach")?;
    if lessons.rows == 0 {
        let why = lessons.missing.first().map_or("its findings name no rows", |(_, why)| why);
        bail!("cannot teach: no row of incident {} can be read: {why}", spoken.incident.id);
    }
    let Opinion { incident, owner, why, .. } = spoken.opinion.clone();
    let said = Said { incident, owner, why, at: spoken.at, until };
    let taught = ops::dismiss(baseline.clone(), Dismissal::new(said, lessons.segments)).context("cannot teach")?;
    let effect = (!args.unmeasured).then(|| {
        let accepted = accepted(&options)?;
        Effect::measure(&options, &baseline, &taught, &accepted)
    });
    let effect = effect.transpose()?;
    if let Some(effect) = effect.as_ref().filter(|effect| effect.accepted > 0 && !args.anyway && !args.dry_run) {
        bail!("cannot dismiss: it {}; --anyway does it all the same", effect.in_words());
    }
    Ok(Taught {
        before: baseline.id().to_owned(),
        baseline: taught,
        out: args.out.clone().unwrap_or_else(|| path.to_owned()),
        rows: lessons.rows,
        missing: lessons.missing,
        effect,
    })
}

/// The units of incidents that were accepted.
fn accepted(options: &triage::Options) -> Result<std::collections::BTreeSet<String>> {
    let standings = triage::standings(options, &days::day_text(crate::baseline::today()))?;
    let accepted = standings.into_values().filter(|standing| standing.opinion.verdict == Verdict::Accepted);
    Ok(accepted.flat_map(|standing| standing.opinion.units).collect())
}

impl Taught {
    fn in_words(&self, args: &DismissArgs) -> Vec<String> {
        let mut lines = vec![format!(
            "{} taught {}, which was {} and is {}",
            plural(self.rows, "row", "rows"),
            self.out.display(),
            self.before,
            self.baseline.id()
        )];
        lines.extend(self.effect.as_ref().map(|effect| format!("it {}", effect.in_words())));
        lines.extend(self.missing.iter().map(|(_, why)| format!("warning: not taught: {}", inline(why))));
        let VerdictArgs { place, .. } = &args.verdict;
        lines.push(format!(
            "take it back with: ebbline incident undo {} {} --why TEXT --baseline {}",
            place.dir.display(),
            args.verdict.id,
            self.out.display()
        ));
        lines
    }

    fn to_json(&self) -> Value {
        let missing = |(file, why): &(String, String)| json!({ "file": file, "why": why });
        json!({
            "baseline": self.out, "before": self.before, "id": self.baseline.id(), "rows": self.rows,
            "missing": self.missing.iter().map(missing).collect::<Vec<_>>(),
            "effect": self.effect.as_ref().map(Effect::to_json),
        })
    }
}

/// `undo`.
pub(super) fn undo(args: &UndoArgs) -> Result<bool> {
    let spoken = args.verdict.spoken(Verdict::Undone)?;
    let options = args.verdict.place.options();
    let feedback = Feedback::load(&options.out)?;
    let Some(last) = feedback.last(&spoken.incident).cloned() else {
        bail!("nothing to undo: nobody said anything of incident {}", spoken.incident.id);
    };
    let mut value = json!({ "undone": last });
    let mut lines =
        vec![format!("{}: no longer {} by {}", spoken.incident.id, last.verdict.word(), inline(&last.owner))];
    match (&args.baseline, &last.taught) {
        (Some(path), _) => {
            let out = args.out.as_deref().unwrap_or(path);
            let (before, after, gone) = take_back(path, out, &last)?;
            lines.push(format!(
                "{} taken back from {}, which was {before} and is {after}",
                plural(gone, "dismissal", "dismissals"),
                out.display()
            ));
            value["taught"] = json!({ "baseline": out, "before": before, "id": after, "dismissals": gone });
        }
        (None, Some(_)) => {
            lines.push("the baseline that it taught still knows it: --baseline takes it back".to_owned())
        }
        (None, None) => {}
    }
    args.verdict.say(spoken.opinion, value, &lines.join("\n"))?;
    Ok(false)
}

fn take_back(path: &Path, out: &Path, last: &Opinion) -> Result<(String, String, u64)> {
    let baseline = crate::baseline::load(path)?;
    let before = baseline.id().to_owned();
    let is_it = |one: &Dismissal| one.said.incident == last.incident && store::rfc3339(one.said.at) == last.at;
    let (less, gone) = ops::take_back(baseline, is_it).context("cannot undo")?;
    ensure!(!gone.is_empty(), "cannot undo: {} knows nothing of it; see: ebbline baseline show {0}", path.display());
    less.save(out).context("cannot write")?;
    Ok((before, less.id().to_owned(), gone.len() as u64))
}
