//! A process that has locked itself down works on, and has lost everything else.
//!
//! The kernel keeps rights by thread: each test locks down a thread of its own.

use ebbline_agent_user::sandbox::{Plan, Report, Role, User, lock_down};
use rustix::net::{AddressFamily, SocketType, socket};
use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::Command,
};

/// Runs something in a thread that locked itself down.
fn confined<T: Send + 'static>(plan: Plan, then: impl FnOnce(Report) -> T + Send + 'static) -> T {
    let work = move || then(lock_down(&plan).unwrap_or_else(|error| panic!("{error}")));
    std::thread::Builder::new().spawn(work).unwrap().join().unwrap()
}

fn nobody() -> Option<User> {
    rustix::process::geteuid().is_root().then(|| User::named("nobody").unwrap())
}

/// A folder that the user of the plan may write to, and the plan for it.
fn plan(role: Role) -> (tempfile::TempDir, Plan) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let plan = Plan { role, user: nobody(), parent: None, read: Vec::new(), write: vec![folder.path().into()] };
    (folder, plan)
}

/// What the kernel says of this thread.
fn status(file: &mut fs::File) -> impl Fn(&str) -> String + use<> {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    move |key| text.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned()
}

#[test]
fn nothing_is_left_but_what_was_planned() {
    let (folder, plan) = plan(Role::Worker);
    let (inside, user) = (folder.path().to_path_buf(), plan.user.clone());
    let program = std::env::current_exe().unwrap();
    confined(plan, move |report| {
        assert_eq!(report.capabilities, 0);
        assert_eq!(user.map_or(report.uid, |user| user.uid), report.uid);
        assert!(report.seccomp, "{report:?}");
        if report.landlock.is_none() {
            assert!(std::env::var_os("CI").is_none(), "{report:?}");
            eprintln!("SKIPPED: files outside the folders: {}", report.text());
        } else {
            assert!(fs::read("/etc/passwd").is_err());
            assert!(fs::write("/tmp/ebbline-escaped", "x").is_err());
            assert!(fs::read_dir("/").is_err());
            assert!(fs::read_to_string("/proc/self/status").is_err());
            assert!(fs::hard_link("/etc/passwd", inside.join("passwd")).is_err());
        }
        assert!(UnixStream::connect(inside.join("socket")).is_err());
        assert!(std::net::TcpListener::bind("127.0.0.1:0").is_err());
        assert!(socket(AddressFamily::NETLINK, SocketType::RAW, None).is_err());
        assert!(Command::new(program).spawn().is_err());
        assert!(rustix::thread::set_thread_uid(rustix::process::Uid::ROOT).is_err());
        works_on(&inside);
    });
}

/// What the worker lives on.
fn works_on(inside: &Path) {
    let path = inside.join("day=1").join("rows.tmp");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(&[7; 100_000]).unwrap();
    file.sync_all().unwrap();
    fs::rename(&path, inside.join("day=1/rows")).unwrap();
    assert_eq!(fs::read(inside.join("day=1/rows")).unwrap().len(), 100_000);
    assert_eq!(fs::read_dir(inside).unwrap().count(), 1);
    fs::remove_dir_all(inside.join("day=1")).unwrap();
    // Threads, their memory and their end; an event loop with timers, sockets that are there and signals.
    let sums: Vec<u64> = std::thread::scope(|scope| {
        let work = |n: u64| scope.spawn(move || (0..n << 20).collect::<Vec<u64>>().iter().sum());
        (1..4).map(work).collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(sums.len(), 3);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let _terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let (mut one, mut other) = tokio::net::UnixStream::pair().unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut one, b"x").await.unwrap();
        assert_eq!(tokio::io::AsyncReadExt::read_u8(&mut other).await.unwrap(), b'x');
    });
    assert!(ebbline_agent_user::usage::Usage::now().rss_bytes > 0);
    assert!(ebbline_agent_user::usage::Usage::now().pss_bytes > 0);
    assert!(std::panic::catch_unwind(|| panic!("a defect, made on purpose")).is_err());
}

#[test]
fn the_kernel_says_the_same() {
    let (_folder, plan) = plan(Role::Worker);
    let user = plan.user.clone();
    let (keep, kept) = std::sync::mpsc::channel();
    // Opened before, as nothing is afterwards; what it says is of the moment when it is read.
    confined_with(
        plan,
        move || fs::File::open("/proc/thread-self/status").unwrap(),
        move |mut file, report| {
            keep.send((status(&mut file), report)).unwrap();
        },
    );
    let (status, report) = kept.recv().unwrap();
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(status(set), "0000000000000000", "{set}");
    }
    if !report.missing.iter().any(|why| why.starts_with("bounding set")) {
        assert_eq!(status("CapBnd:"), "0000000000000000");
    }
    assert_eq!((status("NoNewPrivs:").as_str(), status("Seccomp:").as_str()), ("1", "2"));
    if let Some(user) = user {
        assert_eq!(status("Uid:"), [user.uid.to_string().as_str(); 4].join("\t"));
        assert_eq!(status("Gid:"), [user.gid.to_string().as_str(); 4].join("\t"));
        assert_eq!(status("Groups:"), "");
    }
}

fn confined_with<B: 'static>(plan: Plan, before: fn() -> B, then: impl FnOnce(B, Report) + Send + 'static) {
    let work = move || {
        let before = before();
        then(before, lock_down(&plan).unwrap());
    };
    std::thread::spawn(work).join().unwrap();
}

#[test]
fn sockets_that_were_there_before_still_take_connections() {
    let (folder, plan) = plan(Role::Worker);
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        UnixStream::connect(path).unwrap().read_to_string(&mut text).unwrap();
        text
    });
    confined(plan, move |_| {
        listener.set_nonblocking(false).unwrap();
        listener.accept().unwrap().0.write_all(b"status").unwrap();
    });
    assert_eq!(reader.join().unwrap(), "status");
}

#[test]
fn the_uploader_reaches_out_and_waits_for_nobody() {
    let (folder, plan) = plan(Role::Uploader);
    let inside: PathBuf = folder.path().into();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    confined(plan, move |report| {
        std::net::TcpStream::connect(address).unwrap().write_all(b"x").unwrap();
        // Without a name to wait at, a TCP socket takes any port: bind() is what Landlock knows, from version 4 on.
        if report.landlock.is_some_and(|version| version >= 4) {
            assert!(std::net::TcpListener::bind("127.0.0.1:0").is_err());
        }
        assert!(UnixStream::connect(inside.join("s")).is_err());
        assert!(Command::new("/bin/true").spawn().is_err());
    });
    server.accept().unwrap();
}

#[test]
fn a_scorer_has_no_sockets_and_reads_its_baseline() {
    let (folder, mut plan) = plan(Role::Scorer { devices: false });
    let baseline = tempfile::NamedTempFile::new().unwrap();
    fs::set_permissions(baseline.path(), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(baseline.path(), "what is normal").unwrap();
    plan.read.push(baseline.path().into());
    let (path, inside) = (baseline.path().to_path_buf(), folder.path().to_path_buf());
    confined(plan, move |report| {
        assert_eq!(fs::read(&path).unwrap(), b"what is normal");
        if report.landlock.is_some() {
            assert!(fs::write(&path, "anything").is_err());
        }
        assert!(std::net::TcpStream::connect("127.0.0.1:9").is_err());
        works_on(&inside);
    });
}
