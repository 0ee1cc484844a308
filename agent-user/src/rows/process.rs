//! Rows of `process`.

use super::{Batch, Dict, Place, append_key, columns, key_column, time_column};
use crate::{
    hashes::{Digest, Waiting},
    lineage::{Ancestor, Credentials, Process},
};
use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, FixedSizeBinaryBuilder, Int32Builder, ListBuilder, StringBuilder, StructBuilder,
    TimestampNanosecondBuilder, UInt8Builder, UInt32Builder, UInt64Builder,
};
use arrow_schema::ArrowError;
use events::{EventType, Exit, Image, TaskHead};
use mask::Masker;
use std::sync::Arc;

columns! {
    /// The columns of `process`, in the order of its schema.
    ProcessColumns: events::process_schema();
    time: TimestampNanosecondBuilder = time_column();
    host: Dict = Dict::new();
    activity: Dict = Dict::new();
    process_key: FixedSizeBinaryBuilder = key_column();
    parent_key: FixedSizeBinaryBuilder = key_column();
    root_key: FixedSizeBinaryBuilder = key_column();
    ancestors: ListBuilder<StructBuilder> = ListBuilder::new(StructBuilder::from_fields(events::ancestor_fields(), 0));
    pid: UInt32Builder = UInt32Builder::new();
    tid: UInt32Builder = UInt32Builder::new();
    parent_pid: UInt32Builder = UInt32Builder::new();
    session: UInt32Builder = UInt32Builder::new();
    uid: UInt32Builder = UInt32Builder::new();
    gid: UInt32Builder = UInt32Builder::new();
    euid: UInt32Builder = UInt32Builder::new();
    egid: UInt32Builder = UInt32Builder::new();
    login_uid: UInt32Builder = UInt32Builder::new();
    capabilities: UInt64Builder = UInt64Builder::new();
    comm: Dict = Dict::new();
    exe: Dict = Dict::new();
    parent_exe: Dict = Dict::new();
    root_exe: Dict = Dict::new();
    script: Dict = Dict::new();
    args: ListBuilder<StringBuilder> = ListBuilder::new(StringBuilder::new());
    args_bytes: UInt32Builder = UInt32Builder::new();
    args_truncated: BooleanBuilder = BooleanBuilder::new();
    args_masked: BooleanBuilder = BooleanBuilder::new();
    cwd: Dict = Dict::new();
    cwd_source: Dict = Dict::new();
    exe_inode: UInt64Builder = UInt64Builder::new();
    exe_device: UInt32Builder = UInt32Builder::new();
    exe_sha256: Dict = Dict::new();
    exe_unlinked: BooleanBuilder = BooleanBuilder::new();
    cgroup: UInt64Builder = UInt64Builder::new();
    cgroup_path: Dict = Dict::new();
    container_id: Dict = Dict::new();
    container_name: Dict = Dict::new();
    image: Dict = Dict::new();
    pod: Dict = Dict::new();
    exit_code: Int32Builder = Int32Builder::new();
    exit_signal: UInt8Builder = UInt8Builder::new();
    runtime: UInt64Builder = UInt64Builder::new();
    cpu: UInt64Builder = UInt64Builder::new();
    cpu_user: UInt64Builder = UInt64Builder::new();
    cpu_system: UInt64Builder = UInt64Builder::new();
    max_rss: UInt64Builder = UInt64Builder::new();
    minor_faults: UInt64Builder = UInt64Builder::new();
    major_faults: UInt64Builder = UInt64Builder::new();
    operation: Dict = Dict::new();
    result: Int32Builder = Int32Builder::new();
    target: Dict = Dict::new();
    target_key: FixedSizeBinaryBuilder = key_column();
    target_pid: UInt32Builder = UInt32Builder::new();
    target_exe: Dict = Dict::new();
    previous_uid: UInt32Builder = UInt32Builder::new();
    previous_gid: UInt32Builder = UInt32Builder::new();
    previous_euid: UInt32Builder = UInt32Builder::new();
    previous_egid: UInt32Builder = UInt32Builder::new();
    previous_capabilities: UInt64Builder = UInt64Builder::new();
    summarised: ListBuilder<StructBuilder> =
        ListBuilder::new(StructBuilder::from_fields(events::summarised_fields(), 0));
    agent: Dict = Dict::new();
}

