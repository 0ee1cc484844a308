//! A story over two hosts, captured live: ordinary work, ordinary first-evers, and eight harmless emulations of techniques.
//! Each must be in one incident, with the right root, above every first-ever.
//!
//! The hosts are two network namespaces with a cable between them, and a cgroup and an agent each.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ebbline_tests::{bin, ebbline, skip};
use serde_json::Value;

/// Seconds of ordinary work to learn, and of the story. How rare a tree can be called follows from how many were learned: after
/// half a minute what is 1 in 40,000 is at the edge.
const LEARN: &str = "90";
const STORY: &str = "24";
/// False alerts a day.
const BUDGET: &str = "5";

/// Runs a command that must succeed; its standard error otherwise.
fn run(line: &[&str]) -> Result<(), String> {
    let output = Command::new(line[0]).args(&line[1..]).output().map_err(|e| format!("{}: {e}", line[0]))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{}: {said}", line.join(" "))) }
}

/// A host: a network namespace and a cgroup of its own, which go at the end.
struct Host {
    name: &'static str,
    address: &'static str,
    namespace: String,
    cgroup: PathBuf,
}

impl Host {
    fn new(name: &'static str, address: &'static str) -> Result<Self, String> {
        let id = std::process::id();
        let namespace = format!("ebbline-{name}-{id}");
        let mounts = std::fs::read_to_string("/proc/self/mounts").map_err(|e| e.to_string())?;
        let mount = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let path = words.next()?;
            (words.next()? == "cgroup2").then(|| path.to_owned())
        });
        let cgroup = Path::new(&mount.ok_or("no cgroup v2 mount")?).join(&namespace);
        std::fs::create_dir(&cgroup).map_err(|e| format!("{}: {e}", cgroup.display()))?;
        // From here on there is something to remove.
        let host = Self { name, address, namespace, cgroup };
        run(&["ip", "netns", "add", &host.namespace])?;
        host.inside(&["ip", "link", "set", "lo", "up"])?;
        Ok(host)
    }

    fn net(&self) -> String {
        format!("--net=/run/netns/{}", self.namespace)
    }

    fn inside(&self, line: &[&str]) -> Result<(), String> {
        run(&[&["nsenter", &self.net()], line].concat())
    }

    /// A cable between two.
    fn connect(&self, other: &Self) -> Result<(), String> {
        let (a, b) = (format!("ebla{}", std::process::id()), format!("eblb{}", std::process::id()));
        let (to, from) = (&other.namespace, &self.namespace);
        run(&["ip", "link", "add", &a, "netns", from, "type", "veth", "peer", "name", &b, "netns", to])?;
        for (host, link) in [(self, &a), (other, &b)] {
            host.inside(&["ip", "addr", "add", &format!("{}/24", host.address), "dev", link])?;
            host.inside(&["ip", "link", "set", link, "up"])?;
        }
        Ok(())
    }

    /// An agent that watches it; ready when this returns.
    fn watch(&self, archive: &Path) -> Agent {
        let mut child = Command::new(bin("ebbline-agent"))
            .args(["run", "--json", "--config", "none", "--status-socket", "none", "--host", self.name, "--cgroup"])
            .arg(&self.cgroup)
            .arg("--archive")
            .arg(archive)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the agent starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let values = lines.map_while(Result::ok).filter_map(|line| serde_json::from_str::<Value>(&line).ok());
            values.for_each(|value| drop(send.send(value)));
        });
        let agent = Agent { child, lines: receive };
        let ready = agent.lines.recv_timeout(Duration::from_secs(100)).expect("the agent gets ready");
        assert_eq!(ready["ready"], true, "{ready}");
        agent
    }

    /// The work of a small server, in the namespace and the cgroup.
    fn work(&self, dir: &Path, peer: &Self, seconds: &str, more: &[&str]) -> Child {
        let workload = dir.join("ebbline-workload");
        if !workload.exists() {
            std::fs::create_dir_all(dir).expect("a folder for the workload");
            std::fs::copy(bin("ebbline-workload"), &workload).expect("the workload is copied");
        }
        Command::new("nsenter")
            .arg(self.net())
            .arg(workload)
            .args(["run", "--seconds", seconds, "--peer", peer.address, "--dir"])
            .arg(dir.join("server"))
            .arg("--cgroup")
            .arg(&self.cgroup)
            .args(more)
            .spawn()
            .expect("the workload starts")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = run(&["ip", "netns", "del", &self.namespace]);
        for _ in 0..100 {
            if std::fs::remove_dir(&self.cgroup).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("cgroup {} is still in use and was left", self.cgroup.display());
    }
}

