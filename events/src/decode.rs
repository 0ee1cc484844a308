//! From the bytes of a ring to a record, without trusting them.

use crate::{
    ARGS_MAX, CallHead, Close, DNS_MAX, DnsHead, EventType, Exit, FlowEnd, ImageHead, NAME_MAX, Open, PATH_MAX,
    SocketHead, TaskHead, UnknownEventType,
};
use bytemuck::AnyBitPattern;
use core::fmt;

/// A record read from a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    /// A process replaced its image, or was there when the agent started.
    Image(EventType, Image<'a>),
    /// A process was created.
    Fork(TaskHead),
    /// A process ended.
    Exit(Exit),
    /// A system call: credential, ptrace, module or bpf.
    Call(EventType, Call<'a>),
    /// A socket was told to connect, accepted, was bound, listens, or sent its first datagram somewhere.
    Socket(EventType, SocketHead),
    /// A TCP connection ended.
    Close(Close),
    /// A UDP flow ended.
    Flow(FlowEnd),
    /// A socket was there when the agent started.
    Open(Open),
    /// A DNS message.
    Dns(Dns<'a>),
}

/// An exec or running record with its tail taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image<'a> {
    /// The fixed part.
    pub head: ImageHead,
    /// The file named to execve, at most [`NAME_MAX`] bytes.
    pub name: &'a [u8],
    /// The path of the file that runs, last name first, each ended by `/`; at most [`PATH_MAX`] bytes.
    pub image: &'a [u8],
    /// The path of the current folder, in the same form.
    pub folder: &'a [u8],
    /// Arguments, each ended by NUL; at most [`ARGS_MAX`] bytes.
    pub args: &'a [u8],
}

impl<'a> Image<'a> {
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

/// A record of a system call with its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// The fixed part.
    pub head: CallHead,
    /// A path as in [`Image::image`], or the name of a BPF program; at most [`PATH_MAX`] bytes.
    pub text: &'a [u8],
}

/// A DNS record with its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dns<'a> {
    /// The fixed part.
    pub head: DnsHead,
    /// The message, or its beginning; at most [`DNS_MAX`] bytes.
    pub message: &'a [u8],
}

impl Record<'_> {
    /// What happened.
    #[must_use]
    pub fn kind(&self) -> EventType {
        match self {
            Self::Image(kind, _) | Self::Call(kind, _) | Self::Socket(kind, _) => *kind,
            Self::Fork(_) => EventType::Fork,
            Self::Exit(_) => EventType::Exit,
            Self::Close(_) => EventType::Close,
            Self::Flow(_) => EventType::Flow,
            Self::Open(_) => EventType::Open,
            Self::Dns(_) => EventType::Dns,
        }
    }

    /// When it happened, in nanoseconds since boot.
    #[must_use]
    pub fn time(&self) -> u64 {
        match self {
            Self::Image(_, image) => image.head.task.time,
            Self::Fork(task) => task.time,
            Self::Exit(exit) => exit.task.time,
            Self::Call(_, call) => call.head.task.time,
            Self::Socket(_, socket) => socket.time,
            Self::Close(close) => close.socket.time,
            Self::Flow(flow) => flow.socket.time,
            Self::Open(open) => open.socket.time,
            Self::Dns(dns) => dns.head.socket.time,
        }
    }
}

/// A path as the kernel walked it, last name first and each ended by `/`, the way it is written; `None` if it is empty.
#[cfg(any(feature = "std", test))]
#[must_use]
pub fn path(walked: &[u8], cut: bool) -> Option<std::string::String> {
    let mut names = walked.split(|&byte| byte == b'/').collect::<std::vec::Vec<_>>();
    // What stands behind the last slash: nothing, or a name that was cut.
    let rest = names.pop().unwrap_or_default();
    if names.is_empty() && rest.is_empty() {
        return None;
    }
    let mut text = std::string::String::from(if cut { "…" } else { "" });
    for name in names.iter().rev().filter(|name| !name.is_empty()) {
        text.push('/');
        text.push_str(&std::string::String::from_utf8_lossy(name));
    }
    if text.is_empty() {
        text.push('/');
    }
    Some(text)
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
        EventType::Exec | EventType::Running => image(bytes).map(|image| Record::Image(kind, image)),
        EventType::Fork => all(bytes).map(Record::Fork),
        EventType::Exit => all(bytes).map(Record::Exit),
        EventType::Credential | EventType::Ptrace | EventType::Module | EventType::Bpf => {
            call(bytes).map(|call| Record::Call(kind, call))
        }
        EventType::Connect | EventType::Accept | EventType::Send | EventType::Bind | EventType::Listen => {
            all(bytes).map(|head| Record::Socket(kind, head))
        }
        EventType::Close => all(bytes).map(Record::Close),
        EventType::Flow => all(bytes).map(Record::Flow),
        EventType::Open => all(bytes).map(Record::Open),
        EventType::Dns => dns(bytes).map(Record::Dns),
        // The agent makes these rows itself.
        EventType::Throttle => None,
    }
    .ok_or(wrong)
}

fn all<T: AnyBitPattern>(bytes: &[u8]) -> Option<T> {
    bytemuck::try_pod_read_unaligned(bytes).ok()
}

