//! From the bytes of a ring to a record, without trusting them.

use crate::{ARGS_MAX, Close, EventType, ExecHead, Exit, PATH_MAX, SocketHead, TaskHead, UnknownEventType};
use bytemuck::AnyBitPattern;
use core::fmt;

/// A record read from a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    /// A process replaced its image.
    Exec(Exec<'a>),
    /// A process was created.
    Fork(TaskHead),
    /// A process ended.
    Exit(Exit),
    /// A socket was told to connect, accepted, or sent its first datagram somewhere.
    Socket(EventType, SocketHead),
    /// A TCP connection ended.
    Close(Close),
}

/// An exec record with its tail taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exec<'a> {
    /// The fixed part.
    pub head: ExecHead,
    /// The file named to execve, at most [`PATH_MAX`] bytes.
    pub filename: &'a [u8],
    /// The file that runs: another one than `filename` for scripts.
    pub interp: &'a [u8],
    /// The directory entry name of the image.
    pub leaf: &'a [u8],
    /// Arguments, each ended by NUL; at most [`ARGS_MAX`] bytes.
    pub args: &'a [u8],
}

impl<'a> Exec<'a> {
    /// The arguments one by one. A last one without NUL was cut.
    pub fn arguments(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let whole = self.args.strip_suffix(&[0]).unwrap_or(self.args);
        let some = !self.args.is_empty();
        whole.split(|&byte| byte == 0).filter(move |_| some)
    }

    /// Whether `args` holds less than the process was given.
    #[must_use]
    pub fn args_truncated(&self) -> bool {
        (self.args.len() as u64) < u64::from(self.head.args_len)
    }
}

impl Record<'_> {
    /// What happened.
    #[must_use]
    pub fn kind(&self) -> EventType {
        match self {
            Self::Exec(_) => EventType::Exec,
            Self::Fork(_) => EventType::Fork,
            Self::Exit(_) => EventType::Exit,
            Self::Socket(kind, _) => *kind,
            Self::Close(_) => EventType::Close,
        }
    }

    /// When it happened, in nanoseconds since boot.
    #[must_use]
    pub fn time(&self) -> u64 {
        match self {
            Self::Exec(exec) => exec.head.task.time,
            Self::Fork(task) => task.time,
            Self::Exit(exit) => exit.task.time,
            Self::Socket(_, socket) => socket.time,
            Self::Close(close) => close.socket.time,
        }
    }
}

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The type is not known.
    Kind(UnknownEventType),
    /// Too few or too many bytes for the type.
    Length {
        /// The type named by the record, if there were bytes enough to name one.
        kind: Option<EventType>,
        /// Bytes given.
        len: usize,
    },
}

impl Malformed {
    /// The event type that the record claims to be, if it names one.
    #[must_use]
    pub fn kind(&self) -> Option<EventType> {
        match self {
            Self::Kind(_) => None,
            Self::Length { kind, .. } => *kind,
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(unknown) => unknown.fmt(f),
            Self::Length { kind: Some(kind), len } => write!(f, "a record of type {} has {len} bytes", kind.name()),
            Self::Length { kind: None, len } => write!(f, "a record has {len} bytes"),
        }
    }
}

impl core::error::Error for Malformed {}

/// Reads one record. The ring may round a record up to 8 bytes; nothing else may follow it.
///
/// # Errors
/// [`Malformed`] if the type is unknown or the length does not fit it.
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, Malformed> {
    let kind = match bytes {
        [a, b, ..] => u16::from_le_bytes([*a, *b]),
        _ => return Err(Malformed::Length { kind: None, len: bytes.len() }),
    };
    let kind = EventType::try_from(kind).map_err(Malformed::Kind)?;
    let wrong = Malformed::Length { kind: Some(kind), len: bytes.len() };
    match kind {
        EventType::Exec => exec(bytes).map(Record::Exec).ok_or(wrong),
        EventType::Fork => all(bytes).map(Record::Fork).ok_or(wrong),
        EventType::Exit => all(bytes).map(Record::Exit).ok_or(wrong),
        EventType::Connect | EventType::Accept | EventType::Send => {
            all(bytes).map(|head| Record::Socket(kind, head)).ok_or(wrong)
        }
        EventType::Close => all(bytes).map(Record::Close).ok_or(wrong),
    }
}

fn all<T: AnyBitPattern>(bytes: &[u8]) -> Option<T> {
    bytemuck::try_pod_read_unaligned(bytes).ok()
}

