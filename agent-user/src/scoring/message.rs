//! What the agent and its scorer say to each other: framed messages of bounded length, each answered once, in order.
//!
//! A frame is two lengths (u32, little endian), a head (postcard) and a body: rows as an Arrow IPC stream, or a run as
//! JSON, or nothing.

use crate::{
    cli::{BackendArg, RunArgs},
    kernel,
};
use arrow_array::RecordBatch;
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use arrow_schema::SchemaRef;
use events::{CONNECTION, DNS, HEARTBEAT, PROCESS};
use model::Line;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    cell::Cell,
    ffi::OsString,
    io::{Error, ErrorKind, Read, Result, Write},
    panic::catch_unwind,
    path::{Component, Path},
};
use store::{Finished, Placed};

/// Longest head: a batch of which each row stands in another file.
const HEAD_BYTES: u32 = 4 << 20;
/// Longest body; batches are a few MiB.
const BODY_BYTES: u32 = 128 << 20;
/// Longest path of a file, relative to the archive.
const PATH_BYTES: usize = 4_096;

/// What a scorer needs to know at its start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The baseline file.
    pub baseline: OsString,
    /// Folder for scores and findings.
    pub out: OsString,
    /// Where to score.
    pub backend: BackendArg,
    /// Adapter to take, hardware or not.
    pub adapter: Option<String>,
    /// What makes a unit a finding.
    pub line: Line,
    /// Name of this host in the files.
    pub host: String,
    /// A scorer of this run has been there before.
    pub again: bool,
    /// The one whose sidecars may lie about unfinished, by its process id.
    pub left_by: Option<u32>,
}

impl Settings {
    /// Those of the arguments; `None` if they name no baseline.
    #[must_use]
    pub fn of(args: &RunArgs) -> Option<Self> {
        Some(Self {
            baseline: args.baseline.as_ref()?.into(),
            out: args.out.as_ref().unwrap_or(&args.archive).into(),
            backend: args.backend,
            adapter: args.adapter.clone(),
            line: args.rarer_than.map_or(Line::AlertsPerDay(args.alerts_per_day), Line::RarerThan),
            host: args.host.clone().unwrap_or_else(kernel::host_name),
            again: false,
            left_by: None,
        })
    }
}

/// Asked of the scorer. The settings come first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Request {
    Settings(Settings),
    /// Rows, which are in the body, stand in files that are not complete.
    Placed {
        table: String,
        placed: Vec<Place>,
    },
    Finished(File),
    /// A file will have no sidecar, also not the one that a scorer of this process id had begun and is gone.
    GivenUp {
        relative: String,
        begun_by: Option<u32>,
    },
    Tick,
    /// Nothing more comes. The body is the run as the agent knows it; findings of earlier scorers are in it.
    Finish,
}

/// As [`Placed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    relative: String,
    first_row: u64,
    offset: u64,
    rows: u64,
}

/// As [`Finished`], without the path on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct File {
    relative: String,
    rows: u64,
    bytes: u64,
    sha256: String,
}

/// The scorer's answer, and its findings so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) answer: Answer,
    pub(super) findings: u64,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// To the settings, if they can be used.
    Ready(Ready),
    /// To the settings, if not: an error as it is said to people.
    Failed(String),
    /// Rows scored.
    Scored(u64),
    /// The file has a sidecar, or is of no table with events.
    FileDone {
        scored: bool,
    },
    FileSkipped(String),
    /// To what takes no answer.
    Heard,
    /// The last answer: what went wrong last, if anything did.
    Ended(Option<String>),
}

/// What a scorer works with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ready {
    pub(super) backend: String,
    pub(super) device: String,
    pub(super) reason: String,
    pub(super) baseline: String,
    pub(super) promise: Promise,
    pub(super) tables: Vec<String>,
    pub(super) process: u32,
}

/// What is to be expected of a scorer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// How well the baseline knows this host: `learning day 2 of 7`, `settled`.
    pub host_state: String,
    /// False alerts a day, in thousandths.
    pub expected_milli: u64,
}

/// Sends one message.
pub(super) fn send(mut to: impl Write, message: &impl Serialize, body: &[u8]) -> Result<()> {
    let head = postcard::to_stdvec(message).map_err(Error::other)?;
    let length = |bytes: &[u8], most| {
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= most);
        length.ok_or_else(|| Error::new(ErrorKind::InvalidInput, format!("a message of {} bytes", bytes.len())))
    };
    let (head_length, body_length) = (length(&head, HEAD_BYTES)?, length(body, BODY_BYTES)?);
    let mut frame = Vec::with_capacity(8 + head.len());
    frame.extend_from_slice(&head_length.to_le_bytes());
    frame.extend_from_slice(&body_length.to_le_bytes());
    frame.extend_from_slice(&head);
    to.write_all(&frame)?;
    to.write_all(body)
}

