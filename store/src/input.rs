//! Where the bytes of a Parquet file come from: a file here, or an object in ranges.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use crate::ranges::{Cursor, Ranged, Ranges};

/// The bytes of one file.
#[derive(Debug)]
pub(crate) enum Input {
    /// On a file system.
    File(File),
    /// In a store.
    Object(Arc<Ranges>),
}

impl Input {
    /// An object whose end has been fetched.
    pub(crate) fn object(object: &Arc<dyn Ranged>) -> io::Result<Self> {
        Ok(Self::Object(Arc::new(Ranges::with_tail(Arc::clone(object))?)))
    }

    /// The same bytes for one reader, of which it will want these ranges.
    pub(crate) fn planned(&self, wanted: impl FnOnce() -> Vec<Range<u64>>) -> io::Result<Self> {
        Ok(match self {
            Self::File(file) => Self::File(file.try_clone()?),
            Self::Object(ranges) => Self::Object(Arc::new(ranges.planned(wanted()))),
        })
    }

    /// Exactly these bytes.
    pub(crate) fn exact(&self, start: u64, length: usize) -> io::Result<Bytes> {
        match self {
            Self::Object(ranges) => ranges.exact(start, length),
            Self::File(file) => {
                use std::os::unix::fs::FileExt;
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, start)?;
                Ok(bytes.into())
            }
        }
    }
}

impl Length for Input {
    fn len(&self) -> u64 {
        match self {
            Self::File(file) => Length::len(file),
            Self::Object(ranges) => ranges.len(),
        }
    }
}

/// Reads on from a place in the file.
pub(crate) enum From {
    File(BufReader<File>),
    Object(Cursor),
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Object(cursor) => cursor.read(buffer),
        }
    }
}

impl ChunkReader for Input {
    type T = From;

    fn get_read(&self, start: u64) -> Result<From> {
        Ok(match self {
            Self::File(file) => From::File(file.get_read(start)?),
            Self::Object(ranges) => From::Object(Cursor::new(Arc::clone(ranges), start)),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        match self {
            Self::File(file) => file.get_bytes(start, length),
            Self::Object(ranges) => ranges.exact(start, length).map_err(ParquetError::from),
        }
    }
}
