//! Loading and attaching the kernel programs.

use crate::{
    error::{AgentError, last_line},
    kernel::{Cgroup, Layout},
};
use aya::{
    Ebpf, EbpfLoader, Endianness,
    maps::{MapData, PerCpuArray, RingBuf},
    programs::{CgroupAttachMode, Program},
};
use events::EventType;
use std::{fs::File, path::Path};

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../agent-ebpf/prebuilt/ebbline.bpf.o");

/// A kernel program and what it is for.
#[derive(Debug, Clone, Copy)]
pub struct Hook {
    /// Name of the program.
    pub program: &'static str,
    /// Where it runs in the kernel.
    pub place: &'static str,
    /// The events it gives.
    pub gives: &'static str,
    /// Capture makes no sense without it.
    pub required: bool,
}

const fn hook(program: &'static str, place: &'static str, gives: &'static str, required: bool) -> Hook {
    Hook { program, place, gives, required }
}

/// Every program.
pub const HOOKS: &[Hook] = &[
    hook("process_exec", "tp_btf sched_process_exec", "exec", true),
    hook("process_fork", "tp_btf sched_process_fork", "fork", true),
    hook("process_exit", "tp_btf sched_process_exit", "exit", true),
    hook("socket_state", "cgroup sockops", "close", false),
    hook("socket_connect4", "cgroup connect4", "connect (IPv4)", false),
    hook("socket_connect6", "cgroup connect6", "connect (IPv6)", false),
    hook("socket_accept4", "cgroup getpeername4", "accept (IPv4)", false),
    hook("socket_accept6", "cgroup getpeername6", "accept (IPv6)", false),
    hook("socket_sendmsg4", "cgroup sendmsg4", "send (IPv4)", false),
    hook("socket_sendmsg6", "cgroup sendmsg6", "send (IPv6)", false),
];

/// Sizes of the two rings, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct RingSizes {
    /// Process events.
    pub lifecycle: u32,
    /// Socket events.
    pub sockets: u32,
}

impl RingSizes {
    fn check(self) -> Result<(), AgentError> {
        let good = |size: u32| size.is_power_of_two() && size as usize >= rustix::param::page_size();
        match [self.lifecycle, self.sockets].into_iter().find(|size| !good(*size)) {
            Some(size) => Err(AgentError::RingSize(size)),
            None => Ok(()),
        }
    }
}

/// The loaded object, nothing attached yet.
pub struct Loaded {
    ebpf: Ebpf,
    btf: aya::Btf,
}

/// Creates the maps and prepares the programs for the layout and the scope. Programs are attached by the type
/// information at `btf`, as the layout was made from it.
///
/// # Errors
/// [`AgentError::RingSize`], or [`AgentError::Load`] if the kernel refuses a map.
pub fn load(btf: &Path, layout: &Layout, cgroup: &Cgroup, sizes: RingSizes) -> Result<Loaded, AgentError> {
    sizes.check()?;
    let offsets: &[u32] = bytemuck::cast_slice(std::slice::from_ref(&layout.offsets));
    let scope: &[u64] = bytemuck::cast_slice(std::slice::from_ref(&cgroup.scope));
    let says_last = u32::from(layout.exit_says_last);
    let mut loader = EbpfLoader::new();
    // Nothing in the object is relocated against the kernel's types.
    loader
        .btf(None)
        .override_global("OFFSETS", offsets, true)
        .override_global("SCOPE", scope, true)
        .override_global("EXIT_SAYS_LAST", &says_last, true)
        .map_max_entries("LIFECYCLE", sizes.lifecycle)
        .map_max_entries("SOCKETS", sizes.sockets);
    let ebpf = loader.load(OBJECT).map_err(|error| AgentError::Load(last_line(&error)))?;
    let btf = aya::Btf::parse_file(btf, Endianness::default()).map_err(|error| AgentError::Load(last_line(&error)))?;
    Ok(Loaded { ebpf, btf })
}

impl Loaded {
    /// Hands one program to the verifier.
    ///
    /// # Errors
    /// Why it was refused, in words.
    pub fn load(&mut self, hook: &Hook) -> Result<(), String> {
        let tracepoint = hook.place.strip_prefix("tp_btf ").unwrap_or_default();
        let program = self.ebpf.program_mut(hook.program).ok_or("not in the object")?;
        match program {
            Program::BtfTracePoint(program) => program.load(tracepoint, &self.btf),
            Program::SockOps(program) => program.load(),
            Program::CgroupSockAddr(program) => program.load(),
            _ => return Err("a program of unknown type".into()),
        }
        .map_err(|error| last_line(&error))
    }

