//! CSV with a header row, and the like with tabs. Records come in pieces of bounded size, however long a field is.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::cells::Row;
use super::lines::{Bytes, MAX_LINE_BYTES, too_long};
use super::{Bad, Wanted};

/// Most columns of a file.
const MAX_COLUMNS: usize = 4_096;

/// Records of a file, each with the line it begins in.
struct Records {
    bytes: Bytes,
    reader: Reader,
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// How many fields the record given last has.
    count: usize,
    line: u64,
}

impl Records {
    fn new(bytes: Bytes, delimiter: u8) -> Self {
        let reader = ReaderBuilder::new().delimiter(delimiter).build();
        Self { bytes, reader, fields: vec![0; 64 << 10], ends: vec![0; MAX_COLUMNS], count: 0, line: 0 }
    }

    /// Reads the next record; false at the end.
    fn next(&mut self) -> Result<bool, Bad> {
        self.line = self.reader.line();
        let (mut used, mut ends) = (0, 0);
        loop {
            let input = self.bytes.fill_buf().map_err(|e| Bad::File(format!("after line {}: {e}", self.line)))?;
            let (result, read, wrote, more) =
                self.reader.read_record(input, &mut self.fields[used..], &mut self.ends[ends..]);
            self.bytes.consume(read);
            (used, ends) = (used + wrote, ends + more);
            let bad = |why: String| Err(Bad::Line { line: self.line, why });
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.fields.len() >= MAX_LINE_BYTES => return bad(too_long()),
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

/// The names in the header row.
pub(super) fn header(bytes: Bytes, delimiter: u8) -> Result<Vec<String>, Bad> {
    header_of(&mut Records::new(bytes, delimiter))
}

fn header_of(records: &mut Records) -> Result<Vec<String>, Bad> {
    if !records.next()? {
        return Err(Bad::File("it has no header row".into()));
    }
    let names = (0..records.count).map(|number| String::from_utf8(records.field(number).trim_ascii().to_vec()));
    names.collect::<Result<_, _>>().map_err(|_| Bad::Line { line: 1, why: "the header is not UTF-8".into() })
}

impl CsvRows {
    pub(super) fn new(bytes: Bytes, delimiter: u8, wanted: &[Wanted]) -> Result<Self, Bad> {
        let mut records = Records::new(bytes, delimiter);
        let names = header_of(&mut records)?;
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
