//! Pages: what is said of a finding, an incident, or the processes around a row, item by item.

use std::sync::Arc;

use model::explain::thousands;
use store::{Finding, Incident, time_text};
use terminal::{bytes, one_in, plural, shorten};
use triage::{Around, Gap, Kin, Narrative, Relative, Room, RowLink, Sentence, Standing};

use crate::data::{Data, Incidents};
use crate::state::{Answer, Page};
use crate::text::{Parts, clean};
use crate::theme::Role;

/// Gaps that are told with an incident.
const GAPS: usize = 6;

/// Where an item leads.
#[derive(Debug, Clone, PartialEq)]
pub enum Goal {
    /// What was not seen.
    Gaps,
    /// A finding.
    Finding(Arc<Finding>),
    /// An incident.
    Incident(Arc<Incident>),
    /// A row of a table, and the processes around it.
    Row(RowLink, String),
}

/// Something that can be selected: a line, or several when it is long.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Item {
    /// What it says.
    pub parts: Parts,
    /// Further lines begin so many columns later.
    pub indent: usize,
    /// Where it leads.
    pub leads: Option<Goal>,
    /// The page is about this one.
    pub about: bool,
}

impl Item {
    fn new(parts: Parts, indent: usize) -> Self {
        Self { parts, indent, ..Self::default() }
    }

    fn text(role: Role, text: impl Into<String>) -> Self {
        Self::new(vec![(role, text.into())], 0)
    }

    fn leads(self, goal: Option<Goal>) -> Self {
        Self { leads: goal, ..self }
    }
}

/// What a page is called.
#[must_use]
pub(crate) fn title(page: &Page) -> String {
    match page {
        Page::Gaps => "Not seen, lost, not sure".to_owned(),
        Page::Finding(_) => "Finding".to_owned(),
        Page::Incident(incident, _) => format!("Incident {}", incident.id),
        Page::Around(row, ..) => format!("Row {}", row.row),
    }
}

/// What is on a page.
#[must_use]
pub(crate) fn items(page: &Page, data: &Data) -> Vec<Item> {
    match page {
        Page::Gaps => gaps(data),
        Page::Finding(finding) => of_finding(finding),
        Page::Incident(incident, answer) => {
            let all = data.incidents.as_deref();
            let standing = all.and_then(|all| all.standings.get(&incident.id));
            of_incident(incident, standing, not_seen(incident, all), answer)
        }
        Page::Around(row, _, room, answer) => match answer {
            Answer::Waiting(_) => vec![Item::text(Role::Dim, "Reading the archive …")],
            Answer::Failed(why) => vec![Item::text(Role::Bad, format!("Cannot be read: {}", clean(why)))],
            Answer::Here(around) => of_around(row, around, *room),
        },
    }
}

fn head(text: &str) -> Item {
    Item::text(Role::Head, text)
}

fn gaps(data: &Data) -> Vec<Item> {
    let mut items = vec![head("Events lost")];
    let status = data.agent.status.as_deref();
    let losses = status.map(|status| status.losses()).unwrap_or_default();
    for (reason, (count, of)) in &losses {
        let count = format!("  {:>12}  ", thousands(*count));
        let what = format!("{}: {}", clean(reason), clean(&of.join(", ")));
        items.push(Item::new(vec![(Role::Bad, count), (Role::Plain, what)], 16));
    }
    if losses.is_empty() {
        items.push(Item::text(Role::Dim, if status.is_some() { "  none" } else { "  no agent is asked" }));
    }
    for unread in status.iter().flat_map(|status| &status.unread) {
        items.push(Item::new(vec![(Role::Warn, "  not read  ".into()), (Role::Plain, clean(unread))], 12));
    }
    items.push(head("Coverage of the archive"));
    match data.incidents.as_deref() {
        None => items.push(Item::text(Role::Dim, "  not read yet")),
        Some(all) if all.gaps.is_empty() => items.push(Item::text(Role::Dim, "  no gap is known")),
        Some(all) => {
            items.extend(all.gaps.iter().map(of_gap));
            if all.more_gaps > 0 {
                items.push(Item::text(Role::Dim, format!("  … and {} more", thousands(all.more_gaps as u64))));
            }
        }
    }
    items
}

