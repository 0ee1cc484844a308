//! CSV with a header row, and the like with semicolons or tabs. Records come in pieces of bounded size, however long a
//! field is.

use std::io::{BufRead, Cursor, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::cells::Row;
use super::lines::{Bytes, MAX_LINE_BYTES, too_long};
use super::{Bad, Wanted};

/// Most columns of a file.
const MAX_COLUMNS: usize = 4_096;

/// What stands between the fields of a file.
#[derive(Clone, Copy)]
pub(super) enum Between {
    /// This character.
    Only(u8),
    /// Commas, unless the header has none outside quotes: then semicolons or tabs, whichever it has more of.
    Commas,
}

impl Between {
    /// The character, and all the bytes again: the beginning up to the end of the header's first line was read for it.
    fn found(self, mut bytes: Bytes) -> Result<(u8, Bytes), Bad> {
        if let Self::Only(delimiter) = self {
            return Ok((delimiter, bytes));
        }
        let mut head = Vec::new();
        while head.trim_ascii().is_empty() && head.len() < MAX_LINE_BYTES {
            let line = bytes.by_ref().take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut head);
            if line.map_err(|e| Bad::File(format!("after line 0: {e}")))? == 0 {
                break;
            }
        }
        let count = |sign| outside_quotes(&head).filter(|byte| *byte == sign).count();
        let delimiter = match (count(b','), count(b';'), count(b'\t')) {
            (1.., ..) | (0, 0, 0) => b',',
            (_, semicolons, tabs) if semicolons >= tabs => b';',
            _ => b'\t',
        };
        Ok((delimiter, Box::new(Cursor::new(head).chain(bytes))))
    }
}

fn outside_quotes(line: &[u8]) -> impl Iterator<Item = u8> {
    let outside = |inside: &mut bool, byte: &u8| {
        *inside ^= *byte == b'"';
        Some((!*inside).then_some(*byte))
    };
    line.iter().scan(false, outside).flatten()
}

/// Where in a field the reader is, which it does not say itself.
#[derive(Clone, Copy, PartialEq)]
enum At {
    Start,
    Plain,
    Quoted,
    /// Behind a quote within quotes: the end of them, or the first of two.
    Closed,
}

/// Follows the quotes of a file: one that is never closed would swallow the rows up to the next one, or all that follow.
struct Quotes {
    delimiter: u8,
    at: At,
    /// Line of the byte that comes next, from 1.
    line: u64,
    /// Line in which the last quote began.
    began: u64,
}

impl Quotes {
    /// Goes on; the line of a quote that was closed only lines later, with text right behind, if there is one: it was meant
    /// to open another.
    fn pass(&mut self, bytes: &[u8]) -> Option<u64> {
        let ends = |byte: u8| byte == b'\n' || byte == b'\r' || byte == self.delimiter;
        // Most records have no quotes: they need no look at every byte.
        if let Some(last) = bytes.last()
            && matches!(self.at, At::Start | At::Plain)
            && !bytes.contains(&b'"')
        {
            self.at = if ends(*last) { At::Start } else { At::Plain };
            self.line += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
            return None;
        }
        for byte in bytes {
            self.at = match (self.at, byte) {
                (At::Start, b'"') => {
                    self.began = self.line;
                    At::Quoted
                }
                (At::Quoted, b'"') => At::Closed,
                (At::Closed, b'"') | (At::Quoted, _) => At::Quoted,
                (_, byte) if ends(*byte) => At::Start,
                (At::Closed, _) if self.began < self.line => return Some(self.began),
                _ => At::Plain,
            };
            self.line += u64::from(*byte == b'\n');
        }
        None
    }
}

/// Records of a file, each with the line it begins in.
struct Records {
    bytes: Bytes,
    reader: Reader,
    quotes: Quotes,
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// How many fields the record given last has.
    count: usize,
    line: u64,
}

impl Records {
    fn new(bytes: Bytes, between: Between) -> Result<Self, Bad> {
        let (delimiter, bytes) = between.found(bytes)?;
        let reader = ReaderBuilder::new().delimiter(delimiter).build();
        let quotes = Quotes { delimiter, at: At::Start, line: 1, began: 1 };
        let (fields, ends) = (vec![0; 64 << 10], vec![0; MAX_COLUMNS]);
        Ok(Self { bytes, reader, quotes, fields, ends, count: 0, line: 1 })
    }

