//! Where questions are answered: reads what takes rights, and hands it on as it is.

use super::{
    message::{self, Answer, Question},
    tables::Kernel,
};
use crate::{
    channel::{Channel, ChannelError},
    error::AgentError,
    usage::Usage,
};
use parse::{container, proc_files};
use std::{
    fs,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            ffi::OsStringExt,
            fs::{DirEntryExt, MetadataExt},
        },
    },
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Time between two walks through all cgroups.
const BETWEEN_WALKS: Duration = Duration::from_secs(1);
/// Folders that a walk visits.
const WALK: usize = 65_536;
/// Bytes of a runtime's file.
const FILE_MAX: u64 = 1 << 20;
/// Bytes of a file of `/proc` that are handed on: what is asked of one stands at its beginning.
const PROC_MAX: u64 = 64 << 10;
/// Somebody who does not take an answer for so long is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// Questions may be long in coming.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(3600);

/// Takes one part of an answer, and what goes with it.
type Tell<'a> = &'a mut dyn FnMut(Answer, Vec<OwnedFd>) -> Result<(), ChannelError>;

/// Answers.
pub struct Desk {
    /// Where the hierarchy of cgroups is mounted.
    mount: Option<PathBuf>,
    /// Where the runtimes' files are looked for: `/`, or a folder made for a test.
    files: PathBuf,
    walked: Option<Instant>,
    kernel: Option<Box<dyn Kernel>>,
    ended: bool,
    note: Option<Vec<u8>>,
}

impl Desk {
    /// With the hierarchy mounted at a folder.
    #[must_use]
    pub fn new(mount: Option<PathBuf>) -> Self {
        Self { mount, files: "/".into(), walked: None, kernel: None, ended: false, note: None }
    }

    /// With the kernel's tables.
    #[must_use]
    pub fn with_kernel(self, kernel: impl Kernel + 'static) -> Self {
        Self { kernel: Some(Box::new(kernel)), ..self }
    }

    /// With the runtimes' files below another folder.
    #[cfg(test)]
    pub(crate) fn with_files(self, files: &Path) -> Self {
        Self { files: files.into(), ..self }
    }

    /// Whether whoever asks has said that its run ended well.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The latest note that was given to keep: nobody looks into it here.
    #[must_use]
    pub fn note(&self) -> Option<&[u8]> {
        self.note.as_deref()
    }

    /// Answers, in one part or several.
    ///
    /// # Errors
    /// Those of `tell`.
    pub fn answer(&mut self, question: &Question, tell: Tell<'_>) -> Result<(), ChannelError> {
        let answer = match question {
            Question::Process { tgid } => {
                let exe = link(&format!("/proc/{tgid}/exe"));
                let status = proc_file(&format!("/proc/{tgid}/status"));
                // Read last, so that what was read is the process's.
                Answer::Process { exe, status, stat: proc_file(&format!("/proc/{tgid}/stat")) }
            }
            Question::Exe { tgid } => bytes(link(&format!("/proc/{tgid}/exe"))),
            Question::Arguments { tgid } => {
                let (bytes, len) = arguments(*tgid).unzip();
                Answer::Arguments { bytes, len: len.unwrap_or(0), stat: proc_file(&format!("/proc/{tgid}/stat")) }
            }
            Question::Traced { tracer, tid } if same_numbers(*tracer) => {
                // Of a thread that is gone there is nothing to read.
                Answer::Bytes(proc_file(&format!("/proc/{tid}/status")).unwrap_or_default())
            }
            Question::Traced { .. } => Answer::Nothing,
            Question::Folder { tgid } => bytes(link(&format!("/proc/{tgid}/cwd"))),
            Question::Cgroup { id, tgid } => bytes(self.cgroup(*id, *tgid)),
            Question::ContainerFile { id, place } => bytes(self.container_file(id, *place)),
            Question::Usage => Answer::Usage(Usage::now()),
            Question::Keep(note) => {
                self.note = Some(note.clone());
                Answer::Nothing
            }
            kernel => return self.of_kernel(kernel, tell),
        };
        tell(answer, Vec::new())
    }

    fn of_kernel(&mut self, question: &Question, tell: Tell<'_>) -> Result<(), ChannelError> {
        let Some(kernel) = &mut self.kernel else {
            let (what, why) = ("kernel tables".to_owned(), "there are none here".to_owned());
            return tell(Answer::Failed { what, why }, Vec::new());
        };
        let answer = match question {
            Question::Counts => kernel.counts().map(|counts| Answer::Counts(Box::new(counts))),
            Question::Flows { now, idle } => return parts(&kernel.flows_over(*now, *idle), tell),
            Question::RemoveFlows(plain) => {
                let flows = message::pairs(plain).unwrap_or_default();
                flows.iter().for_each(|(flow, first)| kernel.remove_flow(flow, *first));
                Ok(Answer::Nothing)
            }
            Question::Throttled => return parts(&kernel.throttled(), tell),
            Question::RemoveThrottled(plain) => {
                let makers = message::pairs(plain).unwrap_or_default();
                makers.iter().for_each(|(maker, first)| kernel.remove_throttled(maker, *first));
                Ok(Answer::Nothing)
            }
            Question::Iterators => {
                let (names, descriptors) = kernel.iterators().into_iter().unzip();
                return tell(Answer::Iterators(names), descriptors);
            }
            Question::Detach => {
                kernel.detach();
                Ok(Answer::Nothing)
            }
            Question::LeftBy { run } => {
                Ok(kernel.left_by(run).map_or(Answer::Nothing, |counts| Answer::Counts(Box::new(counts))))
            }
            Question::Left => Ok(Answer::Runs(kernel.left())),
            Question::Accounted => {
                kernel.accounted();
                Ok(Answer::Nothing)
            }
            Question::Ended => {
                self.ended = true;
                kernel.ended();
                Ok(Answer::Nothing)
            }
            // The others are not about the kernel's tables.
            _ => Ok(Answer::Nothing),
        };
        tell(answer.unwrap_or_else(failed), Vec::new())
    }

