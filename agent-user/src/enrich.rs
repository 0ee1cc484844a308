//! From raw records to rows: decode, name the processes, count.

use crate::{
    books::AgentBooks,
    kernel,
    lineage::Lineage,
    rows::{Batch, ConnectionRows, Image, ProcessRows},
};
use arrow_schema::ArrowError;
use events::{EventType, Record, SocketHead};
use std::sync::Arc;

/// Rows in a batch, at most.
pub const BATCH_ROWS: usize = 8192;

/// Turns records into rows.
pub struct Enricher {
    lineage: Lineage,
    process: ProcessRows,
    connection: ConnectionRows,
    books: AgentBooks,
    utc_offset: i64,
}

impl Enricher {
    /// For one boot of one host.
    #[must_use]
    pub fn new(boot: [u8; 4], host: &Arc<str>, processes: usize) -> Self {
        Self {
            lineage: Lineage::new(boot, processes),
            process: ProcessRows::new(host.clone()),
            connection: ConnectionRows::new(host.clone()),
            books: AgentBooks::default(),
            utc_offset: kernel::utc_offset(),
        }
    }

    /// What came in and what was dropped.
    #[must_use]
    pub fn books(&self) -> &AgentBooks {
        &self.books
    }

    /// The processes known.
    #[must_use]
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// Follows the clock, which may be set while the agent runs, and forgets processes that are long gone.
    pub fn tick(&mut self) {
        self.utc_offset = kernel::utc_offset();
        self.lineage.forget(kernel::boot_time());
    }

    /// Whether a batch is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.process.len() >= BATCH_ROWS || self.connection.len() >= BATCH_ROWS
    }

    /// Takes one record in.
    pub fn record(&mut self, bytes: &[u8]) {
        match events::decode(bytes) {
            Ok(record) => {
                self.books.received[record.kind().index()] += 1;
                self.row(&record);
            }
            Err(malformed) => match malformed.kind() {
                Some(kind) => {
                    self.books.received[kind.index()] += 1;
                    self.books.malformed[kind.index()] += 1;
                }
                None => self.books.unknown += 1,
            },
        }
    }

    fn row(&mut self, record: &Record<'_>) {
        let time = record.time().saturating_add_signed(self.utc_offset) as i64;
        match record {
            Record::Exec(exec) => {
                let image = Image::of(exec);
                let process = self.lineage.exec(&exec.head.task, image.exe.clone());
                self.process.exec(time, exec, &image, &process);
            }
            Record::Fork(task) => {
                let process = self.lineage.fork(task);
                self.process.fork(time, task, &process);
            }
            Record::Exit(exit) => match self.lineage.exit(&exit.task) {
                Some(process) => self.process.exit(time, exit, &process),
                None => self.books.duplicate[EventType::Exit.index()] += 1,
            },
            Record::Socket(kind, socket) => {
                let owner = self.owner(socket);
                self.connection.socket(time, *kind, socket, owner.as_ref());
            }
            Record::Close(close) => {
                let owner = self.owner(&close.socket);
                self.connection.close(time, close, owner.as_ref());
            }
        }
    }

    fn owner(&mut self, socket: &SocketHead) -> Option<crate::lineage::Process> {
        (socket.tgid != 0).then(|| self.lineage.owner(socket.start, socket.tgid))
    }

    /// Takes the rows that wait.
    ///
    /// # Errors
    /// If columns do not fit their schema, which is a defect.
    pub fn take(&mut self) -> Result<Vec<Batch>, ArrowError> {
        let mut batches = Vec::new();
        if !self.process.is_empty() {
            batches.push(self.process.take()?);
        }
        if !self.connection.is_empty() {
            batches.push(self.connection.take()?);
        }
        Ok(batches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::{Zeroable, bytes_of};
    use events::TaskHead;

    #[test]
    fn what_comes_in_is_a_row_or_counted() {
        let mut enricher = Enricher::new([0; 4], &"h".into(), 10);
        let head = |kind: EventType| TaskHead { kind: kind as u16, tgid: 1 << 30, ..TaskHead::zeroed() };
        enricher.record(bytes_of(&head(EventType::Fork)));
        let exit = events::Exit { task: head(EventType::Exit), code: 0, signal: 0 };
        enricher.record(bytes_of(&exit));
        enricher.record(bytes_of(&exit));
        enricher.record(&[1, 0, 0]);
        enricher.record(b"??");
        let books = enricher.books();
        assert_eq!((books.received[1], books.received[2]), (2, 2));
        assert_eq!((books.malformed[1], books.duplicate[2], books.unknown), (1, 1, 1));
        let rows: usize = enricher.take().unwrap().iter().map(|batch| batch.rows.num_rows()).sum();
        assert_eq!(rows, 2);
    }
}
