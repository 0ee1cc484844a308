//! Asks a running agent for its status.

use super::Status;
use crate::error::AgentError;
use std::{
    io::{BufRead, BufReader, ErrorKind, Read},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

/// An agent that says nothing for this long is stuck.
const SILENT: Duration = Duration::from_secs(5);
/// No status is longer than this.
const LONGEST: u64 = 1 << 20;

/// A running agent's status, line by line.
pub struct Answers {
    path: PathBuf,
    lines: BufReader<UnixStream>,
    any: bool,
}

/// One status.
pub struct Answer {
    /// As it came, without the line end.
    pub line: String,
    /// What it says.
    pub status: Status,
}

impl Answers {
    /// Connects to an agent's socket.
    ///
    /// # Errors
    /// [`AgentError::NoAgent`] if there is none, [`AgentError::StatusDenied`] if it may not be asked.
    pub fn connect(path: &Path) -> Result<Self, AgentError> {
        let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => AgentError::StatusDenied(path.into()),
            _ => AgentError::NoAgent { path: path.into(), why: error.to_string() },
        })?;
        let answers = Self { path: path.into(), lines: BufReader::new(stream), any: false };
        answers.lines.get_ref().set_read_timeout(Some(SILENT)).map_err(|error| answers.fail(error.to_string()))?;
        Ok(answers)
    }

    fn fail(&self, why: String) -> AgentError {
        AgentError::NoAnswer { path: self.path.clone(), why }
    }

    /// The next status; `None` when the agent has ended.
    ///
    /// # Errors
    /// [`AgentError::NoAnswer`] if it says nothing, or something else.
    pub fn receive(&mut self) -> Result<Option<Answer>, AgentError> {
        let mut line = String::new();
        let read = self.lines.by_ref().take(LONGEST).read_line(&mut line);
        read.map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                self.fail(format!("silent for {} s; the agent's worker is stopped, or very busy", SILENT.as_secs()))
            }
            _ => self.fail(error.to_string()),
        })?;
        if line.is_empty() {
            let busy = || self.fail(format!("it hung up; at most {} readers are told", super::serve::READERS));
            return if self.any { Ok(None) } else { Err(busy()) };
        }
        self.any = true;
        let status = serde_json::from_str(&line).map_err(|error| self.fail(format!("not a status: {error}")))?;
        line.truncate(line.trim_end().len());
        Ok(Some(Answer { line, status }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, os::unix::net::UnixListener};

    #[test]
    fn no_agent_and_what_is_none_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let error = Answers::connect(&path).err().unwrap().to_string();
        let (start, end) = (format!("no agent: {}: ", path.display()), "; start one with ebbline-agent run");
        assert!(error.starts_with(&start) && error.ends_with(end), "{error}");
        let listener = UnixListener::bind(&path).unwrap();
        let say = |text: &str| {
            let mut answers = Answers::connect(&path).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            drop(stream);
            answers.receive().and_then(|first| Ok((first, answers.receive()?)))
        };
        assert!(say("").err().unwrap().to_string().contains("hung up"));
        assert!(say("hello\n").err().unwrap().to_string().contains("not a status"));
        let (first, second) = say("{\"pid\":7,\"more\":1}\n").unwrap();
        let first = first.unwrap();
        assert_eq!((first.line.as_str(), first.status.pid), ("{\"pid\":7,\"more\":1}", 7));
        assert!(second.is_none());
    }
}