/// Receives one message and its body; `None` if the sender has closed.
pub(super) fn receive<T: DeserializeOwned>(mut from: impl Read) -> Result<Option<(T, Vec<u8>)>> {
    let mut lengths = [0; 8];
    // A socket with a time limit is interrupted by every signal, also by those that restart other calls.
    let read = loop {
        match from.read(&mut lengths) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    if read == 0 {
        return Ok(None);
    }
    from.read_exact(&mut lengths[read..])?;
    let [a, b, c, d, e, f, g, h] = lengths;
    let (head, body) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    if head > HEAD_BYTES || body > BODY_BYTES {
        return Err(nonsense(format!("a message of {head} and {body} bytes")));
    }
    let (head, body) = (take(&mut from, head)?, take(&mut from, body)?);
    let (message, rest) = postcard::take_from_bytes(&head).map_err(|error| nonsense(error.to_string()))?;
    if rest.is_empty() { Ok(Some((message, body))) } else { Err(nonsense("something after a message".into())) }
}

/// Memory grows with what comes, not with what is announced.
fn take(from: &mut impl Read, length: u32) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == u64::from(length) { Ok(bytes) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

pub(super) fn nonsense(why: String) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

/// A batch as an Arrow IPC stream.
pub(super) fn encode(rows: &RecordBatch) -> Result<Vec<u8>> {
    let stream = || {
        let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema())?;
        writer.write(rows)?;
        writer.into_inner()
    };
    stream().map_err(Error::other)
}

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread reads a stream: if it panics then, that is an answer.
pub(super) fn is_decoding() -> bool {
    DECODING.get()
}

/// The batch of a stream, which must be of a table's schema and the only one.
pub(super) fn decode(table: &str, stream: &[u8]) -> Result<RecordBatch> {
    let schema = schema(table).ok_or_else(|| nonsense("rows of an unknown table".into()))?;
    lengths(stream)?;
    DECODING.set(true);
    // The reader believes what it reads of types and offsets, and panics where it should not have.
    let read = catch_unwind(|| read(table, &schema, stream));
    DECODING.set(false);
    read.unwrap_or_else(|_| Err(nonsense("no Arrow stream".into())))
}

fn read(table: &str, schema: &SchemaRef, stream: &[u8]) -> Result<RecordBatch> {
    let arrow = |error: arrow_schema::ArrowError| nonsense(error.to_string());
    let mut reader = StreamReader::try_new(stream, None).map_err(arrow)?;
    if reader.schema() != *schema {
        return Err(nonsense(format!("columns that are not those of {table}")));
    }
    let first = reader.next().ok_or_else(|| nonsense("no rows".into()))?.map_err(arrow)?;
    match reader.next() {
        None => Ok(first),
        Some(_) => Err(nonsense("more than one batch".into())),
    }
}

/// Checks that the parts of a stream are as long as they say, as memory is taken by that.
fn lengths(mut stream: &[u8]) -> Result<()> {
    let none = || nonsense("no Arrow stream".into());
    while let Some(([255, 255, 255, 255, a, b, c, d], rest)) = stream.split_first_chunk() {
        let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        if length == 0 {
            return if rest.is_empty() { Ok(()) } else { Err(none()) };
        }
        let (head, rest) = rest.split_at_checked(length).ok_or_else(none)?;
        let body = arrow_ipc::root_as_message(head).map_err(|_| none())?.bodyLength();
        let body = usize::try_from(body).map_err(|_| none())?;
        stream = rest.get(body..).ok_or_else(none)?;
    }
    Err(none())
}

fn schema(table: &str) -> Option<SchemaRef> {
    match table {
        PROCESS => Some(events::process_schema()),
        CONNECTION => Some(events::connection_schema()),
        DNS => Some(events::dns_schema()),
        HEARTBEAT => Some(events::heartbeat_schema()),
        _ => None,
    }
}

/// A path below a folder, wherever it came from.
pub(super) fn below(relative: &str) -> Result<&str> {
    let mut parts = Path::new(relative).components();
    let inside = !relative.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)));
    let sound = inside && relative.len() <= PATH_BYTES && !relative.contains('\0');
    if sound { Ok(relative) } else { Err(nonsense("a path that leaves the folder".into())) }
}

impl Place {
    pub(super) fn of(placed: &Placed) -> Self {
        let Placed { relative, first_row, offset, rows } = placed;
        Self { relative: relative.to_string(), first_row: *first_row, offset: *offset as u64, rows: *rows as u64 }
    }

    /// The same, if it is about rows of a batch of this many.
    pub(super) fn checked(&self, batch: usize) -> Result<Placed> {
        let end = self.offset.checked_add(self.rows).filter(|end| *end <= batch as u64);
        end.and_then(|_| self.first_row.checked_add(self.rows))
            .ok_or_else(|| nonsense("rows beyond a batch".into()))?;
        let relative = below(&self.relative)?.into();
        // Both are at most `batch`.
        Ok(Placed { relative, first_row: self.first_row, offset: self.offset as usize, rows: self.rows as usize })
    }
}

impl File {
    pub(super) fn of(file: &Finished) -> Self {
        let Finished { relative, rows, bytes, sha256, .. } = file;
        Self { relative: relative.to_string(), rows: *rows, bytes: *bytes, sha256: sha256.clone() }
    }

