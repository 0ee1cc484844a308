//! What machines the programs in a package are for: those of this kind, or aarch64.

use super::said;
use crate::aarch64;
use anyhow::{Context, Result};
use object::elf::EM_AARCH64;
use std::path::Path;
use std::process::Command;

/// A kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    /// What this one is.
    Here,
    /// Another, whose programs start under emulation.
    Aarch64,
}

impl Machine {
    /// Told by a program itself, so that no package has a false name.
    pub(super) fn of(program: &Path) -> Result<Self> {
        let data = std::fs::read(program).with_context(|| program.display().to_string())?;
        let machine = data.get(18..20).with_context(|| format!("{} is no program", program.display()))?;
        let foreign = machine == EM_AARCH64.0.to_le_bytes() && cfg!(not(target_arch = "aarch64"));
        Ok(if foreign { Self::Aarch64 } else { Self::Here })
    }

    /// Debian's word for it.
    pub(super) fn architecture(self) -> Result<String> {
        match self {
            Self::Here => said(Command::new("dpkg").arg("--print-architecture")),
            Self::Aarch64 => Ok("arm64".to_owned()),
        }
    }

    /// Rust's word for it.
    pub(super) fn target(self) -> String {
        let arch = if self == Self::Aarch64 { "aarch64" } else { std::env::consts::ARCH };
        format!("{arch}-unknown-linux-gnu")
    }

    /// What removes symbols.
    pub(super) fn strip(self) -> &'static str {
        match self {
            Self::Here => "strip",
            Self::Aarch64 => "aarch64-linux-gnu-strip",
        }
    }

    /// Starts a program.
    pub(super) fn start(self, program: &Path) -> Command {
        match self {
            Self::Here => Command::new(program),
            Self::Aarch64 => aarch64::emulated(program),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_what_machines_it_is_for() {
        let this = std::env::current_exe().unwrap();
        assert_eq!(Machine::of(&this).unwrap(), Machine::Here);
        let folder = crate::shell::target_dir().join(format!("machine-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let other = folder.join("program");
        let mut header = [0; 64];
        header[18..20].copy_from_slice(&EM_AARCH64.0.to_le_bytes());
        std::fs::write(&other, header).unwrap();
        let expected = if cfg!(target_arch = "aarch64") { Machine::Here } else { Machine::Aarch64 };
        assert_eq!(Machine::of(&other).unwrap(), expected);
        std::fs::write(&other, &header[..19]).unwrap();
        assert!(Machine::of(&other).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
