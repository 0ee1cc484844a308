//! The real program in a real terminal (tmux), through every screen, with a recording and an agent that a test plays.
//!
//! `EBBLINE_WRITE_GOLDEN=1 cargo test --workspace --test terminal` writes what is seen to `docs/images/top`.
#![allow(missing_docs)]

mod made_up;

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ebbline_tests::{Tmux, bin, ebbline, ended};
use ebbline_top::{Screen, Theme};

const SIZES: [(u16, u16); 2] = [(80, 24), (200, 60)];
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// What ends a program that is told to.
const TERM: &str = "TERM";

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// The recording of the demo, learned and scored: `archive` and `scored` in a folder.
fn recording(folder: &Path) {
    let data = Path::new(ROOT).join("tests/data/recording");
    let (baseline, archive) = (folder.join("b.baseline"), folder.join("archive"));
    let copied = ended(Command::new("cp").arg("-r").arg(data.join("live")).arg(&archive));
    assert_eq!(copied.code, 0, "{copied:?}");
    let learned = ebbline(["learn", text(&data.join("learn")), "--out", text(&baseline)]);
    assert_eq!(learned.code, 0, "{learned:?}");
    let out = folder.join("scored");
    let args = ["score", text(&archive), "--baseline", text(&baseline), "--out", text(&out), "--rarer-than", "32"];
    assert_eq!(ebbline(args).code, 0);
}

/// An agent of which only the socket is there.
struct Played {
    path: PathBuf,
    listener: UnixListener,
    reader: Option<UnixStream>,
}

impl Played {
    fn start(folder: &Path) -> Self {
        let path = folder.join("s.sock");
        let listener = UnixListener::bind(&path).unwrap();
        Self { path, listener, reader: None }
    }

    fn greeted(&mut self) {
        let (mut reader, _) = self.listener.accept().unwrap();
        reader.write_all(line(0).as_bytes()).unwrap();
        self.reader = Some(reader);
    }

    fn say(&mut self, seconds: std::ops::Range<u64>) {
        let reader = self.reader.as_mut().unwrap();
        seconds.for_each(|second| reader.write_all(line(second).as_bytes()).unwrap());
    }

    fn die(self) -> PathBuf {
        std::fs::remove_file(&self.path).unwrap();
        self.path
    }
}

fn line(second: u64) -> String {
    format!("{}\n", made_up::status(second))
}

/// The clock, since when an agent is lost, and ids that depend on a key: others each time.
fn masked(screen: &str) -> String {
    let mut out = String::new();
    for (number, line) in screen.lines().enumerate() {
        let line = match (number, line.rsplit_once(' '), line.split_once(')')) {
            (0, Some((rest, "UTC")), _) => format!("{}HH:MM:SS UTC", &rest[..rest.len() - 8]),
            (1, _, Some((lost, rest))) if lost.contains("lost since") => {
                format!("✗ lost since HH:MM:SS UTC (N s){rest}")
            }
            _ => line.to_owned(),
        };
        out += line.trim_end();
        out.push('\n');
    }
    let ids = out.split_inclusive(' ').map(|word| match word.trim_end() {
        id if id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => word.replace(id, "0123456789abcdef"),
        _ => word.to_owned(),
    });
    ids.collect()
}