    pub(super) fn checked(self) -> Result<Finished> {
        let relative = below(&self.relative)?.into();
        if self.sha256.len() != 64 || !self.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(nonsense("a digest that is none".into()));
        }
        Ok(Finished { path: self.relative.into(), relative, rows: self.rows, bytes: self.bytes, sha256: self.sha256 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::Enricher;
    use bytemuck::{Zeroable, bytes_of};
    use events::{EventType, TaskHead};

    fn forks(count: u64) -> RecordBatch {
        let mut enricher = Enricher::new([0; 4], &"h".into(), 10_000);
        for start in 0..count {
            let kind = EventType::Fork as u16;
            enricher.record(bytes_of(&TaskHead { kind, tgid: 1 << 30, start, ..TaskHead::zeroed() }));
        }
        enricher.take().unwrap().remove(0).rows
    }

    fn place(relative: &str, offset: u64, rows: u64) -> Place {
        Place { relative: relative.into(), first_row: 0, offset, rows }
    }

    #[test]
    fn what_is_sent_arrives() {
        let rows = forks(3);
        let request = Request::Placed { table: PROCESS.into(), placed: vec![place("process/a", 0, 3)] };
        let mut wire = Vec::new();
        send(&mut wire, &request, &encode(&rows).unwrap()).unwrap();
        send(&mut wire, &Request::Finish, b"{}").unwrap();
        let mut wire = &wire[..];
        let (first, body) = receive::<Request>(&mut wire).unwrap().unwrap();
        assert_eq!((first, decode(PROCESS, &body).unwrap()), (request, rows));
        assert_eq!(receive(&mut wire).unwrap(), Some((Request::Finish, b"{}".to_vec())));
        assert_eq!(receive::<Request>(&mut wire).unwrap(), None);
    }

    /// Gives a byte at a time, and a signal before each.
    struct Signalled<'a>(&'a [u8], bool);

    impl Read for Signalled<'_> {
        fn read(&mut self, into: &mut [u8]) -> Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(ErrorKind::Interrupted.into()) } else { self.0.read(&mut into[..1]) }
        }
    }

    #[test]
    fn signals_do_not_end_a_message() {
        let mut wire = Vec::new();
        send(&mut wire, &Request::Finish, b"{}").unwrap();
        let mut wire = Signalled(&wire, false);
        assert_eq!(receive(&mut wire).unwrap(), Some((Request::Finish, b"{}".to_vec())));
        assert_eq!(receive::<Request>(&mut wire).unwrap(), None);
    }

    #[test]
    fn a_message_cut_short_is_none() {
        let mut wire = Vec::new();
        send(&mut wire, &Request::GivenUp { relative: "process/a".into(), begun_by: None }, b"body").unwrap();
        for length in 1..wire.len() {
            let error = receive::<Request>(&wire[..length]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{length}");
        }
    }

    #[test]
    fn lengths_and_heads_are_not_believed() {
        for (head, body) in [(u32::MAX, 0), (0, u32::MAX), (HEAD_BYTES + 1, 0), (1, 0), (5, 0)] {
            let wire = [&head.to_le_bytes()[..], &body.to_le_bytes(), &[0xff; 64]].concat();
            assert!(receive::<Request>(&wire[..]).is_err(), "{head} {body}");
        }
        assert!(send(Vec::new(), &Request::Tick, &vec![0; BODY_BYTES as usize + 1]).is_err());
    }

    #[test]
    fn a_changed_stream_is_refused_or_read_and_never_panics() {
        super::super::serve::quiet_decoding();
        let stream = encode(&forks(3)).unwrap();
        for at in 0..stream.len() {
            let mut changed = stream.clone();
            changed[at] ^= 1 << (at % 8);
            if let Ok(rows) = decode(PROCESS, &changed) {
                assert_eq!(rows.schema(), events::process_schema());
            }
        }
        for length in (0..stream.len()).step_by(7) {
            assert!(decode(PROCESS, &stream[..length]).is_err(), "{length}");
        }
        assert!(decode(DNS, &stream).is_err(), "it is of another table");
        assert!(decode("users", &stream).is_err());
    }

    #[test]
    fn rows_and_paths_stay_inside() {
        assert!(place("process/day=1/a.parquet", 1, 2).checked(3).is_ok());
        for (offset, rows) in [(0, 4), (3, 1), (u64::MAX, 1), (1, u64::MAX)] {
            assert!(place("process/a", offset, rows).checked(3).is_err(), "{offset} {rows}");
        }
        for path in ["", "/etc/passwd", "../a", "process/../../a", "a/./b/../c", "a\0b", &"a/".repeat(3_000)] {
            assert!(place(path, 0, 3).checked(3).is_err(), "{path:?}");
        }
        let file = |sha256: &str| File { relative: "a".into(), rows: 1, bytes: 1, sha256: sha256.into() };
        assert!(file(&"0a".repeat(32)).checked().is_ok());
        assert!(file("").checked().is_err() && file(&"g".repeat(64)).checked().is_err());
    }
}
