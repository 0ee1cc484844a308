//! DNS messages, whole or cut.
//!
//! A message may come as a copy of its first bytes. What can be read of it is returned; [`Message::complete`] says
//! whether that was all. Sections are read one record at a time, so a cut loses nothing that lies before it.

use domain::base::{
    Message as Wire, ParsedName, Rtype, iana::OptRcode, message::RecordSection, name::ToLabelIter,
    rdata::ParseRecordData, record::ParsedRecord, wire::ParseError,
};
use domain::rdata::{A, Aaaa, Cname, Mx, Ns, Ptr, Srv, Txt};
use std::{borrow::Cow, fmt::Write};

/// At most so many answers are kept; all are counted.
pub const MAX_ANSWERS: usize = 32;
/// Texts of TXT records are cut here.
pub const MAX_TXT: usize = 255;
/// No answer's text is longer: a name of 255 bytes, each escaped, and the numbers before it.
pub const MAX_ANSWER: usize = 4 * 255 + 18;

/// Why bytes are no DNS message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// Fewer bytes than a header has.
    #[error("not a DNS message (shorter than a header)")]
    Short,
    /// The operation code is not assigned.
    #[error("not a DNS message (unassigned operation code {0})")]
    Opcode(u8),
    /// More questions and records are announced than the largest message holds.
    #[error("not a DNS message (announces more than fits)")]
    Counts,
    /// The first question is not well-formed.
    #[error("not a DNS message (malformed question)")]
    Question,
}

/// What a message asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name, in lower case and without the last dot; `.` for the root. Dots and backslashes inside a label have a
    /// backslash before them, bytes that are not printable ASCII are written `\DDD`.
    pub name: String,
    /// `A`, `AAAA`, …; `TYPE123` if it has no name.
    pub kind: Cow<'static, str>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Ties an answer to its query.
    pub id: u16,
    /// An answer, not a query.
    pub is_answer: bool,
    /// `QUERY`, `UPDATE`, …
    pub opcode: &'static str,
    /// `NOERROR`, `NXDOMAIN`, …; the number if it has no name. With the upper bits, if the message has any.
    pub rcode: Cow<'static, str>,
    /// The sender says that it left something out (the TC bit).
    pub truncated: bool,
    /// The first question, unless there is none or it is cut.
    pub question: Option<Question>,
    /// The first answers: addresses, names, `10 mail.example`, text; else the type and the number of bytes.
    pub answers: Vec<String>,
    /// How many answers the header announces.
    pub answer_count: u16,
    /// Everything that the header announces was there.
    pub complete: bool,
}

/// Reads a message, or the first bytes of one.
///
/// # Errors
/// [`DnsError`] if the bytes do not begin as a DNS message does.
pub fn parse(bytes: &[u8]) -> Result<Message, DnsError> {
    let wire = Wire::from_slice(bytes).map_err(|_| DnsError::Short)?;
    let (header, counts) = (wire.header(), wire.header_counts());
    let opcode = header.opcode().to_mnemonic_str().ok_or(DnsError::Opcode(header.opcode().to_int()))?;
    let records = [counts.ancount(), counts.nscount(), counts.arcount()].map(usize::from);
    // The shortest question and record are those of the root.
    if 12 + 5 * usize::from(counts.qdcount()) + 11 * records.iter().sum::<usize>() > usize::from(u16::MAX) {
        return Err(DnsError::Counts);
    }
    let mut message = Message {
        id: header.id(),
        is_answer: header.qr(),
        opcode,
        rcode: rcode(wire.opt_rcode()),
        truncated: header.tc(),
        question: None,
        answers: Vec::new(),
        answer_count: counts.ancount(),
        complete: false,
    };
    message.question = match wire.question().next() {
        Some(Ok(question)) => Some(Question { name: name(question.qname()), kind: kind(question.qtype()) }),
        // The name does not end before the bytes do: they may be cut.
        Some(Err(ParseError::ShortInput)) => return Ok(message),
        Some(Err(_)) => return Err(DnsError::Question),
        None => None,
    };
    if let Ok(section) = wire.answer() {
        message.complete = rest(section, &mut message.answers).is_some();
    }
    Ok(message)
}

/// Reads the answers, then makes sure that the sections behind them are there.
fn rest(mut section: RecordSection<'_, [u8]>, answers: &mut Vec<String>) -> Option<()> {
    for record in section.by_ref() {
        let record = record.ok()?;
        if answers.len() < MAX_ANSWERS {
            answers.push(answer(&record));
        }
    }
    let mut next = Some(section);
    while let Some(section) = next {
        next = section.next_section().ok()?;
        if let Some(section) = &mut next {
            // Owner names are looked at too, which skipping does not.
            section.by_ref().try_for_each(|record| record.map(drop)).ok()?;
        }
    }
    Some(())
}

