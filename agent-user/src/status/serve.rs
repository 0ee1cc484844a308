//! Serves the latest status on a thread of its own: no reader can hold capture up.

use super::{Status, page, socket, socket::StatusSocket};
use crate::error::{AgentError, one_line};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet};

/// Connections at one time, for the socket and for the page each; one more is closed at once.
pub const READERS: usize = 8;
/// When the system cannot accept, for want of file descriptors perhaps, it is asked again after this long.
const PAUSE: Duration = Duration::from_millis(100);
/// Readers get this long to take the last status.
const END: Duration = Duration::from_secs(3);

/// A status and when it was true.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) status: Status,
    /// As a line of JSON.
    pub(crate) line: String,
    pub(crate) at: Instant,
}

impl Published {
    pub(crate) fn now(status: Status) -> Arc<Self> {
        let line = serde_json::to_string(&status).unwrap_or_default() + "\n";
        Arc::new(Self { status, line, at: Instant::now() })
    }
}

/// The latest status.
pub(crate) type Latest = watch::Receiver<Arc<Published>>;

/// Where readers may come in.
#[derive(Debug, Default)]
pub struct Listeners {
    socket: Option<StatusSocket>,
    metrics: Option<(TcpListener, SocketAddr)>,
}

impl Listeners {
    /// Opens what is asked for. Without a socket a run goes on, with a warning: nobody may have asked for it.
    ///
    /// # Errors
    /// [`AgentError::Metrics`] if the page's address cannot be had.
    pub fn open(socket: Option<&Path>, metrics: Option<SocketAddr>) -> Result<Self, AgentError> {
        let metrics = metrics.map(page_listener).transpose()?;
        let socket = socket.and_then(|path| {
            StatusSocket::open(path).map_err(|error| crate::say!("warning: {}", one_line(&error.to_string()))).ok()
        });
        Ok(Self { socket, metrics })
    }

    /// Those of another process: the sockets that it has, as [`Listeners::sockets`] gives them.
    ///
    /// # Errors
    /// If a socket is none.
    pub fn lent(socket: Option<OwnedFd>, metrics: Option<OwnedFd>) -> io::Result<Self> {
        let metrics = metrics.map(|page| {
            let page = TcpListener::from(page);
            page.local_addr().map(|address| (page, address))
        });
        Ok(Self { socket: socket.map(StatusSocket::lent), metrics: metrics.transpose()? })
    }

    /// The status socket and that of the page, to be lent to another process.
    #[must_use]
    pub fn sockets(&self) -> (Option<BorrowedFd<'_>>, Option<BorrowedFd<'_>>) {
        (self.socket.as_ref().map(AsFd::as_fd), self.metrics.as_ref().map(|(page, _)| page.as_fd()))
    }

    /// The same sockets once more, without the right to the file of one.
    pub(super) fn cloned(&self) -> (Option<UnixListener>, Option<TcpListener>) {
        let lines = self.socket.as_ref().and_then(|socket| socket.as_fd().try_clone_to_owned().ok());
        let page = self.metrics.as_ref().and_then(|(page, _)| page.try_clone().ok());
        (lines.map(UnixListener::from), page)
    }

    /// Address of the metrics page.
    #[must_use]
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(_, address)| *address)
    }
}

fn page_listener(address: SocketAddr) -> Result<(TcpListener, SocketAddr), AgentError> {
    let fail = |error: io::Error| AgentError::Metrics { address, why: error.to_string() };
    if !address.ip().is_loopback() {
        crate::say!("warning: metrics: {address}: others can read the counts there; nothing is asked of them");
    }
    let listener = TcpListener::bind(address).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    Ok((listener, address))
}

/// The running thread. Ends when dropped, after the readers had the last status or their time is up.
pub(crate) struct Server {
    latest: Option<watch::Sender<Arc<Published>>>,
    /// Disconnected when the thread has ended.
    done: Receiver<()>,
}