/// Fills columns with nulls for the rows before that said nothing of them.
macro_rules! fill {
    ($to:ident, $rows:expr; $($column:ident),*) => {
        $(
            let missing = $rows - $to.$column.len();
            if missing > 0 {
                $to.$column.append_nulls(missing);
            }
        )*
    };
}

/// A row, as far as it differs from event type to event type. What is `None` stays null.
#[derive(Default)]
pub struct Row<'a> {
    /// When, in nanoseconds UTC.
    pub time: i64,
    /// What the kernel said of the process; a throttled one is named by its key alone.
    pub task: Option<&'a TaskHead>,
    /// The processes above it, the nearest first.
    pub ancestors: Option<&'a [Ancestor]>,
    /// Exec and running.
    pub image: Option<ImageFacts<'a>>,
    /// Exit.
    pub exit: Option<&'a Exit>,
    /// Credential, ptrace, module, bpf and throttle.
    pub operation: Option<&'a str>,
    /// What the call returned.
    pub result: Option<i32>,
    /// Module file, or name of a BPF program.
    pub target: Option<String>,
    /// The process that is traced.
    pub traced: Option<&'a Process>,
    /// Its number, as the caller named it.
    pub target_pid: Option<u32>,
    /// Credentials before a change.
    pub previous: Option<Credentials>,
    /// Events of a throttled process that were only counted.
    pub summarised: Option<&'a [u64; EventType::ALL.len()]>,
}

