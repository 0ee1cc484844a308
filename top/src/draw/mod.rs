//! Draws what is on the screen. Nothing is decided here.

mod list;
mod overview;

use ratatui::Frame;
use ratatui::text::Line;
use store::time_text;

use crate::data::Link;
use crate::page;
use crate::state::{FRAME_LINES, State, Tab};
use crate::text::{Parts, clean, cut, line, pad, width, wrap};
use crate::theme::{Role, Theme};

/// A smaller terminal is told so.
pub const LEAST: (u16, u16) = (60, 16);

/// A line, and how many of its parts are selected.
pub(crate) struct Row {
    parts: Parts,
    selected: usize,
}

impl Row {
    fn of(parts: Parts) -> Self {
        Self { parts, selected: 0 }
    }
}

/// Draws the whole screen.
pub fn draw(state: &State, theme: Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    let size = (usize::from(area.width), usize::from(area.height));
    let rows = if area.width < LEAST.0 || area.height < LEAST.1 { too_small(size) } else { screen(state, size) };
    for (row, y) in rows.iter().take(size.1).zip(area.y..) {
        let mut drawn: Line<'static> = line(&fit(&row.parts, size.0), theme);
        for span in drawn.spans.iter_mut().take(row.selected) {
            span.style = span.style.patch(theme.selected());
        }
        frame.buffer_mut().set_line(area.x, y, &drawn, area.width);
    }
}

fn too_small((columns, lines): (usize, usize)) -> Vec<Row> {
    let said = format!("This terminal has {columns} columns and {lines} lines.");
    let needed = format!("ebbline top needs {} and {}. q quits.", LEAST.0, LEAST.1);
    [said, needed].into_iter().flat_map(|text| wrap(&vec![(Role::Plain, text)], columns, 0)).map(Row::of).collect()
}

fn screen(state: &State, (columns, lines): (usize, usize)) -> Vec<Row> {
    let room = lines - usize::from(FRAME_LINES);
    let mut body = body(state, (columns, room));
    body.truncate(room);
    body.resize_with(room, || Row::of(Vec::new()));
    let mut rows = vec![Row::of(tabs(state, columns)), Row::of(link(state, columns))];
    rows.append(&mut body);
    rows.push(Row::of(keys(state)));
    rows
}

fn body(state: &State, size: (usize, usize)) -> Vec<Row> {
    if state.help {
        return HELP.lines().map(|text| Row::of(help(text))).collect();
    }
    match (state.items(), state.tab) {
        (Some(items), _) => list::page(state, &items, size),
        (None, Tab::Overview) => overview::overview(state, size),
        (None, Tab::Findings) => list::findings(state, size),
        (None, Tab::Incidents) => list::incidents(state, size),
    }
}

/// The parts in exactly so many columns.
pub(crate) fn fit(parts: &Parts, columns: usize) -> Parts {
    let (mut out, mut used) = (Vec::new(), 0);
    for (role, text) in parts {
        let text = cut(text, columns - used);
        used += width(&text);
        out.push((*role, text));
        if used == columns {
            return out;
        }
    }
    out.push((Role::Plain, " ".repeat(columns - used)));
    out
}

/// Something at the left, something at the right, which goes first where there is no room for both.
fn ends(left: Parts, right: &str, columns: usize) -> Parts {
    let taken: usize = left.iter().map(|part| width(&part.1)).sum();
    let room = columns.saturating_sub(taken);
    if room <= width(right) {
        return left;
    }
    let mut parts = left;
    parts.push((Role::Plain, " ".repeat(room - width(right))));
    parts.push((Role::Dim, right.to_owned()));
    parts
}

/// The screens, the one that is shown in brackets; what lies on top of it.
fn tabs(state: &State, columns: usize) -> Parts {
    let data = state.data();
    let findings = data.findings.as_ref().map(|all| all.total);
    let incidents = data.incidents.as_ref().map(|all| all.total);
    let mut parts: Parts = Vec::new();
    for (tab, number) in Tab::ALL.into_iter().zip(1..) {
        let count = match tab {
            Tab::Overview => None,
            Tab::Findings => findings,
            Tab::Incidents => incidents,
        };
        let count = count.map(|count| format!(" {}", model::explain::thousands(count))).unwrap_or_default();
        let text = format!("{number} {tab:?}{count}");
        let shown = tab == state.tab;
        parts.push(if shown { (Role::Head, format!("[{text}]")) } else { (Role::Plain, format!(" {text} ")) });
    }
    for open in &state.stack {
        parts.push((Role::Plain, format!(" › {}", page::title(&open.page))));
    }
    if let Some(at) = state.paused_at() {
        parts.insert(0, (Role::Warn, format!("PAUSED {}  ", clock(at))));
    }
    ends(parts, &format!("{} UTC", clock(state.now)), columns)
}

