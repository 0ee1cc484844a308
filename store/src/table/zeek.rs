//! The log format that Zeek writes itself: a head of lines with `#`, then values between tabs.

use super::cells::Row;
use super::lines::{Bytes, Lines};
use super::{Bad, Wanted};

/// What the head says.
struct Head {
    separator: u8,
    list_separator: String,
    empty: String,
    unset: String,
    fields: Vec<String>,
    types: Vec<String>,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            separator: b'\t',
            list_separator: ",".into(),
            empty: "(empty)".into(),
            unset: "-".into(),
            fields: Vec::new(),
            types: Vec::new(),
        }
    }
}

impl Head {
    fn read(&mut self, line: &str) -> Result<(), String> {
        // The separator itself is written after a space: it is not known yet.
        if let Some(separator) = line.strip_prefix("#separator ") {
            let byte = match separator.strip_prefix("\\x") {
                Some(hex) => u8::from_str_radix(hex, 16).ok(),
                None => separator.bytes().next(),
            };
            self.separator = byte.filter(u8::is_ascii).ok_or("a separator that is no character")?;
            return Ok(());
        }
        let separator = char::from(self.separator);
        let Some((key, rest)) = line.split_once(separator) else { return Ok(()) };
        let list = || rest.split(separator).map(str::to_owned).collect();
        match key {
            "#set_separator" => self.list_separator = rest.to_owned(),
            "#empty_field" => self.empty = rest.to_owned(),
            "#unset_field" => self.unset = rest.to_owned(),
            "#fields" => self.fields = list(),
            "#types" => self.types = list(),
            _ => {}
        }
        Ok(())
    }
}

/// Rows of a file.
pub(super) struct ZeekRows {
    lines: Lines,
    head: Head,
    wanted: Vec<Wanted>,
    /// For each wanted column its place and what Zeek says of its type.
    places: Vec<(usize, Shape)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    One,
    Bool,
    List,
}

/// The names in the head.
pub(super) fn header(bytes: Bytes) -> Result<Vec<String>, Bad> {
    let (mut lines, mut head) = (Lines::new(bytes), Head::default());
    read_head(&mut lines, &mut head)?;
    Ok(head.fields)
}

/// Reads lines up to that with the types, which ends a head.
fn read_head(lines: &mut Lines, head: &mut Head) -> Result<(), Bad> {
    while head.fields.is_empty() || head.types.is_empty() {
        let line = match lines.next()? {
            Some(line) if line.starts_with(b"#") => std::str::from_utf8(line).map(str::to_owned),
            _ => return Err(lines.bad("the head has no line of #fields and #types before the first row")),
        };
        let read = line.map_err(|_| "not UTF-8".to_owned()).and_then(|line| head.read(&line));
        read.map_err(|why| lines.bad(why))?;
    }
    Ok(())
}

impl ZeekRows {
    pub(super) fn new(bytes: Bytes, wanted: &[Wanted]) -> Result<Self, Bad> {
        let (mut lines, mut head) = (Lines::new(bytes), Head::default());
        read_head(&mut lines, &mut head)?;
        let mut this = Self { lines, head, wanted: wanted.to_vec(), places: Vec::new() };
        this.find()?;
        Ok(this)
    }

    fn find(&mut self) -> Result<(), Bad> {
        let place = |wanted: &Wanted| {
            let at = self.head.fields.iter().position(|name| *name == wanted.column);
            let at = at.ok_or_else(|| Bad::Column(wanted.column.clone()))?;
            let shape = match self.head.types.get(at).map(String::as_str) {
                Some("bool") => Shape::Bool,
                Some(t) if t.starts_with("set[") || t.starts_with("vector[") => Shape::List,
                _ => Shape::One,
            };
            Ok((at, shape))
        };
        self.places = self.wanted.iter().map(place).collect::<Result<_, Bad>>()?;
        Ok(())
    }

    /// Reads the next row; false at the end.
    pub(super) fn next(&mut self, row: &mut Row) -> Result<bool, Bad> {
        loop {
            let line = match self.lines.next()? {
                None => return Ok(false),
                Some(line) => std::str::from_utf8(line).map(str::to_owned),
            };
            let line = line.map_err(|_| self.lines.bad("not UTF-8"))?;
            if !line.starts_with('#') {
                return self.row(&line, row).map_err(|why| self.lines.bad(why)).map(|()| true);
            }
            // Logs that are joined have more than one head.
            self.head.read(&line).map_err(|why| self.lines.bad(why))?;
            if line.starts_with("#fields") || line.starts_with("#types") {
                self.find()?;
            }
        }
    }

    fn row(&self, line: &str, row: &mut Row) -> Result<(), String> {
        let fields: Vec<&str> = line.split(char::from(self.head.separator)).collect();
        if fields.len() != self.head.fields.len() {
            return Err(format!("{} fields, the head has {}", fields.len(), self.head.fields.len()));
        }
        row.clear();
        for (number, (at, shape)) in self.places.iter().enumerate() {
            let text = fields[*at];
            match shape {
                _ if text == self.head.unset => {}
                Shape::List => {
                    row.begin_list(number, 0);
                    let items = text.split(self.head.list_separator.as_str()).filter(|_| text != self.head.empty);
                    items.for_each(|item| row.put(number, 0, true, item));
                }
                _ if text == self.head.empty || text.is_empty() => {}
                Shape::Bool => row.put(number, 0, false, if text == "T" { "true" } else { "false" }),
                Shape::One => row.put(number, 0, false, text),
            }
        }
        Ok(())
    }

    pub(super) fn line(&self) -> u64 {
        self.lines.number
    }
}