    /// Attaches one loaded program.
    ///
    /// # Errors
    /// Why it was refused, in words.
    pub fn attach(&mut self, hook: &Hook, cgroup: &Cgroup) -> Result<(), String> {
        let folder = || File::open(&cgroup.path).map_err(|error| error.to_string());
        // Through a link, the kernel lets several programs share a cgroup whatever the mode.
        let mode = CgroupAttachMode::Single;
        let program = self.ebpf.program_mut(hook.program).ok_or("not in the object")?;
        match program {
            Program::BtfTracePoint(program) => program.attach().map(drop),
            Program::SockOps(program) => program.attach(folder()?, mode).map(drop),
            Program::CgroupSockAddr(program) => program.attach(folder()?, mode).map(drop),
            _ => return Err("a program of unknown type".into()),
        }
        .map_err(|error| last_line(&error))
    }

    /// Loads and attaches every program.
    ///
    /// # Errors
    /// [`AgentError::Attach`] if a required one is refused, [`AgentError::Load`] if a map is not in the object.
    pub fn attach_all(mut self, cgroup: &Cgroup) -> Result<Capture, AgentError> {
        let mut refused = Vec::new();
        for hook in HOOKS {
            if let Err(why) = self.load(hook).and_then(|()| self.attach(hook, cgroup)) {
                if hook.required {
                    return Err(AgentError::Attach { hook: hook.program, why });
                }
                refused.push((hook.program, why));
            }
        }
        let mut map = |name: &str| self.ebpf.take_map(name).ok_or(AgentError::Load(format!("no map {name}")));
        let wrong = |error: aya::maps::MapError| AgentError::Load(last_line(&error));
        let lifecycle = RingBuf::try_from(map("LIFECYCLE")?).map_err(wrong)?;
        let sockets = RingBuf::try_from(map("SOCKETS")?).map_err(wrong)?;
        let counters = PerCpuArray::try_from(map("COUNTERS")?).map_err(wrong)?;
        let rings = Rings { lifecycle, sockets };
        Ok(Capture { rings, counters: Counters(counters), refused, attached: Attached(Some(self.ebpf)) })
    }
}

/// Attached programs and what they fill.
pub struct Capture {
    /// Where events come from.
    pub rings: Rings,
    /// What the kernel counted.
    pub counters: Counters,
    /// Programs that the kernel refused, and why.
    pub refused: Vec<(&'static str, String)>,
    /// Holds the programs in place.
    pub attached: Attached,
}

/// The two rings.
pub struct Rings {
    /// Process events.
    pub lifecycle: RingBuf<MapData>,
    /// Socket events.
    pub sockets: RingBuf<MapData>,
}

/// Programs in place; dropping or detaching takes them out.
pub struct Attached(Option<Ebpf>);

impl Attached {
    /// Takes all programs out of the kernel. Maps stay.
    pub fn detach(&mut self) {
        self.0 = None;
    }
}

/// The kernel's own counts.
pub struct Counters(PerCpuArray<MapData, u64>);

/// Events of one type, as the kernel counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KernelCount {
    /// Happened in scope.
    pub produced: u64,
    /// Found the ring full.
    pub ring_full: u64,
}

impl Counters {
    /// Counts of all types, in the order of [`EventType::ALL`].
    ///
    /// # Errors
    /// [`AgentError::Read`] if the kernel refuses.
    pub fn read(&self) -> Result<[KernelCount; EventType::ALL.len()], AgentError> {
        let mut counts = [KernelCount::default(); EventType::ALL.len()];
        for kind in EventType::ALL {
            // Drops first: a count that moves meanwhile never makes more drops than events.
            let ring_full = self.slot(kind.ring_full_slot())?;
            counts[kind.index()] = KernelCount { produced: self.slot(kind.produced_slot())?, ring_full };
        }
        Ok(counts)
    }

    fn slot(&self, slot: u32) -> Result<u64, AgentError> {
        let values = self.0.get(&slot, 0);
        values
            .map(|values| values.iter().sum())
            .map_err(|error| AgentError::Read { what: "kernel counters".into(), why: last_line(&error) })
    }
}
