//! Digests of images over a channel of their own: asked for without waiting, answered when they are known.

use crate::{
    channel::{Channel, ChannelError},
    hashes::{Digest, Hasher, Which},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Digests that may be waited for.
const WAITING: usize = 4096;
/// Questions and answers may be long in coming.
const BETWEEN: Duration = Duration::from_secs(3600);
/// Somebody who does not take an answer for so long is gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    /// Comes back with the answer.
    id: u64,
    which: Which,
}

/// Its answer, in hex, if the file could be read.
type Told = (u64, Option<String>);

type Promises = Arc<Mutex<Option<HashMap<u64, Digest>>>>;

/// Asks another process.
pub struct Away {
    channel: Arc<Channel>,
    /// What is not answered yet; `None` when nobody will answer any more.
    promises: Promises,
    last: u64,
}

impl Away {
    /// Asks at the other end of a channel; a thread takes the answers.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn new(channel: Channel) -> io::Result<Self> {
        let (channel, promises) = (Arc::new(channel), Promises::new(Mutex::new(Some(HashMap::new()))));
        let (from, keep) = (channel.clone(), promises.clone());
        std::thread::Builder::new().name("digests".into()).spawn(move || take(&from, &keep))?;
        Ok(Self { channel, promises, last: 0 })
    }

    /// The promise of a digest; `None` if too many are waited for, or nobody answers.
    pub fn of(&mut self, which: Which) -> Option<Digest> {
        let mut promises = self.promises.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = promises.as_mut().filter(|waiting| waiting.len() < WAITING)?;
        self.last += 1;
        // Never waited for: a question that finds no room is one less.
        self.channel.send(&Asked { id: self.last, which }, &[], Duration::ZERO).ok()?;
        let digest = Digest::default();
        waiting.insert(self.last, digest.clone());
        Some(digest)
    }
}

impl Drop for Away {
    /// Both ends see it, and the thread ends.
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&*self.channel, rustix::net::Shutdown::Both);
    }
}

/// Enters answers until nobody gives any.
fn take(channel: &Channel, promises: &Promises) {
    loop {
        match channel.receive::<Told>(BETWEEN) {
            Ok(((id, hex), _)) => {
                let mut promises = promises.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(digest) = promises.as_mut().and_then(|waiting| waiting.remove(&id)) {
                    let _ = digest.set(hex.map(Into::into));
                }
            }
            Err(ChannelError::Late) => {}
            Err(_) => break,
        }
    }
    let left = promises.lock().unwrap_or_else(PoisonError::into_inner).take();
    for digest in left.unwrap_or_default().into_values() {
        let _ = digest.set(None);
    }
}

/// Opens and reads images for whoever asks at the other end, until there is nobody.
///
/// # Errors
/// What was wrong with a question.
pub fn serve(channel: Channel) -> Result<(), ChannelError> {
    let channel = Arc::new(channel);
    // Two threads answer: what is sent by one must be whole before the other begins.
    let turn = Arc::new(Mutex::new(()));
    let mut hasher = Hasher::new();
    loop {
        let Asked { id, which } = match channel.receive(BETWEEN) {
            Ok((asked, _)) => asked,
            Err(ChannelError::Late) => continue,
            Err(ChannelError::Gone) => return Ok(()),
            Err(error) => return Err(error),
        };
        let (to, turn) = (channel.clone(), turn.clone());
        hasher.tell(&which, move |hex| {
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            let told: Told = (id, hex.map(|hex| hex.to_string()));
            // If it cannot be told, nobody waits for it.
            let _ = to.send(&told, &[], PATIENCE);
        });
    }
}
