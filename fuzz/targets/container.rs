//! Cgroup paths and the files in which runtimes keep names.
#![no_main]

use parse::container::{self, Kind, MAX_NAME};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(path) = str::from_utf8(bytes)
        && let Some(found) = container::of_path(path)
    {
        assert!(path.contains(&found.id));
        assert!(found.pod.is_none_or(|pod| matches!(pod.len(), 32 | 36)));
        let files = container::candidates(&found.id);
        assert!(!files.is_empty() && files.iter().all(|(_, file)| !file.to_string_lossy().contains("..")));
    }
    for kind in [Kind::Docker, Kind::Containerd, Kind::CriO, Kind::Storage] {
        let Some(names) = container::names(kind, bytes, ID) else { continue };
        assert!([names.name, names.image].into_iter().flatten().all(|text| (1..=MAX_NAME).contains(&text.len())));
        assert!(names.pod.is_none_or(|pod| pod.len() <= 2 * MAX_NAME + 1));
    }
});
