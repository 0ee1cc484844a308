//! Records as the kernel side writes them: a server's programs, arguments, addresses and names.

use bytemuck::{Zeroable, bytes_of};
use events::{Close, DnsHead, EventType, Exit, FlowEnd, ImageHead, SocketHead, TaskHead};

/// Numbers above any real one, so that nobody asks `/proc`.
const BASE: u32 = 1 << 30;
/// Processes that start others and own sockets.
const PARENTS: u64 = 200;
const PROGRAMS: u64 = 300;
const FOLDERS: [&str; 4] = ["bin/usr/", "sbin/usr/", "bin/local/usr/", "libexec/git-core/lib/usr/"];

/// Records one after the other.
#[derive(Default)]
pub(crate) struct Records {
    memory: Vec<u8>,
    ends: Vec<usize>,
}

impl Records {
    fn push(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.memory.extend_from_slice(part));
        self.ends.push(self.memory.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.memory.len()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&[u8]> {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.ends.get(at).map(|end| &self.memory[start..*end])
    }
}

/// The same numbers each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn parent(number: u64) -> TaskHead {
    TaskHead {
        kind: EventType::Exec as u16,
        tgid: BASE + number as u32,
        tid: BASE + number as u32,
        time: number + 1,
        start: number + 1,
        session: BASE + (number % 20) as u32,
        cgroup: 1000 + number % 30,
        login_uid: u32::MAX,
        comm: *b"server\0\0\0\0\0\0\0\0\0\0",
        ..TaskHead::zeroed()
    }
}

fn image(task: TaskHead, program: u64, args: &[u8]) -> Vec<u8> {
    let path = format!("program-{program}/{}", FOLDERS[(program % 4) as usize]);
    let (name, folder) = (format!("/usr/bin/program-{program}"), format!("job-{}/work/lib/var/", program % 50));
    let head = ImageHead {
        task,
        // Without an inode: no file is opened to be hashed, which only a live run can do.
        inode: 0,
        device: 8 << 20,
        nlink: 1,
        args_len: args.len() as u32,
        name_len: name.len() as u16,
        image_len: path.len() as u16,
        folder_len: folder.len() as u16,
        args_got: args.len() as u16,
        ..ImageHead::zeroed()
    };
    [bytes_of(&head), name.as_bytes(), path.as_bytes(), folder.as_bytes(), args].concat()
}

/// What makes the parents known.
pub(crate) fn parents() -> impl Iterator<Item = Vec<u8>> {
    (0..PARENTS).map(|number| image(parent(number), number % 7, b"server\0"))
}

fn arguments(numbers: &mut Numbers, program: u64) -> Vec<u8> {
    let mut args = format!("program-{program}\0--jobs=4\0-o\0/var/lib/work/out-{}\0", numbers.below(1 << 20));
    for at in 0..numbers.below(5) {
        args += &format!("src/module_{}/file_{at}.c\0", numbers.below(5000));
    }
    args.into_bytes()
}

/// Forks, execs and ends of so many processes, in one ring.
pub(crate) fn exec_like(processes: u64) -> [Records; 1] {
    let (mut ring, mut numbers) = (Records::default(), Numbers(1));
    for at in 0..processes {
        let (above, program) = (parent(numbers.below(PARENTS)), numbers.below(PROGRAMS));
        let start = 1_000_000 + at * 3000;
        let child = TaskHead {
            kind: EventType::Fork as u16,
            tgid: BASE + 10_000 + at as u32,
            tid: BASE + 10_000 + at as u32,
            time: start,
            start,
            parent_tgid: above.tgid,
            parent_start: above.start,
            ..above
        };
        ring.push(&[bytes_of(&child)]);
        let mut comm = [0; 16];
        let name = format!("program-{program}");
        comm[..name.len()].copy_from_slice(name.as_bytes());
        let exec = TaskHead { kind: EventType::Exec as u16, time: start + 1000, comm, ..child };
        ring.push(&[&image(exec, program, &arguments(&mut numbers, program))]);
        let task = TaskHead { kind: EventType::Exit as u16, time: start + 2000, ..exec };
        ring.push(&[bytes_of(&Exit { task, cpu: 1_000_000, max_rss: 900, minor_faults: 120, ..Exit::zeroed() })]);
    }
    [ring]
}

fn ip(number: u64) -> [u8; 16] {
    let [.., a, b] = (number as u16).to_be_bytes();
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, a, b]
}

fn query(name: u64) -> Vec<u8> {
    let label = format!("host-{name}");
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, label.len() as u8];
    message.extend(label.as_bytes());
    message.extend(b"\x07example\x03com\0\0\x01\0\x01");
    message
}

/// So many records of sockets in two rings: connects and closes, some accepts, flows and names.
pub(crate) fn connect_like(records: u64) -> [Records; 2] {
    let (mut rings, mut numbers) = ([Records::default(), Records::default()], Numbers(2));
    for at in 0..records {
        let (owner, choice) = (parent(numbers.below(PARENTS)), numbers.below(20));
        let kind = match choice {
            0..8 => EventType::Connect,
            8..16 => EventType::Close,
            16..18 => EventType::Accept,
            18 => EventType::Flow,
            _ => EventType::Dns,
        };
        let socket = SocketHead {
            kind: kind as u16,
            protocol: if choice < 18 { 6 } else { 17 },
            direction: if kind == EventType::Accept { 2 } else { 1 },
            tgid: owner.tgid,
            time: 1_000_000 + at * 1000,
            start: owner.start,
            cookie: at,
            uid: 1000,
            local_port: 30_000 + numbers.below(30_000) as u16,
            remote_port: [80, 443, 5432, 53][numbers.below(4) as usize],
            local_ip: ip(1),
            remote_ip: ip(numbers.below(500)),
        };
        let ring = &mut rings[numbers.below(2) as usize];
        match kind {
            EventType::Close => {
                let (acked, received, old_state) = (numbers.below(100_000), numbers.below(100_000), 5);
                ring.push(&[bytes_of(&Close { socket, claimed: 1, acked, received, old_state, ..Close::zeroed() })]);
            }
            EventType::Flow => {
                ring.push(&[bytes_of(&FlowEnd { socket, bytes_out: 60, packets_out: 1, ..FlowEnd::zeroed() })]);
            }
            EventType::Dns => {
                let message = query(numbers.below(1000));
                let len = message.len() as u16;
                ring.push(&[bytes_of(&DnsHead { socket, len, got: len, sent: 1, ..DnsHead::zeroed() }), &message]);
            }
            _ => ring.push(&[bytes_of(&socket)]),
        }
    }
    rings
}
