//! A line for each message, in a file or on standard output.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::Deserialize;

use super::{Failure, Sink};
use crate::message::Parcel;

/// Longer lines of a file are none of ours.
const LINE_BYTES: u64 = 8 << 20;

/// A file that grows.
pub(super) struct Lines {
    path: PathBuf,
}

impl Lines {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.into() }
    }

    /// The file, for us alone: others that append to it the same way wait.
    fn open(&self) -> io::Result<File> {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path)?;
        if file.metadata()?.is_file() {
            flock(&file, FlockOperation::LockExclusive)?;
        }
        Ok(file)
    }

    fn append(&self, body: &str) -> io::Result<()> {
        let mut file = self.open()?;
        let start = whole_lines(&file, body)?;
        let written = file.write_all(format!("{body}\n").as_bytes()).and_then(|()| file.sync_data());
        if written.is_err()
            && let Some(start) = start
        {
            let _ = file.set_len(start); // the disk may be full: no half line stays
        }
        written
    }

    fn fail(&self, error: &io::Error) -> Failure {
        Failure::later(&format!("cannot write: {}: {error}", self.path.display()))
    }
}

/// Sees to it that the file ends with a whole line, and says how long it is then; `None` if it has no length. What a killed
/// process wrote of this very line is removed; what anybody else left without an end gets one.
fn whole_lines(file: &File, body: &str) -> io::Result<Option<u64>> {
    let found = file.metadata()?;
    if !found.is_file() {
        return Ok(None);
    }
    let length = found.len();
    let window = length.min(body.len() as u64 + 1);
    let mut end = vec![0; window as usize];
    file.read_exact_at(&mut end, length - window)?;
    let torn = end.iter().rev().take_while(|byte| **byte != b'\n').count();
    if torn == 0 {
        return Ok(Some(length));
    }
    let begun = (torn as u64) < window || window == length;
    if begun && body.as_bytes().starts_with(&end[end.len() - torn..]) {
        let start = length - torn as u64;
        file.set_len(start)?;
        return Ok(Some(start));
    }
    let mut file = file;
    file.write_all(b"\n")?;
    Ok(Some(length + 1))
}

impl Sink for Lines {
    fn send(&mut self, parcels: &[Parcel]) -> Result<(), Failure> {
        let append = |parcel: &Parcel| self.append(&parcel.body);
        parcels.iter().try_for_each(append).map_err(|error| self.fail(&error))
    }

    /// A process that was killed may have written a line and not entered it, or half of one: the file itself is asked.
    fn resume(&mut self, first: &Parcel, waiting: &BTreeSet<&str>) -> Result<BTreeSet<String>, Failure> {
        let resume = || {
            let file = self.open()?;
            match whole_lines(&file, &first.body)? {
                Some(_) => written(File::open(&self.path)?, waiting),
                None => Ok(BTreeSet::new()),
            }
        };
        resume().map_err(|error| self.fail(&error))
    }
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    delivery: &'a str,
}

/// Those of these deliveries of which there is a whole line.
fn written(file: File, deliveries: &BTreeSet<&str>) -> io::Result<BTreeSet<String>> {
    let (mut reader, mut line, mut found) = (BufReader::new(file), Vec::new(), BTreeSet::new());
    loop {
        line.clear();
        if reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        let whole = line.last() == Some(&b'\n');
        if let Ok(said) = serde_json::from_slice::<Said<'_>>(&line)
            && whole
            && deliveries.contains(said.delivery)
        {
            found.insert(said.delivery.to_owned());
        }
    }
}

/// Standard output.
pub(super) struct Output;

impl Sink for Output {
    fn send(&mut self, parcels: &[Parcel]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let mut print = |parcel: &Parcel| writeln!(out, "{}", parcel.body).and_then(|()| out.flush());
        let printed = parcels.iter().try_for_each(&mut print);
        printed.map_err(|error| Failure::later(&format!("cannot write: standard output: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Event;

    fn parcel(delivery: &str) -> Parcel {
        let body = format!(r#"{{"delivery":"{delivery}","title":"ä]\"x"}}"#);
        Parcel { incident: "1".into(), delivery: delivery.into(), event: Event::New, at: 0, body }
    }

    #[test]
    fn a_torn_line_of_ours_is_made_whole_wherever_it_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("incidents.jsonl");
        let (a, b) = (parcel("aa"), parcel("bb"));
        let whole = format!("{}\n{}\n", a.body, b.body);
        for before in ["", &whole[..a.body.len() + 1]] {
            for torn in 0..=b.body.len() {
                std::fs::write(&path, [before.as_bytes(), &b.body.as_bytes()[..torn]].concat()).unwrap();
                Lines::new(&path).send(std::slice::from_ref(&b)).unwrap();
                assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{before}{}\n", b.body), "{torn}");
            }
        }
    }

    #[test]
    fn what_others_wrote_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let b = parcel("bb");
        for before in ["127.0.0.1 localhost", "x\ny", &format!("x{}", b.body), &"z".repeat(4_000)] {
            std::fs::write(&path, before).unwrap();
            Lines::new(&path).send(std::slice::from_ref(&b)).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{before}\n{}\n", b.body));
        }
    }

    #[test]
    fn a_file_knows_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("incidents.jsonl");
        let mut lines = Lines::new(&path);
        let asked: BTreeSet<&str> = ["aa", "bb"].into();
        assert!(lines.resume(&parcel("bb"), &asked).unwrap().is_empty());
        lines.send(&[parcel("aa"), parcel("cc")]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let torn = parcel("bb").body;
        std::fs::write(&path, [&whole, torn.as_bytes()].concat()).unwrap();
        assert_eq!(lines.resume(&parcel("bb"), &asked).unwrap(), ["aa".to_owned()].into());
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
}
