//! The baseline file: what is read is what was written, or an error that says where it is not.

use std::path::Path;

use crate::learn::{baseline, score};
use crate::rows::ordinary;
use ebbline_model::testing::Rng;
use ebbline_model::{Baseline, BaselineError};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

fn decode(bytes: &[u8]) -> Result<Baseline, BaselineError> {
    Baseline::decode(bytes, Path::new("x"))
}

fn saved() -> (Baseline, Vec<u8>) {
    let baseline = baseline(&ordinary(100..102, 60, 12));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.ebb");
    baseline.save(&path).unwrap();
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["b.ebb"], "no temporary file stays behind");
    let loaded = Baseline::load(&path).unwrap();
    assert_eq!(loaded.id(), baseline.id());
    assert_eq!(loaded.parts(), baseline.parts());
    assert_eq!(loaded.snapshot("process"), baseline.snapshot("process"));
    assert_eq!(loaded.unit_calibration("process_tree"), baseline.unit_calibration("process_tree"));
    let hash = loaded.hash_key().value(Some("/usr/bin/cat"));
    assert_eq!(loaded.value(hash), Some("/usr/bin/cat"));
    (baseline, std::fs::read(&path).unwrap())
}

#[derive(Clone, Serialize, Deserialize)]
struct Entry {
    name: String,
    length: u64,
    digest: [u8; 32],
}

/// The directory of a file, and where its sections begin.
fn directory(bytes: &[u8]) -> (Vec<Entry>, usize) {
    let end = 56 + u64::from_le_bytes(bytes[16..24].try_into().unwrap()) as usize;
    (postcard::from_bytes(&bytes[56..end]).unwrap(), end)
}

/// What an error about the byte at `at` must name.
fn place(bytes: &[u8], at: usize) -> String {
    let (entries, mut end) = directory(bytes);
    match at {
        0..8 => return "not an Ebbline baseline".to_owned(),
        8..12 => return "format version".to_owned(),
        12..16 => return "header".to_owned(),
        _ if at < end => return "directory".to_owned(),
        _ => {}
    }
    let entry = entries.into_iter().find(|entry| {
        end += entry.length as usize;
        at < end
    });
    entry.unwrap().name
}

#[test]
fn every_flipped_byte_and_every_cut_is_an_error_that_says_where() {
    let (_, bytes) = saved();
    let (entries, start) = directory(&bytes);
    let names: Vec<&str> = entries.iter().map(|e| e.name.as_str()).collect();
    assert!(names.contains(&"segments, table=process host=web1 day=1970-04-11"), "{names:?}");
    assert!(names.contains(&"evidence, unit=process_tree host=web1 day=1970-04-11"), "{names:?}");
    let mut rng = Rng(13);
    let random = (0..1500).map(|_| rng.below(bytes.len() as u32) as usize).collect::<Vec<_>>();
    for at in (0..start + 64).chain(random).chain([bytes.len() - 1]) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << rng.below(8);
        let error = decode(&damaged).expect_err("a flipped byte").to_string();
        // The last 4 of the version's bytes may name a version that is read: 0 is none, 1 is told by its length.
        let says = error.contains(&place(&bytes, at)) || (8..12).contains(&at);
        assert!(says && !error.contains('\n'), "byte {at}: {error}");
        let error = decode(&bytes[..at]).expect_err("a cut").to_string();
        let cut = if at < 56 { "header".to_owned() } else { place(&bytes, at) };
        assert!(error.starts_with("x: truncated: ") && error.contains(&cut), "cut at {at}: {error}");
    }
    let with_version = |v: u8| [&bytes[..8], &[v, 0, 0, 0], &bytes[12..]].concat();
    assert!(matches!(decode(&with_version(9)), Err(BaselineError::Version { found: 9, .. })));
    let more = decode(&[bytes.as_slice(), b"x"].concat()).unwrap_err().to_string();
    assert_eq!(more, "x: malformed: 1 bytes after its end");
    assert!(matches!(decode(&[7; 100]), Err(BaselineError::NotABaseline { .. })));
    let missing = Baseline::load(Path::new("/nonexistent/b")).unwrap_err();
    assert_eq!(missing.to_string(), "/nonexistent/b: there is no such file");
}