    /// The path of a cgroup, from the root of the hierarchy: a process in it tells, else all are walked.
    fn cgroup(&mut self, id: u64, tgid: u32) -> Option<Vec<u8>> {
        let mount = self.mount.as_ref()?;
        let of_process = || {
            let file = proc_file(&format!("/proc/{tgid}/cgroup"))?;
            let path = proc_files::cgroup(&file)?;
            let below = String::from_utf8_lossy(path).into_owned();
            let inode = fs::metadata(mount.join(below.trim_start_matches('/'))).ok()?.ino();
            (inode == id).then(|| path.to_vec())
        };
        if let Some(path) = of_process() {
            return Some(path);
        }
        if self.walked.is_some_and(|walked| walked.elapsed() < BETWEEN_WALKS) {
            return None;
        }
        self.walked = Some(Instant::now());
        walk(mount, id)
    }

    fn container_file(&self, id: &str, place: u32) -> Option<Vec<u8>> {
        let (_, path) = container::candidates(id).into_iter().nth(place as usize)?;
        read(&self.files.join(path.strip_prefix("/").unwrap_or(&path)), FILE_MAX)
    }
}

/// Answers whoever is at the other end, until there is nobody.
///
/// # Errors
/// What was wrong with a question, or [`ChannelError::Late`] if an answer is not taken.
pub fn serve(channel: &Channel, desk: &Mutex<Desk>) -> Result<(), ChannelError> {
    loop {
        let question = match channel.receive::<Question>(BETWEEN_QUESTIONS) {
            Ok((question, _)) => question,
            Err(ChannelError::Late) => continue,
            Err(ChannelError::Gone) => return Ok(()),
            Err(error) => return Err(error),
        };
        desk.lock().unwrap_or_else(PoisonError::into_inner).answer(&question, &mut |answer, descriptors| {
            let lent: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
            channel.send(&answer, &lent, PATIENCE)
        })?;
    }
}

fn bytes(found: Option<Vec<u8>>) -> Answer {
    found.map_or(Answer::Nothing, Answer::Bytes)
}

fn failed(error: AgentError) -> Answer {
    match error {
        AgentError::Read { what, why } => Answer::Failed { what, why },
        other => Answer::Failed { what: "kernel tables".into(), why: other.to_string() },
    }
}

/// Entries of a table, some in each message.
fn parts<K: bytemuck::Pod, V: bytemuck::Pod>(found: &[(K, V)], tell: Tell<'_>) -> Result<(), ChannelError> {
    let mut rest = found;
    loop {
        let (some, after) = rest.split_at(rest.len().min(message::PART));
        tell(Answer::Part { plain: message::plain(some), more: !after.is_empty() }, Vec::new())?;
        if after.is_empty() {
            return Ok(());
        }
        rest = after;
    }
}

fn link(path: &str) -> Option<Vec<u8>> {
    Some(fs::read_link(path).ok()?.into_os_string().into_vec())
}

fn proc_file(path: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(PROC_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The first of a process's arguments, and how many bytes all have.
fn arguments(tgid: u32) -> Option<(Vec<u8>, u32)> {
    let mut arguments = Vec::new();
    let mut file = fs::File::open(format!("/proc/{tgid}/cmdline")).ok()?;
    file.by_ref().take(events::ARGS_MAX as u64).read_to_end(&mut arguments).ok()?;
    let more = io::copy(&mut file, &mut io::sink()).ok()?;
    let len = arguments.len() as u64 + more;
    Some((arguments, u32::try_from(len).unwrap_or(u32::MAX)))
}

/// Whether a process numbers others as the agent does; not so if nobody can tell.
fn same_numbers(tgid: u32) -> bool {
    let other = link(&format!("/proc/{tgid}/ns/pid"));
    other.is_some() && other == link("/proc/self/ns/pid")
}

/// Looks for a folder by its inode.
fn walk(mount: &Path, inode: u64) -> Option<Vec<u8>> {
    let mut folders = vec![mount.to_path_buf()];
    for _ in 0..WALK {
        let folder = folders.pop()?;
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.ino() == inode {
                let path = entry.path();
                return Some(Path::new("/").join(path.strip_prefix(mount).ok()?).into_os_string().into_vec());
            }
            folders.push(entry.path());
        }
    }
    None
}

/// A file, if it is a plain one and not larger than this.
fn read(path: &Path, max: u64) -> Option<Vec<u8>> {
    let file = fs::File::open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= max).then_some(bytes)
}