fn rcode(code: OptRcode) -> Cow<'static, str> {
    code.to_mnemonic_str().map_or_else(|| code.to_int().to_string().into(), Cow::from)
}

fn kind(kind: Rtype) -> Cow<'static, str> {
    kind.to_mnemonic_str().map_or_else(|| format!("TYPE{}", kind.to_int()).into(), Cow::from)
}

fn answer(record: &ParsedRecord<'_, [u8]>) -> String {
    type Name<'a> = ParsedName<&'a [u8]>;
    let text = match record.rtype() {
        Rtype::A => data::<A>(record).map(|data| data.addr().to_string()),
        Rtype::AAAA => data::<Aaaa>(record).map(|data| data.addr().to_string()),
        Rtype::CNAME => data::<Cname<Name<'_>>>(record).map(|data| name(data.cname())),
        Rtype::NS => data::<Ns<Name<'_>>>(record).map(|data| name(data.nsdname())),
        Rtype::PTR => data::<Ptr<Name<'_>>>(record).map(|data| name(data.ptrdname())),
        Rtype::MX => {
            data::<Mx<Name<'_>>>(record).map(|data| format!("{} {}", data.preference(), name(data.exchange())))
        }
        Rtype::SRV => data::<Srv<Name<'_>>>(record)
            .map(|data| format!("{} {} {} {}", data.priority(), data.weight(), data.port(), name(data.target()))),
        Rtype::TXT => data::<Txt<&[u8]>>(record).map(|data| txt(&data)),
        _ => None,
    };
    text.unwrap_or_else(|| format!("{} ({} bytes)", kind(record.rtype()), record.rdlen()))
}

/// A record's data, if it is what its type says.
fn data<'a, Data: ParseRecordData<'a, [u8]>>(record: &ParsedRecord<'a, [u8]>) -> Option<Data> {
    record.to_record::<Data>().ok().flatten().map(domain::base::Record::into_data)
}

/// The name as text. The wire format was checked, and its loops and lengths refused, when it was parsed.
fn name(name: &ParsedName<&[u8]>) -> String {
    let mut text = String::new();
    for label in name.iter_labels().filter(|label| !label.is_root()) {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label.iter() {
            match byte.to_ascii_lowercase() {
                special @ (b'.' | b'\\') => text.extend(['\\', char::from(special)]),
                plain @ b'!'..=b'~' => text.push(char::from(plain)),
                other => escape(&mut text, other),
            }
        }
    }
    if text.is_empty() { ".".to_owned() } else { text }
}

fn txt(data: &Txt<&[u8]>) -> String {
    let mut text = String::new();
    for byte in data.iter().flatten() {
        let before = text.len();
        match *byte {
            b'\\' => text.push_str("\\\\"),
            plain @ b' '..=b'~' => text.push(char::from(plain)),
            other => escape(&mut text, other),
        }
        if text.len() > MAX_TXT {
            text.truncate(before);
            break;
        }
    }
    text
}

