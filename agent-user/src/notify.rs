//! Tells the service manager how it goes: systemd's notification protocol, which is a datagram.

use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// The environment variable that names the manager's socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Whoever wants to know, if anybody does. Opened once: a process that gave its rights away cannot open it.
#[derive(Debug, Default)]
pub struct Notifier(Option<UnixDatagram>);

impl Notifier {
    /// As the environment says. A manager that cannot be reached is as good as none: it notices by itself.
    #[must_use]
    pub fn from_environment() -> Self {
        let socket = std::env::var_os(SOCKET).map(|name| open(&name));
        Self(socket.and_then(|socket| socket.map_err(|error| crate::say!("warning: {SOCKET}: {error}")).ok()))
    }

    /// Everything is in place; also said when a reload is done.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// The configuration is read again; [`Notifier::ready`] follows.
    pub fn reloading(&self) {
        self.say("RELOADING=1");
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// Work goes on: without this the manager starts the agent again.
    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    /// Never waits: a manager that does not read must not hold capture up.
    fn say(&self, what: &str) {
        if let Some(socket) = &self.0 {
            let _ = socket.send(what.as_bytes());
        }
    }
}

/// A path, or a name of the abstract kind behind an `@`.
fn open(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match name.as_bytes() {
        [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => socket.connect(name)?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_hears_what_is_said_by_path_and_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("ebbline-test-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (manager, address) in [(by_path, path.as_os_str()), (by_name, OsStr::new(&format!("@{name}")))] {
            let notifier = Notifier(Some(open(address).unwrap()));
            notifier.ready();
            notifier.alive();
            let mut said = [0; 64];
            for expected in ["READY=1", "WATCHDOG=1"] {
                let size = manager.recv(&mut said).unwrap();
                assert_eq!(&said[..size], expected.as_bytes());
            }
        }
    }

    #[test]
    fn a_manager_that_does_not_read_or_is_gone_holds_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier(Some(open(path.as_os_str()).unwrap()));
        (0..100_000).for_each(|_| notifier.alive());
        drop(manager);
        notifier.ready();
        assert!(open(path.as_os_str()).is_err());
        Notifier::default().ready();
    }
}
