//! From raw records to rows: decode, name the processes, count.

use crate::{
    books::AgentBooks,
    facts::{Desk, Facts},
    hashes::Hashes,
    images::{self, Paths},
    kernel,
    lineage::Lineage,
    places::Places,
    rows::{Batch, ConnectionRows, DnsRows, ImageFacts, Owned, ProcessRows, Row},
};
use arrow_schema::ArrowError;
use events::{CallRecord, EventType, Image, Maker, Record, SocketHead, TaskHead};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// Rows in a batch, at most.
pub const BATCH_ROWS: usize = 8192;

/// Bytes of arguments and paths in a batch, about: where each row may hold thousands, rows alone bound no memory.
pub const BATCH_BYTES: usize = 8 << 20;

/// Turns records into rows.
pub struct Enricher {
    facts: Facts,
    lineage: Lineage,
    places: Places,
    hashes: Hashes,
    paths: Paths,
    process: ProcessRows,
    connection: ConnectionRows,
    dns: DnsRows,
    books: AgentBooks,
    /// What is there already is recorded, by whoever was here before.
    resumed: bool,
    utc_offset: i64,
}

impl Enricher {
    /// For one boot of one host. What must be asked is asked in this process.
    #[must_use]
    pub fn new(boot: [u8; 4], host: &Arc<str>, processes: usize) -> Self {
        let facts = Facts::here(Desk::new(kernel::cgroup2_mount().ok()));
        Self::asking(boot, host, processes, facts, Hashes::new())
    }

    /// For one boot of one host, asking elsewhere.
    #[must_use]
    pub fn asking(boot: [u8; 4], host: &Arc<str>, processes: usize, facts: Facts, hashes: Hashes) -> Self {
        Self {
            lineage: Lineage::new(boot, processes).asking(facts.clone()),
            places: Places::new(facts.clone()),
            facts,
            hashes,
            paths: Paths::default(),
            process: ProcessRows::new(host.clone()),
            connection: ConnectionRows::new(host.clone()),
            dns: DnsRows::new(host.clone()),
            books: AgentBooks::default(),
            resumed: false,
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
        let rows = [self.process.len(), self.connection.len(), self.dns.len()];
        rows.into_iter().any(|len| len >= BATCH_ROWS) || self.process.bytes() >= BATCH_BYTES
    }

    /// Whether no row waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.process.is_empty() && self.connection.is_empty() && self.dns.is_empty()
    }

    /// Goes on from the books of another. If it was settled, its rows tell of what was there at the start.
    #[must_use]
    pub fn resume(mut self, books: AgentBooks, settled: bool) -> Self {
        (self.books, self.resumed) = (books, settled);
        self
    }

