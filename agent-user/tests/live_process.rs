//! Processes, live, in cgroups made for the tests. Needs root.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

#[path = "live/harness.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod harness;
#[path = "live/process_roles.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod process_roles;
#[path = "live/roles.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod roles;

use harness::{Live, ROLE, Row, Stored, possible};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::Command,
};

/// Not a test: what copies of this program run.
#[test]
fn role() {
    if let Ok(role) = std::env::var(ROLE) {
        match role.as_str() {
            "memfd" | "threads" => roles::play(&role),
            _ => process_roles::play(&role),
        }
    }
}

/// The path that a program has when all links are followed.
fn real(path: &str) -> String {
    fs::canonicalize(path).unwrap().to_str().unwrap().to_owned()
}

fn run(line: &[&str]) -> Stored {
    let live = Live::start(&[]);
    live.inside(line);
    let stored = live.stop();
    assert_eq!(stored.code, Some(0));
    stored.assert_exact();
    stored
}

#[test]
fn arguments_come_whole() {
    if !possible() {
        return;
    }
    let stored = run(&["/bin/echo", "", "a b", "", "ünï", ""]);
    let exec = stored.one(|row| row.is(&[("activity", "exec")]));
    assert_eq!(exec.args.as_deref().unwrap(), ["/bin/echo", "", "a b", "", "ünï", ""]);
    let bytes = "/bin/echo\0\0a b\0\0ünï\0\0".len().to_string();
    assert!(exec.is(&[
        ("args_bytes", &bytes),
        ("args_truncated", "false"),
        ("exe", &real("/bin/echo")),
        ("script", "")
    ]));
    assert!(exec.is(&[("comm", "echo"), ("uid", "0"), ("gid", "0"), ("exe_unlinked", "false"), ("host", "test")]));
    assert!(exec.is(&[("cgroup", &stored.cgroup), ("parent_pid", &std::process::id().to_string())]));
    // The parent predates the agent: its key is exact all the same, its image comes from /proc.
    assert_eq!(exec.get("parent_exe"), std::env::current_exe().unwrap().to_str().unwrap());
    assert_eq!(exec.get("parent_key").len(), 32);
}

#[test]
fn long_arguments_are_cut_and_say_so() {
    if !possible() {
        return;
    }
    let long = "x".repeat(5000);
    let stored = run(&["/bin/true", &long]);
    let exec = stored.one(|row| row.is(&[("activity", "exec")]));
    let bytes = (long.len() + "/bin/true\0\0".len()).to_string();
    assert!(exec.is(&[("args_bytes", &bytes), ("args_truncated", "true")]));
    let args = exec.args.as_deref().unwrap();
    assert_eq!((args[0].as_str(), args.len(), args[1].len()), ("/bin/true", 2, 4095 - "/bin/true\0".len()));
}

