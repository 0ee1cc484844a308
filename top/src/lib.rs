//! A live terminal view of an agent or an archive. It only reads.
//!
//! ```text
//! status socket ─▶ agent ──┐
//! findings, files ─▶ folder ─┤ bounded channels ─▶ State::update ─▶ draw ─▶ terminal
//! terminal ─▶ keys ────────┤                          │
//!            answers ◀ teller ◀───────────────────────┘ what to read
//! ```
//! [`State`] is a pure function of what happened, [`draw`] of the state: both are tested without a terminal.

mod agent;
mod data;
mod draw;
mod error;
mod folder;
mod key;
mod page;
mod screen;
mod state;
mod status;
mod teller;
mod text;
mod theme;
mod volume;

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Select, Sender, bounded};
use model::Lens;
use triage::Options;

pub use data::{Agent, Data, FINDINGS, Findings, GAPS, HISTORY, INCIDENTS, Incidents, Link, Rates, Seen};
pub use draw::{HELP, LEAST, draw};
pub use error::TopError;
pub use key::Key;
pub use page::{Goal, Item};
pub use screen::Screen;
pub use state::{Answer, Event, List, Open, Page, State, Tab, Wish};
pub use status::{Books, Own, Status};
pub use teller::{Ask, Question, Reply, Told};
pub use text::{Parts, clean, cut, width};
pub use theme::{Role, Theme};
pub use volume::{HOURS, Volume};

/// Where the status socket is unless told otherwise.
pub const SOCKET: &str = "/run/ebbline/agent.sock";

/// What waits between threads, each.
const QUEUE: usize = 64;
/// Questions that wait; more are not asked.
const ASKS: usize = 4;
/// The clock on the screen, and whoever wants it to end, wait no longer than this.
const TICK: Duration = Duration::from_millis(200);
/// Events taken in before the next picture.
const BURST: usize = 256;

/// What to look at.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The agent's socket; nothing to ask no agent.
    pub socket: Option<PathBuf>,
    /// The folder of results, and where the rows are; nothing to take what the agent says.
    pub folder: Option<Options>,
    /// Lenses, for tables of other programs and for techniques.
    pub lenses: Vec<Lens>,
    /// Colours; what the environment asks for if nothing is said.
    pub theme: Option<Theme>,
}

/// Shows it until somebody ends it.
///
/// # Errors
/// There is no terminal, nothing to look at, or the terminal is gone.
pub fn run(view: View) -> Result<(), TopError> {
    screen::is_there()?;
    if let Some(folder) = &view.folder {
        let path = &folder.out;
        std::fs::read_dir(path).map_err(|why| TopError::NoFolder { path: path.clone(), why: why.to_string() })?;
    }
    let agent = view.socket.as_deref().map(agent::greet).transpose()?;
    let asked = screen::signals()?;
    let mut screen = Screen::take(view.theme.unwrap_or_else(Theme::of_environment))?;
    let folder = view.folder.as_ref().map(|folder| folder.out.clone());
    let state = State::new(screen.size()?, now(), view.socket.is_some(), folder);
    let mut running = Running::start(view, agent, state)?;
    screen.draw(&running.state)?;
    while !asked.load(Relaxed) {
        let round = running.round()?;
        if screen.has_fallen() {
            return Err(TopError::Defect("a thread of the view"));
        }
        match round {
            Round::Same => {}
            Round::New => screen.draw(&running.state)?,
            Round::End => break,
        }
    }
    Ok(())
}

/// Nanoseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// What a round led to.
enum Round {
    Same,
    New,
    End,
}

/// The state, and who tells it what happens.
struct Running {
    state: State,
    keys: Receiver<Event>,
    seen: (Sender<Seen>, Receiver<Seen>),
    told: (Sender<Reply>, Receiver<Reply>),
    asks: Option<Sender<Ask>>,
    lenses: Vec<Lens>,
}

impl Running {
    fn start(view: View, agent: Option<UnixStream>, state: State) -> std::io::Result<Self> {
        let (to, keys) = bounded(QUEUE);
        // That the terminal is gone is noticed as nothing is sent any more.
        thread("keys", move || drop(screen::listen(&to)))?;
        let mut this =
            Self { state, keys, seen: bounded(QUEUE), told: bounded(QUEUE), asks: None, lenses: view.lenses };
        if let Some((socket, stream)) = view.socket.zip(agent) {
            let to = this.seen.0.clone();
            thread("agent", move || agent::follow(socket, stream, to))?;
        }
        if let Some(folder) = view.folder {
            this.watch(folder)?;
        }
        Ok(this)
    }

    /// Begins to watch a folder, and to answer what is asked of it.
    fn watch(&mut self, options: Options) -> std::io::Result<()> {
        let (ask, asks) = bounded(ASKS);
        let (seen, told) = (self.seen.0.clone(), self.told.0.clone());
        let (asked, lenses) = (options.clone(), self.lenses.clone());
        thread("teller", move || teller::answer(&asked, &lenses, &asks, &told))?;
        thread("folder", move || folder::follow(options, seen))?;
        self.asks = Some(ask);
        Ok(())
    }

    /// Waits for something to happen, and takes it in with what came meanwhile. The clock shows seconds.
    fn round(&mut self) -> Result<Round, TopError> {
        let mut select = Select::new();
        select.recv(&self.keys);
        select.recv(&self.seen.1);
        select.recv(&self.told.1);
        let _ = select.ready_timeout(TICK);
        let second = |time: i64| time / 1_000_000_000;
        let before = second(self.state.now);
        self.state.update(Event::Tick(now()));
        let mut round = if before == second(self.state.now) { Round::Same } else { Round::New };
        for _ in 0..BURST {
            let event = match self.keys.try_recv() {
                Ok(event) => Some(event),
                Err(error) if error.is_disconnected() => return Err(gone()),
                Err(_) => None,
            };
            let event = event
                .or_else(|| self.told.1.try_recv().ok().map(Event::Told))
                .or_else(|| self.seen.1.try_recv().ok().map(Event::Seen));
            let Some(event) = event else { break };
            if !self.take(event)? {
                return Ok(Round::End);
            }
            round = Round::New;
        }
        Ok(round)
    }

    /// Takes in what happened, and does what follows. False is the end.
    fn take(&mut self, event: Event) -> Result<bool, TopError> {
        match self.state.update(event) {
            None => {}
            Some(Wish::Quit) => return Ok(false),
            Some(Wish::Watch(out, archives)) => self.watch(Options { out, archives, baseline: None })?,
            Some(Wish::Ask(ask)) => {
                let number = ask.number;
                let full = self.asks.as_ref().is_none_or(|asks| asks.try_send(ask).is_err());
                if full {
                    let told = Told::Failed("others are being read; go back and open it again".to_owned());
                    self.state.update(Event::Told(Reply { number, told }));
                }
            }
        }
        Ok(true)
    }
}

fn gone() -> TopError {
    TopError::Terminal(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "it is gone"))
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}
