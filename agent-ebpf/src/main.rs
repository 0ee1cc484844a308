//! Kernel programs: process and socket events into rings.
//!
//! One file per subject. What the programs read of the kernel's own structures lies at offsets that the agent looked up in
//! the running kernel; what is in scope, it decided too. Both are frozen before the programs load.
#![no_std]
#![no_main]
// For one instruction in `maps::count`; `cargo xtask ebpf` allows it to this crate by name.
#![feature(asm_experimental_arch)]

mod calls;
mod dns;
mod maps;
mod opened;
mod packet;
mod path;
mod process;
mod raw;
mod scratch;
mod snapshot;
mod socket;
mod task;
mod tcp;
mod udp;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier would refuse a program that can reach this.
    loop {}
}

/// Most helpers are only lent to programs under this licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
