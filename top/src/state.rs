//! What is on the screen, and what becomes of it: a pure function of what happened.

mod moves;

use std::path::PathBuf;
use std::sync::Arc;

use store::{Finding, Incident};
use triage::{Around, Narrative};

use crate::data::{Data, Link, Seen};
use crate::key::Key;
use crate::page::{self, Item};
use crate::teller::{Ask, Reply, Told};

/// Lines around the body.
pub(crate) const FRAME_LINES: u16 = 3;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A key.
    Key(Key),
    /// The terminal has so many columns and lines now.
    Resize(u16, u16),
    /// A source has seen something.
    Seen(Seen),
    /// What was asked for has been read.
    Told(Reply),
    /// It is that late, nanoseconds since 1970.
    Tick(i64),
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// Read this.
    Ask(Ask),
    /// Watch this folder of results and these archives.
    Watch(PathBuf, Vec<PathBuf>),
    /// End.
    Quit,
}

/// The three screens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tab {
    /// How it goes.
    #[default]
    Overview,
    /// Findings.
    Findings,
    /// Incidents.
    Incidents,
}

impl Tab {
    /// In their order.
    pub const ALL: [Self; 3] = [Self::Overview, Self::Findings, Self::Incidents];
}

/// A list that can be filtered and sorted.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// The line that is selected.
    pub cursor: usize,
    /// What is there, by its id: it stays selected when others come.
    selected: Option<String>,
    /// What it must hold, in lower case.
    pub filter: String,
    /// The other order: of findings by rarity, of incidents by time.
    pub other_order: bool,
}

/// What was asked for.
#[derive(Debug, Clone)]
pub enum Answer<T> {
    /// It is being read.
    Waiting(u64),
    /// Here.
    Here(Box<T>),
    /// It cannot be.
    Failed(String),
}

/// A page on top.
#[derive(Debug, Clone)]
pub enum Page {
    /// What was not seen.
    Gaps,
    /// A finding.
    Finding(Arc<Finding>),
    /// An incident.
    Incident(Arc<Incident>, Answer<(Narrative, Vec<Arc<Finding>>)>),
    /// The processes around a row of a table.
    Around(triage::RowLink, String, triage::Room, Answer<Around>),
}

/// A page, and where one is on it.
#[derive(Debug, Clone)]
pub struct Open {
    /// The page.
    pub page: Page,
    /// The selected item.
    pub cursor: usize,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// What is known.
    data: Data,
    /// What was known when it was paused, and when.
    paused: Option<Box<(Data, i64)>>,
    /// The screen.
    pub tab: Tab,
    /// Findings and incidents.
    lists: [List; 2],
    /// Pages on top of it, the last is shown.
    pub stack: Vec<Open>,
    /// A filter is being typed.
    pub typing: bool,
    /// The keys are shown.
    pub help: bool,
    /// Columns and lines.
    pub size: (u16, u16),
    /// Nanoseconds since 1970.
    pub now: i64,
    /// The number of the last question.
    number: u64,
}

impl State {
    /// Nothing is known yet. With an agent to ask, it waits for it.
    #[must_use]
    pub fn new(size: (u16, u16), now: i64, asked: bool, folder: Option<PathBuf>) -> Self {
        let mut state = Self { size, now, ..Self::default() };
        state.data.agent.link = if asked { Link::Waiting } else { Link::NotAsked };
        state.data.folder = folder;
        state
    }

    /// What is shown: what is known, or was when it was paused.
    #[must_use]
    pub fn data(&self) -> &Data {
        self.paused.as_ref().map_or(&self.data, |paused| &paused.0)
    }

