//! The kernel's type information.
#![no_main]

use parse::btf::Btf;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(btf) = Btf::parse(bytes) else { return };
    for path in ["a", "p[1]", "p[TWO]", "a.b", "p[4294967295]"] {
        let _ = btf.offset("s", path);
    }
    let _ = (btf.enumerator("TWO"), btf.tracepoint_arguments("x"));
});
