//! Files, sockets and signals, by Landlock: each kernel as far as it goes.

use super::{Plan, Role, SandboxError, refused};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, RestrictionStatus, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, Scope, make_bitflags, path_beneath_rules,
};
use std::path::Path;

/// The newest version whose rights were looked at; what later kernels add stays allowed until somebody did.
const KNOWN: ABI = ABI::V7;

/// What a GPU's driver needs: its devices, and its own files; and what the processor calls itself, beside which it is measured.
const DRIVER_DEVICES: [&str; 7] =
    ["/dev/dri", "/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-modeset", "/dev/kfd", "/dev/shm"];
const DRIVER_FILES: [&str; 6] = ["/usr", "/etc", "/sys", "/proc/self", "/proc/driver", "/proc/cpuinfo"];

/// Where a hash key comes from.
const RANDOM: &str = "/dev/urandom";

/// What finding and reaching a host by its name needs.
const NETWORK_FILES: [&str; 8] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/ssl",
    "/usr/share/ca-certificates",
    "/usr/lib",
    "/run/systemd/resolve",
];

/// Confines this thread to the files of the plan; the version of Landlock that does it, or why there is none.
pub(super) fn confine(plan: &Plan) -> Result<Result<i32, String>, SandboxError> {
    let status = restrict(plan).map_err(|error| refused("landlock", &error))?;
    Ok(match status.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => Ok(kernel_abi.unwrap_or(effective_abi as i32)),
        LandlockStatus::NotEnabled => Err("this kernel was started without it".into()),
        LandlockStatus::NotImplemented => Err("this kernel has none; Linux 5.13 and later may".into()),
    })
}

fn restrict(plan: &Plan) -> Result<RestrictionStatus, RulesetError> {
    let mut rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    rules = rules.handle_access(AccessFs::from_all(KNOWN))?.scope(Scope::from_all(KNOWN))?;
    // Nobody waits for connections but at sockets that were there before.
    rules = rules.handle_access(AccessNet::BindTcp)?;
    if plan.role != Role::Uploader {
        rules = rules.handle_access(AccessNet::ConnectTcp)?;
    }
    let read = plan.read.iter().map(|path| &**path);
    let write = plan.write.iter().map(|path| &**path);
    let (mut more, mut devices) = (vec![Path::new(RANDOM)], Vec::new());
    match plan.role {
        Role::Scorer { devices: true } => {
            more.extend(DRIVER_FILES.map(Path::new));
            devices.extend(DRIVER_DEVICES.map(Path::new));
        }
        Role::Uploader => more.extend(NETWORK_FILES.map(Path::new)),
        Role::Worker | Role::Scorer { devices: false } => {}
    }
    let devices_all = writing() | AccessFs::IoctlDev;
    let rules = rules.create()?;
    let rules = rules.add_rules(path_beneath_rules(read.chain(more), reading()))?;
    let rules = rules.add_rules(path_beneath_rules(write, writing()))?;
    rules.add_rules(path_beneath_rules(devices, devices_all))?.restrict_self()
}

fn reading() -> BitFlags<AccessFs> {
    make_bitflags!(AccessFs::{ReadFile | ReadDir})
}

/// Files and folders, but no devices, sockets, pipes and links, and nothing to run.
fn writing() -> BitFlags<AccessFs> {
    let change = make_bitflags!(AccessFs::{WriteFile | Truncate | RemoveFile | RemoveDir | MakeReg | MakeDir | Refer});
    reading() | change
}
