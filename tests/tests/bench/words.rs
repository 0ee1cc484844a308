//! Tables, comparisons, pages, help and docs/bench.md have one name for each thing that is measured, and one unit.

use std::path::Path;

use bench::names::{ALL, COPY_BACK, COPY_TO, RANDOM, STREAMING};
use ebbline_tests::ebbline;
use serde_json::{Value, json};

/// A result with something in every place, and a card beside the CPU; software comes first in the file.
fn result() -> Value {
    let spread = |median: f64| json!({ "median": median, "least": median * 0.5, "most": median * 1.5, "runs": 5 });
    let device = |name: &str, kind: &str| {
        json!({
            "name": name, "kind": kind, "details": "made up", "identity": { "cases": 29, "rows": 53_780 },
            "limits": [{
                "table_bytes": 1 << 28, "buffer_bytes": 1 << 27, "stream_bytes_per_s": 22.13e9, "gathers_per_s": 40.38e6,
                "up_bytes_per_s": 0.54e9, "down_bytes_per_s": 1.26e9
            }],
            "scores": [{
                "views": 8, "table_bytes": 1 << 28, "rows": 65_536, "kernel_rows_per_s": spread(4_537_000.0),
                "timed_by": "device", "lookups_per_s": 3e7, "share_of_gathers": 0.06,
                "arrow_rows_per_s": spread(432_100.0), "share_of_stream": 0.008, "share_of_copies": 0.02,
                "joules_per_million_rows": 12.5
            }],
            "batches": [{ "rows": 256, "rows_per_s": spread(28_100.0) }], "crossover_rows": 256,
            "learn": [{ "views": 8, "rows": 16_384, "rows_per_s": spread(268_000.0), "share_of_gathers": 4.87 }],
            "files": {
                "rows": 131_072, "read_rows_per_s": spread(9e6), "learn_rows_per_s": spread(310_000.0),
                "score_rows_per_s": spread(181_000.0), "share_of_read": 0.02
            }
        })
    };
    json!({
        "format": 1, "version": "0.1.0", "quick": true, "seed": 1, "rows": 65_536, "budget_seconds": 50.0,
        "wall_seconds": 31.5, "stopped": false, "peak_memory_bytes": 1 << 30,
        "machine": {
            "threads": 2, "last_cache_bytes": 32 << 20, "memory_bytes": 1_u64 << 34, "kernel": "6.12", "energy": "unknown"
        },
        "devices": [device("pipe (LLVM 15)", "software"), device("Card (rev 2)", "hardware"), device("cpu", "cpu")],
        "left_out": []
    })
}

/// Text with its line ends and indents as single spaces, as people read it.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_name_is_the_same_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (file, page) = (folder.path().join("result.json"), folder.path().join("page.html"));
    std::fs::write(&file, result().to_string()).unwrap();
    let made = ebbline(["bench", "page", file.to_str().unwrap(), "--out", page.to_str().unwrap()]);
    assert_eq!(made.code, 0, "{made:?}");
    let (page, help) = (std::fs::read_to_string(&page).unwrap(), flat(&ebbline(["bench", "--help"]).stdout));
    let manual = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/bench.md")).unwrap();
    let compared = ebbline(["bench", "compare", file.to_str().unwrap(), file.to_str().unwrap()]);
    let figures = flat(&compared.stdout);
    for name in ALL {
        for (text, place) in [(&page, "the page"), (&help, "--help"), (&manual, "docs/bench.md")] {
            assert!(text.contains(name), "{place} does not say {name:?}");
        }
        // What memory gives is no rate of rows, and not compared.
        let is_limit = [STREAMING, RANDOM, COPY_TO, COPY_BACK].contains(&name);
        assert_eq!(figures.contains(name), !is_limit, "{name}: {}", compared.stdout);
    }
}

#[test]
fn devices_and_units_are_the_same_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.json");
    std::fs::write(&file, result().to_string()).unwrap();
    let compared = ebbline(["bench", "compare", file.to_str().unwrap(), file.to_str().unwrap()]);
    assert_eq!(compared.code, 0, "{compared:?}");
    let first =
        |label: &str| compared.stdout.lines().position(|line| line.trim_start().starts_with(label)).expect(label);
    assert!(first("cpu") < first("Card") && first("Card") < first("pipe, software"), "{}", compared.stdout);
    let text = flat(&compared.stdout);
    for words in ["4.54 M ±50 %", "432 k ±50 %", "28.1 k ±50 %", "first, rows/s"] {
        assert!(text.contains(words), "{words}: {}", compared.stdout);
    }
    let pairs = ebbline(["bench", "compare", file.to_str().unwrap(), file.to_str().unwrap(), "--json"]).json();
    let first = &pairs["pairs"][0];
    assert_eq!(first["what"], "kernel only, by the device's clock, 8 views, table 256.0 MiB, 65,536 rows");
    assert_eq!((&first["device"], &first["label"]), (&json!("cpu"), &Value::Null), "as the contract has it");
}
