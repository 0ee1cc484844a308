//! What is on the screen, and what becomes of it: a pure function of what happened.

use std::path::PathBuf;
use std::sync::Arc;

use store::{Finding, Incident};
use triage::{Around, Narrative};

use crate::data::{Data, Link, Seen};
use crate::key::Key;
use crate::page::{self, Goal, Item};
use crate::teller::{Ask, Question, Reply, Told};

/// Pages on top of one another.
const DEEPEST: usize = 12;
/// Characters of a filter.
const FILTER: usize = 60;
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
    /// The processes around a row.
    Around(triage::RowLink, Answer<Around>),
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
                (Page::Around(_, answer @ Answer::Waiting(_)), told) if answer.is(number) => {
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

    fn key(&mut self, key: Key) -> Option<Wish> {
        if key == Key::Interrupt {
            return Some(Wish::Quit);
        }
        if self.typing {
            self.type_filter(key);
            return None;
        }
        if std::mem::take(&mut self.help) {
            return None;
        }
        match key {
            Key::Char('q') => return Some(Wish::Quit),
            Key::Char('?') => self.help = true,
            Key::Char(' ') => self.pause(),
            Key::Char(digit @ '1'..='3') => self.switch(Tab::ALL[digit as usize - '1' as usize]),
            Key::Tab | Key::BackTab => {
                let step = if key == Key::Tab { 1 } else { 2 };
                self.switch(Tab::ALL[(self.tab as usize + step) % 3]);
            }
            Key::Char('/') if self.stack.is_empty() => self.typing = self.list().is_some(),
            Key::Char('s') if self.stack.is_empty() => self.sort(),
            Key::Enter | Key::Right | Key::Char('l') => return self.open(),
            Key::Escape | Key::Backspace | Key::Left | Key::Char('h') => self.back(),
            key => self.go(key),
        }
        None
    }

    fn type_filter(&mut self, key: Key) {
        match key {
            Key::Enter => self.typing = false,
            Key::Escape => {
                self.typing = false;
                self.list_mut().into_iter().for_each(|list| list.filter.clear());
            }
            Key::Backspace => drop(self.list_mut().and_then(|list| list.filter.pop())),
            Key::Char(c) => {
                if let Some(list) = self.list_mut().filter(|list| list.filter.chars().count() < FILTER) {
                    list.filter.extend(c.to_lowercase());
                }
            }
            _ => {}
        }
        self.first();
    }

    fn switch(&mut self, tab: Tab) {
        self.tab = tab;
        self.stack.clear();
        self.stay();
    }

    fn pause(&mut self) {
        self.paused = match self.paused.take() {
            Some(_) => None,
            None => Some(Box::new((self.data.clone(), self.now))),
        };
        self.stay();
    }

    fn sort(&mut self) {
        if let Some(list) = self.list_mut() {
            list.other_order = !list.other_order;
        }
        self.first();
    }

    fn back(&mut self) {
        if self.stack.pop().is_none() {
            self.list_mut().into_iter().for_each(|list| list.filter.clear());
            self.stay();
        }
    }

    /// Lines that a page moves by.
    fn page(&self) -> usize {
        usize::from(self.size.1.saturating_sub(FRAME_LINES + 1)).max(1)
    }

    fn go(&mut self, key: Key) {
        let (count, page) = (self.count(), self.page());
        let last = count.saturating_sub(1);
        let items = self.items().unwrap_or_default();
        let leading: Vec<usize> = (0..items.len()).filter(|at| items[*at].leads.is_some()).collect();
        let Some(cursor) = self.cursor_mut() else { return };
        *cursor = match key {
            Key::Up | Key::Char('k') => cursor.saturating_sub(1),
            Key::Down | Key::Char('j') => cursor.saturating_add(1),
            Key::PageUp => cursor.saturating_sub(page),
            Key::PageDown => cursor.saturating_add(page),
            Key::Home | Key::Char('g') => 0,
            Key::End | Key::Char('G') => last,
            Key::Char('n') => leading.iter().copied().find(|at| *at > *cursor).unwrap_or(*cursor),
            Key::Char('p') => leading.iter().copied().rfind(|at| *at < *cursor).unwrap_or(*cursor),
            _ => return,
        }
        .min(last);
        self.select();
    }

    fn cursor_mut(&mut self) -> Option<&mut usize> {
        if let Some(open) = self.stack.last_mut() {
            return Some(&mut open.cursor);
        }
        match self.tab {
            Tab::Overview => None,
            Tab::Findings => Some(&mut self.lists[0].cursor),
            Tab::Incidents => Some(&mut self.lists[1].cursor),
        }
    }

    /// Lines that can be selected.
    fn count(&self) -> usize {
        match (self.items(), self.tab) {
            (Some(items), _) => items.len(),
            (None, Tab::Overview) => 0,
            (None, Tab::Findings) => self.findings().len(),
            (None, Tab::Incidents) => self.incidents().len(),
        }
    }

    /// No cursor is beyond the end. One that was set there on purpose goes to what a page is about.
    fn clamp(&mut self) {
        for at in 0..self.stack.len() {
            let items = page::items(&self.stack[at].page, self.data());
            let cursor = self.stack[at].cursor;
            let about = || items.iter().position(|item| item.about).unwrap_or_default();
            self.stack[at].cursor =
                if cursor == usize::MAX { about() } else { cursor.min(items.len().saturating_sub(1)) };
        }
    }

    fn ids(&self) -> Vec<String> {
        match self.tab {
            Tab::Overview => Vec::new(),
            Tab::Findings => self.findings().iter().map(|finding| finding.id.clone()).collect(),
            Tab::Incidents => self.incidents().iter().map(|incident| incident.id.clone()).collect(),
        }
    }

    /// Remembers what is selected. Whoever is at the top stays there, with what is newest.
    fn select(&mut self) {
        let ids = self.ids();
        if let Some(list) = self.list_mut() {
            list.selected = ids.get(list.cursor).filter(|_| list.cursor > 0).cloned();
        }
    }

    fn first(&mut self) {
        if let Some(list) = self.list_mut() {
            (list.cursor, list.selected) = (0, None);
        }
    }

    /// The selected line stays the same, wherever it went.
    fn stay(&mut self) {
        self.clamp();
        let ids = self.ids();
        if let Some(list) = self.list_mut() {
            let found = list.selected.as_ref().and_then(|selected| ids.iter().position(|id| id == selected));
            list.cursor = match (found, &list.selected) {
                (Some(found), _) => found,
                (None, Some(_)) => list.cursor.min(ids.len().saturating_sub(1)),
                (None, None) => 0,
            };
        }
    }

    /// Opens what is selected.
    fn open(&mut self) -> Option<Wish> {
        let cursor = self.stack.last().map(|open| open.cursor).or_else(|| self.list().map(|list| list.cursor));
        let goal = match (self.items(), self.tab) {
            (Some(items), _) => items.get(cursor?)?.leads.clone(),
            (None, Tab::Overview) => Some(Goal::Gaps),
            (None, Tab::Findings) => self.findings().get(cursor?).cloned().map(Goal::Finding),
            (None, Tab::Incidents) => self.incidents().get(cursor?).cloned().map(Goal::Incident),
        }?;
        if self.stack.len() == DEEPEST {
            return None;
        }
        let number = self.number + 1;
        let (page, what) = match goal {
            Goal::Gaps => (Page::Gaps, None),
            Goal::Finding(finding) => (Page::Finding(finding), None),
            Goal::Incident(incident) => {
                (Page::Incident(incident.clone(), Answer::Waiting(number)), Some(Question::Incident(incident)))
            }
            Goal::Row(row, table) => {
                (Page::Around(row.clone(), Answer::Waiting(number)), Some(Question::Row(row, table)))
            }
        };
        self.stack.push(Open { page, cursor: 0 });
        self.number = number;
        what.map(|what| Wish::Ask(Ask { number, what }))
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
