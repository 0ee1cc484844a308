//! What whoever makes rows asks of the machine: about processes, cgroups and containers, and of the kernel's tables.
//!
//! The questions are a fixed list ([`Question`]). They are answered by a [`Desk`]: in this process, or behind a socket by
//! the one that has the rights (decision 0015). Either way it is the same code that answers, and what it reads is handed
//! on as bytes and taken apart by whoever asked.

mod desk;
mod digests;
mod message;
mod tables;
#[cfg(test)]
mod tests;

pub use desk::{Desk, serve};
pub use digests::{Away, serve as serve_digests};
pub use message::{Answer, Question};
pub use tables::{Kernel, Tables};

use crate::{
    channel::{Channel, ChannelError, MESSAGE_MAX},
    error::AgentError,
    load::KernelCounts,
    proc::Seen,
    usage::Usage,
};
use bytemuck::Pod;
use events::{Flow, FlowState, Maker, Throttled};
use std::{
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// An answer takes microseconds; the longest, a walk through all cgroups, a second or two. Longer, and nobody is there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of a note that is kept.
const NOTE_MAX: usize = MESSAGE_MAX / 2;

/// Where answers come from. Copies ask the same.
#[derive(Clone)]
pub struct Facts(Arc<Mutex<Source>>);

enum Source {
    Here(Box<Desk>),
    Away(Channel),
    /// Nobody answers any more, and why.
    Lost(ChannelError),
}

impl Facts {
    /// Answered in this process, with its own rights.
    #[must_use]
    pub fn here(desk: Desk) -> Self {
        Self(Arc::new(Mutex::new(Source::Here(Box::new(desk)))))
    }

    /// Answered by the process at the other end.
    #[must_use]
    pub fn away(channel: Channel) -> Self {
        Self(Arc::new(Mutex::new(Source::Away(channel))))
    }

    /// Fails if nobody answers any more: then what was asked about processes has had no answers either.
    ///
    /// # Errors
    /// [`AgentError::Read`] says why.
    pub fn check(&self) -> Result<(), AgentError> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Source::Lost(why) => Err(lost(why)),
            Source::Here(_) | Source::Away(_) => Ok(()),
        }
    }

    /// Asks; the first part of the answer, more of which may follow, and what `each` returned for the last.
    fn ask<T>(
        &self,
        question: &Question,
        mut each: impl FnMut(Answer, Vec<OwnedFd>) -> Step<T>,
    ) -> Result<T, AgentError> {
        let mut source = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = match &mut *source {
            Source::Here(desk) => {
                let mut answers = Vec::new();
                desk.answer(question, &mut |answer, descriptors| {
                    answers.push((answer, descriptors));
                    Ok(())
                })
                .map_err(|error| lost(&error))?;
                let steps = answers.into_iter().map(|(answer, descriptors)| each(answer, descriptors));
                let last = { steps }.find(|step| !matches!(step, Step::More));
                return last.unwrap_or(Step::Odd).done();
            }
            Source::Away(channel) => match asked(channel, question, &mut each) {
                Ok(step) => return step.done(),
                Err(error) => error,
            },
            Source::Lost(why) => return Err(lost(why)),
        };
        let error = lost(&failed);
        *source = Source::Lost(failed);
        Err(error)
    }

    fn bytes(&self, question: &Question) -> Option<Vec<u8>> {
        self.ask(question, |answer, _| match answer {
            Answer::Bytes(bytes) => Step::Last(Ok(Some(bytes))),
            other => Step::of(other),
        })
        .ok()?
    }

    /// Looks a process up, and makes sure that it is the one that started at `start` nanoseconds after boot.
    #[must_use]
    pub fn look_up(&self, tgid: u32, start: u64) -> Option<Seen> {
        let files = self.ask(&Question::Process { tgid }, |answer, _| match answer {
            Answer::Process { exe, status, stat } => Step::Last(Ok((exe, status, stat))),
            other => Step::of(other),
        });
        let (exe, status, stat) = files.ok()?;
        Seen::read(exe.as_deref(), status.as_deref(), &stat?, start)
    }

    /// The file that a process runs.
    #[must_use]
    pub fn exe(&self, tgid: u32) -> Option<Arc<str>> {
        Some(crate::proc::exe_name(&self.bytes(&Question::Exe { tgid })?))
    }

    /// The arguments of the process that started at `start` nanoseconds after boot, each ended by NUL: at most as many
    /// bytes as a record holds, and how many there are.
    #[must_use]
    pub fn arguments(&self, tgid: u32, start: u64) -> Option<(Vec<u8>, u32)> {
        let found = self.ask(&Question::Arguments { tgid }, |answer, _| match answer {
            Answer::Arguments { bytes, len, stat } => Step::Last(Ok((bytes, len, stat))),
            other => Step::of(other),
        });
        let (bytes, len, stat) = found.ok()?;
        crate::proc::started_at(&stat?, start).then_some((bytes?, len))
    }

    /// The process of a thread that another process names by a number, if both numbers mean the same here.
    #[must_use]
    pub fn traced(&self, tracer: u32, tid: u32) -> Option<u32> {
        let status = self.bytes(&Question::Traced { tracer, tid })?;
        // A thread that is gone stands for itself.
        Some(crate::proc::leader(&status).unwrap_or(tid))
    }

    /// The current folder of a process.
    #[must_use]
    pub fn folder(&self, tgid: u32) -> Option<Arc<str>> {
        Some(String::from_utf8_lossy(&self.bytes(&Question::Folder { tgid })?).into())
    }

    /// The path of a cgroup, in which a process with this number is or was, from the root of the hierarchy.
    #[must_use]
    pub fn cgroup(&self, id: u64, tgid: u32) -> Option<Arc<str>> {
        Some(String::from_utf8_lossy(&self.bytes(&Question::Cgroup { id, tgid })?).into())
    }

    /// The file of a container's runtime that stands at this place among `parse::container::candidates`.
    #[must_use]
    pub fn container_file(&self, id: &str, place: u32) -> Option<Vec<u8>> {
        self.bytes(&Question::ContainerFile { id: id.to_owned(), place })
    }

    /// What the kernel counted.
    ///
    /// # Errors
    /// [`AgentError::Read`] if it cannot be read.
    pub fn counts(&self) -> Result<KernelCounts, AgentError> {
        self.ask(&Question::Counts, |answer, _| match answer {
            Answer::Counts(counts) => Step::Last(Ok(*counts)),
            other => Step::of(other),
        })
    }

    /// Flows that are over at a time, which have been silent for `idle` nanoseconds or whose socket is closed: all, if
    /// there is no time.
    ///
    /// # Errors
    /// [`AgentError::Read`] if nobody answers.
    pub fn flows_over(&self, now: Option<u64>, idle: u64) -> Result<Vec<(Flow, FlowState)>, AgentError> {
        self.list(&Question::Flows { now, idle })
    }

    /// Takes flows out of the kernel's table, if they are those that began at these times.
    ///
    /// # Errors
    /// [`AgentError::Read`] if nobody answers.
    pub fn remove_flows(&self, flows: &[(Flow, u64)]) -> Result<(), AgentError> {
        flows.chunks(message::PART).try_for_each(|some| self.tell(&Question::RemoveFlows(message::plain(some))))
    }

    /// Processes that make too many events, and what was counted of them.
    ///
    /// # Errors
    /// [`AgentError::Read`] if nobody answers.
    pub fn throttled(&self) -> Result<Vec<(Maker, Throttled)>, AgentError> {
        self.list(&Question::Throttled)
    }

    /// Takes processes out of that table, if they are those that began to at these times.
    ///
    /// # Errors
    /// [`AgentError::Read`] if nobody answers.
    pub fn remove_throttled(&self, makers: &[(Maker, u64)]) -> Result<(), AgentError> {
        makers.chunks(message::PART).try_for_each(|some| self.tell(&Question::RemoveThrottled(message::plain(some))))
    }

    /// Takes all programs out of the kernel. Maps stay.
    ///
    /// # Errors
    /// [`AgentError::Read`] if nobody answers.
    pub fn detach(&self) -> Result<(), AgentError> {
        self.tell(&Question::Detach)
    }

    /// What the kernel counted in an earlier run, if it left that.
    ///
    /// # Errors
    /// [`AgentError::Read`] if nobody answers.
    pub fn left_by(&self, run: &str) -> Result<Option<KernelCounts>, AgentError> {
        self.ask(&Question::LeftBy { run: run.to_owned() }, |answer, _| match answer {
            Answer::Counts(counts) => Step::Last(Ok(Some(*counts))),
            other => Step::of(other),
        })
    }

    /// What earlier runs left is accounted for.
    ///
    /// # Errors
    /// [`AgentError::Read`] if nobody answers.
    pub fn accounted(&self) -> Result<(), AgentError> {
        self.tell(&Question::Accounted)
    }

    /// Runs that left counters, this one aside, and when each began in nanoseconds UTC.
    ///
    /// # Errors
    /// [`AgentError::Read`] if nobody answers.
    pub fn left(&self) -> Result<Vec<(String, i64)>, AgentError> {
        self.ask(&Question::Left, |answer, _| match answer {
            Answer::Runs(runs) => Step::Last(Ok(runs)),
            other => Step::of(other),
        })
    }

    /// Gives the latest note to keep. One that is too long is not: the journal has it.
    pub fn keep(&self, note: Vec<u8>) {
        if note.len() <= NOTE_MAX {
            // Whoever asks next finds out that nobody answers.
            let _ = self.tell(&Question::Keep(note));
        }
    }

    /// This run has ended well.
    ///
    /// # Errors
    /// [`AgentError::Read`] if nobody answers.
    pub fn ended(&self) -> Result<(), AgentError> {
        self.tell(&Question::Ended)
    }

    /// What the process that answers uses; nothing if it is this one, or is gone.
    #[must_use]
    pub fn usage(&self) -> Usage {
        if let Source::Here(_) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            return Usage::default();
        }
        let usage = self.ask(&Question::Usage, |answer, _| match answer {
            Answer::Usage(usage) => Step::Last(Ok(usage)),
            other => Step::of(other),
        });
        usage.unwrap_or_default()
    }

    /// Asks for something to be done.
    fn tell(&self, question: &Question) -> Result<(), AgentError> {
        self.ask(question, |answer, _| Step::of(answer))
    }

    /// Iterators over what is there already: reading one to the end makes its records.
    ///
    /// # Errors
    /// [`AgentError::Read`] if nobody answers.
    pub fn iterators(&self) -> Result<Vec<(String, OwnedFd)>, AgentError> {
        self.ask(&Question::Iterators, |answer, descriptors| match answer {
            Answer::Iterators(names) if names.len() == descriptors.len() => {
                Step::Last(Ok(names.into_iter().zip(descriptors).collect()))
            }
            other => Step::of(other),
        })
    }

    /// Puts an answer of several parts together.
    fn list<K: Pod, V: Pod>(&self, question: &Question) -> Result<Vec<(K, V)>, AgentError> {
        let mut all = Vec::new();
        self.ask(question, |answer, _| match answer {
            Answer::Part { plain, more } => {
                let Some(part) = message::pairs(&plain) else { return Step::Odd };
                all.extend(part);
                match more {
                    true if all.len() < message::LIST_MAX => Step::More,
                    true => Step::Odd,
                    false => Step::Last(Ok(())),
                }
            }
            other => Step::of(other),
        })?;
        Ok(all)
    }
}

