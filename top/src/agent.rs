//! Reads the status socket of an agent, and goes on trying when there is none.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::data::Seen;
use crate::error::TopError;
use crate::status::Status;

/// An agent that says nothing for this long is stuck.
const SILENT: Duration = Duration::from_secs(5);
/// Between attempts.
const AGAIN: Duration = Duration::from_secs(1);
/// No status is longer than this.
const LONGEST: u64 = 1 << 20;

/// Makes sure that somebody answers: then the view begins with more than a hope.
///
/// # Errors
/// [`TopError::NoAgent`] or [`TopError::Denied`].
pub(crate) fn greet(path: &Path) -> Result<UnixStream, TopError> {
    match UnixStream::connect(path) {
        Ok(stream) => Ok(stream),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(TopError::Denied(path.into())),
        Err(error) => Err(TopError::NoAgent { path: path.into(), why: error.to_string() }),
    }
}

/// Hands on each status, and why there is none, until nobody listens.
pub(crate) fn follow(path: PathBuf, first: UnixStream, to: Sender<Seen>) {
    let mut first = Some(first);
    loop {
        let stream = first.take().map_or_else(|| UnixStream::connect(&path), Ok);
        let why = match stream.map_err(|error| error.to_string()).and_then(|stream| listen(stream, &to)) {
            Ok(()) => return,
            Err(why) => why,
        };
        if to.send(Seen::Lost(why)).is_err() {
            return;
        }
        std::thread::sleep(AGAIN);
    }
}

/// One connection. It ends well if nobody listens here any more.
fn listen(stream: UnixStream, to: &Sender<Seen>) -> Result<(), String> {
    stream.set_read_timeout(Some(SILENT)).map_err(|error| error.to_string())?;
    let (mut lines, mut any) = (BufReader::new(stream), false);
    loop {
        let mut line = Vec::new();
        lines.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(|error| in_words(&error))?;
        if line.is_empty() {
            let never = "it hung up; it tells at most 8 readers";
            return Err(if any { "it hung up: the agent has ended, or has no worker" } else { never }.to_owned());
        }
        any = true;
        let status = Status::parse(&line)?;
        if to.send(Seen::Status(Box::new(status))).is_err() {
            return Ok(());
        }
    }
}

fn in_words(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("silent for {} s; its worker is stopped, or very busy", SILENT.as_secs())
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    #[test]
    fn it_goes_on_when_an_agent_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        assert!(greet(&path).unwrap_err().to_string().contains("; start one with `ebbline-agent run`"));
        let (to, seen) = crossbeam_channel::bounded(4);
        let listener = UnixListener::bind(&path).unwrap();
        let first = greet(&path).unwrap();
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        let reader = {
            let path = path.clone();
            std::thread::spawn(move || follow(path, first, to))
        };
        let next = || seen.recv_timeout(Duration::from_secs(30)).unwrap();
        assert!(matches!(next(), Seen::Lost(_)));
        let listener = UnixListener::bind(&path).unwrap();
        let say = |text: &[u8]| listener.accept().unwrap().0.write_all(text).unwrap();
        say(b"{\"pid\":7,\"more\":[]}\n");
        let mut said = Vec::new();
        while said.len() < 2 {
            match next() {
                Seen::Status(status) => said.push(status.pid.to_string()),
                Seen::Lost(why) if !said.is_empty() => said.push(why),
                _ => {}
            }
        }
        assert!(said[0] == "7" && said[1].contains("hung up"), "{said:?}");
        say(b"hello\n");
        assert!(matches!(next(), Seen::Lost(why) if why.contains("not a status")));
        drop(seen);
        drop(listener);
        reader.join().unwrap();
    }
}
