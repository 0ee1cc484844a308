//! `ebbline bench page`, and the page of `--html`.

use std::path::Path;
use std::process::Command;

use ebbline_tests::{Ended, ebbline, ended};
use serde_json::Value;

/// What is in a page's block of data.
fn data_of(page: &Path) -> Value {
    let text = std::fs::read_to_string(page).unwrap();
    assert!(text.contains("data-page=\"bench\"") && text.contains("default-src 'none'"), "{}", page.display());
    let (_, from) = text.rsplit_once("id=\"data\">").expect("a block of data");
    let (block, _) = from.split_once("</script").expect("its end");
    assert!(!block.contains(['<', '>', '&']), "{block}");
    serde_json::from_str(block).unwrap()
}

/// `--html` has the figures of `--json`; `page` has those of files, under their names, and whatever texts are in them.
pub(crate) fn pages_have_the_figures(folder: &Path, report: &Value) {
    let own = data_of(&folder.join("report.html"));
    assert_eq!(
        (&own["format"], &own["results"]),
        (&1.into(), &serde_json::json!([{ "name": null, "report": report }]))
    );

    let mut other = report.clone();
    other["devices"][0]["name"] = "</script><script>alert(1)</script><!--".into();
    let (first, second, page) = (folder.join("report.json"), folder.join("other.json"), folder.join("both.html"));
    std::fs::write(&second, other.to_string()).unwrap();
    let make = |out: &Path| {
        let [first, second, out] = [&first, &second, out].map(Path::as_os_str);
        ebbline(["bench".as_ref(), "page".as_ref(), first, second, "--out".as_ref(), out, "--json".as_ref()])
    };
    let told = make(&page).json();
    assert_eq!((told["results"].as_u64(), told["bytes"].as_u64()), (Some(2), Some(page.metadata().unwrap().len())));
    let both = serde_json::json!([{ "name": "report", "report": report }, { "name": "other", "report": other }]);
    assert_eq!(data_of(&page)["results"], both);
    let again = folder.join("again.html");
    make(&again);
    assert_eq!(std::fs::read(&page).unwrap(), std::fs::read(&again).unwrap(), "equal results give an equal file");

    refuses_what_is_no_result(folder, report, &make);
}

/// One line that names the file and what would make a result, and no page.
fn refuses_what_is_no_result(folder: &Path, report: &Value, make: &dyn Fn(&Path) -> Ended) {
    let none = "; make one with: ebbline bench --quick --out FILE (";
    for (name, text, why, more) in [
        ("cut.json", &report.to_string()[..1000], "it is not JSON, so no result of `ebbline bench --json`", none),
        (
            "other.json",
            "{\"format\": 1, \"measured\": []}",
            "it is JSON, but no result of `ebbline bench --json`",
            none,
        ),
        (
            "later.json",
            "{\"format\": 2}",
            "it is a result of a newer Ebbline: its format is 2",
            "; use that release, or make",
        ),
        ("long.json", &" ".repeat((16 << 20) + 1), "it has 16,777,217 bytes, and no result of", ""),
        ("binary.json", "\u{0}\u{1}", "it is not JSON", none),
        ("empty.json", "", "it is empty, so no result", "; make one with"),
        ("nan.json", "{\"format\": 1, \"seed\": NaN}", "it is not JSON", "expected value at line 1 column 23)"),
    ] {
        std::fs::write(folder.join("other.json"), text).unwrap();
        let out = folder.join(name).with_extension("html");
        let wrong = make(&out);
        let error = wrong.error();
        assert!(!out.exists() && error.contains(why) && error.contains(more), "{name}: {error}");
        assert!(error.starts_with("error: cannot make a page: ") && error.contains("other.json"), "{name}: {error}");
    }
}

#[test]
fn pipes_are_read_and_nobody_is_waited_for_in_vain() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = ended(Command::new("mkfifo").arg(&pipe));
    assert_eq!(made.code, 0, "{made:?}");
    let page =
        |at: &Path| ebbline(["bench".as_ref(), "page".as_ref(), at.as_os_str(), "--out=/dev/null/page".as_ref()]);
    let begun = std::time::Instant::now();
    let alone = page(&pipe);
    assert!(alone.error().contains("nobody wrote into it within 5 s; write the result to a file and name that"));
    assert!(begun.elapsed().as_secs() < 30 && alone.stderr.starts_with("note: "), "{alone:?}");

    // Somebody writes, late, and what no result is.
    let into = pipe.clone();
    let writer = std::thread::spawn(move || std::fs::write(into, "{\"format\": 3}").unwrap());
    assert!(page(&pipe).error().contains("its format is 3"));
    writer.join().unwrap();
    assert!(page(Path::new("/dev/zero")).error().contains("it is a device; name a file"));
}

#[test]
fn more_results_than_have_room_are_refused_at_once() {
    let names: Vec<String> = (0..13).map(|n| format!("no-such-{n}.json")).collect();
    let many = ebbline(["bench", "page"].into_iter().chain(names.iter().map(String::as_str)));
    let error = many.error();
    assert!(error.ends_with("13 results were named, and a page has room for 12; make several pages"), "{error}");
}
