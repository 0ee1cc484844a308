//! The scorer's process: takes what the agent sends, scores it, answers.

use super::{
    Scoring,
    message::{Answer, Ready, Reply, Request, below, decode, is_decoding, nonsense, receive, send},
};
use crate::{
    books::WriterBooks,
    error::AgentError,
    sandbox::{self, Plan},
    sink::Follower,
};
use archive::LiveFile;
use std::{
    io::{Error, ErrorKind, Result},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::signal::unix::{SignalKind, signal};

/// Scores what comes in over the socket that is standard input, until the agent says that it is over, or is gone.
///
/// # Errors
/// [`AgentError::Scorer`] if standard input is no socket of an agent, or what comes in is not what an agent sends.
pub fn serve() -> std::result::Result<(), AgentError> {
    let fail = |error: Error| AgentError::Scorer(format!("cannot score: standard input: {error}"));
    // By whoever started it: the worker, which sends the rest, is believed nothing.
    let plan = Plan::from_environment().map_err(|error| AgentError::Scorer(error.to_string()))?;
    if let Some(plan) = plan {
        sandbox::lock_down(&plan).map_err(|error| AgentError::Scorer(error.to_string()))?;
    }
    let socket = inherited().map_err(fail)?;
    outlive_signals().map_err(fail)?;
    quiet_decoding();
    match Server::open(socket).and_then(|server| server.map_or(Ok(()), Server::work)) {
        // The agent is gone, and has said why or could not.
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(()),
        result => result.map_err(fail),
    }
}

fn inherited() -> Result<UnixStream> {
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let none = |_| Error::other("it is no socket; an agent starts this by itself");
    socket.peer_addr().map_err(none)?;
    Ok(socket)
}

/// Ctrl-C and a service manager's signals go to all processes of the agent; this one ends when the agent says so.
fn outlive_signals() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    // A signal once caught stays caught.
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        drop(signal(kind)?);
    }
    Ok(())
}

/// A stream that cannot be read is said as an error, in one line.
pub(super) fn quiet_decoding() {
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !is_decoding() {
            say(panic);
        }
    }));
}

struct Server {
    socket: UnixStream,
    books: Arc<WriterBooks>,
    scoring: Scoring,
}

impl Server {
    /// Opens what the settings name, and says how that went; `None` if it went wrong.
    fn open(socket: UnixStream) -> Result<Option<Self>> {
        let settings = match receive(&socket)? {
            Some((Request::Settings(settings), _)) => settings,
            Some(_) => return Err(nonsense("no settings".into())),
            None => return Ok(None),
        };
        let books = Arc::new(WriterBooks::default());
        let scoring = match Scoring::open(&settings, books.clone()) {
            Ok(scoring) => scoring,
            Err(error) => {
                let reply = Reply { answer: Answer::Failed(error.to_string()), findings: 0 };
                send(&socket, &reply, &[])?;
                return Ok(None);
            }
        };
        let (backend, device, reason) = scoring.backend();
        let ready = Ready {
            backend: backend.into(),
            device: device.into(),
            reason: reason.into(),
            baseline: scoring.baseline().into(),
            promise: scoring.promise(),
            tables: scoring.tables().to_vec(),
            process: std::process::id(),
        };
        let server = Self { socket, books, scoring };
        server.answer(Answer::Ready(ready))?;
        Ok(Some(server))
    }

    fn answer(&self, answer: Answer) -> Result<()> {
        let reply = Reply { answer, findings: self.books.findings.load(Relaxed) };
        send(&self.socket, &reply, &[])
    }

    fn work(mut self) -> Result<()> {
        let worked = self.requests();
        // Whatever ended it: what was found so far is told.
        self.scoring.abandon();
        worked
    }

    fn requests(&mut self) -> Result<()> {
        while let Some((request, body)) = receive(&self.socket)? {
            let answer = self.carry_out(request, &body)?;
            let last = matches!(answer, Answer::Ended(_));
            self.answer(answer)?;
            if last {
                break;
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, request: Request, body: &[u8]) -> Result<Answer> {
        Ok(match request {
            Request::Settings(_) => return Err(nonsense("settings twice".into())),
            Request::Placed { table, placed } => {
                let rows = decode(&table, body)?;
                let checked = placed.iter().map(|run| run.checked(rows.num_rows()));
                let placed = checked.collect::<Result<Vec<_>>>()?;
                let scored = self.scoring.score(&table, &rows, &placed);
                // A scorer that is always busy is never told the time.
                self.scoring.tick();
                Answer::Scored(scored)
            }
            Request::Finished(file) => match self.scoring.file_finished(&file.checked()?) {
                LiveFile::Scored => Answer::FileDone { scored: true },
                LiveFile::NoEvents => Answer::FileDone { scored: false },
                LiveFile::Skipped(reason) => Answer::FileSkipped(reason),
            },
            Request::GivenUp { relative, begun_by } => {
                self.scoring.give_up(below(&relative)?, begun_by);
                Answer::Heard
            }
            Request::Tick => {
                self.scoring.tick();
                Answer::Heard
            }
            Request::Finish => {
                let run = serde_json::from_slice(body).map_err(|error| nonsense(error.to_string()))?;
                Answer::Ended(self.scoring.finish_as(run))
            }
        })
    }
}
