//! Rows of `process`.

use super::{Batch, Dict, batch, keys, put_key, times};
use crate::lineage::Process;
use arrow_array::builder::{
    BooleanBuilder, FixedSizeBinaryBuilder, Int32Builder, ListBuilder, StringBuilder, TimestampNanosecondBuilder,
    UInt8Builder, UInt32Builder, UInt64Builder,
};
use arrow_schema::{ArrowError, SchemaRef};
use events::{EventType, Exec, Exit, TaskHead};
use mask::Masker;
use std::sync::Arc;

/// Builds rows of `process`.
pub struct ProcessRows {
    schema: SchemaRef,
    host: Arc<str>,
    masker: Masker,
    kinds: Vec<EventType>,
    time: TimestampNanosecondBuilder,
    hosts: Dict,
    activity: Dict,
    process_key: FixedSizeBinaryBuilder,
    parent_key: FixedSizeBinaryBuilder,
    root_key: FixedSizeBinaryBuilder,
    pid: UInt32Builder,
    parent_pid: UInt32Builder,
    session: UInt32Builder,
    uid: UInt32Builder,
    gid: UInt32Builder,
    comm: Dict,
    exe: Dict,
    parent_exe: Dict,
    root_exe: Dict,
    script: Dict,
    args: ListBuilder<StringBuilder>,
    args_bytes: UInt32Builder,
    args_truncated: BooleanBuilder,
    args_masked: BooleanBuilder,
    exe_unlinked: BooleanBuilder,
    cgroup: UInt64Builder,
    exit_code: Int32Builder,
    exit_signal: UInt8Builder,
    agent: Dict,
}

impl ProcessRows {
    /// No rows yet, for a host.
    #[must_use]
    pub fn new(host: Arc<str>) -> Self {
        Self {
            schema: events::process_schema(),
            host,
            masker: Masker::default(),
            kinds: Vec::new(),
            time: times(),
            hosts: Dict::new(),
            activity: Dict::new(),
            process_key: keys(),
            parent_key: keys(),
            root_key: keys(),
            pid: UInt32Builder::new(),
            parent_pid: UInt32Builder::new(),
            session: UInt32Builder::new(),
            uid: UInt32Builder::new(),
            gid: UInt32Builder::new(),
            comm: Dict::new(),
            exe: Dict::new(),
            parent_exe: Dict::new(),
            root_exe: Dict::new(),
            script: Dict::new(),
            args: ListBuilder::new(StringBuilder::new()),
            args_bytes: UInt32Builder::new(),
            args_truncated: BooleanBuilder::new(),
            args_masked: BooleanBuilder::new(),
            exe_unlinked: BooleanBuilder::new(),
            cgroup: UInt64Builder::new(),
            exit_code: Int32Builder::new(),
            exit_signal: UInt8Builder::new(),
            agent: Dict::new(),
        }
    }

    /// Rows waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether no row waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// A row for a new image.
    pub fn exec(&mut self, time: i64, exec: &Exec<'_>, image: &Image, process: &Process) {
        self.common(time, EventType::Exec, &exec.head.task, process);
        self.script.append_option(image.script.as_deref());
        self.arguments(exec);
        self.args_bytes.append_value(exec.head.args_len);
        self.args_truncated.append_value(exec.args_truncated());
        self.exe_unlinked.append_value(image.unlinked);
        self.exit_code.append_null();
        self.exit_signal.append_null();
    }

    /// The arguments, with the secrets among them hidden: from here on nothing holds them.
    fn arguments(&mut self, exec: &Exec<'_>) {
        let masked = self.masker.list(exec.args);
        self.args_masked.append_value(masked.is_some());
        match masked {
            Some(list) => list.iter().for_each(|argument| self.args.values().append_value(argument)),
            None => exec.arguments().for_each(|a| self.args.values().append_value(String::from_utf8_lossy(a))),
        }
        self.args.append(true);
    }

    /// A row for a new process.
    pub fn fork(&mut self, time: i64, task: &TaskHead, process: &Process) {
        self.common(time, EventType::Fork, task, process);
        self.no_image();
        self.exit_code.append_null();
        self.exit_signal.append_null();
    }

    /// A row for the end of a process.
    pub fn exit(&mut self, time: i64, exit: &Exit, process: &Process) {
        self.common(time, EventType::Exit, &exit.task, process);
        self.no_image();
        self.exit_code.append_value(exit.code as i32);
        self.exit_signal.append_value(exit.signal as u8);
    }

