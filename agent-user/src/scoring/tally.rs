//! Which rows have a score: those whose file has a whole sidecar, or may still get one.

use crate::books::WriterBooks;
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// Counts rows by the file in which they will stand, as long as that is not complete.
#[derive(Default)]
pub(super) struct Tally {
    books: Arc<WriterBooks>,
    open: HashMap<Arc<str>, Rows>,
}

#[derive(Default)]
struct Rows {
    scored: u64,
    unscored: u64,
}

impl Tally {
    pub(super) fn into(books: Arc<WriterBooks>) -> Self {
        Self { books, open: HashMap::new() }
    }

    /// Rows of a file were scored.
    pub(super) fn scored(&mut self, file: &Arc<str>, rows: u64) {
        self.open.entry(file.clone()).or_default().scored += rows;
        self.books.scored.fetch_add(rows, Relaxed);
    }

    /// They were not.
    pub(super) fn missed(&mut self, file: &Arc<str>, rows: u64) {
        self.open.entry(file.clone()).or_default().unscored += rows;
        self.books.unscored.fetch_add(rows, Relaxed);
    }

    /// A file will have no sidecar: what was scored of it counts no more.
    pub(super) fn void(&mut self, file: &Arc<str>) {
        let Some(rows) = self.open.get_mut(file) else { return };
        self.books.scored.fetch_sub(rows.scored, Relaxed);
        self.books.unscored.fetch_add(rows.scored, Relaxed);
        rows.unscored += std::mem::take(&mut rows.scored);
    }

    /// A file is complete, and so is what is said of it.
    pub(super) fn done(&mut self, file: &Arc<str>) {
        let rows = self.open.remove(file).unwrap_or_default();
        self.books.unscored_closed.fetch_add(rows.unscored, Relaxed);
    }
}
