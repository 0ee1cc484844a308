use super::*;
use std::fs;

fn line(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// A configuration from a file with this text and these flags.
fn load(text: &str, words: &[&str]) -> Result<Configuration, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.toml");
    fs::write(&path, text).unwrap();
    Configuration::load_with(line(words), &path)
}

/// The error of a file, with its place as `LINE:COLUMN`.
fn wrong(text: &str) -> String {
    match load(text, &[]).unwrap_err() {
        ConfigError::Wrong { what, place, why } => format!("{what}: {}:{}: {why}", place.line, place.column),
        other => panic!("{other}"),
    }
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let text = "[archive]\nrotate_seconds = 20\nmax_bytes = \"2G\"\npath = \"/file\"\n[status]\nmetrics = 9464\n";
    let args = load(text, &["--archive", "/flag", "--max-bytes=1M"]).unwrap().args;
    assert_eq!((args.archive.to_str(), args.max_bytes), (Some("/flag"), Some(1 << 20)));
    assert_eq!((args.rotate, args.metrics.unwrap().to_string()), (20, "127.0.0.1:9464".to_owned()));
    assert_eq!((args.rotate_bytes, args.sync, args.user.as_str()), (128 << 20, 5, "ebbline"));
    assert_eq!(load(text, &[]).unwrap().args.max_bytes, Some(2 << 30));
}

#[test]
fn a_switch_of_the_file_is_turned_back_by_a_flag() {
    let off = "[capture]\ncalls = false\n[upload]\ndelete = true\n";
    let args = load(off, &[]).unwrap().args;
    assert!(!args.follows_calls() && args.upload_delete);
    let args = load(off, &["--calls", "true", "--upload-delete=false"]).unwrap().args;
    assert!(args.follows_calls() && !args.upload_delete);
    assert!(!load("[capture]\ncalls = true\n", &["--no-calls"]).unwrap().args.follows_calls());
    assert!(load("", &["--upload-delete"]).unwrap().args.upload_delete);
}

#[test]
fn options_of_a_store_come_as_pairs_and_flags_replace_them() {
    let text = "[upload]\noptions = { region = \"eu\", allow_http = \"true\" }\n";
    let pairs = |words: &[&str]| load(text, words).unwrap().args.upload_option;
    let of = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect::<Vec<_>>();
    assert_eq!(pairs(&[]), of(&[("allow_http", "true"), ("region", "eu")]));
    assert_eq!(pairs(&["--upload-option", "a=b=c"]), of(&[("a", "b=c")]));
}

#[test]
fn a_mistake_is_named_with_its_place_and_what_was_meant() {
    let cases = [
        ("[archive]\n rotate_second = 3", "unknown key: 2:2: archive.rotate_second; did you mean rotate_seconds?"),
        ("[archive]\nmetrics = 1", "unknown key: 2:1: archive.metrics; it belongs below [status]"),
        ("[archiv]\n", "unknown section: 1:2: archiv; did you mean [archive]?"),
        ("path = \"/x\"\n", "unknown section: 1:1: path; write it below [archive]"),
        ("archive = 3\n", "wrong type: 1:11: archive is a section; write [archive] in a line of its own"),
        (
            "[archive]\n# é\nhost = 'é'\nrotate_seconds = \"3\"",
            "wrong type: 4:18: archive.rotate_seconds takes a number, not a value of type string",
        ),
        ("[archive]\nrotate_seconds = 0", "bad value: 2:18: archive.rotate_seconds: 0 is not in 1.."),
        ("[score]\nbackend = \"fpga\"", "bad value: 2:11: score.backend: use auto, cpu, gpu"),
        ("[archive]\nmax_bytes = \"10 GB\"", "bad value: 2:13: archive.max_bytes: use a number of bytes"),
        ("[archive]\nkeep_days = -1", "bad value: 2:13: archive.keep_days: "),
        ("[capture]\ncalls = 1", "wrong type: 2:9: capture.calls takes true or false, not a value of type integer"),
        ("[upload]\noptions = { a = 1 }", "wrong type: 2:17: upload.options takes a table of strings"),
        ("[archive]\npath = \"\"", "bad value: 2:8: archive.path: it is empty"),
        ("[archive]\npath = \"/a\"\npath = \"/b\"", "not TOML: 3:1: duplicate key"),
        ("[archive\n", "not TOML: 1:9: "),
    ];
    for (text, expected) in cases {
        let found = wrong(text);
        assert!(found.starts_with(expected), "{text:?}\n  {found}\n  {expected}");
        assert!(!found.contains('\n'), "{found:?}");
    }
}

#[test]
fn a_file_that_is_named_must_be_there_and_be_a_file_of_text() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let load = |path: &Path| Configuration::load_with(line(&["--config", path.to_str().unwrap()]), Path::new("/"));
    fs::write(at("bytes"), [0xff]).unwrap();
    fs::write(at("long"), vec![b'#'; (1 << 20) + 1]).unwrap();
    for (name, why) in
        [("none here", "No such file"), (".", "not a file"), ("bytes", "not UTF-8"), ("long", "more than")]
    {
        let error = load(&at(name)).unwrap_err().to_string();
        assert!(error.starts_with("cannot read configuration: ") && error.contains(why), "{error}");
    }
    // Nobody asked for the default.
    let nowhere = at("nowhere");
    assert!(Configuration::load_with(Vec::new(), &nowhere).unwrap().file.is_none());
    fs::write(at("wrong"), "x").unwrap();
    assert!(Configuration::load_with(line(&["--config", "none"]), &at("wrong")).unwrap().file.is_none());
    assert!(Configuration::load_with(Vec::new(), &at("wrong")).is_err());
}

