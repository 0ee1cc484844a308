//! A terminal that a test can type into and look at: tmux, with a server of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Something that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(100);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// One terminal with a shell in it. It ends when this is dropped.
pub struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// Whether there is a tmux. Where there is none that is said, and in CI is a failure.
    #[must_use]
    pub fn possible() -> bool {
        let there = Command::new("tmux").arg("-V").output().is_ok_and(|output| output.status.success());
        if !there {
            crate::skip("no tmux: apt-get install tmux");
        }
        there
    }

    /// Starts a shell in a folder, in a terminal of so many columns and lines. The folder also holds tmux's socket.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(folder: &Path, (columns, lines): (u16, u16)) -> Self {
        // One server may still be ending when the next one starts.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let this = Self { socket: folder.join(format!("tmux-{}", NEXT.fetch_add(1, Relaxed))) };
        let size = [columns.to_string(), lines.to_string()];
        let mut command = this.command(&["new-session", "-d", "-x", &size[0], "-y", &size[1], "-s", "t"]);
        command.args(["env", "-u", "NO_COLOR", "PS1=$ ", "sh"]).current_dir(folder);
        this.done(&mut command);
        this.wait("a prompt", |screen| screen.contains('$'));
        this
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-u", "-f", "/dev/null", "-S"]).arg(&self.socket).args(args);
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX");
        command
    }

    fn done(&self, command: &mut Command) -> String {
        let output = command.output().expect("tmux starts");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("tmux says text")
    }

    /// Types a line into the shell.
    ///
    /// # Panics
    /// When tmux is gone.
    pub fn line(&self, text: &str) {
        self.done(&mut self.command(&["send-keys", "-t", "t", "-l", text]));
        self.keys(&["Enter"]);
    }

    /// Presses keys, by tmux's names.
    ///
    /// # Panics
    /// When tmux is gone.
    pub fn keys(&self, keys: &[&str]) {
        self.done(self.command(&["send-keys", "-t", "t"]).args(keys));
    }

    /// Makes it larger or smaller.
    ///
    /// # Panics
    /// When tmux is gone.
    pub fn resize(&self, (columns, lines): (u16, u16)) {
        let size = [columns.to_string(), lines.to_string()];
        self.done(&mut self.command(&["resize-window", "-t", "t", "-x", &size[0], "-y", &size[1]]));
    }

    /// What is on the screen, without colours; with them as escapes if that is wanted.
    ///
    /// # Panics
    /// When tmux is gone.
    #[must_use]
    pub fn screen(&self, escapes: bool) -> String {
        let more: &[&str] = if escapes { &["-e"] } else { &[] };
        self.done(self.command(&["capture-pane", "-p", "-t", "t"]).args(more))
    }

    /// What tmux knows of the terminal, such as `#{alternate_on}`.
    ///
    /// # Panics
    /// When tmux is gone.
    #[must_use]
    pub fn fact(&self, format: &str) -> String {
        self.done(&mut self.command(&["display-message", "-p", "-t", "t", format])).trim_end().to_owned()
    }

    /// Waits until the screen says something, and says it still a moment later.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn wait(&self, what: &str, says: impl Fn(&str) -> bool) -> String {
        let asked = Instant::now();
        let mut before = String::new();
        loop {
            let screen = self.screen(false);
            if says(&screen) && screen == before {
                return screen;
            }
            assert!(asked.elapsed() < PATIENCE, "not on the screen: {what}\n{screen}");
            before = screen;
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.command(&["kill-server"]).output();
    }
}
