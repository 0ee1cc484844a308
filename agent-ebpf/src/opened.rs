//! Sockets that were there before the agent: one run over the descriptors of every process.

use crate::{
    maps::{OWNERS, Ring, emit_all, offset, setting},
    raw::{Sock, is_socket},
    socket::{BPF_NOEXIST, Ends, TCP, UDP, head, maker},
    task::{self, Kernel},
};
use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_sock_from_file};
use events::{DIRECTION_UNKNOWN, EventType, Open, Owner, tcp_state};

/// What the kernel hands to the program for each descriptor.
#[repr(C)]
pub struct TaskFile {
    meta: *const u8,
    task: *const u8,
    fd: u32,
    file: *mut aya_ebpf::bindings::file,
}

/// A descriptor of a process. Written without a macro, as there is none for iterators.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub fn socket_open(ctx: *mut TaskFile) -> i32 {
    // SAFETY: the kernel gives a valid context. Volatile, as the verifier wants each field read as it is.
    let (task, file) =
        unsafe { (core::ptr::read_volatile(&raw const (*ctx).task), core::ptr::read_volatile(&raw const (*ctx).file)) };
    if task.is_null() || file.is_null() || !is_socket(Kernel(file.cast())) {
        return 0;
    }
    let task = Kernel(task);
    if task::task_in_scope(task) {
        // SAFETY: the file is not null.
        let (sock, cookie) = unsafe { numbered(file) };
        if cookie != 0 {
            found(task, sock, cookie);
        }
    }
    0
}

/// The socket of a file and its cookie, 0 if it has none. The kernel makes one where it lends the helper to iterators,
/// which is since 5.12.
///
/// # Safety
/// `file` is one that the kernel handed over, not null.
#[inline(always)]
unsafe fn numbered(file: *mut aya_ebpf::bindings::file) -> (Sock, u64) {
    if setting!(socket_cookies) == 0 {
        let sock = Sock::of_file(Kernel(file.cast_const().cast()));
        return (sock, sock.cookie());
    }
    let none = (Sock(Kernel(core::ptr::null())), 0);
    // SAFETY: the helper takes a file that is not null, the verifier checks what comes of it.
    let socket = unsafe { bpf_sock_from_file(file) }.cast::<u8>();
    if socket.is_null() {
        return none;
    }
    let offset = offset!(socket_sk);
    // SAFETY: a `struct socket` has its `sk` there.
    let sk = unsafe { core::ptr::read_volatile(socket.add(offset).cast::<*mut u8>()) };
    if sk.is_null() {
        return none;
    }
    // SAFETY: the helper takes a socket that is not null.
    (Sock(Kernel(sk)), unsafe { bpf_get_socket_cookie(sk.cast()) })
}

/// A socket of a process in scope. Reported by whoever claims it: of several descriptors the first, and not at all if it
/// was made, connected or accepted meanwhile.
#[inline(always)]
fn found(task: Kernel, sk: Sock, cookie: u64) {
    let (protocol, state) = (sk.protocol(), sk.state());
    // A TCP socket that does nothing yet or nothing any more is none.
    let useful = protocol == UDP || protocol == TCP && state != tcp_state::CLOSE;
    if !sk.has_ports() || !useful {
        return;
    }
    let owner = Owner {
        start: task::start(task.follow(offset!(task_group_leader))),
        claimed: 0,
        tgid: task.read(offset!(task_tgid)),
        uid: task::uid(task),
        direction: DIRECTION_UNKNOWN as u32,
        ..bytemuck::Zeroable::zeroed()
    };
    if OWNERS.insert(&cookie, &owner, BPF_NOEXIST).is_ok() {
        let ends = Ends { local_ip: sk.bound(), ..sk.ends() };
        let socket = head(EventType::Open, protocol, cookie, &owner, ends);
        let record = Open { socket, state: state as u32, reserved: 0 };
        emit_all(Ring::Sockets, EventType::Open, maker(&record.socket), record.socket.time, &record);
    }
}
