//! Answers whoever asks while there is no worker to do so. It reads nothing, and waits for nobody.

use super::{
    Status,
    serve::{Listeners, READERS},
};
use std::{
    io::{self, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
};

/// Sockets on which a worker is waited for.
#[derive(Debug, Default)]
pub struct Excuse {
    lines: Option<UnixListener>,
    page: Option<TcpListener>,
    /// Who was answered last: closed at once, a connection may take its answer along.
    answered: (Vec<UnixStream>, Vec<TcpStream>),
}

impl Excuse {
    /// At these sockets. Without them nobody asks.
    #[must_use]
    pub fn at(listeners: &Listeners) -> Self {
        let (lines, page) = listeners.cloned();
        Self { lines, page, ..Self::default() }
    }

    /// Sends the status to those who wait now, at most as many as a worker would.
    pub fn answer(&mut self, status: &Status) {
        let line = || serde_json::to_string(status).unwrap_or_default() + "\n";
        let lines = self.lines.iter().flat_map(|lines| waiting(move || lines.accept().map(|(reader, _)| reader)));
        self.answered.0 = lines.filter_map(|reader| told(reader, line().as_bytes())).collect();
        let page = self.page.iter().flat_map(|page| waiting(move || page.accept().map(|(reader, _)| reader)));
        self.answered.1 = page.filter_map(|reader| told(reader, UNAVAILABLE.as_bytes())).collect();
    }
}

/// Why is not for everybody on the network.
const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 31\r\n\
                           Connection: close\r\n\r\nno worker now: ask for a status";

fn waiting<S>(mut accept: impl FnMut() -> io::Result<S>) -> impl Iterator<Item = S> {
    std::iter::from_fn(move || accept().ok()).take(READERS)
}

/// What fits into the socket is sent, which is all of it for a reader that has just come.
fn told<S: Reader>(mut reader: S, bytes: &[u8]) -> Option<S> {
    reader.hurry().ok()?;
    reader.write_all(bytes).ok()?;
    Some(reader)
}

trait Reader: Write {
    /// Whatever is done with it does not wait.
    fn hurry(&self) -> io::Result<()>;
}

impl Reader for UnixStream {
    fn hurry(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}

impl Reader for TcpStream {
    fn hurry(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::ask::Answers;
    use std::io::Read;

    #[test]
    fn who_asks_is_told_at_once_that_there_is_no_worker() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listeners = Listeners::open(Some(&path), Some(([127, 0, 0, 1], 0).into())).unwrap();
        let mut excuse = Excuse::at(&listeners);
        let status = Status { no_worker: Some("disk is full".into()), ..Status::default() };
        // Nobody asks: nothing waits.
        excuse.answer(&status);
        let mut answers = Answers::connect(&path).unwrap();
        let mut page = TcpStream::connect(listeners.metrics().unwrap()).unwrap();
        excuse.answer(&status);
        let answer = answers.receive().unwrap().unwrap();
        assert_eq!(answer.status.no_worker.as_deref(), Some("disk is full"));
        excuse.answer(&status);
        assert!(answers.receive().unwrap().is_none(), "one answer each");
        let mut text = String::new();
        page.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 503 ") && head.contains(&format!("Content-Length: {}", body.len())),
            "{text}"
        );
        assert!(!body.contains("disk"), "{text}");
    }
}