#[test]
fn a_script_names_its_interpreter_and_itself() {
    if !possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.sh");
    fs::write(&script, "#!/bin/sh -e\nexit 4\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let script = script.to_str().unwrap();
    let stored = run(&[script, "one"]);
    let exec = stored.one(|row| row.is(&[("activity", "exec")]));
    assert!(exec.is(&[("exe", &real("/bin/sh")), ("script", script)]));
    assert_eq!(exec.args.as_deref().unwrap(), ["/bin/sh", "-e", script, "one"]);
    let exit = stored.one(|row| row.is(&[("activity", "exit")]));
    assert!(exit.is(&[("exit_code", "4"), ("exit_signal", "0"), ("exe", &real("/bin/sh"))]));
    assert_eq!(exit.get("process_key"), exec.get("process_key"));
}

#[test]
fn a_memory_file_is_named_as_such() {
    if !possible() {
        return;
    }
    let live = Live::start(&[]);
    live.role("memfd");
    let stored = live.stop();
    stored.assert_exact();
    let exec = stored.one(|row| row.is(&[("activity", "exec")]));
    assert!(exec.is(&[("exe", "memfd:ebb"), ("exe_unlinked", "true"), ("script", "")]), "{exec:?}");
}

#[test]
fn ends_by_code_and_by_signal() {
    if !possible() {
        return;
    }
    let stored = run(&["/bin/sh", "-c", "/bin/sh -c 'exit 7'; /bin/sh -c 'kill -9 $$'; true"]);
    let ends: Vec<_> = stored.process.iter().filter(|row| row.get("activity") == "exit").collect();
    let of = |code, signal| ends.iter().filter(|row| row.is(&[("exit_code", code), ("exit_signal", signal)])).count();
    assert_eq!((of("7", "0"), of("0", "9"), of("0", "0"), ends.len()), (1, 1, 1, 3));
}

#[test]
fn threads_are_not_processes() {
    if !possible() {
        return;
    }
    let live = Live::start(&[]);
    live.role("threads");
    let stored = live.stop();
    stored.assert_exact();
    // No fork, and one end: that of the process, although its first thread went when another took its place.
    assert_eq!(stored.process.len(), 2, "{:#?}", stored.process);
    let exec = stored.one(|row| row.is(&[("activity", "exec"), ("exe", &real("/bin/true"))]));
    stored.one(|row| row.is(&[("activity", "exit"), ("process_key", exec.get("process_key")), ("exit_code", "0")]));
}

#[test]
fn keys_link_children_to_parents_and_sessions_to_roots() {
    if !possible() {
        return;
    }
    let stored = run(&["/bin/sh", "-c", "setsid /bin/sh -c '/bin/true; /bin/true'; true"]);
    let outer = stored.one(|row| {
        row.get("activity") == "exec"
            && row.args.as_ref().is_some_and(|args| args.len() == 3 && args[2].starts_with("setsid"))
    });
    let key = outer.get("process_key");
    // The session's leader runs setsid, then sh, in one process: one fork, two execs, one exit.
    let leader = stored.one(|row| row.is(&[("activity", "fork"), ("parent_key", key)]));
    let session = leader.get("process_key");
    assert!(leader.is(&[("exe", &real("/bin/sh")), ("parent_exe", &real("/bin/sh"))]));
    let execs = stored.process.iter().filter(|row| row.is(&[("activity", "exec"), ("process_key", session)]));
    assert_eq!(execs.map(|row| row.get("exe")).collect::<Vec<_>>().len(), 2);
    let children: Vec<_> =
        stored.process.iter().filter(|row| row.is(&[("activity", "exec"), ("parent_key", session)])).collect();
    assert_eq!(children.len(), 2, "{:#?}", stored.process);
    for child in children {
        assert!(
            child.is(&[("root_key", session), ("root_exe", &real("/bin/sh")), ("exe", &real("/bin/true"))]),
            "{child:?}"
        );
        assert_eq!(child.get("session"), leader.get("pid"));
    }
    // Keys hold start and number, so that they can be read back.
    let parsed: events::ProcessKey = session.parse().unwrap();
    assert_eq!(parsed.tgid().to_string(), leader.get("pid"));
}

#[test]
fn a_deleted_image_says_so() {
    if !possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().canonicalize().unwrap().join("gone");
    fs::copy("/bin/true", &file).unwrap();
    let file = file.to_str().unwrap();
    let stored = run(&["/bin/sh", "-c", "exec 3<\"$0\" && rm \"$0\" && exec /proc/self/fd/3", file]);
    let exec = stored.one(|row| row.is(&[("activity", "exec"), ("exe", file)]));
    assert!(exec.is(&[("exe_unlinked", "true"), ("comm", "3")]), "{exec:?}");
}

fn status<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().collect()
}

#[test]
fn an_exec_row_says_what_the_process_says_of_itself() {
    if !possible() {
        return;
    }
    let live = Live::start(&[]);
    let output = live.inside(&["/bin/cat", "/proc/self/status"]);
    let stored = live.stop();
    stored.assert_exact();
    let text = String::from_utf8(output.stdout).unwrap();
    let (uids, gids) = (status(&text, "Uid:"), status(&text, "Gid:"));
    let capabilities = u64::from_str_radix(status(&text, "CapEff:")[0], 16).unwrap().to_string();
    let pid = status(&text, "Pid:")[0];
    let file = fs::canonicalize("/bin/cat").unwrap();
    let meta = fs::metadata(&file).unwrap();
    let device = (rustix::fs::major(meta.dev()) << 20 | rustix::fs::minor(meta.dev())).to_string();
    let inode = meta.ino().to_string();
    let folder = std::env::current_dir().unwrap();
    let exec = stored.one(|row| row.get("activity") == "exec");
    assert!(exec.is(&[("uid", uids[0]), ("euid", uids[1]), ("gid", gids[0]), ("egid", gids[1])]), "{exec:?}");
    assert!(exec.is(&[("capabilities", &capabilities), ("pid", pid), ("tid", pid), ("comm", "cat")]), "{exec:?}");
    assert!(exec.is(&[("exe", file.to_str().unwrap()), ("exe_inode", &inode), ("exe_device", &device)]), "{exec:?}");
    assert!(exec.is(&[("cwd", folder.to_str().unwrap()), ("cwd_source", "kernel"), ("script", "")]), "{exec:?}");
    let login = fs::read_to_string("/proc/self/loginuid").unwrap_or_default();
    let login = if login.trim() == u32::MAX.to_string() { "" } else { login.trim() };
    assert!(exec.is(&[("login_uid", login), ("exe_unlinked", "false"), ("args_masked", "false")]), "{exec:?}");
    let above = exec.entries("ancestors");
    assert!(above.len() <= 16 && above.iter().all(|entry| entry[0].len() == 32), "{above:?}");
}

