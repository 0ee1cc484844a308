//! Weeks of a small fleet that changes: days have a rhythm, and new software comes now and then.

use super::habits::{Peer, Program};
use super::session::Session;
use super::{FIRST_DAY, HOUR, Part, parts};
use crate::random::Random;

/// A release comes every so many days, to one host first.
const RELEASE_DAYS: u32 = 5;
/// So many days later all hosts have it.
const ROLLOUT_DAYS: u32 = 3;
/// One in so many sessions begins with new software, on hosts that have any.
const USED: u64 = 12;
/// Hosts that take turns in being the first to have a release.
const FIRST_HOSTS: u32 = 4;

const fn release(exe: &'static str, args: &'static [&'static str], calls: &'static [Peer]) -> Program {
    Program { exe, args, script: None, calls }
}

const SERVICE: &[Peer] = &[Peer { network: "10.0.4.", port: 8443, protocol: "tcp" }];
const QUEUE: &[Peer] = &[Peer { network: "10.0.5.", port: 5672, protocol: "tcp" }];
const NONE: &[Peer] = &[];

/// In the order in which they come; after the last nothing new comes.
const RELEASES: &[Program] = &[
    release("/opt/metrics/bin/collect", &["collect", "--every", "#"], SERVICE),
    release("/usr/bin/jq", &["jq", "-r", ".id"], NONE),
    release("/opt/billing/bin/invoice", &["invoice", "--month", "#"], QUEUE),
    release("/usr/bin/podman", &["podman", "ps", "--all"], NONE),
    release("/opt/metrics/bin/rotate", &["rotate", "--keep", "#"], NONE),
    release("/usr/bin/nmap", &["nmap", "-sn", "10.0.1.#"], NONE),
    release("/opt/search/bin/index", &["index", "--shard", "#"], SERVICE),
    release("/usr/bin/restic", &["restic", "backup", "/srv"], SERVICE),
    release("/opt/mail/bin/digest", &["digest", "--to", "%"], QUEUE),
    release("/usr/bin/rg", &["rg", "-n", "error"], NONE),
    release("/opt/search/bin/compact", &["compact", "--shard", "#"], NONE),
    release("/usr/bin/kubectl", &["kubectl", "get", "pods"], SERVICE),
];

/// The rows of one day, counted from [`FIRST_DAY`], of some hosts by number. Equal arguments give equal batches; what a
/// host does on a day does not depend on the others that are asked for.
pub fn weeks(seed: u64, hosts: impl IntoIterator<Item = u32>, day: u32) -> Vec<Part> {
    let mut all = Vec::new();
    for host in hosts {
        let installed = installed(host, day);
        for hour in 0..24 {
            let start = FIRST_DAY + (i64::from(day) * 24 + hour) * HOUR;
            let mut random = Random::new(seed ^ u64::from(host) << 40 ^ start as u64);
            let (mut processes, mut connections) = (Vec::new(), Vec::new());
            for _ in 0..sessions(&mut random, day, hour) {
                let at = start + random.below(HOUR as u64 / 10 * 9) as i64;
                let first = random.one_in(USED).then(|| random.pick(&installed)).flatten();
                let session = Session::begun_by(&mut random, (host, first), at, start + HOUR - 1);
                processes.extend(session.processes);
                connections.extend(session.connections);
            }
            all.extend(parts(&format!("host{host}"), processes, connections));
        }
    }
    all
}

/// Three or four an hour in the working hours of Monday to Friday, else one or two.
fn sessions(random: &mut Random, day: u32, hour: i64) -> u64 {
    let busy = day % 7 < 5 && (8..18).contains(&hour);
    random.below(2) + if busy { 3 } else { 1 }
}

/// The releases that a host has.
fn installed(host: u32, day: u32) -> Vec<&'static Program> {
    let has = |(number, _): &(u32, &Program)| {
        let first = (number + 1) * RELEASE_DAYS;
        day >= first + if host % FIRST_HOSTS == number % FIRST_HOSTS { 0 } else { ROLLOUT_DAYS }
    };
    (0..).zip(RELEASES).filter(has).map(|(_, program)| program).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_its_own_whoever_else_is_asked_for() {
        let one = weeks(3, [1], 9);
        let of_all: Vec<Part> = weeks(3, 0..3, 9).into_iter().filter(|part| part.host == "host1").collect();
        assert_eq!(one.len(), of_all.len());
        assert!(one.iter().zip(&of_all).all(|(a, b)| a.batch == b.batch));
        let rows = |day| weeks(3, 0..3, day).iter().map(|part| part.batch.num_rows()).sum::<usize>();
        assert!(rows(8) > rows(12) * 5 / 4, "Tuesday has more than Saturday");
    }
}
