//! The terminal: taken when the view begins, given back however it ends.

use std::io::{self, IsTerminal, Read, Stdout};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crossbeam_channel::Sender;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::style::force_color_output;
use ratatui::crossterm::{cursor, execute, terminal};
use rustix::event::{PollFd, PollFlags, Timespec};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};

use crate::draw::draw;
use crate::error::TopError;
use crate::key::Bytes;
use crate::state::{Event, State};
use crate::theme::Theme;

/// A terminal sends the bytes of a key together: an Esc after which nothing comes for so long was pressed alone.
const LONE_ESCAPE: Timespec = Timespec { tv_sec: 0, tv_nsec: 25_000_000 };

/// Makes sure that there is something to draw on, and to hear keys from.
///
/// # Errors
/// [`TopError::NoTerminal`].
pub(crate) fn is_there() -> Result<(), TopError> {
    match (io::stdout().is_terminal(), io::stdin().is_terminal()) {
        (false, _) => Err(TopError::NoTerminal("standard output")),
        (_, false) => Err(TopError::NoTerminal("standard input")),
        _ => Ok(()),
    }
}

/// A terminal that is ours until this is dropped.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    theme: Theme,
    fallen: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal. A panic on any thread gives it back before it says anything.
    ///
    /// # Errors
    /// The terminal refuses.
    pub fn take(theme: Theme) -> io::Result<Self> {
        let fallen = Arc::new(AtomicBool::new(false));
        let (before, flag) = (std::panic::take_hook(), fallen.clone());
        std::panic::set_hook(Box::new(move |panic| {
            flag.store(true, Relaxed);
            give_back();
            before(panic);
        }));
        // Here it is decided; crossterm would look at NO_COLOR once more.
        force_color_output(theme == Theme::Colour);
        terminal::enable_raw_mode()?;
        let begun = execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match begun {
            Ok(terminal) => Ok(Self { terminal, theme, fallen }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Columns and lines.
    ///
    /// # Errors
    /// The terminal does not say.
    pub fn size(&self) -> io::Result<(u16, u16)> {
        self.terminal.size().map(|size| (size.width, size.height))
    }

    /// Draws what changed.
    ///
    /// # Errors
    /// The terminal refuses.
    pub fn draw(&mut self, state: &State) -> io::Result<()> {
        // After a panic elsewhere the terminal is no longer ours.
        if self.has_fallen() {
            return Ok(());
        }
        self.terminal.draw(|frame| draw(state, self.theme, frame)).map(drop)
    }

    /// Whether a thread has panicked.
    #[must_use]
    pub fn has_fallen(&self) -> bool {
        self.fallen.load(Relaxed)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if !self.has_fallen() {
            give_back();
        }
    }
}

/// As it was before. If that fails, there is nobody to tell.
fn give_back() {
    let _ = execute!(io::stdout(), terminal::LeaveAlternateScreen, cursor::Show);
    let _ = terminal::disable_raw_mode();
}

/// Asked to end by a signal. Whoever asks twice does not wait for a terminal that takes nothing.
pub(crate) fn signals() -> io::Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, asked.clone())?;
        signal_hook::flag::register(signal, asked.clone())?;
    }
    Ok(asked)
}

/// Hands on keys and sizes until nobody listens, or the terminal is gone.
pub(crate) fn listen(to: &Sender<Event>) -> io::Result<()> {
    let (resized, signal) = UnixStream::pair()?;
    resized.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(SIGWINCH, signal)?;
    let stdin = io::stdin();
    let (mut bytes, mut buffer) = (Bytes::default(), [0; 1024]);
    loop {
        let mut asked = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(&resized, PollFlags::IN)];
        let wait = bytes.is_escape().then_some(&LONE_ESCAPE);
        let came = match rustix::event::poll(&mut asked, wait) {
            Err(rustix::io::Errno::INTR) => continue,
            came => came?,
        };
        let [has_keys, has_size] = asked.map(|one| !one.revents().is_empty());
        let mut events: Vec<Event> = Vec::new();
        if has_size {
            while (&resized).read(&mut buffer).is_ok_and(|read| read > 0) {}
            let (columns, lines) = terminal::size()?;
            events.push(Event::Resize(columns, lines));
        }
        if has_keys {
            match rustix::io::read(&stdin, &mut buffer) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(0) => return Ok(()),
                read => events.extend(bytes.read(&buffer[..read?]).into_iter().map(Event::Key)),
            }
        }
        if came == 0 {
            events.extend(bytes.silence().map(Event::Key));
        }
        if events.into_iter().any(|event| to.send(event).is_err()) {
            return Ok(());
        }
    }
}
