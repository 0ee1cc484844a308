//! Loading and attaching the kernel programs.

mod hooks;

use crate::{
    calls,
    drain::KernelRing,
    error::{AgentError, last_line},
    kernel::{Cgroup, Layout},
    plain::Plain,
};
use aya::{
    Ebpf, EbpfLoader, Endianness,
    maps::{ArrayOfMaps, HashMap, Map, MapData, PerCpuArray, RingBuf},
    programs::{CgroupAttachMode, CgroupSkbAttachType, Program},
};
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF;
use events::{Count, EventType, Flow, FlowState, Maker, Settings, Throttled, UNIX_SLOT};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

pub use hooks::{CALLS, HOOKS, Hook, ITERATORS};

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../agent-ebpf/prebuilt/ebbline.bpf.o");

/// The rings that records come through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingSizes {
    /// Size of the ring of process events, in bytes.
    pub lifecycle: u32,
    /// Size of each ring of socket events, in bytes.
    pub sockets: u32,
    /// Rings of socket events: a power of two.
    pub shards: u32,
}

/// Rings of socket events at most.
const SHARDS_MAX: u32 = 64;
/// All rings of socket events together, unless there are so few that each may have [`SHARD_LARGEST`].
const SOCKETS_TOTAL: u32 = 32 << 20;
const SHARD_LARGEST: u32 = 4 << 20;
/// The ring of process events.
const LIFECYCLE: u32 = 4 << 20;

impl RingSizes {
    /// What suits a machine with so many processors: a ring for each up to 64, 4 MiB each and 32 MiB together at most.
    #[must_use]
    pub fn for_processors(processors: u32) -> Self {
        let shards = processors.clamp(1, SHARDS_MAX).next_power_of_two();
        Self { lifecycle: LIFECYCLE, sockets: (SOCKETS_TOTAL / shards).min(SHARD_LARGEST), shards }
    }

    /// All rings together, in bytes.
    #[must_use]
    pub fn total(self) -> u64 {
        u64::from(self.lifecycle) + u64::from(self.sockets) * u64::from(self.shards)
    }

    fn check(self) -> Result<(), AgentError> {
        let good = |size: u32| size.is_power_of_two() && size as usize >= rustix::param::page_size();
        match [self.lifecycle, self.sockets].into_iter().find(|size| !good(*size)) {
            Some(size) => Err(AgentError::RingSize(size)),
            None => Ok(()),
        }
    }

    /// The size of each ring, in the order of the map of rings.
    fn each(self) -> impl Iterator<Item = u32> {
        std::iter::once(self.lifecycle).chain(std::iter::repeat_n(self.sockets, self.shards as usize))
    }
}

/// The loaded object, nothing attached yet.
pub struct Loaded {
    ebpf: Ebpf,
    btf: aya::Btf,
    rings: Rings,
}

/// What the kernel side is told before it is loaded.
#[derive(Debug, Clone, Copy)]
pub struct Orders<'a> {
    /// Where members lie.
    pub layout: &'a Layout,
    /// What is in scope.
    pub cgroup: &'a Cgroup,
    /// The rings.
    pub sizes: RingSizes,
    /// Events of one process in a second, above which they are summarised; 0 for no limit.
    pub rate_limit: u64,
}

impl Orders<'_> {
    fn settings(&self) -> Settings {
        Settings {
            rate_limit: self.rate_limit,
            shard_mask: self.sizes.shards - 1,
            exit_says_last: u32::from(self.layout.exit_says_last),
            calls: calls::numbers(),
            registers: calls::REGISTERS,
            socket_cookies: u32::from(self.layout.socket_cookies),
            followed: calls::followed(),
        }
    }
}

