//! One tree of programs below a service, as rows.

use events::ProcessKey;

use super::habits::{INTRUSION, Peer, Program, SERVICES, Service, starts};
use super::rows::{ConnectionRow, ProcessRow};
use crate::random::Random;

const BOOT: [u8; 4] = [0xEB, 0xB1, 0x1E, 0x01];
const SECOND: i64 = 1_000_000_000;

#[derive(Clone)]
struct Process {
    exe: String,
    key: ProcessKey,
    pid: u32,
    depth: u32,
}

/// Rows of one tree; times rise within each table only roughly.
#[derive(Default)]
pub(super) struct Session {
    pub(super) processes: Vec<ProcessRow>,
    pub(super) connections: Vec<ConnectionRow>,
    host: u32,
    uid: u32,
    root: Option<Process>,
    clock: i64,
    end: i64,
    next_pid: u32,
}

impl Session {
    /// A tree that starts at `start` and whose rows all lie before `end`.
    pub(super) fn generate(random: &mut Random, host: u32, start: i64, end: i64) -> Self {
        Self::begun_by(random, (host, None), start, end)
    }

    /// The same, whose first program is the given one.
    pub(super) fn begun_by(random: &mut Random, (host, begin): (u32, Option<&Program>), start: i64, end: i64) -> Self {
        let service = &SERVICES[random.zipf(SERVICES.len())];
        let mut this = Self { host, clock: start, end, ..Self::default() };
        this.next_pid = 1_000 + random.below(4_000_000) as u32;
        let root = this.begin(service);
        let mut live = vec![root.clone()];
        let usual = &service.starts[random.zipf(service.starts.len())];
        live.push(this.run(random, &root, begin.unwrap_or(usual)));
        for _ in 0..random.below(12) {
            // The latest program is the likeliest to go on.
            let parent = live[live.len() - 1 - random.zipf(live.len().min(4))].clone();
            let choices = if parent.key == root.key { service.starts } else { starts(&parent.exe) };
            if parent.depth < 5 && !choices.is_empty() {
                let next = &choices[random.zipf(choices.len())];
                live.push(this.run(random, &parent, next));
            }
        }
        this
    }

    pub(super) fn intrusion(start: i64) -> Self {
        let mut random = Random::new(start as u64);
        let mut this = Self { clock: start, end: start + 600 * SECOND, next_pid: 66_601, ..Self::default() };
        let mut parent = this.begin(&SERVICES[2]);
        for step in INTRUSION {
            parent = this.run(&mut random, &parent, step);
        }
        this
    }

    fn begin(&mut self, service: &Service) -> Process {
        self.uid = service.uid;
        let root = Process { exe: service.exe.into(), key: self.key(), pid: self.next_pid, depth: 0 };
        self.root = Some(root.clone());
        root
    }

    fn key(&self) -> ProcessKey {
        ProcessKey::new(BOOT, self.clock as u64 % (1 << 50), self.next_pid)
    }

    fn tick(&mut self, random: &mut Random, most: i64) -> i64 {
        self.clock = (self.clock + 1 + random.below(most as u64) as i64).min(self.end);
        self.clock
    }

    /// Fork, exec, connections and exit of one program.
    fn run(&mut self, random: &mut Random, parent: &Process, program: &Program) -> Process {
        self.tick(random, SECOND);
        self.next_pid += 1 + random.below(3) as u32;
        let mut this =
            Process { exe: program.exe.into(), key: self.key(), pid: self.next_pid, depth: parent.depth + 1 };
        if random.one_in(400) {
            this.exe = format!("/opt/tools/{}-{}", ["probe", "render", "lint"][random.zipf(3)], random.below(500));
        }
        let before = Process { exe: parent.exe.clone(), ..this.clone() };
        self.processes.push(self.row(&before, parent, "fork"));
        self.tick(random, SECOND / 50);
        let args: Vec<String> = program.args.iter().map(|arg| filled(random, arg)).collect();
        let mut exec = self.row(&this, parent, "exec");
        exec.args_bytes = Some(args.iter().map(|a| a.len() as u32 + 1).sum());
        exec.args = Some(args);
        exec.script = program.script;
        self.processes.push(exec);
        for peer in program.calls {
            self.call(random, &this, parent, peer);
        }
        self.tick(random, 3 * SECOND);
        let mut exit = self.row(&this, parent, "exit");
        let failed = random.one_in(30);
        exit.exit = Some((i32::from(failed), if failed && random.one_in(20) { 15 } else { 0 }));
        self.processes.push(exit);
        this
    }

    fn row(&self, of: &Process, parent: &Process, activity: &'static str) -> ProcessRow {
        let root = self.root.as_ref().unwrap_or(parent);
        ProcessRow {
            time: self.clock,
            activity,
            process_key: of.key,
            parent_key: parent.key,
            root_key: root.key,
            pid: of.pid,
            parent_pid: parent.pid,
            session: root.pid,
            uid: self.uid,
            exe: of.exe.clone(),
            parent_exe: parent.exe.clone(),
            root_exe: root.exe.clone(),
            ..ProcessRow::default()
        }
    }

    /// A connection and its close.
    fn call(&mut self, random: &mut Random, of: &Process, parent: &Process, peer: &Peer) {
        let root = self.root.clone().unwrap_or_else(|| parent.clone());
        let mut row = ConnectionRow {
            time: self.tick(random, SECOND / 10),
            activity: if peer.protocol == "udp" { "send" } else { "connect" },
            process_key: of.key,
            root_key: root.key,
            pid: of.pid,
            uid: self.uid,
            exe: of.exe.clone(),
            parent_exe: parent.exe.clone(),
            root_exe: root.exe,
            protocol: peer.protocol,
            local_ip: format!("10.0.1.{}", self.host % 250 + 1),
            remote_ip: format!("{}{}", peer.network, random.zipf(20) + 1),
            local_port: 32_768 + random.below(28_000) as u16,
            remote_port: peer.port,
            cookie: random.next() >> 20,
            ..ConnectionRow::default()
        };
        self.connections.push(row.clone());
        if peer.protocol == "tcp" {
            let duration = random.below(SECOND as u64);
            row.time = self.tick(random, SECOND);
            row.activity = "close";
            let outcome = if random.one_in(50) { "refused" } else { "closed" };
            let size = 1 << (10 + random.below(10));
            let (sent, received) = (200 + random.below(2_000), 500 + random.below(size));
            row.closed = Some((sent, received, duration, outcome));
            self.connections.push(row);
        }
    }
}

/// An argument with its placeholders filled.
fn filled(random: &mut Random, arg: &str) -> String {
    let mut text = String::with_capacity(arg.len() + 8);
    for c in arg.chars() {
        match c {
            '#' => text += &random.below(1_000).to_string(),
            '%' => text += &format!("{:08x}", random.next() as u32),
            c => text.push(c),
        }
    }
    text
}
