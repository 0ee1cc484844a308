//! What the copies of this test program do in a cgroup, where processes are concerned.

use super::harness::{CGROUP, END};
use events::Call;
use std::{
    arch::asm,
    io::{BufRead, Read},
    net::{Ipv4Addr, UdpSocket},
    os::{fd::AsRawFd, unix::process::CommandExt},
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Processes that are alive when the agent starts.
pub(crate) const MANY: usize = 1000;
/// Events of a flood.
pub(crate) const CONNECTS: u64 = 3000;
pub(crate) const FORKS: u64 = 20;

/// Plays, says its last word, stays until it is let go, and cleans up at a line on standard input.
pub(crate) fn play(role: &str) {
    let cgroup = std::env::var(CGROUP).unwrap();
    std::fs::write(format!("{cgroup}/cgroup.procs"), "0").unwrap();
    let clean: Box<dyn FnOnce()> = match role {
        "calls" => calls(),
        "burn" => burn(),
        "many" => many(),
        "spawner" => spawner(),
        "maker" => maker(),
        "reuse" => reuse(),
        "threaded" => threaded(),
        other => panic!("no role {other}"),
    };
    say(END);
    let mut input = std::io::stdin().lock();
    input.read_line(&mut String::new()).unwrap();
    clean();
    input.read_to_end(&mut Vec::new()).unwrap();
    std::process::exit(0);
}

fn say(word: impl std::fmt::Display) {
    // On a line of its own, whatever the test runner wrote before.
    println!("\n@{word}");
}

/// A system call as it is, without what a library does around it.
fn call(call: Call, arguments: [usize; 3]) -> i64 {
    let number = ebbline_agent_user::calls::numbers()[call as usize] as usize;
    let [first, second, third] = arguments;
    let result: i64;
    // SAFETY: the roles give arguments that the calls can take.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("syscall", inlateout("rax") number => result, in("rdi") first, in("rsi") second, in("rdx") third,
            in("r10") 0, out("rcx") _, out("r11") _);
        #[cfg(target_arch = "aarch64")]
        asm!("svc 0", in("x8") number, inlateout("x0") first => result, in("x1") second, in("x2") third);
    }
    result
}

/// Every call that leaves a record. Says the results, in their order.
fn calls() -> Box<dyn FnOnce()> {
    const NONE: usize = u32::MAX as usize;
    say(std::process::id());
    // Credentials are a thread's own.
    let changed = std::thread::spawn(|| {
        say(call(Call::Setgid, [7, 0, 0]));
        say(call(Call::Setresuid, [NONE, 9, NONE]));
        say(call(Call::Setresgid, [8, 8, 8]));
        say(call(Call::Setgroups, [1, [7_u32].as_ptr() as usize, 0]));
        say(raise());
        rustix::thread::gettid().as_raw_nonzero().get()
    });
    say(changed.join().unwrap());
    traces();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ebb.ko");
    std::fs::write(&path, "no module").unwrap();
    let file = std::fs::File::open(&path).unwrap();
    say(call(Call::FinitModule, [file.as_raw_fd() as usize, c"".as_ptr() as usize, 0]));
    say(path.display());
    say(call(Call::InitModule, [0, 0, c"".as_ptr() as usize]));
    say(loads());
    let _pair = std::os::unix::net::UnixStream::pair().unwrap();
    let _one = std::os::unix::net::UnixDatagram::unbound().unwrap();
    Box::new(|| {})
}

fn traces() {
    let mut child = Command::new("/bin/sleep").arg("600").spawn().unwrap();
    say(call(Call::Ptrace, [0x4206, child.id() as usize, 0]));
    say(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    let mut command = Command::new("/bin/true");
    // SAFETY: makes a system call and nothing else.
    unsafe { command.pre_exec(|| Err(std::io::Error::from_raw_os_error(call(Call::Ptrace, [0, 0, 0]) as i32))) };
    assert!(command.spawn().is_err());
}

/// Makes effective what is permitted to this thread. Says what that is, and returns the result.
fn raise() -> i64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let permitted = status.lines().find_map(|line| line.strip_prefix("CapPrm:")).unwrap().trim().to_owned();
    let bits = u64::from_str_radix(&permitted, 16).unwrap();
    say(bits);
    let (header, low, high) = ([0x2008_0522_u32, 0], bits as u32, (bits >> 32) as u32);
    let data = [low, low, 0, high, high, 0];
    call(Call::Capset, [header.as_ptr() as usize, data.as_ptr() as usize, 0])
}

