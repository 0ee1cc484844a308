//! Who descends from whom: a bounded cache of processes, filled by events and, for those before the agent, from `/proc`.

#[cfg(test)]
mod tests;

use crate::facts::{Desk, Facts};
use ahash::RandomState;
use events::{ProcessKey, TaskHead};
use parse::proc_files;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// How long an ended process is kept, in nanoseconds: its last socket events can come after its end.
const GRACE: u64 = 30_000_000_000;

/// Whom a process acts as, and what it may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Effective group id.
    pub egid: u32,
    /// Effective capabilities, one bit each.
    pub capabilities: u64,
}

impl From<proc_files::Status> for Credentials {
    fn from(status: proc_files::Status) -> Self {
        let proc_files::Status { uid, gid, euid, egid, cap_eff: capabilities } = status;
        Self { uid, gid, euid, egid, capabilities }
    }
}

impl Credentials {
    fn of(task: &TaskHead) -> Self {
        let TaskHead { uid, gid, euid, egid, capabilities, .. } = *task;
        Self { uid, gid, euid, egid, capabilities }
    }
}

/// An ancestor: its key, and the image it runs.
pub type Ancestor = (ProcessKey, Option<Arc<str>>);

/// Ancestors that are followed at most.
const ANCESTORS: usize = 16;

/// What is known of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The process.
    pub key: ProcessKey,
    /// Its parent at its last event.
    pub parent: Option<ProcessKey>,
    /// Nearest session leader at or above it that is known, else the topmost known ancestor.
    pub root: ProcessKey,
    /// Task name.
    pub comm: Arc<str>,
    /// The image it runs.
    pub exe: Option<Arc<str>>,
    /// The image its parent ran at its last event.
    pub parent_exe: Option<Arc<str>>,
    /// The image its root ran at its last event.
    pub root_exe: Option<Arc<str>>,
    /// As of its last event.
    pub credentials: Credentials,
    /// Id of its cgroup, as of its last event; 0 if it is not known.
    pub cgroup: u64,
    /// Its beginning is recorded: its creation, or that it was there when the agent started.
    pub begun: bool,
    /// When it ended.
    pub ended: Option<u64>,
    /// What it was before its last exec, and when that was.
    pub earlier: Option<(u64, Box<Process>)>,
}

impl Process {
    /// A process of which nothing is known but its key.
    #[must_use]
    pub fn nobody(key: ProcessKey) -> Self {
        let (comm, parent, exe, parent_exe, root_exe, ended) = Default::default();
        let credentials = Credentials::default();
        let (cgroup, begun, earlier) = (0, false, None);
        Self { key, parent, root: key, comm, exe, parent_exe, root_exe, credentials, cgroup, begun, ended, earlier }
    }
}

/// The cache.
pub struct Lineage {
    boot: [u8; 4],
    capacity: usize,
    processes: HashMap<ProcessKey, Process, RandomState>,
    /// Their keys, and some that are gone, in the order in which they came.
    order: VecDeque<ProcessKey>,
    /// The latest process with a number.
    by_tgid: HashMap<u32, ProcessKey, RandomState>,
    /// Stands for a process of which nothing is known.
    nobody: Process,
    ended: VecDeque<(u64, ProcessKey)>,
    evicted: u64,
    facts: Facts,
}

impl Lineage {
    /// An empty cache for at most `capacity` processes of the boot whose id starts with `boot`.
    #[must_use]
    pub fn new(boot: [u8; 4], capacity: usize) -> Self {
        let (processes, order, by_tgid, ended) = Default::default();
        let nobody = Process::nobody(ProcessKey::default());
        let facts = Facts::here(Desk::new(None));
        Self { boot, capacity: capacity.max(1), processes, order, by_tgid, nobody, ended, evicted: 0, facts }
    }

    /// Asks elsewhere about processes that are not known.
    #[must_use]
    pub fn asking(self, facts: Facts) -> Self {
        Self { facts, ..self }
    }

