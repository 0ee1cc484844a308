//! What keys do.

use triage::Room;

use super::{Answer, FRAME_LINES, Open, Page, State, Tab, Wish};
use crate::key::Key;
use crate::page::{self, Goal};
use crate::teller::{Ask, Question};

/// Pages on top of one another.
const DEEPEST: usize = 12;
/// Characters of a filter.
const FILTER: usize = 60;

impl State {
    pub(super) fn key(&mut self, key: Key) -> Option<Wish> {
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
            Key::Char('a') => return self.all(),
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
    pub(super) fn clamp(&mut self) {
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
    pub(super) fn stay(&mut self) {
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

    /// Asks for the processes that had no room.
    fn all(&mut self) -> Option<Wish> {
        let number = self.number + 1;
        let Page::Around(row, table, room @ Room::Little, answer) = &mut self.stack.last_mut()?.page else {
            return None;
        };
        if !matches!(answer, Answer::Here(around) if around.others > 0) {
            return None;
        }
        (*room, *answer) = (Room::Much, Answer::Waiting(number));
        let what = Question::Row(row.clone(), table.clone(), Room::Much);
        self.number = number;
        Some(Wish::Ask(Ask { number, what }))
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
                let (room, answer) = (Room::Little, Answer::Waiting(number));
                (Page::Around(row.clone(), table.clone(), room, answer), Some(Question::Row(row, table, room)))
            }
        };
        self.stack.push(Open { page, cursor: 0 });
        self.number = number;
        what.map(|what| Wish::Ask(Ask { number, what }))
    }
}
