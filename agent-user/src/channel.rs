//! Messages between the agent's own processes: postcard behind a length, over a pair of sockets, with descriptors.
//!
//! The other end may be a process that was taken over, so it is believed nothing: a length over the bound, a message that
//! is none, or one that stays half sent is an error, after which the channel is of no use. Nothing here waits without an
//! end.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

/// Bytes of a message at most.
pub const MESSAGE_MAX: usize = 2 << 20;
/// Descriptors that one message carries at most: those of the rings and a few more. The kernel's own bound is 253.
pub const DESCRIPTORS_MAX: usize = 128;

/// A length, before each message.
const HEAD: usize = 4;
/// What has begun must be whole within this time.
const WHOLE: Duration = Duration::from_secs(10);

/// Why a channel is of no use any more.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChannelError {
    /// The other end is gone.
    #[error("the other process is gone")]
    Gone,
    /// Nothing came, or nothing was taken, in the time that was given; the channel is as it was.
    #[error("the other process did not answer in time")]
    Late,
    /// The other end stopped in the middle of a message.
    #[error("the other process stopped in the middle of a message")]
    Half,
    /// What came is longer than any message.
    #[error("a message of {0} bytes; at most {MESSAGE_MAX} are taken")]
    TooLong(usize),
    /// What came is no message of this kind.
    #[error("not a message: {0}")]
    Malformed(postcard::Error),
    /// More descriptors than a message carries, or fewer than it needs.
    #[error("wrong descriptors with a message")]
    Descriptors,
    /// The system refuses.
    #[error("{0}")]
    System(Errno),
}

impl From<Errno> for ChannelError {
    fn from(error: Errno) -> Self {
        match error {
            Errno::PIPE | Errno::CONNRESET => Self::Gone,
            error => Self::System(error),
        }
    }
}

/// One end.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl From<OwnedFd> for Channel {
    /// Takes an end that was inherited or came with a message.
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Channel {
    /// Both ends.
    ///
    /// # Errors
    /// If the system has no descriptors left.
    pub fn pair() -> Result<(Self, Self), ChannelError> {
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        Ok((Self(one), Self(other)))
    }

    /// Sends a message, for whose beginning there must be room within this time.
    ///
    /// # Errors
    /// See [`ChannelError`]; a message that is late or too long is not begun, after any other error the channel is of no
    /// use.
    pub fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
        patience: Duration,
    ) -> Result<(), ChannelError> {
        let until = Instant::now() + patience;
        let framed = framed(message)?;
        if descriptors.len() > DESCRIPTORS_MAX {
            return Err(ChannelError::Descriptors);
        }
        let mut sent = self.send_some(&framed, descriptors, until)?;
        let until = Instant::now() + WHOLE;
        while sent < framed.len() {
            sent += self.send_some(&framed[sent..], &[], until).map_err(half)?;
        }
        Ok(())
    }

    fn send_some(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>], until: Instant) -> Result<usize, ChannelError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        loop {
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(descriptors));
            }
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, flags) {
                Ok(sent) => return Ok(sent),
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, until)?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next message and what came with it, if it begins within this time.
    ///
    /// # Errors
    /// See [`ChannelError`]; after any but [`ChannelError::Late`] the channel is of no use.
    pub fn receive<T: DeserializeOwned>(&self, patience: Duration) -> Result<(T, Vec<OwnedFd>), ChannelError> {
        let (mut head, mut descriptors) = ([0; HEAD], Vec::new());
        let begun = self.receive_some(&mut head, &mut descriptors, Instant::now() + patience)?;
        let until = Instant::now() + WHOLE;
        self.fill(&mut head[begun..], &mut descriptors, until)?;
        let len = u32::from_le_bytes(head) as usize;
        if len > MESSAGE_MAX {
            return Err(ChannelError::TooLong(len));
        }
        let mut bytes = vec![0; len];
        self.fill(&mut bytes, &mut descriptors, until)?;
        let message = postcard::from_bytes(&bytes).map_err(ChannelError::Malformed)?;
        Ok((message, descriptors))
    }

    fn fill(&self, into: &mut [u8], descriptors: &mut Vec<OwnedFd>, until: Instant) -> Result<(), ChannelError> {
        let mut filled = 0;
        while filled < into.len() {
            filled += self.receive_some(&mut into[filled..], descriptors, until).map_err(half)?;
        }
        Ok(())
    }

    fn receive_some(
        &self,
        into: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
        until: Instant,
    ) -> Result<usize, ChannelError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        loop {
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let received = match recvmsg(&self.0, &mut [IoSliceMut::new(into)], &mut control, flags) {
                Ok(received) => received,
                Err(Errno::AGAIN) => {
                    self.wait(PollFlags::IN, until)?;
                    continue;
                }
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(came) = message {
                    descriptors.extend(came);
                }
            }
            if descriptors.len() > DESCRIPTORS_MAX || received.flags.contains(ReturnFlags::CTRUNC) {
                return Err(ChannelError::Descriptors);
            }
            return if received.bytes == 0 { Err(ChannelError::Gone) } else { Ok(received.bytes) };
        }
    }

    /// Waits until the socket is ready, or has an end.
    fn wait(&self, what: PollFlags, until: Instant) -> Result<(), ChannelError> {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i32::MAX.into(), tv_nsec: 0 });
        match poll(&mut [PollFd::new(&self.0, what)], Some(&left)) {
            Ok(0) => Err(ChannelError::Late),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What is late in the middle is no use any more.
fn half(error: ChannelError) -> ChannelError {
    if error == ChannelError::Late { ChannelError::Half } else { error }
}

/// A message behind its length.
fn framed<T: Serialize>(message: &T) -> Result<Vec<u8>, ChannelError> {
    let mut framed = postcard::to_extend(message, vec![0; HEAD]).map_err(ChannelError::Malformed)?;
    let len = framed.len() - HEAD;
    match u32::try_from(len) {
        Ok(short) if len <= MESSAGE_MAX => framed[..HEAD].copy_from_slice(&short.to_le_bytes()),
        _ => return Err(ChannelError::TooLong(len)),
    }
    Ok(framed)
}

#[cfg(test)]
mod tests;