#[test]
fn scores_without_a_baseline_are_a_mistake_on_the_command_line() {
    assert!(matches!(load("", &["--out", "x"]), Err(ConfigError::Usage(_))));
    assert!(load("[score]\nbaseline = \"b\"", &["--out", "x"]).is_ok());
    assert!(load("[score]\nout = \"x\"", &[]).is_ok());
}

#[test]
fn the_printed_file_is_valid_and_says_the_defaults() {
    let printed = load(&toml(), &[]).unwrap();
    let mut expected = load("", &["--keep-days=90", "--max-bytes=10G"]).unwrap();
    expected.line.clear();
    assert_eq!(printed.values, expected.values);
    // And with nothing commented out it is valid, too, with every key in it.
    let whole: String = toml()
        .lines()
        .map(|line| if line.starts_with("# ") || line == "#" { "" } else { line.trim_start_matches('#') })
        .flat_map(|line| [line, "\n"])
        .collect();
    let path = Path::new("agent.toml");
    assert_eq!(file::parse(path, &whole).unwrap().len(), KEYS.len(), "{whole}");
    let long = toml().lines().find(|line| line.chars().count() > 100).map(str::to_owned);
    assert_eq!(long, None);
}

#[test]
fn the_installed_file_and_the_page_are_what_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    assert!(read("packaging/agent.toml") == toml(), "run: ebbline-agent config > packaging/agent.toml");
    let page = "run: ebbline-agent config --markdown > docs/configuration.md";
    assert!(read("docs/configuration.md") == markdown(), "{page}");
}

#[test]
fn what_changes_while_running_is_told_from_what_needs_a_restart() {
    let old = load("[score]\nrarer_than = 100\n[capture]\nring_size = \"4M\"\n", &["--rotate", "7"]).unwrap();
    let new = "[score]\nrarer_than = 1000\nbackend = \"cpu\"\n[capture]\nring_size = 8388608\n[archive]\nrotate_seconds = 9\n";
    let reloaded = old.changes_to(&load(new, &["--rotate", "7"]).unwrap());
    assert!(reloaded.touches(Effect::Scorer) && reloaded.touches(Effect::Restart));
    // The flag still wins.
    assert!(!reloaded.touches(Effect::Rotate) && !reloaded.touches(Effect::Space) && !reloaded.touches(Effect::Upload));
    let expected = [
        "score.backend: cpu instead of auto",
        "score.rarer_than: 1000 instead of 100",
        "capture.ring_size: 8388608 instead of 4M; takes effect when the agent is restarted",
    ];
    assert_eq!(reloaded.lines(), expected);
    assert!(
        old.changes_to(
            &load("[score]\nrarer_than = 100\n[capture]\nring_size = \"4M\"\n", &["--rotate", "7"]).unwrap()
        )
        .lines()
        .is_empty()
    );
}

#[test]
fn a_line_that_is_drawn_by_a_flag_wins_whichever_way_the_file_draws_it() {
    let args = |toml: &str, flags: &[&str]| load(toml, flags).unwrap().args;
    let asked = args("[score]\nrarer_than = 100\n", &["--alerts-per-day", "1"]);
    assert_eq!((asked.alerts_per_day, asked.rarer_than), (1.0, None));
    let asked = args("[score]\nalerts_per_day = 3\n", &["--rarer-than", "50"]);
    assert_eq!((asked.alerts_per_day, asked.rarer_than), (5.0, Some(50.0)));
    assert_eq!(args("", &[]).alerts_per_day, 5.0);
    assert!(load("[score]\nalerts_per_day = 3\nrarer_than = 100\n", &[]).is_err(), "there is one line");
}

#[test]
fn options_that_changed_are_not_said() {
    let old = load("[upload]\noptions = { token = \"secret-1\" }\n", &[]).unwrap();
    let reloaded = old.changes_to(&load("[upload]\noptions = { token = \"secret-2\" }\n", &[]).unwrap());
    assert!(reloaded.touches(Effect::Upload));
    assert_eq!(reloaded.lines(), ["upload.options changed"]);
}

#[test]
fn a_baseline_written_again_under_its_name_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("b"), "1").unwrap();
    fs::write(at("agent.toml"), format!("[score]\nbaseline = {:?}\n", at("b"))).unwrap();
    let old =
        Configuration::load_with(line(&["--config", at("agent.toml").to_str().unwrap()]), Path::new("/")).unwrap();
    assert!(!old.changes_to(&old.again().unwrap()).touches(Effect::Scorer));
    fs::write(at("new"), "2").unwrap();
    fs::rename(at("new"), at("b")).unwrap();
    let reloaded = old.changes_to(&old.again().unwrap());
    assert!(reloaded.touches(Effect::Scorer) && !reloaded.touches(Effect::Restart));
    assert_eq!(reloaded.lines(), ["score.baseline: the file was written again"]);
    // A file that is wrong now changes nothing.
    fs::write(at("agent.toml"), "[score]\nbaseline = 3\n").unwrap();
    assert!(old.again().is_err());
}
