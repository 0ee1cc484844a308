//! What is asked over a channel is what is answered in this process.

use super::*;
use crate::hashes::Hashes;
use bytemuck::Zeroable;
use events::{EventType, Image, ImageHead, TaskHead};
use proptest::prelude::*;
use std::{collections::BTreeMap, fs::File, os::unix::fs::MetadataExt, thread::JoinHandle};

/// Tables in memory.
#[derive(Default)]
struct Fake {
    flows: BTreeMap<u64, (Flow, FlowState)>,
    throttled: Vec<(Maker, Throttled)>,
    detached: bool,
}

impl Fake {
    fn with_flows(count: u64) -> Self {
        let flow = |cookie| Flow { cookie, ..Flow::zeroed() };
        let flows = (0..count).map(|n| (n, (flow(n), FlowState { last: n, bytes_in: n, ..FlowState::zeroed() })));
        let maker = Maker { start: 5, tgid: 6 };
        let throttled = vec![(maker, Throttled { first: 1, last: 2, summarised: [3; EventType::ALL.len()] })];
        Self { flows: flows.collect(), throttled, detached: false }
    }
}

impl Kernel for Fake {
    fn counts(&self) -> Result<KernelCounts, AgentError> {
        if self.detached {
            return Err(AgentError::Read { what: "kernel counters".into(), why: "gone".into() });
        }
        let mut counts = KernelCounts { unix: 7, ..KernelCounts::default() };
        (0..).zip(&mut counts.events).for_each(|(at, count)| count.produced = at);
        Ok(counts)
    }

    fn flows_over(&self, now: Option<u64>, idle: u64) -> Vec<(Flow, FlowState)> {
        let over = |state: &FlowState| now.is_none_or(|now| now.saturating_sub(state.last) > idle);
        self.flows.values().filter(|(_, state)| over(state)).copied().collect()
    }

    fn remove_flow(&mut self, flow: &Flow, first: u64) {
        if self.flows.get(&flow.cookie).is_some_and(|(_, state)| state.first == first) {
            self.flows.remove(&flow.cookie);
        }
    }

    fn throttled(&self) -> Vec<(Maker, Throttled)> {
        self.throttled.clone()
    }

    fn remove_throttled(&mut self, maker: &Maker, first: u64) {
        self.throttled.retain(|(known, counts)| known != maker || counts.first != first);
    }

    fn detach(&mut self) {
        self.detached = true;
    }

    fn iterators(&mut self) -> Vec<(String, OwnedFd)> {
        vec![("snapshot_tasks".into(), File::open("/dev/null").unwrap().into())]
    }

    fn left_by(&self, run: &str) -> Option<KernelCounts> {
        (run == "before").then(|| self.counts().ok()).flatten()
    }

    fn left(&self) -> Vec<(String, i64)> {
        Vec::new()
    }

    fn accounted(&mut self) {}

    fn ended(&mut self) {}
}

fn desk(flows: u64) -> Desk {
    Desk::new(crate::kernel::cgroup2_mount().ok()).with_kernel(Fake::with_flows(flows))
}

/// Facts from a thread that answers, which ends with the last copy of them.
fn away(desk: Desk) -> (Facts, JoinHandle<Result<(), ChannelError>>) {
    let (here, there) = Channel::pair().unwrap();
    (Facts::away(here), std::thread::spawn(move || serve(&there, &Mutex::new(desk))))
}

#[test]
fn a_process_is_the_same_from_afar() {
    let (facts, server) = away(desk(0));
    let here = Facts::here(desk(0));
    let own = std::process::id();
    let stat = std::fs::read("/proc/self/stat").unwrap();
    let start = parse::proc_stat::parse(&stat).unwrap().start_ticks * 10_000_000;
    let seen = facts.look_up(own, start).unwrap();
    assert_eq!(Some(&seen), here.look_up(own, start).as_ref());
    assert_eq!((seen.exe, facts.look_up(own, start + 10_000_000)), (facts.exe(own), None));
    assert!(facts.exe(own).is_some_and(|exe| exe.contains("ebbline_agent_user")));
    let (arguments, len) = facts.arguments(own, start).unwrap();
    assert_eq!((arguments.len(), Some((arguments, len))), (len as usize, here.arguments(own, start)));
    assert_eq!(facts.folder(own).as_deref(), std::env::current_dir().unwrap().to_str());
    assert_eq!((facts.traced(own, own), facts.traced(u32::MAX, own)), (Some(own), None));
    assert_eq!(facts.traced(own, u32::MAX), Some(u32::MAX), "a thread that is gone");
    assert_eq!((facts.exe(u32::MAX), facts.folder(u32::MAX), facts.arguments(u32::MAX, 0)), (None, None, None));
    assert!(facts.check().is_ok());
    drop(facts);
    assert_eq!(server.join().unwrap(), Ok(()));
}

