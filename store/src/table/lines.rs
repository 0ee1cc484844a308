//! The bytes of a text file: unpacked, without a byte order mark, in lines of bounded length.

use std::io::{BufRead, BufReader, Read};

use super::Bad;

/// A line, or a record of CSV, has at most this many bytes; a longer one ends the file with an error.
pub(super) const MAX_LINE_BYTES: usize = 4 << 20;

/// Bytes read at a time.
const BUFFER: usize = 128 << 10;

pub(super) type Bytes = Box<dyn BufRead + Send>;

/// The bytes of a file, unpacked if it is gzip or zstd, which its first bytes tell.
pub(super) fn unpacked(file: impl Read + Send + 'static) -> std::io::Result<Bytes> {
    let mut packed = BufReader::with_capacity(BUFFER, file);
    let mut bytes: Bytes = match packed.fill_buf()? {
        [0x1F, 0x8B, ..] => Box::new(BufReader::with_capacity(BUFFER, flate2::bufread::MultiGzDecoder::new(packed))),
        [0x28, 0xB5, 0x2F, 0xFD, ..] => Box::new(BufReader::with_capacity(BUFFER, zstd::Decoder::with_buffer(packed)?)),
        _ => Box::new(packed),
    };
    if bytes.fill_buf()?.starts_with(&[0xEF, 0xBB, 0xBF]) {
        bytes.consume(3);
    }
    Ok(bytes)
}

/// Lines, each without its end.
pub(super) struct Lines {
    bytes: Bytes,
    line: Vec<u8>,
    /// Number of the line given last, from 1.
    pub(super) number: u64,
}

impl Lines {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes, line: Vec::new(), number: 0 }
    }

    /// The next line that is not blank.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Bad> {
        while self.read()? {
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(self.line.as_slice()));
            }
        }
        Ok(None)
    }

    fn read(&mut self) -> Result<bool, Bad> {
        self.line.clear();
        let limit = MAX_LINE_BYTES as u64 + 2;
        let read = self.bytes.by_ref().take(limit).read_until(b'\n', &mut self.line);
        if read.map_err(|e| Bad::File(format!("after line {}: {e}", self.number)))? == 0 {
            return Ok(false);
        }
        self.number += 1;
        while matches!(self.line.last(), Some(b'\n' | b'\r')) {
            self.line.pop();
        }
        if self.line.len() > MAX_LINE_BYTES { Err(self.bad(too_long())) } else { Ok(true) }
    }

    /// The line given last cannot be used.
    pub(super) fn bad(&self, why: impl Into<String>) -> Bad {
        Bad::Line { line: self.number, why: why.into() }
    }
}

pub(super) fn too_long() -> String {
    format!("longer than {} MiB", MAX_LINE_BYTES >> 20)
}