fn of_finding(finding: &Finding) -> Vec<Item> {
    let mut items = vec![
        Item::new(
            vec![
                (Role::Number, one_in(finding.log2_n)),
                (Role::Plain, format!("   {:.1} bits   {} UTC   ", finding.bits, time_text(finding.time))),
                (Role::Strong, clean(&finding.host)),
            ],
            0,
        ),
        Item::text(Role::Value, clean(&finding.title)),
        Item::text(
            Role::Dim,
            format!(
                "finding {}   {} {}, from {} UTC",
                clean(&finding.id),
                clean(&finding.unit_kind),
                clean(&finding.unit_key),
                time_text(finding.window)
            ),
        ),
        head("Why it is unusual: bits, what, and how often it was seen before"),
    ];
    for one in &finding.reasons {
        let bits = (Role::Number, format!("{:>7.1}  ", one.bits));
        let words = (Role::Plain, shorten(&clean(&archive::reason_in_words(one))));
        items.push(Item::new(vec![bits, words, (Role::Dim, format!("  [{}]", clean(&one.view)))], 9));
    }
    let rest = finding.bits - finding.reasons.iter().map(|reason| reason.bits).sum::<f32>();
    if rest > 0.05 {
        items.push(Item::text(Role::Dim, format!("{rest:>7.1}  other")));
    }
    items.push(head("Rows, the most surprising first"));
    for row in &finding.rows {
        let text = format!("row {} of {}", row.row, clean(&row.file));
        let goal = Goal::Row(RowLink { file: row.file.clone(), row: row.row }, row.table.clone());
        let parts = vec![(Role::Number, format!("{:>7.1}  ", row.bits)), (Role::Plain, text)];
        items.push(Item::new(parts, 9).leads(Some(goal)));
    }
    items
}

/// What was not seen of an incident: its hosts, around its time.
fn not_seen(incident: &Incident, all: Option<&Incidents>) -> Vec<Item> {
    let gaps: Vec<&Gap> = all.iter().flat_map(|all| &all.gaps).filter(|gap| gap.overlaps(incident)).collect();
    if gaps.is_empty() {
        return Vec::new();
    }
    let mut items = vec![head("Not seen, or not whole")];
    items.extend(gaps.iter().take(GAPS).map(|gap| of_gap(gap)));
    if let Some(more) = gaps.len().checked_sub(GAPS).filter(|more| *more > 0) {
        let text = format!("  … and {more} more: Enter on the overview shows all");
        items.push(Item::text(Role::Dim, text));
    }
    items
}

fn of_gap(gap: &Gap) -> Item {
    let kind = format!("  {:<9} ", gap.kind.replace('_', " "));
    Item::new(vec![(Role::Warn, kind), (Role::Plain, clean(&gap.text))], 12)
}

fn of_incident(
    incident: &Arc<Incident>,
    standing: Option<&Standing>,
    not_seen: Vec<Item>,
    answer: &Answer<(Narrative, Vec<Arc<Finding>>)>,
) -> Vec<Item> {
    let hosts = clean(&incident.hosts.join(", "));
    let mut items = vec![Item::new(
        vec![
            (Role::Number, one_in(incident.log2_n)),
            (Role::Plain, format!("   {:.1} bits   {}   ", incident.bits, when(incident))),
            (Role::Strong, hosts),
        ],
        0,
    )];
    if !incident.aliases.is_empty() {
        items.push(Item::text(Role::Dim, format!("also known as {}", clean(&incident.aliases.join(", ")))));
    }
    items.extend(standing.map(|one| Item::text(Role::Warn, clean(&one.in_words()))));
    items.extend(not_seen);
    match answer {
        Answer::Waiting(_) => {
            items.push(Item::text(Role::Value, clean(&incident.title)));
            items.push(Item::text(Role::Dim, "Reading the archive …"));
        }
        Answer::Failed(why) => {
            items.push(Item::text(Role::Value, clean(&incident.title)));
            items.push(Item::text(Role::Bad, format!("Cannot be told: {}", clean(why))));
        }
        Answer::Here(told) => narrative(&told.0, &told.1, &mut items),
    }
    items
}

/// From when to when.
pub(crate) fn when(incident: &Incident) -> String {
    let (first, last) = (time_text(incident.first), time_text(incident.last));
    match (first == last, first.split_once(' '), last.split_once(' ')) {
        (true, ..) => format!("{first} UTC"),
        (_, Some((day, _)), Some((same, time))) if day == same => format!("{first} – {time} UTC"),
        _ => format!("{first} – {last} UTC"),
    }
}

