//! Processes, live, in cgroups made for the tests. Needs root.
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

use std::{fs, os::unix::fs::MetadataExt};

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
    assert!(split.abs_diff(cpu) < 50_000_000 && exit.number("runtime_ns") >= cpu, "{exit:?}");
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
    let script = format!("cd {} && exec /bin/sleep 2", deep.display());
    live.inside(&["/bin/sh", "-c", &script]);
    let stored = live.stop();
    stored.assert_exact();
    let exec = stored.one(|row| row.is(&[("activity", "exec"), ("comm", "sleep")]));
    assert!(exec.is(&[("cwd", deep.to_str().unwrap()), ("cwd_source", "proc")]), "{exec:?}");
}