    /// Processes that had to go before their time.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Processes known now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.processes.len()
    }

    /// Whether no process is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    fn key(&self, start: u64, tgid: u32) -> ProcessKey {
        ProcessKey::new(self.boot, start, tgid)
    }

    /// A process was created: it runs its parent's image. `None` if it is recorded as one that was there before.
    pub fn fork(&mut self, task: &TaskHead) -> Option<&Process> {
        let parent = self.parent(task);
        let exe = parent.and_then(|key| self.processes.get(&key)).and_then(|parent| parent.exe.clone());
        self.begin(task, parent, exe)
    }

    /// A process was there when the agent started. `None` if its creation is recorded, or its end.
    pub fn running(&mut self, task: &TaskHead, exe: Option<Arc<str>>) -> Option<&Process> {
        let parent = self.parent(task);
        self.begin(task, parent, exe)
    }

    fn begin(&mut self, task: &TaskHead, parent: Option<ProcessKey>, exe: Option<Arc<str>>) -> Option<&Process> {
        let known = self.processes.get(&self.key(task.start, task.tgid));
        if known.is_some_and(|process| process.begun || process.ended.is_some()) {
            return None;
        }
        let process = self.put(task, parent, exe);
        process.begun = true;
        Some(process)
    }

    /// A process runs a new image.
    pub fn exec(&mut self, task: &TaskHead, exe: Option<Arc<str>>) -> &Process {
        let parent = self.parent(task);
        let known = self.processes.get_mut(&self.key(task.start, task.tgid));
        let earlier = known.map(|process| {
            process.earlier = None;
            (task.time, Box::new(process.clone()))
        });
        let process = self.put(task, parent, exe);
        process.earlier = earlier;
        process
    }

    /// A process did something that changes no more than its credentials; also those before, if they are known.
    pub fn acted(&mut self, task: &TaskHead) -> (&Process, Option<Credentials>) {
        let parent = self.parent(task);
        let known = self.processes.get(&self.key(task.start, task.tgid));
        let before = known.filter(|process| process.cgroup != 0).map(|process| process.credentials);
        let exe = known.and_then(|process| process.exe.clone()).or_else(|| self.facts.exe(task.tgid));
        (self.put(task, parent, exe), before)
    }

    /// What is known of a process.
    #[must_use]
    pub fn get(&self, key: &ProcessKey) -> &Process {
        self.processes.get(key).unwrap_or(&self.nobody)
    }

    /// The latest process with a number.
    #[must_use]
    pub fn numbered(&self, tgid: u32) -> Option<&Process> {
        self.by_tgid.get(&tgid).and_then(|key| self.processes.get(key))
    }

    /// The ancestors of a process from its parent to its root, as far as they are known.
    #[must_use]
    pub fn ancestors(&self, process: &Process) -> Vec<Ancestor> {
        let mut above = Vec::new();
        let (mut last, mut next) = (process.key, process.parent);
        while let Some(key) = next
            && last != process.root
            && above.len() < ANCESTORS
        {
            let known = self.processes.get(&key);
            above.push((key, known.and_then(|process| process.exe.clone())));
            (last, next) = (key, known.and_then(|process| process.parent));
        }
        above
    }

    /// A process ended; `None` if its end was recorded before.
    pub fn exit(&mut self, task: &TaskHead) -> Option<&Process> {
        let key = self.key(task.start, task.tgid);
        let known = self.processes.get(&key);
        if known.is_some_and(|process| process.ended.is_some()) {
            return None;
        }
        let exe = known.and_then(|process| process.exe.clone());
        let parent = self.parent(task);
        self.ended.push_back((task.time, key));
        let process = self.put(task, parent, exe);
        process.ended = Some(task.time);
        Some(process)
    }

    /// The owner of a socket, from the cache or `/proc`.
    pub fn owner(&mut self, start: u64, tgid: u32) -> &Process {
        let key = self.key(start, tgid);
        self.known(key);
        match self.processes.get(&key) {
            Some(process) => process,
            None => {
                self.nobody = Process::nobody(key);
                &self.nobody
            }
        }
    }

    /// As [`Lineage::owner`], as it was at a time that may be before its last exec.
    pub fn owner_at(&mut self, start: u64, tgid: u32, time: u64) -> &Process {
        let process = self.owner(start, tgid);
        match &process.earlier {
            Some((until, before)) if time < *until => before,
            _ => process,
        }
    }

    /// Forgets processes whose end is long past at `now` nanoseconds since boot.
    pub fn forget(&mut self, now: u64) {
        while let Some((ended, key)) = self.ended.front().copied()
            && now.saturating_sub(ended) > GRACE
        {
            self.ended.pop_front();
            self.remove(key);
        }
    }

    /// The parent named by an event, looked up if it is new to the agent.
    fn parent(&mut self, task: &TaskHead) -> Option<ProcessKey> {
        if task.parent_tgid == 0 {
            return None;
        }
        let key = self.key(task.parent_start, task.parent_tgid);
        self.known(key);
        Some(key)
    }

    /// Makes sure that a process is known, if anything can be said of it.
    fn known(&mut self, key: ProcessKey) {
        if self.processes.contains_key(&key) {
            return;
        }
        let Some(seen) = self.facts.look_up(key.tgid(), key.start()) else { return };
        let parent = self.by_tgid.get(&seen.parent).copied().filter(|parent| *parent < key);
        let root = self.root(key, seen.session, parent);
        let exe_of = |key: ProcessKey| self.processes.get(&key).and_then(|process| process.exe.clone());
        let process = Process {
            key,
            parent,
            root,
            comm: seen.comm.into(),
            parent_exe: parent.map_or_else(|| self.facts.exe(seen.parent), exe_of),
            root_exe: if root == key { seen.exe.clone() } else { exe_of(root) },
            exe: seen.exe,
            credentials: seen.credentials,
            cgroup: 0,
            begun: false,
            ended: None,
            earlier: None,
        };
        self.insert(process);
    }

    fn put(&mut self, task: &TaskHead, parent: Option<ProcessKey>, exe: Option<Arc<str>>) -> &mut Process {
        let key = self.key(task.start, task.tgid);
        let root = self.root(key, task.session, parent);
        let exe_of = |key: ProcessKey| self.processes.get(&key).and_then(|process| process.exe.clone());
        let parent_exe = parent.and_then(exe_of);
        let root_exe = if root == key { exe.clone() } else { exe_of(root) };
        if !self.processes.contains_key(&key) {
            // Named as its parent, as most are at first: a name less to keep.
            let parent = parent.and_then(|key| self.processes.get(&key));
            let comm = parent.map(|parent| parent.comm.clone()).unwrap_or_default();
            self.insert(Process { comm, ..Process::nobody(key) });
        }
        let process = self.processes.entry(key).or_insert_with(|| Process::nobody(key));
        let comm = until_nul(&task.comm);
        if process.comm.as_bytes() != comm {
            process.comm = String::from_utf8_lossy(comm).into();
        }
        (process.parent, process.root, process.ended) = (parent, root, None);
        (process.exe, process.parent_exe, process.root_exe) = (exe, parent_exe, root_exe);
        (process.credentials, process.cgroup) = (Credentials::of(task), task.cgroup);
        process
    }

    /// A session's number is its leader's, and stays taken while the session lives: the latest process with that number
    /// is the leader, if the agent knows it.
    fn root(&self, key: ProcessKey, session: u32, parent: Option<ProcessKey>) -> ProcessKey {
        if session == key.tgid() {
            return key;
        }
        let leader = self.by_tgid.get(&session).copied().filter(|leader| *leader < key);
        let above = || parent.and_then(|parent| self.processes.get(&parent)).map(|parent| parent.root);
        leader.or_else(above).unwrap_or(key)
    }

    /// Takes in a process that is not known yet.
    fn insert(&mut self, process: Process) {
        let key = process.key;
        if self.by_tgid.get(&key.tgid()).is_none_or(|latest| *latest < key) {
            self.by_tgid.insert(key.tgid(), key);
        }
        self.processes.insert(key, process);
        self.order.push_back(key);
        if self.order.len() > 2 * self.capacity + 2 {
            self.order.retain(|key| self.processes.contains_key(key));
        }
        while self.processes.len() > self.capacity {
            self.evicted += 1;
            // Ended ones go first, then the oldest: whatever is asked for again comes back from `/proc`.
            match self.next_to_go(key) {
                Some(key) => self.remove(key),
                None => break,
            }
        }
    }

    fn next_to_go(&mut self, keep: ProcessKey) -> Option<ProcessKey> {
        let ended = std::iter::from_fn(|| self.ended.pop_front().map(|(_, key)| key));
        if let Some(key) = { ended }.find(|key| *key != keep && self.processes.contains_key(key)) {
            return Some(key);
        }
        std::iter::from_fn(|| self.order.pop_front()).find(|key| *key != keep && self.processes.contains_key(key))
    }

    fn remove(&mut self, key: ProcessKey) {
        self.processes.remove(&key);
        if self.by_tgid.get(&key.tgid()) == Some(&key) {
            self.by_tgid.remove(&key.tgid());
        }
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}