/// Creates the maps and prepares the programs. They are attached by the type information at `btf`, as the layout was
/// made from it.
///
/// # Errors
/// [`AgentError::RingSize`], or [`AgentError::Load`] if the kernel refuses a map.
pub fn load(btf: &Path, orders: &Orders<'_>) -> Result<Loaded, AgentError> {
    orders.sizes.check()?;
    let offsets: &[u32] = bytemuck::cast_slice(std::slice::from_ref(&orders.layout.offsets));
    let scope: &[u64] = bytemuck::cast_slice(std::slice::from_ref(&orders.cgroup.scope));
    let settings = orders.settings();
    let mut loader = EbpfLoader::new();
    // Nothing in the object is relocated against the kernel's types.
    loader.btf(None).override_global("OFFSETS", offsets, true).override_global("SCOPE", scope, true).override_global(
        "SETTINGS",
        bytemuck::bytes_of(&settings),
        true,
    );
    let refused = |error: &(dyn std::error::Error + 'static)| AgentError::Load(last_line(error));
    let mut ebpf = loader.load(OBJECT).map_err(|error| refused(&error))?;
    let rings = rings(&mut ebpf, orders.sizes)?;
    let btf = aya::Btf::parse_file(btf, Endianness::default()).map_err(|error| refused(&error))?;
    Ok(Loaded { ebpf, btf, rings })
}

/// Makes the rings and enters them in the map of rings.
fn rings(ebpf: &mut Ebpf, sizes: RingSizes) -> Result<Rings, AgentError> {
    let wrong = |error: aya::maps::MapError| AgentError::Load(last_line(&error));
    let map = ebpf.map_mut("RINGS").ok_or(AgentError::Load("no map RINGS".into()))?;
    let mut map: ArrayOfMaps<_, RingBuf<MapData>> = ArrayOfMaps::try_from(map).map_err(wrong)?;
    let mut made = Vec::new();
    for (index, size) in (0..).zip(sizes.each()) {
        let shape = aya_obj::Map::new_from_params(BPF_MAP_TYPE_RINGBUF as u32, 0, 0, size, 0);
        let data = MapData::create(shape, "ebbline_ring", None).map_err(wrong)?;
        let unmapped = |error: std::io::Error| AgentError::Load(format!("a ring: {error}"));
        let descriptor = data.fd().as_fd().try_clone_to_owned().map_err(unmapped)?;
        let ring = RingBuf::try_from(Map::RingBuf(data)).map_err(wrong)?;
        map.set(index, &ring, 0).map_err(wrong)?;
        made.push((descriptor, size));
    }
    Ok(Rings { all: made, bytes: sizes.total() })
}

impl Loaded {
    /// Makes the counters outlive this process, as a file of a BPF file system.
    ///
    /// # Errors
    /// Why not, in words.
    pub(crate) fn pin_counters(&self, path: &Path) -> Result<(), String> {
        let map = self.ebpf.map("COUNTERS").ok_or("no map COUNTERS")?;
        map.pin(path).map_err(|error| last_line(&error))
    }

    /// Hands one program to the verifier.
    ///
    /// # Errors
    /// Why it was refused, in words.
    pub fn load(&mut self, hook: &Hook) -> Result<(), String> {
        // The words after the kind of place: a tracepoint, or what is iterated over.
        let (_, at) = hook.place.split_once(' ').unwrap_or_default();
        let program = self.ebpf.program_mut(hook.program).ok_or("not in the object")?;
        match program {
            Program::BtfTracePoint(program) => program.load(at, &self.btf),
            Program::Iter(program) => program.load(at, &self.btf),
            Program::SockOps(program) => program.load(),
            Program::CgroupSock(program) => program.load(),
            Program::CgroupSockAddr(program) => program.load(),
            Program::CgroupSkb(program) => program.load(),
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
            // Runs when its link is read.
            Program::Iter(program) => program.attach().map(drop),
            Program::SockOps(program) => program.attach(folder()?, mode).map(drop),
            Program::CgroupSock(program) => program.attach(folder()?, mode).map(drop),
            Program::CgroupSockAddr(program) => program.attach(folder()?, mode).map(drop),
            Program::CgroupSkb(program) => {
                let way = if hook.place.ends_with("egress") {
                    CgroupSkbAttachType::Egress
                } else {
                    CgroupSkbAttachType::Ingress
                };
                program.attach(folder()?, way, mode).map(drop)
            }
            _ => return Err("a program of unknown type".into()),
        }
        .map_err(|error| last_line(&error))
    }

    /// Makes an iterator ready to be read.
    fn open(&mut self, hook: &Hook) -> Result<File, String> {
        self.load(hook)?;
        iterator(&mut self.ebpf, hook)
    }

    /// Loads and attaches every program but those left off, then opens the iterators: what begins meanwhile is seen.
    ///
    /// # Errors
    /// [`AgentError::Attach`] if a required one is refused, [`AgentError::Load`] if a map is not in the object.
    pub fn attach_all(mut self, cgroup: &Cgroup, left_off: &[&str]) -> Result<Capture, AgentError> {
        let mut refused = Vec::new();
        let mut hooks = 0;
        for hook in HOOKS.iter().filter(|hook| !left_off.contains(&hook.program)) {
            hooks += 1;
            if let Err(why) = self.load(hook).and_then(|()| self.attach(hook, cgroup)) {
                if hook.required {
                    return Err(AgentError::Attach { hook: hook.program, why });
                }
                refused.push((hook.program, why));
                hooks -= 1;
            }
        }
        let mut iterators = Vec::new();
        for iterator in ITERATORS {
            match self.open(iterator) {
                Ok(file) => iterators.push((iterator.program, file)),
                Err(why) => refused.push((iterator.program, why)),
            }
        }
        let mut map = |name: &str| self.ebpf.take_map(name).ok_or(AgentError::Load(format!("no map {name}")));
        let wrong = |error: aya::maps::MapError| AgentError::Load(last_line(&error));
        let counters = PerCpuArray::try_from(map("COUNTERS")?).map_err(wrong)?;
        let flows = HashMap::try_from(map("FLOWS")?).map_err(wrong)?;
        let released = HashMap::try_from(map("RELEASED")?).map_err(wrong)?;
        let throttled = HashMap::try_from(map("THROTTLED")?).map_err(wrong)?;
        let (rings, tables) = (self.rings, Tables { flows, released, throttled });
        let (counters, attached) = (Counters(counters), Attached(Some(self.ebpf)));
        Ok(Capture { rings, counters, tables, hooks, iterators, refused, attached })
    }
}

/// An iterator that is loaded, ready to be read once.
fn iterator(ebpf: &mut Ebpf, hook: &Hook) -> Result<File, String> {
    let program = ebpf.program_mut(hook.program).ok_or("not in the object")?;
    let Program::Iter(program) = program else { return Err("not an iterator".into()) };
    let link = program.attach().and_then(|link| program.take_link(link)).map_err(|error| last_line(&error))?;
    link.into_file().map_err(|error| last_line(&error))
}

/// Attached programs and what they fill.
pub struct Capture {
    /// Where events come from.
    pub rings: Rings,
    /// What the kernel counted.
    pub counters: Counters,
    /// What is read and cleaned up now and then.
    pub tables: Tables,
    /// How many hooks are in place.
    pub hooks: u64,
    /// What is there already: reading to the end makes its records.
    pub iterators: Vec<(&'static str, File)>,
    /// Programs that the kernel refused, and why.
    pub refused: Vec<(&'static str, String)>,
    /// Holds the programs in place.
    pub attached: Attached,
}

/// The rings.
pub struct Rings {
    /// Descriptor and size in bytes: that of process events first, then those of socket events.
    pub all: Vec<(OwnedFd, u32)>,
    /// All together, in bytes.
    pub bytes: u64,
}

impl Rings {
    /// The rings, ready to be read.
    ///
    /// # Errors
    /// [`AgentError::Load`] if the kernel refuses to map one.
    pub fn open(self) -> Result<Vec<KernelRing>, AgentError> {
        let open = |(descriptor, size)| KernelRing::new(descriptor, size);
        let unmapped = |error: std::io::Error| AgentError::Load(format!("a ring: {error}"));
        self.all.into_iter().map(open).collect::<Result<_, _>>().map_err(unmapped)
    }
}

/// The kernel's tables that user space reports from and cleans up.
pub struct Tables {
    /// Flows of UDP sockets.
    flows: HashMap<MapData, Plain<Flow>, Plain<FlowState>>,
    /// Cookies of UDP sockets that were closed, and when.
    released: HashMap<MapData, u64, u64>,
    /// Processes that make too many events.
    throttled: HashMap<MapData, Plain<Maker>, Plain<Throttled>>,
}

impl Tables {
    /// The flows that are over at a time, which have been silent for `idle` nanoseconds or whose socket is closed: all, if
    /// there is no time.
    #[must_use]
    pub fn flows_over(&self, now: Option<u64>, idle: u64) -> Vec<(Flow, FlowState)> {
        let over = |flow: &Flow, state: &FlowState| {
            let silent = |now: u64| now.saturating_sub(state.last) > idle || self.released.get(&flow.cookie, 0).is_ok();
            now.is_none_or(silent)
        };
        let found = self.flows.iter().filter_map(Result::ok).filter(|(flow, state)| over(&flow.0, &state.0));
        let found: Vec<_> = found.map(|(flow, _)| flow).collect();
        // Once more, as late as can be.
        let again = |flow: Plain<Flow>| self.flows.get(&flow, 0).ok().map(|state| (flow.0, state.0));
        found.into_iter().filter_map(again).filter(|(flow, state)| over(flow, state)).collect()
    }

    /// Removes the flow that began at this time.
    pub fn remove_flow(&mut self, flow: &Flow, first: u64) {
        if self.flows.get(&Plain(*flow), 0).is_ok_and(|state| state.0.first == first) {
            let _ = self.flows.remove(&Plain(*flow));
        }
    }

    /// Processes that make too many events.
    #[must_use]
    pub fn throttled(&self) -> Vec<(Maker, Throttled)> {
        self.throttled.iter().filter_map(Result::ok).map(|(maker, counts)| (maker.0, counts.0)).collect()
    }

    /// Removes the process that began to make too many events at this time.
    pub fn remove_throttled(&mut self, maker: &Maker, first: u64) {
        if self.throttled.get(&Plain(*maker), 0).is_ok_and(|counts| counts.0.first == first) {
            let _ = self.throttled.remove(&Plain(*maker));
        }
    }
}

/// Programs in place; dropping or detaching takes them out.
pub struct Attached(Option<Ebpf>);

impl Attached {
    /// Makes iterators once more. One that the kernel refuses is left out: it was said at the start.
    pub(crate) fn iterators(&mut self) -> Vec<(&'static str, File)> {
        let Some(ebpf) = &mut self.0 else { return Vec::new() };
        ITERATORS.iter().filter_map(|hook| Some((hook.program, iterator(ebpf, hook).ok()?))).collect()
    }

    /// Takes all programs out of the kernel. Maps stay.
    pub fn detach(&mut self) {
        self.0 = None;
    }
}

/// The kernel's own counts.
pub struct Counters(PerCpuArray<MapData, u64>);

/// Events of one type, as the kernel counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelCount {
    /// Happened in scope.
    pub produced: u64,
    /// Found the ring full.
    pub ring_full: u64,
    /// Found a table full.
    pub table_full: u64,
    /// Only counted, as their process made too many.
    pub summarised: u64,
}

impl KernelCount {
    /// Events that no record tells of.
    #[must_use]
    pub fn withheld(&self) -> u64 {
        self.ring_full + self.table_full + self.summarised
    }
}

/// Everything that the kernel counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelCounts {
    /// In the order of [`EventType::ALL`].
    pub events: [KernelCount; EventType::ALL.len()],
    /// Unix sockets made.
    pub unix: u64,
}

impl Counters {
    /// Those that were pinned.
    ///
    /// # Errors
    /// If there are none, or others.
    pub(crate) fn from_pin(path: &Path) -> Result<Self, aya::maps::MapError> {
        PerCpuArray::try_from(Map::PerCpuArray(MapData::from_pin(path)?)).map(Self)
    }

    /// Counts of all types.
    ///
    /// # Errors
    /// [`AgentError::Read`] if the kernel refuses.
    pub fn read(&self) -> Result<KernelCounts, AgentError> {
        let mut counts = KernelCounts { unix: self.slot(UNIX_SLOT)?, ..KernelCounts::default() };
        for kind in EventType::ALL {
            // What became of them first: a count that moves meanwhile never makes more drops than events.
            counts.events[kind.index()] = KernelCount {
                ring_full: self.slot(kind.slot(Count::RingFull))?,
                table_full: self.slot(kind.slot(Count::TableFull))?,
                summarised: self.slot(kind.slot(Count::Summarised))?,
                produced: self.slot(kind.slot(Count::Produced))?,
            };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_stay_within_bounds_on_any_machine() {
        assert_eq!(RingSizes::for_processors(2), RingSizes { lifecycle: 4 << 20, sockets: 4 << 20, shards: 2 });
        for processors in [0, 1, 3, 8, 9, 64, 128, 4096] {
            let sizes = RingSizes::for_processors(processors);
            assert!(sizes.check().is_ok() && sizes.shards.is_power_of_two() && sizes.shards <= 64, "{processors}");
            assert!(sizes.total() <= u64::from(SOCKETS_TOTAL + LIFECYCLE), "{processors}");
        }
    }
}
