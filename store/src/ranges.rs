//! Bytes of an object far away, in ranges, as a reader asks for them.
//!
//! Of a Parquet file only the footer and the wanted columns are fetched. Memory is bounded: [`HELD_BYTES`] and one piece for
//! each file that is open.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Pieces of one file that are held, in bytes.
const HELD_BYTES: u64 = 64 << 20;
/// Bytes fetched at a time, at most.
const PIECE_BYTES: u64 = 8 << 20;
/// At least so many, however many columns there are.
const SMALL_BYTES: u64 = 256 << 10;
/// The end of a file that is fetched first: most footers are shorter.
const TAIL_BYTES: u64 = 64 << 10;
/// Ranges that are no further apart are fetched as one.
const GAP_BYTES: u64 = 128 << 10;

/// Something with bytes that can be had in ranges.
pub(crate) trait Ranged: Send + Sync + Debug {
    /// How many bytes it has.
    fn size(&self) -> u64;
    /// What is another text when the content is another.
    fn version(&self) -> String;
    /// These bytes; an error when it is gone or has changed.
    fn get(&self, range: Range<u64>) -> io::Result<Bytes>;
}

/// Fetched pieces of an object.
#[derive(Debug)]
pub(crate) struct Ranges {
    object: Arc<dyn Ranged>,
    /// What will be asked for, ascending and apart.
    plan: Vec<Range<u64>>,
    piece: u64,
    /// Start and bytes of each piece; the one used last comes last.
    held: Mutex<VecDeque<(u64, Bytes)>>,
}

impl Ranges {
    /// The object with its end, fetched at once.
    pub(crate) fn with_tail(object: Arc<dyn Ranged>) -> io::Result<Self> {
        let from = object.size().saturating_sub(TAIL_BYTES);
        let tail = object.get(from..object.size())?;
        Ok(Self { object, plan: Vec::new(), piece: TAIL_BYTES, held: Mutex::new([(from, tail)].into()) })
    }

    /// The same object, of which these ranges will be read, each of them from its beginning to its end.
    pub(crate) fn planned(&self, mut wanted: Vec<Range<u64>>) -> Self {
        let piece = (HELD_BYTES / (wanted.len() as u64 + 2)).clamp(SMALL_BYTES, PIECE_BYTES);
        wanted.sort_unstable_by_key(|range| range.start);
        let mut plan: Vec<Range<u64>> = Vec::new();
        for range in wanted {
            match plan.last_mut() {
                Some(last) if range.start <= last.end.saturating_add(GAP_BYTES) => last.end = last.end.max(range.end),
                _ => plan.push(range),
            }
        }
        // What came with the tail may be all there is.
        let held = Mutex::new(self.held().clone());
        Self { object: Arc::clone(&self.object), plan, piece, held }
    }

    pub(crate) fn len(&self) -> u64 {
        self.object.size()
    }

    /// Bytes from a position on, at least one unless it is the end.
    fn from(&self, at: u64) -> io::Result<Bytes> {
        let mut held = self.held();
        let has = |(start, bytes): &(u64, Bytes)| (*start..*start + bytes.len() as u64).contains(&at);
        if let Some(found) = held.iter().position(has).and_then(|number| held.remove(number)) {
            let bytes = found.1.slice((at - found.0) as usize..);
            held.push_back(found);
            return Ok(bytes);
        }
        if at >= self.len() {
            return Ok(Bytes::new());
        }
        let planned = self.plan.iter().find(|range| range.contains(&at));
        let end = planned.map_or(at.saturating_add(TAIL_BYTES), |range| range.end.min(at.saturating_add(self.piece)));
        let bytes = self.object.get(at..end.min(self.len()))?;
        held.push_back((at, bytes.clone()));
        while held.len() > 1 && held.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>() > HELD_BYTES {
            held.pop_front();
        }
        Ok(bytes)
    }

    /// Exactly these bytes.
    pub(crate) fn exact(&self, start: u64, length: usize) -> io::Result<Bytes> {
        let first = self.from(start)?;
        if first.len() >= length {
            return Ok(first.slice(..length));
        }
        let mut all = Vec::with_capacity(length.min(self.len() as usize));
        let mut next = first;
        while all.len() < length {
            if next.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            all.extend_from_slice(&next[..next.len().min(length - all.len())]);
            next = if all.len() < length { self.from(start + all.len() as u64)? } else { Bytes::new() };
        }
        Ok(all.into())
    }

