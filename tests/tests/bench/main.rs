//! `ebbline bench` on the processor and on whatever adapters there are: what it says, not how fast it is.

mod auto;
mod page;
mod stop;
mod words;

use std::path::Path;

use ebbline_tests::{Ended, ebbline};
use serde_json::Value;

/// A run of seconds.
const SMALL: [&str; 9] =
    ["bench", "--quick", "--views", "4,12", "--rows", "2048", "--table-mib", "1,4", "--seconds=240"];

fn run(more: &[&str]) -> Ended {
    ebbline(SMALL.iter().chain(more))
}

/// A rate with its spread.
fn is_spread(value: &Value) -> bool {
    let of = |key: &str| value[key].as_f64().unwrap_or(-1.0);
    value["runs"].as_u64() > Some(0) && of("least") > 0.0 && of("least") <= of("median") && of("median") <= of("most")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("{key} is a list: {value}"))
}

/// Every figure that was wanted of a device, with the limit beside it.
fn check_device(device: &Value) {
    let name = &device["name"];
    // A slow driver is given fewer.
    let cases = if name == "cpu" { 29 } else { 8 };
    assert!(device["identity"]["cases"].as_u64() >= Some(cases), "{name}: {device}");
    let positive = |value: &Value| value.as_f64() > Some(0.0);
    for limits in list(device, "limits") {
        assert!(positive(&limits["stream_bytes_per_s"]) && positive(&limits["gathers_per_s"]), "{name}: {limits}");
        assert_eq!(limits["up_bytes_per_s"].is_null(), name == "cpu", "{name}: {limits}");
    }
    let views: Vec<u64> = list(device, "scores").iter().filter_map(|score| score["views"].as_u64()).collect();
    assert!(views.contains(&4) && views.contains(&12), "{name}: {views:?}");
    for score in list(device, "scores") {
        assert!(is_spread(&score["kernel_rows_per_s"]) && is_spread(&score["arrow_rows_per_s"]), "{name}: {score}");
        assert!(positive(&score["share_of_gathers"]) && positive(&score["share_of_stream"]), "{name}: {score}");
        assert!(["host", "device"].contains(&score["timed_by"].as_str().unwrap_or("")), "{name}: {score}");
        assert_eq!(score["share_of_copies"].is_null(), name == "cpu", "{name}: {score}");
    }
    assert!(list(device, "batches").iter().all(|batch| is_spread(&batch["rows_per_s"])), "{name}");
    assert!(!list(device, "batches").is_empty() && list(device, "learn").len() == 2, "{name}: {device}");
    assert!(is_spread(&device["files"]["score_rows_per_s"]), "{name}: {device}");
    assert_eq!(is_spread(&device["files"]["learn_rows_per_s"]), name == "cpu", "{name}: {device}");
}

#[test]
fn every_device_is_checked_and_measured_and_the_report_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (file, page) = (folder.path().join("report.json"), folder.path().join("report.html"));
    let ended = run(&["--json", "--out", file.to_str().unwrap(), "--html", page.to_str().unwrap()]);
    let report = ended.json();
    assert_eq!((ended.code, &report["left_out"]), (0, &Value::Array(Vec::new())), "{}", ended.stderr);
    assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap(), report);
    assert_eq!((report["format"].as_u64(), report["seed"].as_u64()), (Some(1), Some(1)));
    assert!(report["peak_memory_bytes"].as_u64() > Some(1 << 20) && report["machine"]["energy"].is_string());
    let devices = list(&report, "devices");
    let adapters = scorer_gpu::adapters();
    assert_eq!(devices.len(), 1 + adapters.len());
    devices.iter().for_each(check_device);
    for (device, adapter) in devices[1..].iter().zip(&adapters) {
        let software = adapter.kind == scorer_gpu::AdapterKind::Software;
        assert_eq!(device["kind"], if software { "software" } else { "hardware" });
    }
    assert_eq!(devices[0]["kind"], "cpu");

    let path = file.to_str().unwrap();
    let same = ebbline(["bench", "compare", path, path, "--json"]).json();
    assert!(list(&same, "pairs").iter().all(|pair| pair["ratio"] == 1.0) && list(&same, "notes").is_empty(), "{same}");
    let told = ebbline(["bench", "compare", path, path]);
    assert!(told.code == 0 && told.stdout.contains("(1.00)"), "{told:?}");
    refuses_others(folder.path(), &report);
    page::pages_have_the_figures(folder.path(), &report);
}

