//! System calls, live, in cgroups made for the tests. Needs root.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

#[path = "live/harness.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod harness;
#[path = "live/process_roles.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod process_roles;

use harness::{Live, ROLE, possible};

/// Not a test: what copies of this program run.
#[test]
fn role() {
    if let Ok(role) = std::env::var(ROLE) {
        process_roles::play(&role);
    }
}

#[test]
fn every_call_leaves_a_row_that_says_what_was_done() {
    if !possible() {
        return;
    }
    let mut live = Live::start(&[]);
    // Stays, so that the agent, which saw neither its beginning nor its exec, finds its image in /proc.
    let said = live.stage("calls");
    let stored = live.stop();
    stored.assert_exact();
    let [
        pid,
        setgid,
        setresuid,
        setresgid,
        setgroups,
        permitted,
        capset,
        tid,
        seized,
        child,
        finit,
        path,
        init,
        loaded,
    ] = &said[..]
    else {
        panic!("{said:?}")
    };
    let results = [setgid, setresuid, setresgid, setgroups, capset].map(String::as_str);
    assert_eq!(results, ["0", "0", "-1", "-1", "0"]);
    assert!(!loaded.starts_with('-'), "{loaded}");
    let exe = std::env::current_exe().unwrap().canonicalize().unwrap();
    let exe = exe.to_str().unwrap();
    let of = |activity: &str, operation: &str| {
        let row = stored.one(|row| row.is(&[("activity", activity), ("operation", operation)]));
        assert!(row.is(&[("pid", pid), ("cgroup", &stored.cgroup), ("exe", exe), ("host", "test")]), "{row:?}");
        row
    };
    let all = of("credential", "setgid");
    assert!(
        all.is(&[("result", "0"), ("gid", "7"), ("egid", "7"), ("uid", "0"), ("tid", tid), ("previous_gid", "")]),
        "{all:?}"
    );
    let second = of("credential", "setresuid");
    let changed = [("result", "0"), ("uid", "0"), ("euid", "9"), ("capabilities", "0"), ("gid", "7"), ("tid", tid)];
    assert!(second.is(&changed), "{second:?}");
    let before = [("previous_uid", "0"), ("previous_gid", "7"), ("previous_euid", "0"), ("previous_egid", "7")];
    assert!(second.is(&before) && second.number("previous_capabilities") > 0, "{second:?}");
    let third = of("credential", "setresgid");
    assert!(third.is(&[("result", "-1"), ("gid", "7"), ("euid", "9"), ("previous_euid", "9")]), "{third:?}");
    let groups = of("credential", "setgroups");
    assert!(groups.is(&[("result", "-1"), ("euid", "9"), ("capabilities", "0"), ("tid", tid)]), "{groups:?}");
    let raised = of("credential", "capset");
    let wanted = [("result", "0"), ("capabilities", permitted), ("previous_capabilities", "0"), ("previous_euid", "9")];
    assert!(raised.is(&wanted) && raised.is(&[("euid", "9"), ("tid", tid)]), "{raised:?}");
    assert_eq!(stored.count("credential", "written"), 5);

    let seize = of("ptrace", "seize");
    let fork = stored.one(|row| row.is(&[("activity", "fork"), ("pid", child)]));
    assert!(
        seize.is(&[("result", seized), ("target_pid", child), ("target_key", fork.get("process_key"))]),
        "{seize:?}"
    );
    assert!(!seize.get("target_exe").is_empty() && seize.get("tid") != tid, "{seize:?}");
    let traceme = stored.one(|row| row.is(&[("activity", "ptrace"), ("operation", "traceme")]));
    assert!(traceme.is(&[("result", "0"), ("target_pid", traceme.get("pid")), ("parent_pid", pid)]), "{traceme:?}");
    assert_eq!(traceme.get("target_key"), traceme.get("process_key"));

    assert!(
        of("module", "finit_module").is(&[("result", finit), ("target", path)]),
        "{:?}",
        of("module", "finit_module")
    );
    assert!(of("module", "init_module").is(&[("result", init), ("target", "")]));
    let load = of("bpf", "prog_load:socket_filter");
    assert!(load.is(&[("result", loaded), ("target", "ebb_test"), ("target_pid", "")]), "{load:?}");
    // A pair and one; starting a program with something to do before it takes another pair.
    assert_eq!(stored.status["self"]["unix_sockets"], 5, "{}", stored.status);
}

#[test]
fn without_the_hook_there_are_no_such_rows() {
    if !possible() {
        return;
    }
    let live = Live::start(&["--no-calls"]);
    live.role("calls");
    // The role's own child may be killed before its exec is whole.
    assert!(live.inside(&["/bin/true"]).status.success());
    let stored = live.stop();
    stored.assert_exact();
    for kind in ["credential", "ptrace", "module", "bpf"] {
        assert_eq!(stored.count(kind, "produced"), 0, "{kind}");
    }
    assert!(stored.count("exec", "written") > 0);
}
