//! The status socket: whoever connects is sent the status at once and then once a second.

use super::serve::Latest;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use std::{
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            fs::{FileTypeExt, MetadataExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A reader that takes nothing for this long is left.
const WRITE: Duration = Duration::from_secs(2);
/// Connections that may wait to be taken.
const BACKLOG: i32 = 16;

/// Why there is no status socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another agent answers there.
    #[error("no status socket: {}: another agent has it; this one runs without, or use --status-socket", .0.display())]
    Taken(PathBuf),
    /// Something else is there.
    #[error("no status socket: {}: something else is there and was left alone; use --status-socket", .0.display())]
    Foreign(PathBuf),
    /// The system refuses.
    #[error("no status socket: {}: {why}; use --status-socket", .path.display())]
    Refused {
        /// The path.
        path: PathBuf,
        /// Reason in words.
        why: io::Error,
    },
}

/// A socket that takes connections; its file goes with it.
#[derive(Debug)]
pub struct StatusSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file, to know it again.
    file: (u64, u64),
}

impl StatusSocket {
    /// Takes a path. What a dead agent left there is replaced, a living one is left alone.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub fn open(path: &Path) -> Result<Self, SocketError> {
        let refused = |why| SocketError::Refused { path: path.into(), why };
        if path == Path::new(super::SOCKET) {
            folder(path).map_err(refused)?;
        }
        clear(path)?;
        let listener = match bound(path) {
            // Somebody was faster.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(SocketError::Taken(path.into())),
            listener => listener.map_err(refused)?,
        };
        let file = file(path).map_err(refused)?;
        Ok(Self { listener, path: path.into(), file })
    }

    /// The socket of another process, whose file it is.
    pub(crate) fn lent(socket: OwnedFd) -> Self {
        Self { listener: socket.into(), path: PathBuf::new(), file: (0, 0) }
    }

    /// What to accept from; the file stays as long as `self`.
    pub(crate) fn listener(&self) -> io::Result<tokio::net::UnixListener> {
        tokio::net::UnixListener::from_std(self.listener.try_clone()?)
    }
}

impl Drop for StatusSocket {
    fn drop(&mut self) {
        // The inode lives as long as the listener, so that no other file can have its number.
        if file(&self.path).is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The folder of the usual place goes with each boot. Another path is somebody's, folder and all.
fn folder(path: &Path) -> io::Result<()> {
    match path.parent().map(fs::create_dir) {
        Some(Err(error)) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn file(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

impl AsFd for StatusSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Makes way if a dead agent's socket is there.
fn clear(path: &Path) -> Result<(), SocketError> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(SocketError::Foreign(path.into()));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(SocketError::Refused { path: path.into(), why: error });
        }
        _ => return Err(SocketError::Taken(path.into())),
    }
    // Only the file that was tried: another agent may have made way in the meantime and be there.
    if file(path).is_ok_and(|now| now == (found.dev(), found.ino())) {
        fs::remove_file(path).map_err(|why| SocketError::Refused { path: path.into(), why })?;
    }
    Ok(())
}

/// The file never has a wider mode than 0600, whatever the umask: Linux takes it from the socket when it is bound.
fn bound(path: &Path) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::fs::fchmod(&socket, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Tells one reader until it hangs up, says something, stalls, or the agent ends. The last status is sent too.
pub(crate) async fn tell(mut reader: tokio::net::UnixStream, mut latest: Latest) {
    loop {
        let published = latest.borrow_and_update().clone();
        let sent = tokio::time::timeout(WRITE, reader.write_all(published.line.as_bytes())).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
        tokio::select! {
            changed = latest.changed() => if changed.is_err() { return },
            // Nothing is asked here: whoever speaks has the wrong door, and an end is an end.
            _ = reader.read_u8() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_dead_agents_socket_is_replaced_and_ours_goes_with_us() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        let socket = StatusSocket::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(UnixStream::connect(&path).is_ok());
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_living_agents_socket_and_other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let first = StatusSocket::open(&path).unwrap();
        assert!(matches!(StatusSocket::open(&path), Err(SocketError::Taken(_))));
        assert!(UnixStream::connect(&path).is_ok());
        // Replaced by somebody else: not ours to remove.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        drop(first);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert!(matches!(StatusSocket::open(&path), Err(SocketError::Foreign(_))));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        let nowhere = folder.path().join("no/s");
        assert!(matches!(StatusSocket::open(&nowhere), Err(SocketError::Refused { .. })));
    }
}
