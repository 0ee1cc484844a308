//! `ebbline incident`.

mod effect;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use store::{Incident, Manifest, time_text};
use triage::{Gap, Narrative, Options, RowLink, Sentence, Standing, Standings, Triaged, Verdict};

pub(crate) use verdict::{DismissArgs, UndoArgs, VerdictArgs};

use crate::output::{print, print_json};
use crate::score::{expected, last_days};
use crate::show::shorten;
use crate::techniques;
use crate::words::{Role, inline, mark, one_in, plural};

/// Lines about what was not seen; JSON has all.
const GAPS: usize = 8;

#[derive(Subcommand)]
pub(crate) enum IncidentCommand {
    List(ListArgs),
    Show(ShowArgs),
    /// Say that an incident is what it looks like: somebody deals with it.
    ///
    /// It stays in the list, marked. What teaches a baseline later never hides its findings unasked.
    Accept(VerdictArgs),
    Dismiss(DismissArgs),
    /// Say that an incident is to be told again when something is added to it.
    Watch(VerdictArgs),
    Undo(UndoArgs),
}

/// Where findings and rows are.
#[derive(Args)]
pub(crate) struct Where {
    /// The folder that was given to `score --out`, or the archive of an agent that scores.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Where the rows are that were scored, if not in DIR; more than once for several archives.
    #[arg(long, value_name = "FOLDER")]
    archive: Vec<PathBuf>,
    /// Take the findings of this baseline alone: its id, as the folders in DIR/findings are called.
    #[arg(long, value_name = "ID")]
    baseline_id: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Group the findings of a folder into incidents, write them to DIR/incidents, and list them, the rarest path first.
///
/// Findings are joined when they share a process tree, a destination, a name or a user that is rare, close in time; run again,
/// incidents keep their ids and grow. What was not seen comes first.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline incident list scored/ --archive archive/
  ebbline incident list /var/lib/ebbline --json      of an agent that scores into its archive")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    place: Where,
    /// How many to show.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    /// Show all.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Show dismissed ones, too.
    #[arg(long)]
    dismissed: bool,
}

/// Tell one incident: what was not seen, what happened, why it is unusual, what led to it, what to check next.
///
/// Each sentence names the rows that it comes from, by numbers that stand at the end.
#[derive(Args)]
#[command(after_help = "\
Example:
  ebbline incident show scored/ 3f9c --archive archive/")]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    place: Where,
    /// Its id, an alias, or the first four digits or more.
    #[arg(value_name = "ID")]
    id: String,
    /// The baseline that it was scored with, for lenses that do not come with Ebbline.
    #[arg(long, value_name = "BASELINE")]
    baseline: Option<PathBuf>,
}

/// Runs one of them.
pub(crate) fn run(command: IncidentCommand) -> Result<bool> {
    match command {
        IncidentCommand::List(args) => list(&args),
        IncidentCommand::Show(args) => show(&args),
        IncidentCommand::Accept(args) => verdict::mark(&args, Verdict::Accepted),
        IncidentCommand::Dismiss(args) => verdict::dismiss(&args),
        IncidentCommand::Watch(args) => verdict::mark(&args, Verdict::Watched),
        IncidentCommand::Undo(args) => verdict::undo(&args),
    }
}

/// What holds today of the incidents of which something was said.
pub(crate) fn standings(options: &Options) -> Result<Standings> {
    Ok(triage::standings(options, &model::days::day_text(crate::baseline::today()))?)
}

pub(crate) fn with_feedback(mut value: Value, standings: &Standings, incident: &Incident) -> Value {
    value["feedback"] = standings.get(&incident.id).map_or(Value::Null, |standing| {
        let triage::Opinion { verdict, owner, why, at, until, .. } = &standing.opinion;
        json!({
            "verdict": verdict.word(), "owner": owner, "why": why, "at": at, "until": until, "is_over": standing.is_over,
            "units_since": standing.since, "word": standing.word(), "words": standing.in_words(),
        })
    });
    value
}

impl Where {
    fn options(&self) -> Options {
        Options { out: self.dir.clone(), archives: self.archive.clone(), baseline: self.baseline_id.clone() }
    }
}

