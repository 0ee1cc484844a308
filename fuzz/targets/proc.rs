//! Files of `/proc/PID`.
#![no_main]

use parse::{proc_files, proc_stat};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // A byte that is no UTF-8 becomes three.
    assert!(proc_stat::parse(bytes).is_none_or(|stat| stat.comm.len() <= 3 * bytes.len()));
    assert!(proc_files::cgroup(bytes).is_none_or(|path| path.starts_with(b"/")));
    assert!(proc_files::cmdline(bytes).map(<[u8]>::len).sum::<usize>() <= bytes.len());
    let _ = proc_files::status(bytes);
});