    /// Takes one record in.
    pub fn record(&mut self, bytes: &[u8]) {
        match events::decode(bytes) {
            Ok(record) => {
                self.books.received[record.kind().index()] += 1;
                let rows = [self.process.len(), self.connection.len(), self.dns.len()];
                match catch_unwind(AssertUnwindSafe(|| self.row(&record))) {
                    Ok(true) => {}
                    Ok(false) => self.books.duplicate[record.kind().index()] += 1,
                    Err(_) => self.spoiled(record.kind(), rows),
                }
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

    /// A process that makes too many events began to be summarised, or ceased to be. The agent itself makes this row.
    pub fn throttle(&mut self, maker: &Maker, time: u64, operation: &str, counts: &[u64; EventType::ALL.len()]) {
        self.books.received[EventType::Throttle.index()] += 1;
        let time = self.utc(time);
        let process = self.lineage.owner(maker.start, maker.tgid as u32);
        let row = Row { time, operation: Some(operation), summarised: Some(counts), ..Row::default() };
        let place = self.places.of(process.cgroup, process.key.tgid());
        self.process.push(EventType::Throttle, process, place, &row);
    }

    /// A record that could not be taken in may have left half a row: the rows of its batch, of which there were so many,
    /// go with it. It must not come again and again.
    fn spoiled(&mut self, kind: EventType, [process, connection, dns]: [usize; 3]) {
        let mut lost = vec![kind];
        lost.extend(self.process.abandon().into_iter().take(process));
        lost.extend(self.connection.abandon().into_iter().take(connection));
        lost.extend(self.dns.abandon().into_iter().take(dns));
        lost.iter().for_each(|kind| self.books.malformed[kind.index()] += 1);
        crate::say!(
            "warning: a record of type {} could not be read, {} rows lost; this is a defect",
            kind.name(),
            lost.len()
        );
    }

    fn utc(&self, time: u64) -> i64 {
        time.saturating_add_signed(self.utc_offset) as i64
    }

    /// Makes the row of a record; false if it tells what another has told.
    fn row(&mut self, record: &Record<'_>) -> bool {
        let time = self.utc(record.time());
        #[cfg(test)]
        assert_ne!(record.time(), tests::POISON);
        let (lineage, places) = (&mut self.lineage, &mut self.places);
        match record {
            Record::Image(kind, image) => return self.image(time, *kind, image),
            Record::Fork(task) => {
                let Some(process) = lineage.fork(task) else { return false };
                let place = places.of(process.cgroup, process.key.tgid());
                self.process.push(EventType::Fork, process, place, &Row { time, ..Row::of(task) });
            }
            Record::Exit(exit) => {
                let Some(process) = lineage.exit(&exit.task) else { return false };
                let place = places.of(process.cgroup, process.key.tgid());
                let row = Row { time, exit: Some(exit), ..Row::of(&exit.task) };
                self.process.push(EventType::Exit, process, place, &row);
            }
            Record::Call(kind, call) => self.call(time, *kind, call),
            Record::Socket(kind, socket) => {
                self.connection.socket(time, *kind, socket, owned(lineage, places, socket));
            }
            Record::Close(close) => self.connection.close(time, close, owned(lineage, places, &close.socket)),
            Record::Flow(flow) => self.connection.flow(time, flow, owned(lineage, places, &flow.socket)),
            Record::Open(_) if self.resumed => return false,
            Record::Open(open) => self.connection.open(time, open, owned(lineage, places, &open.socket)),
            Record::Dns(dns) => self.dns.push(time, dns, owned(lineage, places, &dns.head.socket)),
        }
        true
    }

    fn image(&mut self, time: i64, kind: EventType, image: &Image<'_>) -> bool {
        let task = &image.head.task;
        let exe = self.paths.exe(image);
        let process = match kind {
            EventType::Running => self.lineage.running(task, exe),
            _ => Some(self.lineage.exec(task, exe)),
        };
        let Some(key) = process.map(|process| process.key) else { return false };
        if kind == EventType::Running && self.resumed {
            return false;
        }
        let process = self.lineage.get(&key);
        let ancestors = self.lineage.ancestors(process);
        // The kernel can read the arguments of the running process only.
        let running = if kind == EventType::Running { self.facts.arguments(task.tgid, task.start) } else { None };
        let args = match &running {
            Some((args, len)) => Some((&args[..], *len)),
            None => (kind == EventType::Exec).then_some((image.args, image.head.args_len)),
        };
        let facts = ImageFacts {
            record: image,
            script: images::script(image),
            args,
            cwd: self.paths.folder(image, &self.facts),
            sha256: self.hashes.of(image, process.exe.as_deref(), time),
        };
        let row = Row { time, image: Some(facts), ancestors: Some(&ancestors), ..Row::of(task) };
        self.process.push(kind, process, self.places.of(process.cgroup, process.key.tgid()), &row);
        true
    }

    fn call(&mut self, time: i64, kind: EventType, call: &CallRecord<'_>) {
        let task = &call.head.task;
        let (process, before) = self.lineage.acted(task);
        let key = process.key;
        let process = self.lineage.get(&key);
        let ancestors = self.lineage.ancestors(process);
        let what = crate::calls::describe(kind, call, &self.facts);
        let row = Row {
            time,
            ancestors: Some(&ancestors),
            operation: Some(&what.operation),
            result: Some(call.head.result),
            target: what.target,
            target_pid: what.target_pid,
            traced: what.traced.and_then(|pid| self.lineage.numbered(pid)),
            previous: before.filter(|_| kind == EventType::Credential),
            ..Row::of(task)
        };
        self.process.push(kind, process, self.places.of(process.cgroup, process.key.tgid()), &row);
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
        if !self.dns.is_empty() {
            batches.push(self.dns.take()?);
        }
        Ok(batches)
    }
}

/// Who owns a socket, and where that process runs.
fn owned<'a>(lineage: &'a mut Lineage, places: &'a mut Places, socket: &SocketHead) -> Owned<'a> {
    let owner = (socket.tgid != 0).then(|| lineage.owner_at(socket.start, socket.tgid, socket.time))?;
    Some((owner, places.of(owner.cgroup, owner.key.tgid())))
}

impl<'a> Row<'a> {
    fn of(task: &'a TaskHead) -> Self {
        Self { task: Some(task), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::{Zeroable, bytes_of};

    /// A record of this time is one that cannot be taken in.
    pub(super) const POISON: u64 = 0xdead;

    #[test]
    fn a_record_over_which_it_falls_is_counted_and_does_not_end_it() {
        let mut enricher = Enricher::new([0; 4], &"h".into(), 10);
        let fork =
            |start, time| TaskHead { kind: EventType::Fork as u16, tgid: 1 << 30, start, time, ..TaskHead::zeroed() };
        enricher.record(bytes_of(&fork(1, 1)));
        enricher.record(bytes_of(&fork(2, POISON)));
        enricher.record(bytes_of(&fork(3, 2)));
        let books = enricher.books();
        assert_eq!((books.received[1], books.malformed[1]), (3, 2));
        let rows: usize = enricher.take().unwrap().iter().map(|batch| batch.rows.num_rows()).sum();
        assert_eq!(rows, 1);
    }

    #[test]
    fn what_comes_in_is_a_row_or_counted() {
        let mut enricher = Enricher::new([0; 4], &"h".into(), 10);
        let head = |kind: EventType| TaskHead { kind: kind as u16, tgid: 1 << 30, ..TaskHead::zeroed() };
        enricher.record(bytes_of(&head(EventType::Fork)));
        let exit = events::Exit { task: head(EventType::Exit), ..Zeroable::zeroed() };
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