/// Compares a screen with the committed one.
fn seen(name: &str, (columns, lines): (u16, u16), screen: &str) {
    let path = format!("{ROOT}/docs/images/top/{name}-{columns}x{lines}.txt");
    let screen = masked(screen);
    if std::env::var_os("EBBLINE_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(format!("{ROOT}/docs/images/top")).unwrap();
        std::fs::write(&path, &screen).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let how = "if that is meant: EBBLINE_WRITE_GOLDEN=1 cargo test --workspace --test terminal";
    assert!(golden == screen, "{path}: the screen changed; {how}\n{screen}");
}

/// A terminal with the view in it.
fn view(folder: &Path, size: (u16, u16), args: &str) -> Tmux {
    let tmux = Tmux::start(folder, size);
    tmux.line(&format!("clear; {} top {args}", text(&bin("ebbline"))));
    tmux
}

/// The shell has its terminal back, as it was.
fn restored(tmux: &Tmux) {
    tmux.line("stty -a; echo done");
    let screen = tmux.wait("the shell", |screen| screen.lines().any(|line| line == "done"));
    assert!(screen.contains(" icanon") && screen.contains(" echo "), "{screen}");
    assert_eq!(tmux.fact("#{alternate_on} #{cursor_flag}"), "0 1");
}

#[test]
fn every_screen_of_a_folder_and_an_agent() {
    if !Tmux::possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    recording(folder.path());
    for size in SIZES {
        let mut agent = Played::start(folder.path());
        let tmux = view(folder.path(), size, "scored --archive archive --socket s.sock");
        agent.greeted();
        agent.say(1..120);
        let ready =
            |screen: &str| screen.contains("live") && screen.contains("2 Findings ") && screen.contains("3 Incidents ");
        let all = |screen: &str| ready(screen) && screen.contains("238,096") && !screen.contains("reading …");
        seen("overview", size, &tmux.wait("overview", all));
        let go = |name: &str, keys: &[&str], says: &str| {
            tmux.keys(keys);
            seen(name, size, &tmux.wait(says, |screen| screen.contains(says) && !screen.contains("Reading")));
        };
        go("not-seen", &["Enter"], "Coverage of the archive");
        go("findings", &["2", "Down", "Down"], "▸");
        go("findings-rarest", &["s"], "the rarest first");
        go("findings-filter", &["/", "m", "e", "m", "f", "d", "Enter"], "with \"memfd\"");
        go("finding", &["Enter"], "Why it is unusual: bits");
        go("around", &["End", "Enter"], "◀ this row");
        // Two at once are two: both pages are left.
        tmux.keys(&["Escape", "Escape"]);
        tmux.wait("the list again", |screen| screen.lines().next().is_some_and(|line| !line.contains('›')));
        go("incidents", &["3"], "the most unusual first");
        go("incident", &["Enter"], "What happened");
        go("help", &["?"], "Shift-Tab");
        tmux.keys(&["x"]);
        tmux.resize((50, 12));
        tmux.wait("too small", |screen| screen.contains("needs 60 and 16"));
        tmux.resize(size);
        tmux.wait("incident again", |screen| screen.contains("What happened"));
        let path = agent.die();
        tmux.keys(&["1"]);
        let lost = tmux.wait("lost", |screen| screen.contains("✗ lost since") && screen.contains("No such file"));
        seen("lost", size, &lost);
        let mut agent = Played { listener: UnixListener::bind(&path).unwrap(), path, reader: None };
        agent.greeted();
        tmux.wait("live again", |screen| screen.contains("● live"));
        agent.die();
        tmux.keys(&["q"]);
        restored(&tmux);
        assert!(!folder.path().join("scored/incidents").exists(), "it only reads");
    }
}

#[test]
fn colours_go_by_the_environment_and_the_flag() {
    if !Tmux::possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("scored")).unwrap();
    let colour = |before: &str, args: &str| {
        let tmux = Tmux::start(folder.path(), (80, 24));
        tmux.line(&format!("{before} {} top scored {args}", text(&bin("ebbline"))));
        tmux.wait("an empty folder", |screen| {
            screen.contains("no complete files yet") && screen.contains("no gap is known")
        });
        tmux.keys(&["?"]);
        tmux.wait("help", |screen| screen.contains("Shift-Tab"));
        let screen = tmux.screen(true);
        // The keys are cyan, which a terminal of more colours calls its sixth.
        let cyan = ["\x1b[36m", "\x1b[38;5;6m"].iter().any(|cyan| screen.contains(cyan));
        (cyan, screen.contains('\x1b'))
    };
    assert_eq!(colour("", ""), (true, true));
    assert_eq!(colour("NO_COLOR=1", ""), (false, true));
    assert_eq!(colour("", "--color never"), (false, true));
    assert_eq!(colour("NO_COLOR=1", "--color always"), (true, true));
    assert_eq!(colour("TERM=dumb", ""), (false, false));
}

#[test]
fn a_signal_and_a_panic_give_the_terminal_back() {
    if !Tmux::possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("scored")).unwrap();
    let tmux = view(folder.path(), (80, 24), "scored & echo $! > pid; fg");
    tmux.wait("the view", |screen| screen.contains("no complete files yet"));
    let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
    assert_eq!(ended(Command::new("kill").args(["-s", TERM, pid.trim()])).code, 0);
    tmux.wait("the shell", |screen| !screen.contains("Overview"));
    restored(&tmux);
    let this = std::env::current_exe().unwrap();
    tmux.line(&format!("clear; EBBLINE_PANIC=1 {} --exact --nocapture panics_on_a_screen", text(&this)));
    let said = tmux.wait("why", |screen| screen.contains("a defect, for a test"));
    assert!(said.contains("panicked at"), "{said}");
    restored(&tmux);
}

/// Run by the test above, in its terminal.
#[test]
fn panics_on_a_screen() {
    if std::env::var_os("EBBLINE_PANIC").is_none() {
        return;
    }
    let mut screen = Screen::take(Theme::Colour).unwrap();
    screen.draw(&made_up::state((80, 24))).unwrap();
    panic!("a defect, for a test");
}

#[test]
fn what_cannot_be_shown_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(bin("ebbline"));
    let error = ended(command.args(["top", text(folder.path())]).stdin(Stdio::null())).error().to_owned();
    assert!(
        error.starts_with("error: not a terminal: standard output: ") && error.contains("status --json"),
        "{error}"
    );
    if !Tmux::possible() {
        return;
    }
    let tmux = Tmux::start(folder.path(), (200, 24));
    for (args, says) in [
        ("--socket none.sock", "error: no agent: none.sock: No such file or directory"),
        ("nowhere", "error: cannot read: nowhere: No such file or directory"),
    ] {
        tmux.line(&format!("clear; {} top {args}; echo code $?", text(&bin("ebbline"))));
        let screen = tmux.wait(says, |screen| screen.contains(says) && screen.contains("code 1"));
        assert!(screen.contains("ebbline top DIR") || screen.contains("name the folder"), "{screen}");
    }
}
