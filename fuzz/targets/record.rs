//! Records from the kernel's rings.
#![no_main]

use events::{EventType, Record};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(record) = events::decode(bytes) else { return };
    assert!(EventType::ALL.contains(&record.kind()));
    let _ = record.time();
    if let Record::Image(_, image) = record {
        assert!(image.arguments().map(<[u8]>::len).sum::<usize>() <= image.args.len());
    }
});