fn escape(text: &mut String, byte: u8) {
    // Writing to a String does not fail.
    let _ = write!(text, "\\{byte:03}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ANSWER: u16 = 0x8180;

    /// A message from its parts; counts are question, answer, authority, additional.
    fn message(flags: u16, counts: [u16; 4], body: &[&[u8]]) -> Vec<u8> {
        let head = [0x1234, flags].into_iter().chain(counts).flat_map(u16::to_be_bytes);
        head.chain(body.concat()).collect()
    }

    /// `Example.COM`, type and class.
    fn question(kind: u16) -> Vec<u8> {
        let mut bytes = b"\x07Example\x03COM\0".to_vec();
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    /// A record whose owner points at the question's name.
    fn record(kind: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xc0, 12];
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 1, 44]);
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(data);
        bytes
    }

    fn answers(records: &[Vec<u8>]) -> Message {
        let body = records.concat();
        parse(&message(ANSWER, [1, records.len() as u16, 0, 0], &[&question(255), &body])).unwrap()
    }

    #[test]
    fn a_query_is_read() {
        // The additional record is what every resolver adds: OPT with an empty body.
        let opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
        let read = parse(&message(0x0120, [1, 0, 0, 1], &[&question(65), &opt])).unwrap();
        let expected = Message {
            id: 0x1234,
            is_answer: false,
            opcode: "QUERY",
            rcode: "NOERROR".into(),
            truncated: false,
            question: Some(Question { name: "example.com".into(), kind: "HTTPS".into() }),
            answers: vec![],
            answer_count: 0,
            complete: true,
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn answers_are_texts() {
        let read = answers(&[
            record(1, &[192, 0, 2, 7]),
            record(28, &[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            record(5, b"\x03www\xc0\x0c"),
            record(2, b"\x03ns1\xc0\x0c"),
            record(12, b"\x04Host\xc0\x0c"),
            record(15, b"\0\x0a\x04mail\xc0\x0c"),
            record(33, b"\0\x01\0\x02\x01\xbb\x03sip\xc0\x0c"),
            record(16, b"\x05a \\b\xff\x02cd"),
            record(65, &[0, 1, 0]),
            record(999, b""),
            record(1, &[1, 2, 3]),
        ]);
        let expected = [
            "192.0.2.7",
            "2001:db8::1",
            "www.example.com",
            "ns1.example.com",
            "host.example.com",
            "10 mail.example.com",
            "1 2 443 sip.example.com",
            "a \\\\b\\255cd",
            "HTTPS (3 bytes)",
            "TYPE999 (0 bytes)",
            "A (3 bytes)",
        ];
        assert_eq!(read.answers, expected);
        assert!(read.complete && read.is_answer);
    }

    #[test]
    fn names_are_escaped_and_the_root_is_a_dot() {
        let odd = message(0x0100, [1, 0, 0, 0], &[b"\x08a.B\\ \0\xffz\x01_\0\0\x10\0\x01"]);
        assert_eq!(parse(&odd).unwrap().question.unwrap().name, "a\\.b\\\\\\032\\000\\255z._");
        let root = message(0x0100, [1, 0, 0, 0], &[&[0, 0, 2, 0, 1]]);
        assert_eq!(parse(&root).unwrap().question.unwrap(), Question { name: ".".into(), kind: "NS".into() });
    }

    #[test]
    fn codes_are_named() {
        let rcode = |flags: u16, extended: u8| {
            let opt = [0, 0, 41, 4, 208, extended, 0, 0, 0, 0, 0];
            parse(&message(ANSWER | flags, [1, 0, 0, 1], &[&question(1), &opt])).unwrap().rcode.into_owned()
        };
        assert_eq!(rcode(3, 0), "NXDOMAIN");
        assert_eq!(rcode(2, 0), "SERVFAIL");
        assert_eq!(rcode(13, 0), "13");
        assert_eq!(rcode(0, 1), "BADVERS");
        let notify = parse(&message(0x2600, [0; 4], &[])).unwrap();
        assert_eq!((notify.opcode, notify.truncated, notify.complete), ("NOTIFY", true, true));
    }

    #[test]
    fn long_lists_and_texts_are_cut() {
        let many = answers(&vec![record(1, &[1, 1, 1, 1]); 40]);
        assert_eq!((many.answers.len(), many.answer_count, many.complete), (MAX_ANSWERS, 40, true));
        let strings = [b"\xfe".as_slice(), &[b'x'; 254], b"\x02\xffy"].concat();
        assert_eq!(answers(&[record(16, &strings)]).answers, ["x".repeat(254)]);
    }

    #[test]
    fn a_cut_message_gives_what_is_there() {
        let records = [record(1, &[192, 0, 2, 1]), record(5, b"\x03www\xc0\x0c")].concat();
        let whole = message(ANSWER, [1, 2, 0, 0], &[&question(1), &records]);
        for cut in 0..whole.len() {
            let read = parse(&whole[..cut]);
            if cut < 12 {
                assert_eq!(read, Err(DnsError::Short));
                continue;
            }
            let read = read.unwrap();
            assert!(!read.complete && read.answer_count == 2);
            assert_eq!(read.question.is_some(), cut >= 29);
            assert_eq!(read.answers.len(), usize::from(cut >= 45));
        }
        assert!(parse(&whole).unwrap().complete);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), Err(DnsError::Opcode(10)));
        assert_eq!(parse(&message(0x0100, [60000, 60000, 0, 0], &[])), Err(DnsError::Counts));
        let pointing_at_itself = message(0x0100, [1, 0, 0, 0], &[b"\xc0\x0c\0\x01\0\x01"]);
        assert_eq!(parse(&pointing_at_itself), Err(DnsError::Question));
        let long = message(0x0100, [1, 0, 0, 0], &[&[[1, b'a']; 200].concat(), &[0, 0, 1, 0, 1]]);
        assert_eq!(parse(&long), Err(DnsError::Question));
    }

    proptest! {
        #[test]
        fn never_panics_and_is_bounded(
            flags in prop::sample::select(vec![0x0100_u16, ANSWER]),
            counts in prop::array::uniform4(0_u16..50),
            pieces in prop::collection::vec(prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                any::<u16>().prop_map(|kind| question(kind % 300)),
                (0_u16..70, prop::collection::vec(any::<u8>(), 0..300)).prop_map(|(kind, data)| record(kind, &data)),
                (0_u8..80).prop_map(|at| vec![0xc0, at]),
            ], 0..60),
        ) {
            let body = pieces.concat();
            if let Ok(read) = parse(&message(flags, counts, &[&body])) {
                prop_assert!(read.answers.len() <= MAX_ANSWERS);
                prop_assert!(read.answers.iter().all(|text| text.len() <= MAX_ANSWER));
                prop_assert!(read.question.is_none_or(|question| question.name.len() <= 4 * 255));
            }
        }
    }
}