/// The file with another directory and other sections, whose checksums are right.
fn vouched(entries: &[Entry], sections: &[Vec<u8>]) -> Vec<u8> {
    let fits = |(entry, bytes): (&Entry, &Vec<u8>)| Entry {
        length: bytes.len() as u64,
        digest: Sha256::digest(bytes).into(),
        ..entry.clone()
    };
    let entries: Vec<Entry> = entries.iter().zip(sections).map(fits).collect();
    let directory = postcard::to_stdvec(&entries).unwrap();
    let mut bytes = b"EBBLBASE\x04\0\0\0\0\0\0\0".to_vec();
    bytes.extend_from_slice(&(directory.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&Sha256::digest(&directory));
    bytes.extend_from_slice(&directory);
    sections.iter().for_each(|section| bytes.extend_from_slice(section));
    bytes
}

fn sections(bytes: &[u8]) -> (Vec<Entry>, Vec<Vec<u8>>) {
    let (entries, mut at) = directory(bytes);
    let section = |entry: &Entry| {
        at += entry.length as usize;
        bytes[at - entry.length as usize..at].to_vec()
    };
    let sections = entries.iter().map(section).collect();
    (entries, sections)
}

#[test]
fn what_is_vouched_for_but_makes_no_sense_is_an_error_never_a_panic() {
    let (baseline, bytes) = saved();
    let (entries, good) = sections(&bytes);
    assert_eq!(decode(&vouched(&entries, &good)).unwrap().id(), baseline.id());
    let mut rng = Rng(14);
    let mut refused = 0;
    for _ in 0..1000 {
        let mut changed = good.clone();
        let section = rng.below(changed.len() as u32) as usize;
        let at = rng.below(changed[section].len() as u32) as usize;
        changed[section][at] = rng.bits() as u8;
        // Counts may be any number; whatever is accepted must score without a panic.
        match decode(&vouched(&entries, &changed)) {
            Ok(other) => drop(score(&other, &ordinary(100..101, 5, 15))),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 300, "{refused}");
    // Sections left out, twice, or in another order.
    for at in 0..entries.len() {
        let (mut names, mut parts) = (entries.clone(), good.clone());
        names.remove(at);
        parts.remove(at);
        assert!(decode(&vouched(&names, &parts)).is_err(), "without {}", entries[at].name);
        let (mut names, mut parts) = (entries.clone(), good.clone());
        names.insert(at, entries[at].clone());
        parts.insert(at, good[at].clone());
        assert!(decode(&vouched(&names, &parts)).is_err(), "twice {}", entries[at].name);
        if at > 0 {
            let (mut names, mut parts) = (entries.clone(), good.clone());
            names.swap(at - 1, at);
            parts.swap(at - 1, at);
            assert!(decode(&vouched(&names, &parts)).is_err(), "{} too early", entries[at].name);
        }
        let mut names = entries.clone();
        names[at].name.push('x');
        assert!(decode(&vouched(&names, &good)).is_err(), "renamed {}", entries[at].name);
    }
}

#[test]
fn lengths_are_checked_before_anything_is_allocated() {
    let (_, bytes) = saved();
    let (mut entries, good) = sections(&bytes);
    entries[3].length = u64::MAX;
    let directory = postcard::to_stdvec(&entries).unwrap();
    let mut huge = b"EBBLBASE\x04\0\0\0\0\0\0\0".to_vec();
    huge.extend_from_slice(&(directory.len() as u64).to_le_bytes());
    huge.extend_from_slice(&Sha256::digest(&directory));
    huge.extend_from_slice(&directory);
    good.iter().for_each(|section| huge.extend_from_slice(section));
    let error = decode(&huge).unwrap_err().to_string();
    assert!(error.starts_with(&format!("x: truncated: {}: ", entries[3].name)), "{error}");
    huge[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(decode(&huge), Err(BaselineError::Truncated { place, .. }) if place == "directory"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(&body).is_err());
        let entry = Entry { name: "head".to_owned(), length: 0, digest: [0; 32] };
        prop_assert!(decode(&vouched(&[entry], &[body])).is_err());
    }
}
