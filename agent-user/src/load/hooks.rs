//! The kernel programs, by name and place.

use crate::kernel::Layout;

/// A kernel program and what it is for.
#[derive(Debug, Clone, Copy)]
pub struct Hook {
    /// Name of the program.
    pub program: &'static str,
    /// Where it runs in the kernel.
    pub place: &'static str,
    /// The events it gives.
    pub gives: &'static str,
    /// Capture makes no sense without it.
    pub required: bool,
}

/// The iterator over sockets that are older than the agent.
const OPEN: &str = "socket_open";

impl Hook {
    /// Whether it gives all that it is for on this kernel.
    ///
    /// # Errors
    /// What it does not, in words.
    pub fn whole(&self, layout: &Layout) -> Result<(), &'static str> {
        match self.program == OPEN && !layout.socket_cookies {
            true => Err("gives only sockets that have a cookie: before Linux 5.12 no iterator can make one"),
            false => Ok(()),
        }
    }
}

const fn hook(program: &'static str, place: &'static str, gives: &'static str, required: bool) -> Hook {
    Hook { program, place, gives, required }
}

/// Every program.
pub const HOOKS: &[Hook] = &[
    hook("process_exec", "tp_btf sched_process_exec", "exec", true),
    hook("process_fork", "tp_btf sched_process_fork", "fork", true),
    hook("process_exit", "tp_btf sched_process_exit", "exit", true),
    hook("socket_create", "cgroup sock_create", "owners of sockets", false),
    hook("socket_release", "cgroup sock_release", "ends of flows", false),
    hook("socket_state", "cgroup sockops", "listen, close", false),
    hook("socket_ended", "tp_btf inet_sock_set_state", "close (connections older than the agent)", false),
    hook("socket_connect4", "cgroup connect4", "connect (IPv4)", false),
    hook("socket_connect6", "cgroup connect6", "connect (IPv6)", false),
    hook("socket_accept4", "cgroup getpeername4", "accept (IPv4)", false),
    hook("socket_accept6", "cgroup getpeername6", "accept (IPv6)", false),
    hook("socket_sendmsg4", "cgroup sendmsg4", "send (IPv4)", false),
    hook("socket_sendmsg6", "cgroup sendmsg6", "send (IPv6)", false),
    hook("socket_bind4", "cgroup post_bind4", "bind (IPv4)", false),
    hook("socket_bind6", "cgroup post_bind6", "bind (IPv6)", false),
    hook("socket_egress", "cgroup_skb egress", "flow, dns (sent)", false),
    hook("socket_ingress", "cgroup_skb ingress", "flow, dns (received)", false),
    hook(CALLS, "tp_btf sys_exit", "credential, ptrace, module, bpf, failed connects", false),
];

/// The program behind every system call.
pub const CALLS: &str = "calls_exit";

/// Programs that the kernel runs once over what is there when the agent starts, in this order.
pub const ITERATORS: &[Hook] =
    &[hook("snapshot_tasks", "iter task", "running", false), hook(OPEN, "iter task_file", "open", false)];