fn list(args: &ListArgs) -> Result<bool> {
    let options = args.place.options();
    let triaged = triage::triage(&options)?;
    let mut gaps = triage::coverage(&options, &triaged.unread)?;
    let skipped = !triaged.unread.is_empty();
    let standings = standings(&options)?;
    let limit = if args.all { usize::MAX } else { args.limit };
    let (mut shown, mut lasts, mut hidden) = (Vec::new(), Vec::new(), 0);
    store::read_incidents(&options.path(), |incident| {
        lasts.push(incident.last);
        if !args.dismissed && standings.get(&incident.id).is_some_and(Standing::is_hidden) {
            hidden += 1;
        } else if shown.len() < limit {
            shown.push((lasts.len(), incident));
        }
        true
    })?;
    gaps.extend(Gap::dismissed(hidden));
    let promise = Promise::of(&options, &lasts)?;
    if args.place.json {
        let entry =
            |(rank, incident): &(usize, Incident)| with_feedback(to_json(*rank, incident), &standings, incident);
        let incidents: Vec<Value> = shown.iter().map(entry).collect();
        print_json(&json!({
            "coverage": gaps, "expected_per_day": promise.expected, "last_7_days": promise.last_7_days,
            "incidents": incidents,
        }))?;
        return Ok(skipped);
    }
    print(&format!("{}{}", not_seen(&gaps), promise.in_words(&triaged)))?;
    for (rank, incident) in &shown {
        print(&block(*rank, incident, standings.get(&incident.id)))?;
    }
    let wanted = triaged.incidents - hidden;
    if (shown.len() as u64) < wanted {
        print(&format!("{} of {wanted}; --all shows the rest", shown.len()))?;
    }
    Ok(skipped)
}

/// What was expected, and how many there were.
pub(crate) struct Promise {
    pub(crate) expected: Option<f64>,
    pub(crate) last_7_days: Option<u64>,
}

impl Promise {
    pub(crate) fn of(options: &Options, lasts: &[i64]) -> Result<Self> {
        let runs = Manifest::load(&options.out)?.runs;
        let ended = runs.iter().filter_map(|run| store::from_rfc3339(run.until.as_ref()?));
        let until = ended.chain(lasts.iter().copied()).max();
        let expected = store::expected_per_day(&options.out)?;
        let expected = expected.or_else(|| runs.last().and_then(|run| run.expected_per_day));
        Ok(Self { expected, last_7_days: until.map(|until| archive::last_days(lasts.iter().copied(), until)) })
    }

    fn in_words(&self, triaged: &Triaged) -> String {
        let of = plural(triaged.findings, "finding", "findings");
        let mut text = format!("{}, of {of}", plural(triaged.incidents, "incident", "incidents"));
        // Incidents are never more than the findings that they are made of.
        text += &expected(self.expected, true);
        text += &last_days(self.last_7_days, "incident");
        text + "\n"
    }
}

/// What was not seen, before anything else.
pub(crate) fn not_seen(gaps: &[Gap]) -> String {
    if gaps.is_empty() {
        return format!("{}\n", mark(Role::Good, "Coverage: no gap is known."));
    }
    let mut text = format!("{}\n", mark(Role::Warn, "Not seen, or not whole:"));
    for gap in gaps.iter().take(GAPS) {
        text += &format!("  {:<9} {}\n", gap.kind.replace('_', " "), inline(&gap.text));
    }
    if gaps.len() > GAPS {
        text += &format!("  … and {} more, all in --json\n", gaps.len() - GAPS);
    }
    text
}

/// One incident: its id, how rare, when and where; what.
fn block(rank: usize, incident: &Incident, standing: Option<&Standing>) -> String {
    let findings = plural(incident.findings.len() as u64, "finding", "findings");
    let rarity = format!("{}   {:.1} bits", mark(Role::Number, &one_in(incident.log2_n)), incident.bits);
    let hosts = if incident.hosts.is_empty() { String::new() } else { format!("   {}", incident.hosts.join(", ")) };
    let head = format!("{rank:>3}  {}   {rarity}   {}{}   {findings}", incident.id, when(incident), inline(&hosts));
    let mut text = format!("{head}\n     {}\n", mark(Role::Strong, &shorten(&inline(&incident.title))));
    let mut kinds: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for link in &incident.links {
        let kind = kinds.entry(&link.kind).or_insert((0, &link.value));
        kind.0 += 1;
    }
    let joined = kinds.iter().map(|(kind, (number, value))| match number {
        1 => format!("{kind} ({})", inline(value)),
        number => format!("{kind} ({}, and {} more)", inline(value), number - 1),
    });
    let joined: Vec<String> = joined.collect();
    if !joined.is_empty() {
        text += &format!("             {}\n", mark(Role::Dim, &format!("joined by {}", joined.join("; "))));
    }
    if let Some(standing) = standing {
        text += &format!("             {}\n", shorten(&inline(&standing.in_words())));
    }
    text
}

fn when(incident: &Incident) -> String {
    let (first, last) = (time_text(incident.first), time_text(incident.last));
    match (first == last, first.split_once(' '), last.split_once(' ')) {
        (true, ..) => format!("{first} UTC"),
        (_, Some((day, _)), Some((same, time))) if day == same => format!("{first} – {time} UTC"),
        _ => format!("{first} – {last} UTC"),
    }
}