/// `14:03:07`.
pub(crate) fn clock(time: i64) -> String {
    let text = time_text(time);
    text.split_once(' ').map_or_else(|| text.clone(), |(_, clock)| clock.to_owned())
}

/// How it stands with the agent, in words.
fn link(state: &State, columns: usize) -> Parts {
    let data = state.data();
    let status = data.agent.status.as_deref();
    let who = status.map(|status| {
        format!("agent {} on {}, process {}", clean(&status.agent_version), clean(&status.host), status.pid)
    });
    let who = who.unwrap_or_default();
    let folder = data.folder.as_ref().map(|folder| clean(&folder.display().to_string())).unwrap_or_default();
    let parts = match state.link() {
        Link::NotAsked => vec![(Role::Plain, "● folder".to_owned()), (Role::Dim, "   no agent is asked".to_owned())],
        Link::Waiting => vec![(Role::Warn, "○ waiting for the agent".to_owned()), (Role::Plain, format!("   {who}"))],
        Link::Live => {
            let up = terminal::duration(status.map_or(0.0, |status| status.uptime_s));
            vec![(Role::Good, "● live".to_owned()), (Role::Plain, format!("   {who}, up {up}"))]
        }
        Link::NoWorker => {
            let why = status.and_then(|status| status.no_worker.as_deref()).unwrap_or_default();
            vec![(Role::Bad, "✗ no worker".to_owned()), (Role::Plain, format!("   {who}: {}", clean(why)))]
        }
        Link::Lost { since, why } => {
            let ago = terminal::duration(state.now.saturating_sub(*since) as f64 / 1e9);
            let lost = format!("✗ lost since {} UTC ({ago})", clock(*since));
            vec![(Role::Bad, lost), (Role::Plain, format!("   trying again: {}", clean(why)))]
        }
    };
    ends(parts, &folder, columns)
}

/// The keys that mean something here.
fn keys(state: &State) -> Parts {
    if state.typing {
        let filter = state.list().map(|list| list.filter.as_str()).unwrap_or_default();
        let parts = [
            (Role::Head, "Filter: "),
            (Role::Value, filter),
            (Role::Plain, "▏"),
            (Role::Dim, "   Enter keeps it, Esc clears it"),
        ];
        return parts.map(|(role, text)| (role, clean(text))).to_vec();
    }
    let text = match (state.help, state.stack.is_empty(), state.tab) {
        (true, ..) => " any key: back",
        (_, false, _) => " ↑↓  n next +  Enter open  Esc back  1-3 screen  space pause  ? keys  q quit",
        (_, _, Tab::Overview) => " Tab 1-3 screen  Enter what was not seen  space pause  ? keys  q quit",
        _ => " ↑↓ move  Enter open  / filter  s sort  1-3 screen  space pause  ? keys  q quit",
    };
    vec![(Role::Dim, text.to_owned())]
}

/// A heading with a line behind it.
pub(crate) fn heading(text: &str, columns: usize) -> Parts {
    let text = format!("{text} ");
    let rule = "─".repeat(columns.saturating_sub(width(&text)));
    vec![(Role::Head, cut(&text, columns)), (Role::Dim, rule)]
}

fn help(text: &str) -> Parts {
    match text.split_once("  ") {
        Some((key, meaning)) if !key.is_empty() => {
            vec![(Role::Value, pad(&format!(" {key}"), 26)), (Role::Plain, meaning.trim_start().to_owned())]
        }
        _ => vec![(Role::Head, text.to_owned())],
    }
}

/// Every key; `docs/top.md` has the same.
pub const HELP: &str = "\
 Keys
1 2 3, Tab, Shift-Tab  the screens: overview, findings, incidents
↑ ↓, k j  one line
PgUp PgDn, Ctrl-B Ctrl-F  one page
Home End, g G  first and last line
Enter, →, l  open what is selected
n p  on a page: the next line that leads on, the last
a  around a row: the processes that had no room
Esc, Backspace, ←, h  back; at the bottom, without the filter
/  show only what holds a text
s  the other order: newest or rarest first
space  hold the picture still, and let it go on
?  these keys
q, Ctrl-C  quit

 Marks
▸  the selected line
+  Enter leads on from this line
● ○ ✗  the agent answers, is waited for, does not answer";
