//! Where processes run, and which version of which file: containers and digests, live. Needs root.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

#[path = "live/harness.rs"]
#[allow(dead_code)]
mod harness;

use harness::{Live, possible};
use sha2::{Digest, Sha256};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

fn digest(path: &Path) -> String {
    Sha256::digest(fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_container_is_known_by_its_cgroup() {
    if !possible() {
        return;
    }
    let id = "0123456789abcdef".repeat(4);
    let live = Live::start(&[]);
    let scope = live.cgroup.0.join(format!("docker-{id}.scope"));
    fs::create_dir(&scope).unwrap();
    let join = r#"echo $$ > "$0/cgroup.procs" && exec /bin/sleep 0.3"#;
    assert!(Command::new("/bin/sh").args(["-c", join]).arg(&scope).status().unwrap().success());
    live.inside(&["/bin/true"]);
    harness::remove(&scope);
    let name = live.cgroup.0.file_name().unwrap().to_string_lossy().into_owned();
    let stored = live.stop();
    stored.assert_exact();
    let contained = stored.one(|row| row.is(&[("activity", "exec"), ("comm", "sleep")]));
    assert_eq!(contained.get("cgroup_path"), format!("/{name}/docker-{id}.scope"));
    assert!(
        contained.is(&[("container_id", &id), ("container_name", ""), ("image", ""), ("pod", "")]),
        "{contained:?}"
    );
    let plain = stored.one(|row| row.is(&[("activity", "exec"), ("comm", "true")]));
    assert!(plain.is(&[("cgroup_path", &format!("/{name}")), ("container_id", "")]), "{plain:?}");
}

#[test]
fn images_are_hashed_anew_when_they_change() {
    if !possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("tool");
    let install = |from: &str| {
        fs::copy(from, &image).unwrap();
        fs::set_permissions(&image, fs::Permissions::from_mode(0o755)).unwrap();
        digest(&image)
    };
    let live = Live::start(&[]);
    let mut wanted = Vec::new();
    // Long enough for the agent to open the file that each of them runs.
    for from in ["/bin/sleep", "/usr/bin/timeout"] {
        wanted.push(install(from));
        let line = if from == "/bin/sleep" { vec!["0.3"] } else { vec!["1", "/bin/sleep", "0.3"] };
        live.inside(&[&[image.to_str().unwrap()], &line[..]].concat());
    }
    let stored = live.stop();
    stored.assert_exact();
    let tool = image.to_str().unwrap();
    let execs = stored.process.iter().filter(|row| row.is(&[("activity", "exec"), ("exe", tool)]));
    assert_eq!(execs.map(|row| row.get("exe_sha256")).collect::<Vec<_>>(), wanted);
    let other = stored.one(|row| row.is(&[("activity", "exec"), ("comm", "sleep")]));
    assert_eq!(other.get("exe_sha256"), digest(Path::new("/bin/sleep")));
    // Only what names an image has a digest of it.
    assert!(
        stored.process.iter().filter(|row| row.get("activity") != "exec").all(|row| row.get("exe_sha256").is_empty())
    );
}
