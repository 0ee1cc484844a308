//! Segments of a journal: as they are, and with heads that fit whatever follows them.
#![no_main]

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;
use store::{Recovered, Replayed};

const HEAD: usize = 28;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let (mended, ends) = mended(bytes);
    let whole = read(&mended);
    assert_eq!(whole.torn_bytes, (mended.len() - ends.last().unwrap_or(&0)) as u64);
    assert_eq!(whole.frames + whole.damaged.len() as u64, ends.len() as u64);
    // A cut in the last frame takes that frame and nothing else.
    if let [.., before, last] = ends[..] {
        let cut = read(&mended[..before + (last - before) / 2]);
        assert!(cut.rows <= whole.rows && cut.frames + 1 >= whole.frames && cut.frames <= whole.frames);
    }
});

fn tables() -> Vec<(&'static str, SchemaRef)> {
    let field = |name, kind| Field::new(name, kind, false);
    let (time, number) = (field("time", events::timestamp()), field("number", DataType::UInt64));
    let deeds = vec![time.clone(), field("activity", events::dictionary()), number.clone()];
    vec![("deeds", Arc::new(Schema::new(deeds))), ("numbers", Arc::new(Schema::new(vec![time, number])))]
}

fn read(bytes: &[u8]) -> Recovered {
    let (mut rows, tables) = (0, tables());
    let recovered = store::read_segment(bytes, "web1", &tables, &mut |part: Replayed| {
        assert!(
            tables
                .iter()
                .any(|(table, columns)| part.table == *table && part.rows.schema().fields() == columns.fields())
        );
        assert!(part.tags.is_empty() || part.tags.len() == part.rows.num_rows());
        let next = part.placed.iter().fold(0, |next, run| {
            assert_eq!(run.offset, next);
            assert!(run.relative.starts_with(part.table) && !run.relative.contains(".."));
            next + run.rows
        });
        assert_eq!(next, part.rows.num_rows());
        // Whatever a key says, there is a value behind it.
        let _ = format!("{:?}", part.rows);
        rows += next as u64;
    });
    assert_eq!(recovered.rows, rows);
    assert!(recovered.torn_bytes <= bytes.len() as u64);
    assert_eq!(recovered.note.is_some(), recovered.frames > 0);
    recovered
}

/// The bytes as frames one after the other: where a length fits, it is kept, and the rest of the head is made good.
/// Says where each ends.
fn mended(bytes: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut ends, mut at) = (bytes.to_vec(), Vec::new(), 0);
    while bytes.len() - at >= HEAD {
        let (head, rest) = bytes[at..].split_at_mut(HEAD);
        let length = u32::from_le_bytes([head[16], head[17], head[18], head[19]]) as usize;
        let length = if length <= rest.len() { length } else { rest.len() };
        head[..4].copy_from_slice(b"EBJF");
        head[4..6].copy_from_slice(&[1, 0]);
        head[6..8].copy_from_slice(&(events::SCHEMA_VERSION as u16).to_le_bytes());
        head[8..16].copy_from_slice(&7u64.to_le_bytes());
        head[16..20].copy_from_slice(&(length as u32).to_le_bytes());
        head[20..24].copy_from_slice(&crc32fast::hash(&rest[..length]).to_le_bytes());
        let check = crc32fast::hash(&head[..24]);
        head[24..].copy_from_slice(&check.to_le_bytes());
        at += HEAD + length;
        ends.push(at);
    }
    (bytes, ends)
}