    /// How it stands with the agent, paused or not.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.data.agent.link
    }

    /// Since when it is paused.
    #[must_use]
    pub fn paused_at(&self) -> Option<i64> {
        self.paused.as_ref().map(|paused| paused.1)
    }

    /// The list of the screen, if it is one.
    #[must_use]
    pub fn list(&self) -> Option<&List> {
        match self.tab {
            Tab::Overview => None,
            Tab::Findings => Some(&self.lists[0]),
            Tab::Incidents => Some(&self.lists[1]),
        }
    }

    fn list_mut(&mut self) -> Option<&mut List> {
        match self.tab {
            Tab::Overview => None,
            Tab::Findings => Some(&mut self.lists[0]),
            Tab::Incidents => Some(&mut self.lists[1]),
        }
    }

    /// The findings that the filter lets pass, in the order that was asked for.
    #[must_use]
    pub fn findings(&self) -> Vec<Arc<Finding>> {
        let list = &self.lists[0];
        let all = self.data().findings.iter().flat_map(|all| &all.newest);
        let passes = |finding: &&Arc<Finding>| {
            passes(&list.filter, &[&finding.title, &finding.host, &finding.unit_kind, &finding.unit_key])
        };
        let mut shown: Vec<_> = all.filter(passes).cloned().collect();
        if list.other_order {
            shown.sort_by(|a, b| b.log2_n.total_cmp(&a.log2_n).then(b.bits.total_cmp(&a.bits)));
        }
        shown
    }

    /// The incidents that the filter lets pass, in the order that was asked for.
    #[must_use]
    pub fn incidents(&self) -> Vec<Arc<Incident>> {
        let list = &self.lists[1];
        let all = self.data().incidents.iter().flat_map(|all| &all.first);
        let passes = |one: &&Arc<Incident>| passes(&list.filter, &[&one.title, &one.id, &one.hosts.join(" ")]);
        let mut shown: Vec<_> = all.filter(passes).cloned().collect();
        if list.other_order {
            shown.sort_by_key(|incident| std::cmp::Reverse(incident.last));
        }
        shown
    }

    /// What is on the page on top.
    #[must_use]
    pub fn items(&self) -> Option<Vec<Item>> {
        self.stack.last().map(|open| page::items(&open.page, self.data()))
    }

    /// Takes in what happened.
    pub fn update(&mut self, event: Event) -> Option<Wish> {
        match event {
            Event::Key(key) => return self.key(key),
            Event::Resize(columns, lines) => self.size = (columns, lines),
            Event::Tick(now) => self.now = now,
            Event::Told(reply) => self.told(reply),
            Event::Seen(seen) => return self.seen(seen),
        }
        None
    }

    fn seen(&mut self, seen: Seen) -> Option<Wish> {
        self.data.see(seen, self.now);
        self.stay();
        let status = self.data.agent.status.as_ref().filter(|_| self.data.folder.is_none())?;
        let archive = status.archive.clone()?;
        let out = status.out.clone().unwrap_or_else(|| archive.clone());
        self.data.folder = Some(out.clone());
        Some(Wish::Watch(out, vec![archive]))
    }

    fn told(&mut self, Reply { number, told }: Reply) {
        for open in &mut self.stack {
            match (&mut open.page, &told) {
                (Page::Incident(_, answer @ Answer::Waiting(_)), told) if answer.is(number) => {
                    *answer = match told {
                        Told::Incident(told, findings) => Answer::Here(Box::new(((**told).clone(), findings.clone()))),
                        Told::Failed(why) => Answer::Failed(why.clone()),
                        Told::Around(_) => continue,
                    };
                }
                (Page::Around(.., answer @ Answer::Waiting(_)), told) if answer.is(number) => {
                    *answer = match told {
                        Told::Around(around) => Answer::Here(around.clone()),
                        Told::Failed(why) => Answer::Failed(why.clone()),
                        Told::Incident(..) => continue,
                    };
                    open.cursor = usize::MAX; // drawn first on the process itself
                }
                _ => {}
            }
        }
        self.clamp();
    }
}

impl<T> Answer<T> {
    fn is(&self, number: u64) -> bool {
        matches!(self, Self::Waiting(waiting) if *waiting == number)
    }
}

/// Whether one of the texts holds the filter.
fn passes(filter: &str, texts: &[&str]) -> bool {
    filter.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(filter))
}