pub(crate) fn to_json(rank: usize, incident: &Incident) -> Value {
    let link = |link: &store::IncidentLink| {
        json!({
            "from": link.from, "to": link.to, "kind": link.kind, "value": link.value, "seen": link.seen, "of": link.of,
        })
    };
    json!({
        "rank": rank, "id": incident.id, "aliases": incident.aliases, "first": store::rfc3339(incident.first),
        "last": store::rfc3339(incident.last), "hosts": incident.hosts, "title": incident.title,
        "bits": incident.bits, "log2_n": incident.log2_n, "one_in": f64::from(incident.log2_n).exp2(),
        "steps": incident.steps, "findings": incident.findings,
        "root": { "host": incident.root_host, "key": incident.root_key },
        "links": incident.links.iter().map(link).collect::<Vec<_>>(),
    })
}

fn show(args: &ShowArgs) -> Result<bool> {
    let options = args.place.options();
    let (rank, incident, findings) = triage::look_up(&options, &args.id)?;
    let given = args.baseline.as_deref().map(crate::baseline::load).transpose()?;
    let lenses = techniques::lenses(given.map(|baseline| baseline.parts().lenses.clone()));
    let told = triage::tell(&options, &incident, &findings, &lenses)?;
    let gaps = triage::coverage(&options, &told.unread)?;
    let standings = standings(&options)?;
    if args.place.json {
        let mut value = with_feedback(to_json(rank, &incident), &standings, &incident);
        value["coverage"] = serde_json::to_value(&gaps)?;
        value["narrative"] = serde_json::to_value(&told)?;
        print_json(&value)?;
        return Ok(!told.unread.is_empty());
    }
    let standing = standings.get(&incident.id);
    let standing = standing.map_or_else(String::new, |one| format!("{}\n", shorten(&inline(&one.in_words()))));
    print(&format!("{}\n{standing}{}", not_seen(&gaps), in_words(rank, &incident, &told)))?;
    Ok(!told.unread.is_empty())
}

/// The text, with the numbers of its rows.
fn cite(evidence: &[RowLink], text: &str, rows: &[RowLink]) -> String {
    let place = |row: &RowLink| evidence.iter().position(|known| known == row);
    let numbers: BTreeSet<usize> = rows.iter().filter_map(place).collect();
    let numbers: Vec<String> = numbers.into_iter().map(|at| (at + 1).to_string()).collect();
    format!("{}  [{}]", shorten(&inline(text)), numbers.join(" "))
}

fn in_words(rank: usize, incident: &Incident, told: &Narrative) -> String {
    let rows = &told.evidence;
    let mut text = format!("Incident {}, number {rank} of those in this folder\n", incident.id);
    if !incident.aliases.is_empty() {
        text += &format!("also known as {}\n", incident.aliases.join(", "));
    }
    let rarity = mark(Role::Number, &one_in(incident.log2_n));
    text += &format!("{rarity}   {:.1} bits   {}\n\n", incident.bits, when(incident));
    for sentence in &told.title {
        text += &format!("{}\n", mark(Role::Strong, &cite(rows, &sentence.text, &sentence.rows)));
    }
    let mut part = |name: &str, sentences: &[Sentence]| {
        if !sentences.is_empty() {
            text += &format!("\n{}\n", mark(Role::Head, name));
        }
        for sentence in sentences {
            text += &format!("  {}\n", cite(rows, &sentence.text, &sentence.rows));
        }
    };
    part("Summary", &told.summary);
    let steps: Vec<Sentence> = told.timeline.iter().map(step).collect();
    part("What happened", &steps);
    part("Why it is unusual", &told.reasons);
    part("Where it began", &told.root);
    part("Harmless if", &told.harmless);
    part("Check next", &told.checks);
    part("Why this is one incident", &told.links);
    let technique =
        |one: &triage::Technique| Sentence { text: format!("{}: {}", one.id, one.why), rows: one.rows.clone() };
    let techniques: Vec<Sentence> = told.techniques.iter().map(technique).collect();
    part("ATT&CK suggestions (not detections)", &techniques);
    text += &format!("\n{}\n", mark(Role::Head, "Rows"));
    for (row, number) in rows.iter().zip(1..) {
        text += &format!("  {number:>3}  row {} of {}\n", row.row, inline(&row.file));
    }
    text
}

fn step(step: &triage::Step) -> Sentence {
    Sentence {
        text: format!("{}  {}  {}", time_text(step.time), step.host, step.said.text),
        rows: step.said.rows.clone(),
    }
}