impl Server {
    /// Starts the thread; `None` if there is nothing to serve.
    ///
    /// # Errors
    /// If the system gives no thread or no event loop.
    pub(crate) fn start(listeners: Listeners, first: Arc<Published>) -> io::Result<Option<Self>> {
        if listeners.socket.is_none() && listeners.metrics.is_none() {
            return Ok(None);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (send, latest) = watch::channel(first);
        let (end, done) = bounded(0);
        std::thread::Builder::new().name("status".into()).spawn(move || {
            let _end: Sender<()> = end;
            if let Err(error) = runtime.block_on(serve(listeners, latest)) {
                crate::say!("warning: no status is served: {error}");
            }
        })?;
        Ok(Some(Self { latest: Some(send), done }))
    }

    /// Shows a status to whoever reads.
    pub(crate) fn show(&self, published: Arc<Published>) {
        if let Some(latest) = &self.latest {
            latest.send_replace(published);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.latest = None;
        let _ = self.done.recv_timeout(END);
    }
}

async fn serve(listeners: Listeners, latest: Latest) -> io::Result<()> {
    let Listeners { socket, metrics } = listeners;
    let pages = metrics.map(|(listener, _)| tokio::net::TcpListener::from_std(listener)).transpose()?;
    let lines = socket.as_ref().map(StatusSocket::listener).transpose()?;
    let socket_side = async {
        if let Some(lines) = &lines {
            accept(async || lines.accept().await.map(|(stream, _)| stream), socket::tell, latest.clone()).await;
        }
        // The file goes now, however long a reader of the page takes.
        drop(socket);
    };
    let page_side = async {
        if let Some(pages) = &pages {
            accept(async || pages.accept().await.map(|(stream, _)| stream), page::answer, latest.clone()).await;
        }
    };
    tokio::join!(socket_side, page_side);
    Ok(())
}

/// Returns when nothing is published any more.
async fn ended(mut latest: Latest) {
    while latest.changed().await.is_ok() {}
}

/// Takes connections until the agent ends, then waits for those that are left.
async fn accept<S, T: Future<Output = ()> + Send + 'static>(
    take: impl AsyncFn() -> io::Result<S>,
    talk: impl Fn(S, Latest) -> T,
    latest: Latest,
) {
    let mut readers = JoinSet::new();
    loop {
        tokio::select! {
            () = ended(latest.clone()) => break,
            Some(_) = readers.join_next() => {}
            taken = take() => match taken {
                Ok(stream) if readers.len() < READERS => drop(readers.spawn(talk(stream, latest.clone()))),
                Ok(_) => {}
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
        }
    }
    while readers.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, BufReader, Read},
        os::unix::net::UnixStream,
    };

    fn status(pid: u32) -> Arc<Published> {
        // Long, so that few of them fill what a socket holds.
        Published::now(Status { pid, host: "h".repeat(1 << 16), ..Status::default() })
    }

    fn open(folder: &tempfile::TempDir) -> (std::path::PathBuf, Server) {
        let path = folder.path().join("s");
        let listeners = Listeners::open(Some(&path), None).unwrap();
        (path, Server::start(listeners, status(1)).unwrap().unwrap())
    }

    #[test]
    fn a_reader_gets_the_latest_at_once_each_new_one_and_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let (path, server) = open(&folder);
        let mut reader = BufReader::new(UnixStream::connect(&path).unwrap()).lines();
        let mut next = || serde_json::from_str::<Status>(&reader.next()?.unwrap()).ok().map(|status| status.pid);
        assert_eq!(next(), Some(1));
        server.show(status(2));
        assert_eq!(next(), Some(2));
        server.show(status(3));
        let ended = std::thread::spawn(move || drop(server));
        assert_eq!((next(), next()), (Some(3), None));
        ended.join().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn readers_that_stall_hold_nothing_up_and_are_left() {
        let folder = tempfile::tempdir().unwrap();
        let (path, server) = open(&folder);
        let mut stalled: Vec<UnixStream> = (0..READERS).map(|_| UnixStream::connect(&path).unwrap()).collect();
        // All places are taken, whether or not they read. One more is closed without a word.
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(UnixStream::connect(&path).unwrap().read(&mut [0; 8]).unwrap(), 0);
        let asked = Instant::now();
        for pid in 2..60 {
            let before = Instant::now();
            server.show(status(pid));
            assert!(before.elapsed() < Duration::from_millis(500));
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(asked.elapsed() < Duration::from_secs(30));
        // Those who stalled lost their places in the meantime.
        let mut reader = BufReader::new(UnixStream::connect(&path).unwrap()).lines();
        assert!(reader.next().is_some());
        stalled.clear();
    }
}