    /// Reads the next record; false at the end.
    fn next(&mut self) -> Result<bool, Bad> {
        self.skip_line_ends()?;
        self.line = self.quotes.line;
        let (mut used, mut ends) = (0, 0);
        loop {
            let input = self.bytes.fill_buf().map_err(|e| Bad::File(format!("after line {}: {e}", self.line)))?;
            if input.is_empty() && self.quotes.at == At::Quoted {
                return Err(Bad::Line { line: self.quotes.began, why: "a quote is never closed".into() });
            }
            let (result, read, wrote, more) =
                self.reader.read_record(input, &mut self.fields[used..], &mut self.ends[ends..]);
            let unclosed = self.quotes.pass(&input[..read]);
            self.bytes.consume(read);
            if let Some(line) = unclosed {
                let why = format!("a quote is not closed before another in line {}", self.quotes.line);
                return Err(Bad::Line { line, why });
            }
            (used, ends) = (used + wrote, ends + more);
            let bad = |why: String| Err(Bad::Line { line: self.line, why });
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.fields.len() >= MAX_LINE_BYTES => return Err(self.too_long()),
                ReadRecordResult::OutputFull => self.fields.resize((self.fields.len() * 2).min(MAX_LINE_BYTES), 0),
                ReadRecordResult::OutputEndsFull => return bad(format!("more than {MAX_COLUMNS} columns")),
                ReadRecordResult::Record => {
                    self.count = ends;
                    return Ok(true);
                }
                ReadRecordResult::End => return Ok(false),
            }
        }
    }

    /// The ends of the line before and of blank ones, so that the next record begins in the line that is said.
    fn skip_line_ends(&mut self) -> Result<(), Bad> {
        loop {
            let input = self.bytes.fill_buf().map_err(|e| Bad::File(format!("after line {}: {e}", self.line)))?;
            let ends = input.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            self.quotes.pass(&input[..ends]);
            let more = ends > 0 && ends == input.len();
            self.bytes.consume(ends);
            if !more {
                return Ok(());
            }
        }
    }

    fn too_long(&self) -> Bad {
        let open = self.quotes.at == At::Quoted && self.quotes.began < self.quotes.line;
        let quote = if open { ", in a quote that is not closed" } else { "" };
        Bad::Line { line: self.line, why: format!("{}{quote}", too_long()) }
    }

    fn field(&self, number: usize) -> &[u8] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.fields[start..self.ends[number]]
    }
}

/// Rows of a file.
pub(super) struct CsvRows {
    records: Records,
    /// How many columns the header has.
    width: usize,
    /// For each wanted column its place, and its name.
    places: Vec<(usize, String)>,
}

/// The names in the header row; none if the file is empty.
pub(super) fn header(bytes: Bytes, between: Between) -> Result<Vec<String>, Bad> {
    header_of(&mut Records::new(bytes, between)?)
}

fn header_of(records: &mut Records) -> Result<Vec<String>, Bad> {
    if !records.next()? {
        return Ok(Vec::new());
    }
    let names = (0..records.count).map(|number| String::from_utf8(records.field(number).trim_ascii().to_vec()));
    names.collect::<Result<_, _>>().map_err(|_| Bad::Line { line: 1, why: "the header is not UTF-8".into() })
}

impl CsvRows {
    pub(super) fn new(bytes: Bytes, between: Between, wanted: &[Wanted]) -> Result<Self, Bad> {
        let mut records = Records::new(bytes, between)?;
        let names = header_of(&mut records)?;
        if names.is_empty() {
            return Ok(Self { records, width: 0, places: Vec::new() }); // an empty file: there are no rows either
        }
        let place = |wanted: &Wanted| {
            let mut found = names.iter().enumerate().filter(|(_, name)| **name == wanted.column);
            match (found.next(), found.next()) {
                (Some((at, _)), None) => Ok((at, wanted.column.clone())),
                (None, _) => Err(Bad::Column(wanted.column.clone())),
                (Some(_), Some(_)) => Err(Bad::Line { line: 1, why: format!("two columns named {}", wanted.column) }),
            }
        };
        let places = wanted.iter().map(place).collect::<Result<_, _>>()?;
        Ok(Self { records, width: names.len(), places })
    }

    /// Reads the next row; false at the end.
    pub(super) fn next(&mut self, row: &mut Row) -> Result<bool, Bad> {
        if !self.records.next()? {
            return Ok(false);
        }
        let bad = |why: String| Err(Bad::Line { line: self.line(), why });
        if self.records.count != self.width {
            return bad(format!("{} fields, the header has {}", self.records.count, self.width));
        }
        row.clear();
        for (number, (at, name)) in self.places.iter().enumerate() {
            match std::str::from_utf8(self.records.field(*at)) {
                Ok("") => {}
                Ok(text) => row.put(number, 0, false, text),
                Err(_) => return bad(format!("column {name}: not UTF-8")),
            }
        }
        Ok(true)
    }

    pub(super) fn line(&self) -> u64 {
        self.records.line
    }
}