/// Two processes with one number, each with a child.
fn reuse() -> Box<dyn FnOnce()> {
    let mut first = Command::new("/bin/sh").args(["-c", "/bin/true first; exit 3"]).spawn().unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(3));
    say(first.id());
    // A new process with the number of the one that is gone.
    let number = first.id() as i32;
    let (mut arguments, sigchld) = ([0_u64; 11], 17);
    (arguments[4], arguments[8], arguments[9]) = (sigchld, &raw const number as u64, 1);
    let made = clone3(&arguments);
    if made == 0 {
        let error = Command::new("/bin/sh").args(["-c", "/bin/true second; exit 4"]).exec();
        panic!("{error}");
    }
    assert_eq!(made, i64::from(number));
    let pid = rustix::process::Pid::from_raw(number).unwrap();
    let (_, status) = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(4));
    Box::new(|| {})
}

fn clone3(arguments: &[u64; 11]) -> i64 {
    let (number, result): (usize, i64) = (435, 0);
    let mut result = result;
    // SAFETY: shares nothing with the new process, which has a copy of everything, as after fork.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("syscall", inlateout("rax") number => result, in("rdi") arguments.as_ptr(), in("rsi") size_of_val(arguments),
            out("rcx") _, out("r11") _);
        #[cfg(target_arch = "aarch64")]
        asm!("svc 0", in("x8") number, inlateout("x0") arguments.as_ptr() => result, in("x1") size_of_val(arguments));
    }
    result
}

/// A process made by a thread that is not the first, and one made by the first.
fn threaded() -> Box<dyn FnOnce()> {
    say(std::process::id());
    let make = || assert!(Command::new("/bin/true").status().unwrap().success());
    make();
    std::thread::scope(|scope| scope.spawn(make).join().unwrap());
    Box::new(|| {})
}

/// Loads `return 0` as a socket filter.
fn loads() -> i64 {
    let program: [u64; 2] = [0xb7, 0x95];
    let licence = c"GPL";
    let mut attributes = [0_u8; 128];
    attributes[..4].copy_from_slice(&1_u32.to_le_bytes());
    attributes[4..8].copy_from_slice(&2_u32.to_le_bytes());
    attributes[8..16].copy_from_slice(&(program.as_ptr() as u64).to_le_bytes());
    attributes[16..24].copy_from_slice(&(licence.as_ptr() as u64).to_le_bytes());
    attributes[48..56].copy_from_slice(b"ebb_test");
    call(Call::Bpf, [5, attributes.as_ptr() as usize, attributes.len()])
}

/// Uses processor time and memory. Says how much, as it sees it, and ends.
fn burn() -> Box<dyn FnOnce()> {
    let memory = vec![1_u8; 64 << 20];
    let used = || rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let mut sum = 0_u64;
    while used().tv_sec == 0 && used().tv_nsec < 300_000_000 {
        sum = std::hint::black_box(sum + u64::from(memory[sum as usize % memory.len()]));
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    say(std::process::id());
    say(used().tv_sec as i128 * 1_000_000_000 + used().tv_nsec as i128);
    say(status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim());
    Box::new(|| {})
}

fn sleeper() -> Child {
    Command::new("/bin/sleep").arg("600").spawn().unwrap()
}

/// Many processes that end when they are let.
fn many() -> Box<dyn FnOnce()> {
    let mut children: Vec<Child> = (0..MANY).map(|_| sleeper()).collect();
    Box::new(move || {
        children.iter_mut().for_each(|child| child.kill().unwrap());
        children.iter_mut().for_each(|child| assert!(!child.wait().unwrap().success()));
    })
}

/// Makes processes all the time.
fn spawner() -> Box<dyn FnOnce()> {
    let enough = Arc::new(AtomicBool::new(false));
    let told = enough.clone();
    let thread = std::thread::spawn(move || {
        while !told.load(Ordering::Relaxed) {
            assert!(Command::new("/bin/true").status().unwrap().success());
        }
    });
    Box::new(move || {
        enough.store(true, Ordering::Relaxed);
        thread.join().unwrap();
    })
}

/// Makes far more events than it may.
fn maker() -> Box<dyn FnOnce()> {
    say(std::process::id());
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for _ in 0..CONNECTS {
        socket.connect((Ipv4Addr::LOCALHOST, 9)).unwrap();
    }
    for _ in 0..FORKS {
        assert!(Command::new("/bin/true").status().unwrap().success());
    }
    Box::new(|| {})
}
