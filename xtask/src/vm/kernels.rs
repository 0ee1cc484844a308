//! Stock kernels: found in Debian's suites through a source list of our own, fetched once, kept under `target/`.

use crate::apt::{self, View, output};
use crate::shell::target_dir;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A line of kernels and the suite that has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    pub(super) version: &'static str,
    suite: &'static str,
    /// One of the oldest, which differ most.
    old: bool,
}

const KERNELS: &[Kernel] = &[
    Kernel { version: "5.10", suite: "bullseye", old: true },
    Kernel { version: "6.1", suite: "bookworm", old: true },
    Kernel { version: "6.12", suite: "trixie", old: false },
    Kernel { version: "6.18", suite: "trixie-backports", old: false },
    // The newest that there is.
    Kernel { version: "7", suite: "trixie-backports", old: false },
];

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A kernel to boot.
pub(super) struct Boot {
    pub(super) image: PathBuf,
    /// Package and version.
    pub(super) package: String,
}

/// The kernels asked for by name; if none is, all or the oldest.
pub(super) fn wanted(names: &[String], quick: bool) -> Result<Vec<&'static Kernel>> {
    if names.is_empty() {
        return Ok(KERNELS.iter().filter(|kernel| kernel.old || !quick).collect());
    }
    let find = |name: &String| {
        let known: Vec<&str> = KERNELS.iter().map(|kernel| kernel.version).collect();
        let found = KERNELS.iter().find(|kernel| kernel.version == name);
        found.with_context(|| format!("vm-test: no kernel {name}: there are {}", known.join(", ")))
    };
    names.iter().map(find).collect()
}

/// The kernel's image, downloaded if it is not there yet.
pub(super) fn fetch(kernel: &Kernel) -> Result<Boot> {
    let folder = target_dir().join("vm/kernels").join(kernel.version);
    let (image, note) = (folder.join("vmlinuz"), folder.join("package"));
    if !image.exists() || !note.exists() {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let package = download(kernel, &folder).with_context(|| format!("kernel {}", kernel.version))?;
        std::fs::write(&note, package)?;
    }
    Ok(Boot { image, package: std::fs::read_to_string(&note)? })
}

/// Downloads and unpacks the newest kernel of its line; returns package and version.
fn download(kernel: &Kernel, folder: &Path) -> Result<String> {
    let suite = view(kernel.suite)?;
    let names = output(suite.command("apt-cache").args(["pkgnames", "linux-"]))?;
    let package =
        newest(&names, kernel.version).with_context(|| format!("no package for it in Debian's {}", kernel.suite))?;
    eprintln!("fetching {package} from {}", kernel.suite);
    let deb = suite.download(&package, folder)?;
    let version = output(Command::new("dpkg-deb").arg("--field").arg(&deb).arg("Version"))?;
    let unpack =
        r#"dpkg-deb --fsys-tarfile "$0" | tar -x -O --wildcards '*/vmlinuz*' > vmlinuz.part && test -s vmlinuz.part"#;
    output(Command::new("bash").args(["-o", "pipefail", "-c", unpack]).arg(&deb).current_dir(folder))?;
    std::fs::rename(folder.join("vmlinuz.part"), folder.join("vmlinuz"))?;
    std::fs::remove_file(&deb)?;
    Ok(format!("{package} {}", version.trim()))
}

/// The newest stock kernel of a line among package names. Of kernels in several packages, the one with the image.
fn newest(names: &str, line: &str) -> Option<String> {
    let numbers = |text: &str| -> Vec<u32> {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
    };
    let (of_line, mut found) = (numbers(line), Vec::new());
    for name in names.lines() {
        let release = name.strip_prefix("linux-binary-").or_else(|| name.strip_prefix("linux-image-"));
        let Some(release) = release.and_then(|rest| rest.strip_suffix("-amd64")) else { continue };
        let of = numbers(release);
        let odd = ["rt", "cloud", "unsigned"].iter().any(|word| release.split('-').any(|part| part == *word));
        if !odd && of.len() > 2 && of.starts_with(&of_line) {
            found.push((of, name.starts_with("linux-binary-"), name));
        }
    }
    found.sort();
    found.pop().map(|(_, _, name)| name.to_owned())
}

/// Apt's view of one suite of Debian.
fn view(suite: &str) -> Result<View> {
    let folder = target_dir().join("vm/suites").join(suite);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let list = folder.join("sources.list");
    let signed = if Path::new(KEYS).exists() { format!("[signed-by={KEYS}] ") } else { String::new() };
    std::fs::write(&list, format!("deb {signed}{} {suite} main\n", apt::mirror()?))?;
    let list = format!("Dir::Etc::sourcelist={}", list.display());
    // What an old suite says of itself is not renewed for ever.
    View::update(folder, &[&list, "Dir::Etc::sourceparts=-", "Acquire::Check-Valid-Until=false"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stock_kernel_of_a_line_is_taken() {
        let names = "linux-image-5.10.0-32-amd64\nlinux-image-5.10.0-9-amd64\nlinux-image-5.10.0-33-rt-amd64\n\
            linux-image-5.10.0-34-amd64-unsigned\nlinux-image-6.1.0-50-amd64\nlinux-image-6.12.107+deb13-amd64\n\
            linux-image-7.2.12+deb13-amd64\nlinux-image-7.3.4+deb13-amd64\nlinux-binary-7.3.4+deb13-amd64\n\
            linux-binary-unsigned-7.3.4+deb13-amd64\nlinux-image-amd64\nlinux-image-7.3.9+deb13-cloud-amd64\n";
        let of = |line| newest(names, line).unwrap_or_default();
        assert_eq!(of("5.10"), "linux-image-5.10.0-32-amd64");
        assert_eq!(of("6.1"), "linux-image-6.1.0-50-amd64");
        assert_eq!(of("6.12"), "linux-image-6.12.107+deb13-amd64");
        assert_eq!(of("7"), "linux-binary-7.3.4+deb13-amd64");
        assert_eq!(of("6.18"), "");
    }
}
