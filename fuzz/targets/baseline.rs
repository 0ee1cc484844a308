//! Baseline files: as they are, and with checksums that vouch for whatever a section holds.
#![no_main]

use model::Baseline;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::OnceLock;

const HEADER: usize = 56;
const VERSION: u8 = 4;
/// A file that is right.
const WHOLE: &[u8] = include_bytes!("../../tests/data/formats/version-4.baseline");

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    decode(bytes);
    decode(&vouched_for(bytes, &[]));
    let Some((first, rest)) = bytes.split_first_chunk::<5>() else { return };
    let [section, a, b, c, replace] = *first;
    let (entries, good) = sections();
    // A section of its own: its decoder sees the bytes as they are.
    let at = usize::from(section) % entries.len();
    decode(&vouched(&entries[at..=at], &[rest.to_vec()]));
    // Or in the place of some bytes of a section that is right, so that what fits together is asked, too.
    let mut changed = good.clone();
    let length = changed[at].len();
    let start = u32::from_le_bytes([a, b, c, 0]) as usize % (length + 1);
    let end = if replace % 2 == 0 { (start + rest.len()).min(length) } else { start };
    changed[at].splice(start..end, rest.iter().copied());
    decode(&vouched(entries, &changed));
});

#[derive(Clone, Serialize, Deserialize)]
struct Entry {
    name: String,
    length: u64,
    digest: [u8; 32],
}

fn decode(bytes: &[u8]) {
    match Baseline::decode(bytes, Path::new("x")) {
        Err(error) => {
            let line = error.to_string();
            assert!(line.starts_with("x: "), "{line}");
        }
        Ok(baseline) => {
            // Whatever is believed can be looked into.
            for snapshot in baseline.snapshots() {
                let _ = snapshot.find([1, 2]);
                let _ = baseline.groups(snapshot.lens.table());
            }
            let _ = baseline.parts().rows_without_evidence();
        }
    }
}

fn vouched_for(covered: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"EBBLBASE".to_vec();
    bytes.extend_from_slice(&[VERSION, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&(covered.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&Sha256::digest(covered));
    bytes.extend_from_slice(covered);
    bytes.extend_from_slice(rest);
    bytes
}

fn vouched(entries: &[Entry], sections: &[Vec<u8>]) -> Vec<u8> {
    let entry = |(entry, bytes): (&Entry, &Vec<u8>)| Entry {
        name: entry.name.clone(),
        length: bytes.len() as u64,
        digest: Sha256::digest(bytes).into(),
    };
    let entries: Vec<Entry> = entries.iter().zip(sections).map(entry).collect();
    vouched_for(&postcard::to_stdvec(&entries).expect("a directory can be encoded"), &sections.concat())
}

/// The directory and the sections of the file that is right.
fn sections() -> &'static (Vec<Entry>, Vec<Vec<u8>>) {
    static SECTIONS: OnceLock<(Vec<Entry>, Vec<Vec<u8>>)> = OnceLock::new();
    SECTIONS.get_or_init(|| {
        let length = u64::from_le_bytes(WHOLE[16..24].try_into().expect("eight bytes")) as usize;
        let entries: Vec<Entry> = postcard::from_bytes(&WHOLE[HEADER..HEADER + length]).expect("a directory");
        let mut at = HEADER + length;
        let section = |entry: &Entry| {
            at += entry.length as usize;
            WHOLE[at - entry.length as usize..at].to_vec()
        };
        let sections = entries.iter().map(section).collect();
        (entries, sections)
    })
}