    fn held(&self) -> MutexGuard<'_, VecDeque<(u64, Bytes)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads on from a position.
pub(crate) struct Cursor {
    ranges: Arc<Ranges>,
    at: u64,
    here: Bytes,
}

impl Cursor {
    pub(crate) fn new(ranges: Arc<Ranges>, at: u64) -> Self {
        Self { ranges, at, here: Bytes::new() }
    }
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.here.is_empty() {
            self.here = self.ranges.from(self.at)?;
        }
        let length = buffer.len().min(self.here.len());
        buffer[..length].copy_from_slice(&self.here.split_to(length));
        self.at += length as u64;
        Ok(length)
    }
}

/// Reads an object from its beginning to its end, in pieces that grow.
pub(crate) struct Stream {
    object: Arc<dyn Ranged>,
    at: u64,
    here: Bytes,
    piece: u64,
}

impl Stream {
    pub(crate) fn new(object: Arc<dyn Ranged>) -> Self {
        Self { object, at: 0, here: Bytes::new(), piece: SMALL_BYTES }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.here.is_empty() && self.at < self.object.size() {
            let end = self.object.size().min(self.at + self.piece);
            self.here = self.object.get(self.at..end)?;
            self.piece = (self.piece * 2).min(PIECE_BYTES);
        }
        let length = buffer.len().min(self.here.len());
        buffer[..length].copy_from_slice(&self.here.split_to(length));
        self.at += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An object in memory that notes what was asked for.
    #[derive(Debug)]
    struct Noting(Bytes, Mutex<Vec<Range<u64>>>);

    impl Ranged for Noting {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }
        fn version(&self) -> String {
            String::new()
        }
        fn get(&self, range: Range<u64>) -> io::Result<Bytes> {
            self.1.lock().unwrap().push(range.clone());
            Ok(self.0.slice(range.start as usize..range.end as usize))
        }
    }

    fn object(bytes: usize) -> Arc<Noting> {
        let content: Vec<u8> = (0..bytes).map(|at| (at * 7 + at / 251) as u8).collect();
        Arc::new(Noting(content.into(), Mutex::default()))
    }

    #[test]
    fn only_what_is_planned_is_fetched_and_near_ranges_as_one() {
        let object = object(20 << 20);
        let whole = object.0.clone();
        let ranges = Ranges::with_tail(object.clone()).unwrap().planned(vec![5 << 20..6 << 20, 4..100, 90_000..91_000]);
        let ranges = Arc::new(ranges);
        assert_eq!(ranges.exact(4, 96).unwrap(), whole[4..100]);
        assert_eq!(ranges.exact(90_000, 1_000).unwrap(), whole[90_000..91_000]);
        let mut read = vec![0; 1 << 20];
        Cursor::new(Arc::clone(&ranges), 5 << 20).read_exact(&mut read).unwrap();
        assert_eq!(read, whole[5 << 20..6 << 20]);
        let asked = object.1.lock().unwrap().clone();
        assert_eq!(asked, [(20 << 20) - TAIL_BYTES..20 << 20, 4..91_000, 5 << 20..6 << 20]);
    }

    #[test]
    fn what_is_held_is_bounded_and_any_range_is_right() {
        let object = object(100 << 20);
        let whole = object.0.clone();
        let ranges = Ranges::with_tail(object).unwrap().planned(std::iter::once(0..100 << 20).collect());
        for at in (0..99 << 20).step_by(3_000_017) {
            assert_eq!(ranges.exact(at as u64, 70_000).unwrap(), whole[at..at + 70_000]);
            let held: u64 = ranges.held().iter().map(|(_, bytes)| bytes.len() as u64).sum();
            assert!(held <= HELD_BYTES, "{held}");
        }
        assert!(ranges.exact((100 << 20) - 5, 6).is_err(), "beyond its end");
        let mut streamed = Vec::new();
        Stream::new(Arc::clone(&ranges.object)).read_to_end(&mut streamed).unwrap();
        assert!(streamed == whole);
    }
}