    fn no_image(&mut self) {
        self.script.append_null();
        self.args.append(false);
        self.args_bytes.append_null();
        self.args_truncated.append_null();
        self.args_masked.append_null();
        self.exe_unlinked.append_null();
    }

    fn common(&mut self, time: i64, kind: EventType, task: &TaskHead, process: &Process) {
        self.kinds.push(kind);
        self.time.append_value(time);
        self.hosts.append_value(&self.host);
        self.activity.append_value(kind.name());
        put_key(&mut self.process_key, Some(&process.key));
        put_key(&mut self.parent_key, process.parent.as_ref());
        put_key(&mut self.root_key, Some(&process.root));
        self.pid.append_value(task.tgid);
        self.parent_pid.append_option((task.parent_tgid != 0).then_some(task.parent_tgid));
        self.session.append_option((task.session != 0).then_some(task.session));
        self.uid.append_value(task.uid);
        self.gid.append_value(task.gid);
        self.comm.append_value(&process.comm);
        self.exe.append_option(process.exe.as_deref());
        self.parent_exe.append_option(process.parent_exe.as_deref());
        self.root_exe.append_option(process.root_exe.as_deref());
        self.cgroup.append_value(task.cgroup);
        self.agent.append_null();
    }

    /// Takes the rows out.
    ///
    /// # Errors
    /// If the columns do not fit the schema.
    pub fn take(&mut self) -> Result<Batch, ArrowError> {
        let rows = batch(
            self.schema.clone(),
            &mut [
                &mut self.time,
                &mut self.hosts,
                &mut self.activity,
                &mut self.process_key,
                &mut self.parent_key,
                &mut self.root_key,
                &mut self.pid,
                &mut self.parent_pid,
                &mut self.session,
                &mut self.uid,
                &mut self.gid,
                &mut self.comm,
                &mut self.exe,
                &mut self.parent_exe,
                &mut self.root_exe,
                &mut self.script,
                &mut self.args,
                &mut self.args_bytes,
                &mut self.args_truncated,
                &mut self.args_masked,
                &mut self.exe_unlinked,
                &mut self.cgroup,
                &mut self.exit_code,
                &mut self.exit_signal,
                &mut self.agent,
            ],
        )?;
        Ok(Batch { table: events::PROCESS, rows, kinds: std::mem::take(&mut self.kinds) })
    }
}

/// The image that an exec record tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The file that runs, `memfd:NAME` for a memory file.
    pub exe: Arc<str>,
    /// The file named to execve, if an interpreter runs it.
    pub script: Option<String>,
    /// The file that runs had no directory entry.
    pub unlinked: bool,
}

impl Image {
    /// Reads it from a record.
    #[must_use]
    pub fn of(exec: &Exec<'_>) -> Self {
        let lossy = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let unlinked = exec.head.nlink == 0;
        let exe = match exec.leaf.starts_with(b"memfd:") && unlinked {
            true => lossy(exec.leaf),
            false => lossy(exec.interp),
        };
        let script = (exec.interp != exec.filename).then(|| lossy(exec.filename));
        Self { exe: exe.into(), script, unlinked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use events::ExecHead;

    fn image(nlink: u32, filename: &[u8], interp: &[u8], leaf: &[u8]) -> Image {
        Image::of(&Exec { head: ExecHead { nlink, ..ExecHead::zeroed() }, filename, interp, leaf, args: b"" })
    }

    #[test]
    fn images() {
        let plain = image(1, b"/bin/ls", b"/bin/ls", b"ls");
        assert_eq!((&*plain.exe, &plain.script, plain.unlinked), ("/bin/ls", &None, false));
        let script = image(1, b"./run.sh", b"/bin/sh", b"dash");
        assert_eq!((&*script.exe, script.script.as_deref()), ("/bin/sh", Some("./run.sh")));
        let memory = image(0, b"/proc/self/fd/3", b"/proc/self/fd/3", b"memfd:x");
        assert_eq!((&*memory.exe, &memory.script, memory.unlinked), ("memfd:x", &None, true));
        // A file that merely bears such a name is not a memory file.
        assert_eq!(&*image(1, b"/tmp/memfd:x", b"/tmp/memfd:x", b"memfd:x").exe, "/tmp/memfd:x");
    }

    #[test]
    fn rows_fit_the_schema() {
        assert_eq!(ProcessRows::new("h".into()).take().unwrap().rows.num_rows(), 0);
    }
}