/// A report of another format, and a file that is none.
fn refuses_others(folder: &Path, report: &Value) {
    let mut other = report.clone();
    other["format"] = 99.into();
    for (name, text, why) in [("later", other.to_string(), "its format is 99"), ("none", "{}".into(), "no result of")] {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        let refused = ebbline(["bench".as_ref(), "compare".as_ref(), file.as_os_str(), file.as_os_str()]);
        assert!(refused.error().starts_with("error: cannot compare: ") && refused.error().contains(why), "{refused:?}");
    }
}

#[test]
fn people_get_tables_and_equal_seeds_the_same_tables() {
    let first = run(&["--device", "cpu"]);
    assert_eq!(first.code, 0, "{first:?}");
    for part in
        ["What memory gives at most", "Scoring, rows/s", "Scoring in batches", "Counting cells", "Files, rows/s"]
    {
        assert!(first.stdout.contains(part), "{part}: {}", first.stdout);
    }
    let sizes = |seed: &str| {
        let report = run(&["--device", "cpu", "--json", "--seed", seed]).json();
        let size = |score: &Value| (score["views"].as_u64(), score["table_bytes"].as_u64(), score["rows"].as_u64());
        list(&report["devices"][0], "scores").iter().map(size).collect::<Vec<_>>()
    };
    assert_eq!(sizes("5"), sizes("5"));
}

#[test]
fn what_does_not_fit_is_named() {
    let ended = ebbline(["bench", "--device", "cpu", "--views", "8,256", "--seconds", "1", "--json"]);
    let report = ended.json();
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(!list(&report, "left_out").is_empty());
    assert!(list(&report, "left_out").iter().all(|one| one["why"].is_string() && one["what"].is_string()));
}

#[test]
fn a_table_without_room_is_left_out_and_the_rest_stays() {
    let line =
        "ulimit -v 2000000; exec \"$0\" bench --device cpu --quick --views 4 --rows 2048 --table-mib 1,1024 --json";
    let mut command = std::process::Command::new("sh");
    let ended = ebbline_tests::ended(command.args(["-c", line]).arg(ebbline_tests::bin("ebbline")));
    let report = ended.json();
    let left = list(&report, "left_out");
    assert!(ended.code == 3 && left.len() == 1 && left[0]["what"] == "4 views, table 1.0 GiB", "{ended:?}");
    assert!(left[0]["why"].as_str().is_some_and(|why| why.starts_with("needs 3.0 GiB of memory, ")), "{left:?}");
    assert_eq!(list(&report["devices"][0], "scores").len(), 1);
}

#[test]
fn where_there_is_no_adapter_that_is_said() {
    let mut command = std::process::Command::new(ebbline_tests::bin("ebbline"));
    command.args(SMALL).env("VK_DRIVER_FILES", "/nowhere.json").env_remove("VK_ADD_DRIVER_FILES");
    let ended = ebbline_tests::ended(&mut command);
    assert!(ended.code == 0 && ended.stderr.contains("note: no Vulkan adapter was found"), "{ended:?}");
    assert!(ended.stdout.contains("cpu (") && !ended.stdout.contains("software"), "{ended:?}");
}

#[test]
fn what_cannot_be_is_one_line() {
    let none = ebbline(["bench", "--device", "no such card"]);
    assert!(none.error().starts_with("error: no such device: no such card: use one of \"cpu\""), "{none:?}");
    let nowhere = ebbline(["bench", "--out", "no-such-folder/report.json"]);
    assert!(nowhere.error().contains("the folder above it does not exist"), "{nowhere:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("both");
    let file = file.to_str().unwrap();
    // Said before anything is measured.
    let device = ebbline(["bench", "--out", "/dev/null"]);
    assert!(device.error().contains("it is there and is no file; give another name"), "{device:?}");
    let both = ebbline(["bench", "--out", file, "--html", file]);
    assert!(both.error().contains("named for the JSON and for the page"), "{both:?}");
    let missing = ebbline(["bench", "page", "no-such.json", "--out", file]);
    let line = "error: cannot make a page: no-such.json: there is no such file; make one with: ebbline bench --quick --out FILE";
    assert_eq!(missing.error(), line);
    assert!(!Path::new(file).exists());
    assert_eq!(ebbline(["bench", "page"]).code, 2);
    for wrong in [
        ["--views", "0"],
        ["--views", "257"],
        ["--rows", "x"],
        ["--seed", "-1"],
        ["--table-mib", "999999"],
        ["--seconds", "0"],
    ] {
        let ended = ebbline(["bench"].iter().chain(&wrong));
        assert!(ended.code == 2 && ended.stderr.contains("use a whole number from "), "{wrong:?}: {ended:?}");
    }
}