/// What is known of an image and how it was started.
pub struct ImageFacts<'a> {
    /// The record.
    pub record: &'a Image<'a>,
    /// The file named to execve, if an interpreter runs it.
    pub script: Option<String>,
    /// The arguments, if they are known: NUL-separated, with their true length.
    pub args: Option<(&'a [u8], u32)>,
    /// The current folder, and who said so.
    pub cwd: Option<(Arc<str>, &'static str)>,
    /// SHA-256 of the image, in hex, when it is known.
    pub sha256: Option<Digest>,
}

/// Builds rows of `process`.
pub struct ProcessRows {
    columns: ProcessColumns,
    host: Arc<str>,
    masker: Masker,
    digests: Waiting,
    kinds: Vec<EventType>,
    /// Bytes of arguments and of the paths of ancestors, which are the long ones.
    bytes: usize,
}

impl ProcessRows {
    /// No rows yet, for a host.
    #[must_use]
    pub fn new(host: Arc<str>) -> Self {
        Self {
            columns: ProcessColumns::new(),
            host,
            masker: Masker::default(),
            digests: Waiting::default(),
            kinds: Vec::new(),
            bytes: 0,
        }
    }

    /// Bytes of arguments and paths waiting, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Rows waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Gives up the rows that wait, the last of which may be half a row. Returns of what types they were.
    pub fn abandon(&mut self) -> Vec<EventType> {
        (self.columns, self.digests, self.bytes) = (ProcessColumns::new(), Waiting::default(), 0);
        std::mem::take(&mut self.kinds)
    }

    /// Whether no row waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Adds a row. Columns that it says nothing of stay short: they are filled with nulls when they are needed.
    pub fn push(&mut self, kind: EventType, process: &Process, place: &Place, row: &Row<'_>) {
        self.kinds.push(kind);
        self.who(kind, process, row);
        self.credentials(process, row);
        self.image(row.image.as_ref());
        self.place(process, place);
        self.exit(process, row.exit);
        self.call(row);
        self.counts(row.summarised);
    }

    fn who(&mut self, kind: EventType, process: &Process, row: &Row<'_>) {
        let (to, before) = (&mut self.columns, self.kinds.len() - 1);
        to.time.append_value(row.time);
        to.host.append_value(&self.host);
        to.activity.append_value(kind.name());
        append_key(&mut to.process_key, Some(&process.key));
        append_key(&mut to.parent_key, process.parent.as_ref());
        append_key(&mut to.root_key, Some(&process.root));
        to.pid.append_value(process.key.tgid());
        to.tid.append_option(row.task.map(|task| task.tid));
        to.parent_pid.append_option(process.parent.map(|parent| parent.tgid()));
        to.session.append_option(row.task.map(|task| task.session).filter(|session| *session != 0));
        to.comm.append_value(&process.comm);
        to.exe.append_option(process.exe.as_deref());
        to.parent_exe.append_option(process.parent_exe.as_deref());
        to.root_exe.append_option(process.root_exe.as_deref());
        let Some(ancestors) = row.ancestors else { return };
        fill!(to, before; ancestors);
        self.bytes += ancestors.iter().map(|(_, exe)| 16 + exe.as_ref().map_or(0, |exe| exe.len())).sum::<usize>();
        for (key, exe) in ancestors {
            let entry = to.ancestors.values();
            if let Some(keys) = entry.field_builder::<FixedSizeBinaryBuilder>(0) {
                append_key(keys, Some(key));
            }
            if let Some(exes) = entry.field_builder::<StringBuilder>(1) {
                exes.append_option(exe.as_deref());
            }
            entry.append(true);
        }
        to.ancestors.append(true);
    }

    fn credentials(&mut self, process: &Process, row: &Row<'_>) {
        let (to, before, now) = (&mut self.columns, self.kinds.len() - 1, process.credentials);
        to.uid.append_value(now.uid);
        to.gid.append_value(now.gid);
        to.euid.append_option(row.task.map(|_| now.euid));
        to.egid.append_option(row.task.map(|_| now.egid));
        to.login_uid.append_option(row.task.map(|task| task.login_uid).filter(|uid| *uid != u32::MAX));
        to.capabilities.append_option(row.task.map(|_| now.capabilities));
        let Some(previous) = row.previous else { return };
        fill!(to, before; previous_uid, previous_gid, previous_euid, previous_egid, previous_capabilities);
        to.previous_uid.append_value(previous.uid);
        to.previous_gid.append_value(previous.gid);
        to.previous_euid.append_value(previous.euid);
        to.previous_egid.append_value(previous.egid);
        to.previous_capabilities.append_value(previous.capabilities);
    }

    fn image(&mut self, image: Option<&ImageFacts<'_>>) {
        self.digests.push(image.and_then(|image| image.sha256.clone()));
        let Some(image) = image else { return };
        self.arguments(image.args);
        let (to, before) = (&mut self.columns, self.kinds.len() - 1);
        // What the kernel runs for itself has no image.
        let head = Some(&image.record.head).filter(|head| head.inode != 0);
        fill!(to, before; script, cwd, cwd_source, exe_inode, exe_device, exe_unlinked);
        to.script.append_option(image.script.as_deref());
        to.cwd.append_option(image.cwd.as_ref().map(|(cwd, _)| cwd));
        to.cwd_source.append_option(image.cwd.as_ref().map(|(_, source)| source));
        to.exe_inode.append_option(head.map(|head| head.inode));
        to.exe_device.append_option(head.map(|head| head.device));
        to.exe_unlinked.append_option(head.map(|head| head.nlink == 0));
    }

    /// The arguments, with the secrets among them hidden: from here on nothing holds them.
    fn arguments(&mut self, args: Option<(&[u8], u32)>) {
        let Some((joined, len)) = args else { return };
        let (to, before) = (&mut self.columns, self.kinds.len() - 1);
        fill!(to, before; args, args_bytes, args_truncated, args_masked);
        self.bytes += joined.len();
        let masked = self.masker.list(joined);
        match &masked {
            Some(masked) => masked.iter().for_each(|argument| to.args.values().append_value(argument)),
            None => parse::proc_files::cmdline(joined)
                .for_each(|argument| to.args.values().append_value(String::from_utf8_lossy(argument))),
        }
        to.args.append(true);
        to.args_bytes.append_value(len);
        to.args_truncated.append_value(joined.len() < len as usize);
        to.args_masked.append_value(masked.is_some());
    }

    fn place(&mut self, process: &Process, place: &Place) {
        let (to, before) = (&mut self.columns, self.kinds.len() - 1);
        to.cgroup.append_value(process.cgroup);
        to.cgroup_path.append_option(place.path.as_deref());
        if place.container.is_none() {
            return;
        }
        fill!(to, before; container_id, container_name, image, pod);
        to.container_id.append_option(place.container.as_deref());
        to.container_name.append_option(place.name.as_deref());
        to.image.append_option(place.image.as_deref());
        to.pod.append_option(place.pod.as_deref());
    }

    fn exit(&mut self, process: &Process, exit: Option<&Exit>) {
        let Some(exit) = exit else { return };
        let (to, before, page) = (&mut self.columns, self.kinds.len() - 1, rustix::param::page_size() as u64);
        fill!(to, before; exit_code, exit_signal, runtime, cpu, cpu_user, cpu_system, max_rss);
        fill!(to, before; minor_faults, major_faults);
        to.exit_code.append_value(exit.code as i32);
        to.exit_signal.append_value(exit.signal as u8);
        to.runtime.append_value(exit.task.time.saturating_sub(process.key.start()));
        to.cpu.append_value(exit.cpu);
        to.cpu_user.append_value(exit.cpu_user);
        to.cpu_system.append_value(exit.cpu_system);
        to.max_rss.append_value(exit.max_rss.saturating_mul(page));
        to.minor_faults.append_value(exit.minor_faults);
        to.major_faults.append_value(exit.major_faults);
    }

    fn call(&mut self, row: &Row<'_>) {
        let (to, before) = (&mut self.columns, self.kinds.len() - 1);
        if row.operation.is_none() {
            return;
        }
        fill!(to, before; operation, result, target, target_key, target_pid, target_exe);
        to.operation.append_option(row.operation);
        to.result.append_option(row.result);
        to.target.append_option(row.target.as_deref());
        append_key(&mut to.target_key, row.traced.map(|process| &process.key));
        to.target_pid.append_option(row.target_pid);
        to.target_exe.append_option(row.traced.and_then(|process| process.exe.as_deref()));
    }

    fn counts(&mut self, summarised: Option<&[u64; EventType::ALL.len()]>) {
        let Some(summarised) = summarised else { return };
        let (to, before) = (&mut self.columns, self.kinds.len() - 1);
        fill!(to, before; summarised);
        let list = &mut to.summarised;
        for (kind, count) in EventType::ALL.into_iter().zip(summarised).filter(|(_, n)| **n > 0) {
            let entry = list.values();
            if let Some(events) = entry.field_builder::<StringBuilder>(0) {
                events.append_value(kind.name());
            }
            if let Some(counts) = entry.field_builder::<UInt64Builder>(1) {
                counts.append_value(*count);
            }
            entry.append(true);
        }
        list.append(true);
    }

    /// Takes the rows out.
    ///
    /// # Errors
    /// If the columns do not fit the schema.
    pub fn take(&mut self) -> Result<Batch, ArrowError> {
        self.columns.fill(self.kinds.len());
        let rows = self.columns.take()?;
        let digests = std::mem::take(&mut self.digests);
        self.bytes = 0;
        Ok(Batch { digests, ..Batch::new(events::PROCESS, rows, std::mem::take(&mut self.kinds)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::ProcessKey;

    #[test]
    fn rows_fit_the_schema() {
        assert_eq!(ProcessRows::new("h".into()).take().unwrap().rows.num_rows(), 0);
    }

    #[test]
    fn a_row_that_knows_little_still_fits() {
        let mut rows = ProcessRows::new("h".into());
        let mut counts = [0; EventType::ALL.len()];
        counts[3] = 7;
        let row = Row { summarised: Some(&counts), ancestors: Some(&[]), ..Row::default() };
        rows.push(EventType::Throttle, &Process::nobody(ProcessKey::default()), &Place::default(), &row);
        assert_eq!(rows.take().unwrap().rows.num_rows(), 1);
    }
}