struct Agent {
    child: Child,
    lines: std::sync::mpsc::Receiver<Value>,
}

impl Agent {
    /// Asks it to end; its last line: the books.
    fn stop(mut self) -> Value {
        run(&["kill", "-TERM", &self.child.id().to_string()]).expect("it is there");
        assert!(self.child.wait().expect("it ends").success());
        self.lines.iter().last().expect("it says what it did")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both hosts at once: what each did, as its plan says.
fn both(hosts: &[Host; 2], dir: &Path, archive: &Path, seconds: &str, story: bool) -> Vec<Value> {
    let agents = hosts.each_ref().map(|host| host.watch(&archive.join(host.name)));
    let plan = |host: &Host| dir.join(format!("{}.json", host.name));
    let works = [(&hosts[0], &hosts[1]), (&hosts[1], &hosts[0])].map(|(host, peer)| {
        let plan = plan(host);
        let part = ["--story", host.name, "--plan", plan.to_str().expect("UTF-8")];
        host.work(&dir.join(host.name), peer, seconds, if story { &part } else { &[] })
    });
    for mut work in works {
        assert!(work.wait().expect("the workload ends").success());
    }
    for agent in agents {
        let books = agent.stop();
        assert_eq!(books["lossy"], false, "{books}");
    }
    let of = |host: &Host| -> Vec<Value> {
        let text = std::fs::read(plan(host)).unwrap_or_else(|_| b"[]".to_vec());
        let mut acts: Vec<Value> = serde_json::from_slice(&text).expect("a plan");
        acts.iter_mut().for_each(|act| act["host"] = host.name.into());
        acts
    };
    hosts.iter().flat_map(of).collect()
}

fn hosts() -> Result<[Host; 2], String> {
    let doctor = Command::new(bin("ebbline-agent")).args(["doctor", "--json"]).output().map_err(|e| e.to_string())?;
    if !doctor.status.success() {
        let report: Value = serde_json::from_slice(&doctor.stdout).unwrap_or_default();
        return Err(report["verdict"].as_str().unwrap_or("the agent cannot capture").to_owned());
    }
    let hosts = [Host::new("alpha", "10.213.77.1")?, Host::new("beta", "10.213.77.2")?];
    hosts[0].connect(&hosts[1])?;
    Ok(hosts)
}

/// The pid of a process tree, from its key.
fn pid_of(key: &Value) -> u64 {
    let key = key.as_str().filter(|key| key.len() == 32).expect("a key");
    u64::from_str_radix(&key[24..], 16).expect("hex")
}

#[test]
#[ignore = "wants two quiet processors: cargo xtask soak"]
fn each_emulation_is_one_incident_above_every_first_ever() {
    let hosts = match hosts() {
        Ok(hosts) => hosts,
        Err(why) => return skip(&format!("live: {why}")),
    };
    // Not a private temporary folder: jobs run under several users.
    let dir = std::env::temp_dir().join(format!("ebbline-story-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let at = |name: &str| dir.join(name).to_str().expect("UTF-8").to_owned();
    for folder in ["learn", "live"] {
        std::fs::create_dir(at(folder)).expect("a folder");
    }
    both(&hosts, &dir, Path::new(&at("learn")), LEARN, false);
    let learned = ebbline(["learn", &at("learn"), "--out", &at("b.baseline")]);
    assert_eq!(learned.code, 0, "{learned:?}");
    let acts = both(&hosts, &dir, Path::new(&at("live")), STORY, true);
    drop(hosts);
    let args =
        ["score", &at("live"), "--baseline", &at("b.baseline"), "--out", &at("scored"), "--alerts-per-day", BUDGET];
    let scored = ebbline(args.into_iter().chain(["--json"])).json();
    let list = || ebbline(["incident", "list", &at("scored"), "--archive", &at("live"), "--json", "--all"]).json();
    let (listed, again) = (list(), list());
    assert_eq!(listed, again, "rerunning gives the same");
    let found = ebbline(["show", &at("scored"), "--json", "--all"]).json();
    let words = ebbline(["incident", "list", &at("scored"), "--archive", &at("live")]);
    eprintln!("{}", words.stdout);
    if let Ok(keep) = std::env::var("EBBLINE_STORY_KEEP") {
        run(&["cp", "-r", &at(""), &keep]).expect("kept");
    }
    let faults = judge(&acts, &scored, &listed, &found);
    std::fs::remove_dir_all(&dir).expect("the folder goes");
    assert!(faults.is_empty(), "{faults:#?}");
}

/// What is not as it should be.
fn judge(acts: &[Value], scored: &Value, listed: &Value, found: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let incidents = listed["incidents"].as_array().expect("a list");
    let findings = found["findings"].as_array().expect("a list");
    let pid = |id: &Value| findings.iter().find(|one| one["id"] == *id).map(|one| pid_of(&one["unit_key"]));
    let members: Vec<Vec<u64>> =
        incidents.iter().map(|one| one["findings"].as_array().unwrap().iter().filter_map(pid).collect()).collect();
    let of_kind = |kind: &'static str| acts.iter().filter(move |act| act["kind"] == kind);
    let (rows, first_evers) = (scored["run"]["rows"].as_u64().unwrap_or(0), of_kind("first-ever").count());
    let (mut lowest, mut highest) = (0, usize::MAX);
    for act in of_kind("unusual") {
        let wanted = act["pid"].as_u64().expect("a pid");
        let places: Vec<usize> = (0..incidents.len()).filter(|at| members[*at].contains(&wanted)).collect();
        match places.as_slice() {
            [at] => {
                lowest = lowest.max(*at);
                let root = pid_of(&incidents[*at]["root"]["key"]);
                if root != wanted {
                    faults.push(format!("{}: the root is {root}, not {wanted}", act["label"]));
                }
                let both = act["label"] == "commands on the other host";
                if both && incidents[*at]["hosts"].as_array().is_none_or(|hosts| hosts.len() != 2) {
                    faults.push(format!("{}: on one host alone: {}", act["label"], incidents[*at]));
                }
            }
            places => faults.push(format!("{} on {}: in incidents {places:?}", act["label"], act["host"])),
        }
    }
    for act in of_kind("first-ever") {
        let wanted = act["pid"].as_u64().expect("a pid");
        highest = highest.min((0..incidents.len()).find(|at| members[*at].contains(&wanted)).unwrap_or(usize::MAX));
    }
    eprintln!(
        "{rows} rows, {first_evers} first-evers, {} emulations: {} findings, {} incidents; the lowest emulation is number {}, \
         the highest first-ever {}",
        of_kind("unusual").count(),
        findings.len(),
        incidents.len(),
        lowest + 1,
        if highest == usize::MAX { "none".to_owned() } else { (highest + 1).to_string() },
    );
    if incidents.len() > 10 {
        faults.push(format!("{} incidents", incidents.len()));
    }
    if highest <= lowest {
        faults.push("a first-ever is above an emulation".to_owned());
    }
    if rows < 10_000 || first_evers < 50 || of_kind("unusual").count() != 8 {
        faults.push(format!("too little was done: {rows} rows, {first_evers} first-evers"));
    }
    faults
}