/// What one part of an answer leads to.
enum Step<T> {
    More,
    Last(Result<T, AgentError>),
    /// It answers another question.
    Odd,
}

impl<T> Step<T> {
    fn done(self) -> Result<T, AgentError> {
        match self {
            Self::Last(result) => result,
            Self::More | Self::Odd => Err(lost(&ChannelError::Malformed(postcard::Error::DeserializeBadEncoding))),
        }
    }
}

impl<T: Default> Step<T> {
    /// An answer without content, or that there is none.
    fn of(answer: Answer) -> Self {
        match answer {
            Answer::Nothing => Self::Last(Ok(T::default())),
            Answer::Failed { what, why } => Self::Last(Err(AgentError::Read { what, why })),
            _ => Self::Odd,
        }
    }
}

/// Asks over a channel. An answer that fits no question is the end of it: what comes next could not be told apart.
fn asked<T>(
    channel: &Channel,
    question: &Question,
    each: &mut impl FnMut(Answer, Vec<OwnedFd>) -> Step<T>,
) -> Result<Step<T>, ChannelError> {
    channel.send(question, &[], PATIENCE)?;
    loop {
        let (answer, descriptors) = channel.receive(PATIENCE)?;
        match each(answer, descriptors) {
            Step::More => {}
            Step::Odd => return Err(ChannelError::Malformed(postcard::Error::DeserializeBadEncoding)),
            last => return Ok(last),
        }
    }
}

fn lost(why: &ChannelError) -> AgentError {
    AgentError::Read { what: "loader".into(), why: why.to_string() }
}