fn exec(bytes: &[u8]) -> Option<Exec<'_>> {
    let (head, tail) = bytes.split_at_checked(size_of::<ExecHead>())?;
    let head: ExecHead = all(head)?;
    let (filename, tail) = part(tail, head.filename_len, PATH_MAX)?;
    let (interp, tail) = part(tail, head.interp_len, PATH_MAX)?;
    let (leaf, tail) = part(tail, head.leaf_len, PATH_MAX)?;
    let (args, tail) = part(tail, head.args_got, ARGS_MAX)?;
    tail.is_empty().then_some(Exec { head, filename, interp, leaf, args })
}

fn part(bytes: &[u8], len: u16, max: usize) -> Option<(&[u8], &[u8])> {
    let len = usize::from(len);
    if len > max { None } else { bytes.split_at_checked(len) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::{Zeroable, bytes_of};
    use proptest::prelude::*;
    use std::{vec, vec::Vec};

    fn exec_bytes(parts: [&[u8]; 4], args_len: u32) -> Vec<u8> {
        let mut head = ExecHead::zeroed();
        [head.filename_len, head.interp_len, head.leaf_len, head.args_got] = parts.map(|part| part.len() as u16);
        head.args_len = args_len;
        let mut bytes = bytes_of(&head).to_vec();
        parts.into_iter().for_each(|part| bytes.extend_from_slice(part));
        bytes
    }

    fn arguments(args: &[u8]) -> Vec<Vec<u8>> {
        let bytes = exec_bytes([b"/bin/a", b"/bin/a", b"a", args], args.len() as u32);
        let Ok(Record::Exec(exec)) = decode(&bytes) else { panic!("not an exec") };
        assert_eq!((exec.filename, exec.leaf), (&b"/bin/a"[..], &b"a"[..]));
        assert!(!exec.args_truncated());
        exec.arguments().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn arguments_keep_empty_ones() {
        assert_eq!(arguments(b""), Vec::<Vec<u8>>::new());
        assert_eq!(arguments(b"\0"), vec![b"".to_vec()]);
        assert_eq!(arguments(b"a\0\0b c\0"), vec![b"a".to_vec(), b"".to_vec(), b"b c".to_vec()]);
        assert_eq!(arguments(b"a\0\0"), vec![b"a".to_vec(), b"".to_vec()]);
    }

    #[test]
    fn a_cut_list_says_so() {
        let bytes = exec_bytes([b"", b"", b"", b"abc"], 9000);
        let Ok(Record::Exec(exec)) = decode(&bytes) else { panic!("not an exec") };
        assert!(exec.args_truncated());
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let fork = TaskHead { kind: EventType::Fork as u16, ..TaskHead::zeroed() };
        assert_eq!(decode(bytes_of(&fork)).map(|record| record.kind()), Ok(EventType::Fork));
        let short = &bytes_of(&fork)[..71];
        assert_eq!(decode(short), Err(Malformed::Length { kind: Some(EventType::Fork), len: 71 }));
        assert_eq!(decode(&[9, 9, 9]), Err(Malformed::Kind(UnknownEventType(0x909))));
        assert_eq!(decode(&[]), Err(Malformed::Length { kind: None, len: 0 }));
        let mut long = exec_bytes([b"a", b"b", b"c", b"d\0"], 2);
        long.push(0);
        assert!(decode(&long).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(kind in 0u16..9, mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let [a, b, ..] = &mut bytes[..] {
                [*a, *b] = kind.to_le_bytes();
            }
            if let Ok(record) = decode(&bytes) {
                prop_assert!(usize::from(record.kind() as u16) < EventType::ALL.len());
                if let Record::Exec(exec) = record {
                    prop_assert!(exec.arguments().count() <= bytes.len());
                }
            }
        }

        #[test]
        fn tails_come_back(
            filename in proptest::collection::vec(any::<u8>(), 0..=PATH_MAX),
            leaf in proptest::collection::vec(any::<u8>(), 0..=PATH_MAX),
            args in proptest::collection::vec(any::<u8>(), 0..=ARGS_MAX),
        ) {
            let bytes = exec_bytes([&filename, &leaf, &leaf, &args], 0);
            let Ok(Record::Exec(exec)) = decode(&bytes) else { panic!("not an exec") };
            prop_assert_eq!((exec.filename, exec.interp, exec.leaf, exec.args), (&filename[..], &leaf[..], &leaf[..], &args[..]));
        }
    }
}
