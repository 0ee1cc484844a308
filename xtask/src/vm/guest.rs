//! What a guest is given: a root file system in memory with the agent, the test programs, and what they call.

use super::tests::{Plan, SCRIPT, TEST_SECONDS};
use crate::shell::{command, program, target_dir};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the tests call.
const TOOLS: &[&str] = &[
    "sh", "true", "echo", "cat", "sleep", "ls", "setsid", "unshare", "mount", "umount", "chmod", "timeout", "rm", "id",
    "flock",
];
/// What the script that starts the tests calls.
const APPLETS: &[&str] = &["sh", "mount", "ip", "poweroff", "cat", "cut", "uname", "mkdir", "sleep", "stty", "timeout"];

/// Boots as process 1: prepares what a machine has, runs the tests, switches off.
const INIT: &str = r#"#!/busybox/sh
export PATH=/busybox
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/pts; mount -t devpts pts /dev/pts
mount -t bpf bpf /sys/fs/bpf; mount -t cgroup2 cgroup /sys/fs/cgroup; mount -t tmpfs tmp /tmp
mount -t securityfs security /sys/kernel/security
ip link set lo up
# Before Linux 5.11 what the agent holds counts against every program of its user.
ulimit -l unlimited
stty -F /dev/ttyS1 raw -echo
exec > /dev/ttyS1 2>&1 < /dev/null
echo "== booted $(uname -r)"
export PATH=/usr/bin:/usr/sbin CI=true RUST_BACKTRACE=0
export EBBLINE_PATIENCE=600 EBBLINE_KILLS=5 EBBLINE_SOAK_S=60
. /tests.sh
echo "== end $(/busybox/cut -d. -f1 /proc/uptime)"
/busybox/sleep 1
/busybox/poweroff -f
"#;

/// A test program of the agent.
pub(super) struct Program {
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// Builds the agent and its live tests; returns the test programs.
pub(super) fn build() -> Result<Vec<Program>> {
    // In the shape that the other checks build, too. The tests bring the agent with them.
    let line = ["cargo", "test", "--no-run", "--locked", "--workspace", "--test", "live*", "--test", "sandbox"];
    let line = [&line[..], &["--message-format=json"]].concat();
    let output = command(&line).stderr(std::process::Stdio::inherit()).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "the live tests do not build");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs: Vec<Program> = messages.filter_map(|message| of_message(&message)).collect();
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    ensure!(!programs.is_empty(), "cargo names no live test");
    Ok(programs)
}

fn of_message(message: &Value) -> Option<Program> {
    let (target, path) = (&message["target"], message["executable"].as_str()?);
    let is_test = target["kind"].as_array()?.iter().any(|kind| kind == "test");
    is_test.then(|| Program { name: target["name"].as_str().unwrap_or_default().to_owned(), path: path.into() })
}

/// Packs the root file system; returns where it lies.
pub(super) fn pack(programs: &[Program], plan: &Plan) -> Result<PathBuf> {
    let folder = target_dir().join("vm");
    let root = Root::new(folder.join("root"))?;
    for folder in ["proc", "sys", "dev", "tmp", "run", "root", "etc", "var/lib", "busybox", "tests"] {
        fs::create_dir_all(root.at(folder))?;
    }
    fs::copy("/bin/busybox", root.at("busybox/busybox")).context("/bin/busybox")?;
    for applet in APPLETS {
        symlink("busybox", root.at("busybox").join(applet))?;
    }
    for tool in TOOLS {
        root.tool(tool)?;
    }
    // The tests name the agent by the place where cargo put it.
    let agent = program("ebbline-agent").canonicalize().context("the agent")?;
    root.program(&agent, &agent.to_string_lossy())?;
    for program in programs.iter().filter(|program| plan.uses(&program.name)) {
        root.program(&program.path, &format!("tests/{}", program.name))?;
    }
    fs::write(root.at("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")?;
    fs::write(root.at("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
    let doctor = format!("echo '== doctor'\n{} doctor --json\necho\n", agent.display());
    fs::write(root.at("tests.sh"), format!("{doctor}TEST_SECONDS={TEST_SECONDS}\n{SCRIPT}"))?;
    fs::write(root.at("tests.list"), plan.list())?;
    fs::write(root.at("init"), INIT)?;
    fs::set_permissions(root.at("init"), fs::Permissions::from_mode(0o755))?;
    let image = folder.join("root.cpio");
    let pack = r#"find . | cpio -o -H newc --quiet > "$0""#;
    let status = Command::new("bash").args(["-o", "pipefail", "-c", pack]).arg(&image).current_dir(&root.0).status()?;
    ensure!(status.success(), "cpio ended with {status}");
    Ok(image)
}

/// The folder that becomes the root.
struct Root(PathBuf);

impl Root {
    /// An empty one, where `/bin` and `/lib` are links, as on every system of today.
    fn new(folder: PathBuf) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            fs::create_dir_all(folder.join("usr").join(name))?;
            symlink(format!("usr/{name}"), folder.join(name))?;
        }
        Ok(Self(folder))
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// A program of this machine, with what it is a link to, and its libraries.
    fn tool(&self, name: &str) -> Result<()> {
        let folders = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
        let found = folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
        let path = found.with_context(|| format!("{name} is not on this machine"))?.canonicalize()?;
        let real = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let to = format!("usr/bin/{real}");
        if !self.at(&to).exists() {
            fs::copy(&path, self.at(&to))?;
            self.libraries(&path)?;
        }
        if real != name {
            symlink(&real, self.at(&format!("usr/bin/{name}")))?;
        }
        Ok(())
    }

    /// A program that was built here, without what only a debugger reads.
    fn program(&self, path: &Path, to: &str) -> Result<()> {
        let to = self.at(to);
        fs::create_dir_all(to.parent().context("a program without a folder")?)?;
        let status = Command::new("strip").arg("-o").arg(&to).arg(path).status().context("cannot start strip")?;
        ensure!(status.success(), "strip {} ended with {status}", path.display());
        self.libraries(path)
    }

    fn libraries(&self, path: &Path) -> Result<()> {
        let output = Command::new("ldd").arg(path).output().context("cannot start ldd")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let libraries: BTreeSet<&str> = text.split_whitespace().filter(|word| word.starts_with('/')).collect();
        for library in libraries {
            let to = self.at(library);
            if !to.exists() {
                fs::create_dir_all(to.parent().context("a library without a folder")?)?;
                fs::copy(library, &to).with_context(|| library.to_owned())?;
            }
        }
        Ok(())
    }
}