#[test]
fn an_exit_row_says_what_the_process_used() {
    if !possible() {
        return;
    }
    let live = Live::start(&[]);
    let said = live.role("burn");
    let stored = live.stop();
    stored.assert_exact();
    let exit = stored.one(|row| row.is(&[("activity", "exit"), ("pid", &said[0])]));
    assert!(exit.is(&[("exit_code", "0"), ("exit_signal", "0")]), "{exit:?}");
    let (own, cpu) = (said[1].parse::<u64>().unwrap(), exit.number("cpu_ns"));
    assert!(cpu >= own && cpu < own + 200_000_000, "{own} {exit:?}");
    let split = exit.number("cpu_user_ns") + exit.number("cpu_system_ns");
    // By ticks, a sample: on a busy machine many of them meet another process.
    assert!(split > 0 && split < cpu + 100_000_000 && exit.number("runtime_ns") >= cpu, "{exit:?}");
    let most = said[2].split(' ').next().unwrap().parse::<u64>().unwrap() << 10;
    assert!(exit.number("max_rss_bytes").abs_diff(most) < 4 << 20, "{most} {exit:?}");
    assert!(exit.number("minor_faults") >= (64 << 20) / 4096 / 512 && !exit.get("major_faults").is_empty(), "{exit:?}");
}

#[test]
fn a_folder_too_deep_for_the_kernel_side_comes_from_proc() {
    if !possible() {
        return;
    }
    let top = tempfile::tempdir().unwrap();
    let deep = (0..30).fold(top.path().canonicalize().unwrap(), |path, at| path.join(format!("f{at}")));
    fs::create_dir_all(&deep).unwrap();
    let live = Live::start(&[]);
    let join = r#"echo $$ > "$0/cgroup.procs" && cd "$1" && exec /bin/sleep 600"#;
    let mut sleeps = Command::new("/bin/sh").args(["-c", join]).arg(&live.cgroup.0).arg(&deep).spawn().unwrap();
    // It stays until its row is made: whoever asks for its folder finds it.
    live.expect_open("exec", 1);
    sleeps.kill().unwrap();
    sleeps.wait().unwrap();
    let stored = live.stop();
    stored.assert_exact();
    let exec = stored.one(|row| row.is(&[("activity", "exec"), ("comm", "sleep")]));
    assert!(exec.is(&[("cwd", deep.to_str().unwrap()), ("cwd_source", "proc")]), "{exec:?}");
}

#[test]
fn a_reused_number_is_another_process() {
    if !possible() {
        return;
    }
    let live = Live::start(&[]);
    let number = &live.role("reuse")[0];
    let stored = live.stop();
    stored.assert_exact();
    let key_of = |code: &str| {
        let end = stored.one(|row| row.is(&[("activity", "exit"), ("pid", number), ("exit_code", code)]));
        end.get("process_key")
    };
    let (first, second) = (key_of("3"), key_of("4"));
    assert!(first < second, "keys of one boot sort by start");
    for (key, word) in [(first, "first"), (second, "second")] {
        stored.one(|row| row.is(&[("activity", "fork"), ("pid", number), ("process_key", key)]));
        let is_child = |row: &Row| row.args.as_ref().is_some_and(|args| args.len() == 2 && args[1] == word);
        let child = stored.one(is_child);
        let parent = [("parent_key", key), ("parent_pid", number), ("parent_exe", &real("/bin/sh"))];
        assert!(child.is(&parent), "{child:?}");
        stored.one(|row| row.is(&[("activity", "fork"), ("parent_key", key)]));
    }
}

#[test]
fn what_a_thread_makes_is_its_processs_child() {
    if !possible() {
        return;
    }
    let live = Live::start(&[]);
    let pid = &live.role("threaded")[0];
    let stored = live.stop();
    stored.assert_exact();
    let forks: Vec<&Row> = stored.process.iter().filter(|row| row.get("activity") == "fork").collect();
    assert_eq!(forks.len(), 2, "{forks:#?}");
    for fork in &forks {
        assert!(fork.is(&[("parent_pid", pid), ("parent_key", forks[0].get("parent_key")), ("uid", "0")]), "{fork:?}");
        assert_eq!((fork.get("tid"), fork.get("cgroup")), (fork.get("pid"), &*stored.cgroup));
    }
}
