//! Syslog over TCP, in frames that say their length (RFC 6587, section 3.4.1), and over TLS (RFC 5425).
//!
//! Syslog has no answer, but TCP has an end: some messages go over one connection, then our side is closed, and the receiver
//! closes its side when it has read to the end. If it went away before, its kernel resets the connection or does not
//! confirm the bytes. So an orderly end says that the receiver read all of them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_platform_verifier::ConfigVerifierExt;

use super::syslog::{addresses, own_name};
use super::{Failure, Sink};
use crate::message::Parcel;
use crate::rfc5424;

/// Messages of one connection.
const AT_ONCE: usize = 32;
/// How long the last bytes may take to be confirmed when the receiver has ended.
const CONFIRMED: Duration = Duration::from_secs(2);

/// A receiver of frames.
pub(super) struct Stream {
    host: String,
    port: u16,
    own: String,
    wait: Duration,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Stream {
    pub(super) fn tcp(host: &str, port: u16, wait: Duration) -> Self {
        Self { host: host.to_owned(), port, own: own_name(), wait, tls: None }
    }

    pub(super) fn tls(host: &str, port: u16, wait: Duration) -> Result<Self, String> {
        // Nobody else may have chosen; if somebody has, that is well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|error| error.to_string())?;
        let config = ClientConfig::with_platform_verifier().map_err(|error| error.to_string())?;
        Ok(Self { tls: Some((Arc::new(config), name)), ..Self::tcp(host, port, wait) })
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::other("the name has no address");
        for address in addresses(&self.host, self.port)? {
            match TcpStream::connect_timeout(&address, self.wait) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(self.wait))?;
                    stream.set_write_timeout(Some(self.wait))?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn hand_over(&self, mut stream: TcpStream, frames: &[u8]) -> io::Result<()> {
        let Some((config, name)) = &self.tls else {
            stream.write_all(frames)?;
            stream.shutdown(Shutdown::Write)?;
            return ended(&mut stream, self.wait).and_then(|()| confirmed(&stream));
        };
        let session = ClientConnection::new(Arc::clone(config), name.clone()).map_err(io::Error::other)?;
        let mut session = StreamOwned::new(session, stream);
        session.write_all(frames)?;
        session.conn.send_close_notify();
        session.flush()?;
        session.sock.shutdown(Shutdown::Write)?;
        ended(&mut session, self.wait).and_then(|()| confirmed(&session.sock))
    }
}

impl Sink for Stream {
    fn at_once(&self) -> usize {
        AT_ONCE
    }

    fn send(&mut self, parcels: &[Parcel]) -> Result<(), Failure> {
        let frame = |parcel: &Parcel| {
            let message = rfc5424::format(parcel, &self.own);
            format!("{} {message}", message.len())
        };
        let frames: String = parcels.iter().map(frame).collect();
        let done = self.connect().and_then(|stream| self.hand_over(stream, frames.as_bytes()));
        done.map_err(|error| Failure::later(&in_words(&error)))
    }
}

fn in_words(error: &io::Error) -> String {
    let mut why = match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "it took longer than --timeout".to_owned(),
        _ => format!("cannot hand over: {error}"),
    };
    if why.contains("ertificate") {
        why += "; for an authority of your own name its certificates in SSL_CERT_FILE";
    }
    why
}

/// Waits until the receiver closes its side; what it says meanwhile means nothing.
fn ended(stream: &mut impl Read, wait: Duration) -> io::Result<()> {
    let (until, mut buffer) = (Instant::now() + wait, [0; 1_024]);
    while Instant::now() < until {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            // TLS that ends without a word: what the kernel says of the bytes counts.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => return Err(error),
            Ok(_) => {}
        }
    }
    Err(io::Error::other("it does not close the connection after the last message, so nobody knows whether it read it"))
}

/// Whether the receiver's kernel had all bytes for somebody who still read: else it resets, or never confirms them.
fn confirmed(stream: &TcpStream) -> io::Result<()> {
    let until = Instant::now() + CONFIRMED;
    loop {
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        if unconfirmed(stream)? == 0 {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(io::Error::other("it closed the connection before it had read everything"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Bytes that are not confirmed: the same number on x86-64 and aarch64 (`include/uapi/asm-generic/ioctls.h`).
const TIOCOUTQ: rustix::ioctl::Opcode = 0x5411;

/// Bytes, the end among them, that the receiver's kernel has not confirmed.
fn unconfirmed(stream: &TcpStream) -> io::Result<i32> {
    // SAFETY: this request writes one C int and touches nothing else; `Getter` has room for exactly that.
    let queued = unsafe { rustix::ioctl::ioctl(stream, rustix::ioctl::Getter::<TIOCOUTQ, i32>::new()) };
    Ok(queued?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// What is said of a receiver that does this with its connection, before anything is sent or meanwhile.
    fn against(before: bool, receive: fn(TcpStream) -> Option<TcpStream>) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sink = Stream::tcp("127.0.0.1", listener.local_addr().unwrap().port(), Duration::from_millis(500));
        let stream = sink.connect().unwrap();
        let receiver = std::thread::spawn(move || receive(listener.accept().unwrap().0));
        while before && !receiver.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let done = sink.hand_over(stream, b"3 abc").map_err(|error| in_words(&error));
        drop(receiver.join()); // what it kept is open until here
        done
    }

    fn read_to_the_end(mut stream: TcpStream) -> TcpStream {
        stream.read_to_end(&mut Vec::new()).unwrap();
        stream
    }

    #[test]
    fn only_who_read_everything_has_it() {
        against(false, |stream| {
            drop(read_to_the_end(stream));
            None
        })
        .unwrap();
        against(true, |_| None).unwrap_err();
        let after_one = |mut stream: TcpStream| {
            stream.read_exact(&mut [0]).unwrap();
            None
        };
        against(false, after_one).unwrap_err();
        let error = against(false, |stream| Some(read_to_the_end(stream))).unwrap_err();
        assert!(error.contains("does not close"), "{error}");
    }
}