fn head<T: AnyBitPattern>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (head, tail) = bytes.split_at_checked(size_of::<T>())?;
    Some((all(head)?, tail))
}

fn image(bytes: &[u8]) -> Option<Image<'_>> {
    let (head, tail) = head::<ImageHead>(bytes)?;
    let (name, tail) = part(tail, head.name_len, NAME_MAX)?;
    let (image, tail) = part(tail, head.image_len, PATH_MAX)?;
    let (folder, tail) = part(tail, head.folder_len, PATH_MAX)?;
    let (args, tail) = part(tail, head.args_got, ARGS_MAX)?;
    tail.is_empty().then_some(Image { head, name, image, folder, args })
}

fn call(bytes: &[u8]) -> Option<Call<'_>> {
    let (head, tail) = head::<CallHead>(bytes)?;
    let (text, tail) = part(tail, head.text_len, PATH_MAX)?;
    tail.is_empty().then_some(Call { head, text })
}

fn dns(bytes: &[u8]) -> Option<Dns<'_>> {
    let (head, tail) = head::<DnsHead>(bytes)?;
    // Records come in a few sizes, so that something may follow the message.
    let (message, _) = part(tail, head.got, DNS_MAX)?;
    Some(Dns { head, message })
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

    fn image_bytes(parts: [&[u8]; 4], args_len: u32) -> Vec<u8> {
        let mut head = ImageHead::zeroed();
        [head.name_len, head.image_len, head.folder_len, head.args_got] = parts.map(|part| part.len() as u16);
        head.args_len = args_len;
        let mut bytes = bytes_of(&head).to_vec();
        parts.into_iter().for_each(|part| bytes.extend_from_slice(part));
        bytes
    }

    fn arguments(args: &[u8]) -> Vec<Vec<u8>> {
        let bytes = image_bytes([b"/bin/a", b"a/bin/", b"tmp/", args], args.len() as u32);
        let Ok(Record::Image(EventType::Exec, exec)) = decode(&bytes) else { panic!("not an exec") };
        assert_eq!((exec.name, exec.image), (&b"/bin/a"[..], &b"a/bin/"[..]));
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
        let bytes = image_bytes([b"", b"", b"", b"abc"], 9000);
        let Ok(Record::Image(_, exec)) = decode(&bytes) else { panic!("not an exec") };
        assert!(exec.args_truncated());
    }

    #[test]
    fn paths_are_turned_round() {
        assert_eq!(path(b"ls/bin/usr/", false).as_deref(), Some("/usr/bin/ls"));
        assert_eq!(path(b"/", false).as_deref(), Some("/"));
        assert_eq!(path(b"", false), None);
        assert_eq!(path(b"c/b/", true).as_deref(), Some("…/b/c"));
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let fork = TaskHead { kind: EventType::Fork as u16, ..TaskHead::zeroed() };
        assert_eq!(decode(bytes_of(&fork)).map(|record| record.kind()), Ok(EventType::Fork));
        let short = &bytes_of(&fork)[..95];
        assert_eq!(decode(short), Err(Malformed::Length { kind: Some(EventType::Fork), len: 95 }));
        assert_eq!(decode(&[99, 9, 9]), Err(Malformed::Kind(UnknownEventType(0x963))));
        assert_eq!(decode(&[]), Err(Malformed::Length { kind: None, len: 0 }));
        let mut long = image_bytes([b"a", b"b", b"c", b"d\0"], 2);
        long.push(0);
        assert!(decode(&long).is_err());
        assert!(decode(&[EventType::Throttle as u8, 0, 0, 0]).is_err());
    }

    #[test]
    fn a_dns_record_may_be_longer_than_its_message() {
        let socket = SocketHead { kind: EventType::Dns as u16, ..SocketHead::zeroed() };
        let mut bytes = bytes_of(&DnsHead { socket, got: 3, len: 3, ..DnsHead::zeroed() }).to_vec();
        bytes.extend(b"abc#####");
        let Ok(Record::Dns(dns)) = decode(&bytes) else { panic!("not a DNS record") };
        assert_eq!(dns.message, b"abc");
        assert!(decode(&bytes[..82]).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(kind in 0u16..20, mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let [a, b, ..] = &mut bytes[..] {
                [*a, *b] = kind.to_le_bytes();
            }
            if let Ok(record) = decode(&bytes) {
                prop_assert!(usize::from(record.kind() as u16) < EventType::ALL.len());
                if let Record::Image(_, exec) = record {
                    prop_assert!(exec.arguments().count() <= bytes.len());
                }
            }
        }

        #[test]
        fn tails_come_back(
            name in proptest::collection::vec(any::<u8>(), 0..=NAME_MAX),
            image in proptest::collection::vec(any::<u8>(), 0..=PATH_MAX),
            args in proptest::collection::vec(any::<u8>(), 0..=ARGS_MAX),
        ) {
            let bytes = image_bytes([&name, &image, &name, &args], 0);
            let Ok(Record::Image(_, exec)) = decode(&bytes) else { panic!("not an exec") };
            prop_assert_eq!((exec.name, exec.image, exec.folder, exec.args), (&name[..], &image[..], &name[..], &args[..]));
        }
    }
}