fn narrative(told: &Narrative, findings: &[Arc<Finding>], items: &mut Vec<Item>) {
    let lead = |sentence: &Sentence| sentence.rows.first().map(|row| Goal::Row(row.clone(), table_of(row, findings)));
    let said = |sentence: &Sentence| {
        Item::new(vec![(Role::Plain, format!("  {}", shorten(&clean(&sentence.text))))], 4).leads(lead(sentence))
    };
    for sentence in &told.title {
        items.push(Item::text(Role::Value, shorten(&clean(&sentence.text))).leads(lead(sentence)));
    }
    let part = |items: &mut Vec<Item>, name: &str, sentences: &[Sentence]| {
        items.extend((!sentences.is_empty()).then(|| head(name)));
        items.extend(sentences.iter().map(said));
    };
    part(items, "Summary", &told.summary);
    items.push(head("What happened"));
    for step in &told.timeline {
        let time = (Role::Dim, format!("  {}  ", time_text(step.time)));
        let text = format!("{}  {}", clean(&step.host), shorten(&clean(&step.said.text)));
        items.push(Item::new(vec![time, (Role::Plain, text)], 23).leads(lead(&step.said)));
    }
    items.push(head("Findings"));
    for finding in findings {
        let rarity = (Role::Number, format!("  {:<18}", one_in(finding.log2_n)));
        let parts = vec![rarity, (Role::Plain, format!(" {}", shorten(&clean(&finding.title))))];
        items.push(Item::new(parts, 21).leads(Some(Goal::Finding(finding.clone()))));
    }
    part(items, "Why it is unusual", &told.reasons);
    part(items, "Where it began", &told.root);
    part(items, "Harmless if", &told.harmless);
    part(items, "Check next", &told.checks);
    part(items, "Why this is one incident", &told.links);
    items.extend((!told.techniques.is_empty()).then(|| head("ATT&CK suggestions (not detections)")));
    for technique in &told.techniques {
        let sentence = Sentence { text: format!("{}: {}", technique.id, technique.why), rows: technique.rows.clone() };
        items.push(said(&sentence));
    }
    for (_, why) in &told.unread {
        items.push(Item::new(vec![(Role::Warn, format!("  not read: {}", clean(why)))], 4));
    }
}

/// The table of a row: as a finding says, else by the layout.
fn table_of(row: &RowLink, findings: &[Arc<Finding>]) -> String {
    let mut rows = findings.iter().flat_map(|finding| &finding.rows);
    if let Some(known) = rows.find(|known| known.file == row.file) {
        return known.table.clone();
    }
    let folder = row.file.split_once("/day=").map_or("", |(folder, _)| folder);
    folder.rsplit('/').next().unwrap_or_default().to_owned()
}

fn of_around(row: &RowLink, around: &Around, room: Room) -> Vec<Item> {
    let mut items = vec![
        Item::new(
            vec![(Role::Plain, format!("{} UTC   ", time_text(around.time))), (Role::Strong, clean(&around.host))],
            0,
        ),
        Item::text(Role::Value, shorten(&clean(&around.said))),
        Item::text(Role::Dim, format!("row {} of {}", row.row, clean(&row.file))),
    ];
    if around.tree.is_empty() {
        items.push(Item::text(Role::Dim, "It is of no process that the archive knows."));
    } else {
        items.push(head("Processes above it, beside it within 5 minutes, and below it"));
        items.extend(around.tree.iter().map(branch));
    }
    if around.others > 0 {
        let more = plural(around.others as u64, "process more", "processes more");
        let how = if room == Room::Little { "; a shows them" } else { ", more than this view shows" };
        items.push(Item::text(Role::Dim, format!("… and {more}{how}")));
    }
    for (_, why) in &around.unread {
        items.push(Item::new(vec![(Role::Warn, format!("not read: {}", clean(why)))], 4));
    }
    items
}

fn branch(one: &Relative) -> Item {
    let indent = 2 * one.depth.min(20);
    let stem = if one.depth == 0 { String::new() } else { format!("{}└ ", " ".repeat(indent - 2)) };
    let role = if one.kin == Kin::Own { Role::Strong } else { Role::Plain };
    let mut parts = vec![(Role::Dim, stem), (role, shorten(&clean(&one.name)))];
    let time = one.time.map(time_text).and_then(|text| text.split_once(' ').map(|(_, time)| format!(" {time}")));
    let ended = one.ended.as_ref().map(|ended| format!(" {}", clean(ended))).unwrap_or_default();
    parts.push((Role::Dim, format!("  [{}]{}{ended}", one.pid, time.unwrap_or_default())));
    if one.kin == Kin::Own {
        parts.push((Role::Number, "  ◀ this row".to_owned()));
    }
    let goal = one.row.clone().filter(|_| one.kin != Kin::Own).map(|row| Goal::Row(row, events::PROCESS.to_owned()));
    Item { about: one.kin == Kin::Own, ..Item::new(parts, indent + 2).leads(goal) }
}

/// Memory in words; the kernel does not always say.
pub(crate) fn memory(count: u64) -> String {
    if count == 0 { "unknown".to_owned() } else { bytes(count) }
}