#[test]
fn tables_are_asked_in_as_many_messages_as_it_takes() {
    const FLOWS: u64 = 65_536;
    let (facts, _server) = away(desk(FLOWS));
    assert_eq!(facts.counts().unwrap(), Fake::default().counts().unwrap());
    assert_eq!(facts.flows_over(Some(110), 10).unwrap().len(), 100);
    let all = facts.flows_over(None, 0).unwrap();
    assert_eq!((all.len() as u64, all[77].1.bytes_in), (FLOWS, 77));
    let flows = |first| all.iter().map(|(flow, _)| (*flow, first)).collect::<Vec<_>>();
    facts.remove_flows(&flows(1)).unwrap();
    assert_eq!(facts.flows_over(None, 0).unwrap().len(), all.len(), "those began at another time");
    facts.remove_flows(&flows(0)).unwrap();
    assert_eq!(facts.flows_over(None, 0).unwrap(), []);
    let throttled = facts.throttled().unwrap();
    assert_eq!((throttled.len(), throttled[0].1.summarised[0]), (1, 3));
    facts.remove_throttled(&[(throttled[0].0, 2)]).unwrap();
    assert_eq!(facts.throttled().unwrap(), throttled);
    facts.remove_throttled(&[(throttled[0].0, 1)]).unwrap();
    assert_eq!(facts.throttled().unwrap(), []);
    let iterators = facts.iterators().unwrap();
    assert_eq!((iterators.len(), iterators[0].0.as_str()), (1, "snapshot_tasks"));
    assert_eq!(facts.left_by("before").unwrap(), Some(facts.counts().unwrap()));
    assert_eq!(facts.left_by("never").unwrap(), None);
    assert!(facts.usage().rss_bytes > 0);
    facts.accounted().and_then(|()| facts.ended()).unwrap();
    facts.detach().unwrap();
    // A refusal is an answer: the next question has its own.
    assert!(facts.counts().is_err_and(|error| error.to_string().contains("gone")));
    assert!(facts.check().is_ok());
}

#[test]
fn an_end_that_is_gone_or_talks_nonsense_is_an_error_and_stays_one() {
    let (here, there) = Channel::pair().unwrap();
    drop(there);
    let facts = Facts::away(here);
    assert!(facts.counts().is_err() && facts.check().is_err());
    assert_eq!(facts.exe(std::process::id()), None);
    let (here, there) = Channel::pair().unwrap();
    let facts = Facts::away(here);
    there.send(&Answer::Bytes(vec![3]), &[], PATIENCE).unwrap();
    assert!(facts.counts().is_err());
    // The channel is closed: what comes next could not be told apart.
    assert_eq!(there.send(&Answer::Nothing, &[], PATIENCE), Err(ChannelError::Gone));
    assert!(facts.detach().is_err() && facts.check().is_err());
}

#[test]
fn digests_come_later_and_never_hold_anybody_up() {
    let image = |inode, tgid| {
        let task = TaskHead { tgid, ..TaskHead::zeroed() };
        Image { head: ImageHead { task, inode, ..ImageHead::zeroed() }, name: b"", image: b"", folder: b"", args: b"" }
    };
    let own = image(std::fs::metadata("/proc/self/exe").unwrap().ino(), std::process::id());
    let (here, there) = Channel::pair().unwrap();
    let server = std::thread::spawn(move || serve_digests(there));
    let mut hashes = Hashes::away(Away::new(here).unwrap());
    let mut take = |image: &Image<'_>| {
        let mut waiting = crate::hashes::Waiting::default();
        waiting.push(hashes.of(image, None, crate::kernel::utc_now()));
        waiting.take(Duration::from_secs(60)).next().flatten()
    };
    let first = take(&own);
    assert_eq!((first.as_ref().map(|hex| hex.len()), take(&own)), (Some(64), first));
    assert_eq!(take(&image(1, std::process::id())), None);
    drop(hashes);
    assert_eq!(server.join().unwrap(), Ok(()));
    // Nobody answers: as many as fit are promised, then none, and none of it waits.
    let (here, there) = Channel::pair().unwrap();
    let mut hashes = Hashes::away(Away::new(here).unwrap());
    let mut promised: Vec<_> = (0..10_000).filter_map(|_| hashes.of(&own, None, 0)).collect();
    assert!((1..5000).contains(&promised.len()), "{}", promised.len());
    drop(there);
    let mut waiting = crate::hashes::Waiting::default();
    waiting.push(promised.pop());
    assert_eq!(waiting.take(Duration::from_secs(60)).next().flatten(), None);
    assert!(hashes.of(&own, None, 0).is_none());
}

proptest! {
    #[test]
    fn plain_bytes_are_whole_values_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        let whole = bytes.len() % (size_of::<Flow>() + size_of::<FlowState>()) == 0;
        prop_assert_eq!(message::pairs::<Flow, FlowState>(&bytes).is_some(), whole);
    }

    #[test]
    fn whatever_is_asked_is_answered_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(question) = postcard::from_bytes::<Question>(&bytes) {
            let mut answers = 0;
            let mut desk = Desk::new(None).with_kernel(Fake::with_flows(3));
            desk.answer(&question, &mut |_, _| { answers += 1; Ok(()) }).unwrap();
            prop_assert!(answers > 0);
        }
    }
}
