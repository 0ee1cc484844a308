//! `ebbline top` on a running agent, in a terminal. Needs root.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

#[allow(dead_code, reason = "shared with live.rs, which uses more of it")]
#[path = "live/harness.rs"]
mod harness;

use ebbline_tests::{Tmux, bin};
use harness::{Live, SOCKET, possible};

#[test]
fn it_shows_an_agent_its_death_and_the_next_one() {
    if !possible() || !Tmux::possible() {
        return;
    }
    let mut live = Live::start(&[]);
    let place = tempfile::tempdir().unwrap();
    let tmux = Tmux::start(place.path(), (120, 30));
    tmux.line(&format!("{} top --socket {}", bin("ebbline").display(), live.folder.path().join(SOCKET).display()));
    let process = |live: &Live| format!("on test, process {}, up ", live.pid());
    let first = process(&live);
    tmux.wait("live", |screen| screen.contains("● live") && screen.contains(&first));
    // The folder that the agent names, which is watched, too.
    let archive = live.folder.path().join("archive");
    tmux.wait("the archive", |screen| {
        screen.contains(archive.to_str().unwrap()) && screen.contains("no complete files")
    });

    live.inside(&["/bin/sh", "-c", "for i in 1 2 3 4 5; do /bin/true; done"]);
    live.expect_open("exec", 6);
    // Six execs, five forks and six ends: every one is counted, and where it is.
    let counts = |screen: &str| screen.lines().any(|line| line.starts_with("process") && line.ends_with(" 17"));
    let screen = tmux.wait("counts", |screen| counts(screen) && screen.contains("balance: 17 = 17 open"));
    assert!(screen.contains("nothing lost"), "{screen}");

    live.kill();
    let lost = tmux.wait("its death", |screen| screen.contains("✗ lost since ") && screen.contains("trying again"));
    assert!(lost.contains("balance: 17 = 17 open"), "the last of it stays: {lost}");
    tmux.keys(&["2"]);
    tmux.wait("it goes on", |screen| screen.contains("[2 Findings") && screen.contains("nothing scored yet"));
    tmux.keys(&["1"]);
    live.restart(&[]);
    let second = process(&live);
    tmux.wait("the next one", |screen| screen.contains("● live") && screen.contains(&second));
    live.stop();
    tmux.wait("its end", |screen| screen.contains("✗ lost since "));
    tmux.keys(&["q"]);
    tmux.wait("the shell", |screen| !screen.contains("Overview") && screen.contains('$'));
    assert_eq!(tmux.fact("#{alternate_on} #{cursor_flag}"), "0 1");
}
