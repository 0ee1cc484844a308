//! What the programs need of the system: libraries, and how new.

use super::said;
use crate::shell::works;
use anyhow::{Context, Result, ensure};
use object::read::elf::{ElfFile64, FileHeader};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Packages of the libraries that a Rust program is linked to.
const PACKAGES: &[(&str, &str)] =
    &[("libc.so.6", "libc6"), ("libm.so.6", "libc6"), ("ld-linux", "libc6"), ("libgcc_s.so.1", "libgcc-s1")];

/// The libraries as `Depends` names them: asked of dpkg, or read from the programs where it cannot be asked.
pub(super) fn libraries(programs: &[PathBuf], scratch: &Path) -> Result<String> {
    if works(&["dpkg-shlibdeps", "--version"]) { asked(programs, scratch) } else { read(programs) }
}

fn asked(programs: &[PathBuf], scratch: &Path) -> Result<String> {
    // It wants a source package to stand in.
    std::fs::create_dir_all(scratch.join("debian"))?;
    std::fs::write(scratch.join("debian/control"), "Source: ebbline\n\nPackage: ebbline\nArchitecture: any\n")?;
    let text = said(Command::new("dpkg-shlibdeps").arg("-O").args(programs).current_dir(scratch))?;
    let libraries = text.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    libraries.map(str::to_owned).with_context(|| format!("dpkg-shlibdeps said: {text}"))
}

/// The libraries as the programs themselves name them.
pub(super) fn read(programs: &[PathBuf]) -> Result<String> {
    let (mut packages, mut newest) = (BTreeSet::new(), (0, 0));
    for program in programs {
        let data = std::fs::read(program)?;
        let file = ElfFile64::<object::Endianness>::parse(&*data)?;
        let (endian, sections) = (file.endian(), file.elf_header().sections(file.endian(), &*data)?);
        let (mut needs, strings) =
            sections.gnu_verneed(endian, &*data)?.with_context(|| format!("{} is static", program.display()))?;
        while let Some((need, mut versions)) = needs.next()? {
            let strings = sections.strings(endian, &*data, strings)?;
            let library = String::from_utf8_lossy(need.file(endian, strings)?).into_owned();
            let package = PACKAGES.iter().find(|(name, _)| library.starts_with(name));
            packages.insert(package.with_context(|| format!("{library} is of no known package"))?.1);
            while let Some(version) = versions.next()? {
                newest = newest.max(glibc(version.name(endian, strings)?).unwrap_or_default());
            }
        }
    }
    ensure!(packages.contains("libc6") && newest > (0, 0), "no version of glibc in {programs:?}");
    let one =
        |name: &str| if name == "libc6" { format!("libc6 (>= {}.{})", newest.0, newest.1) } else { name.to_owned() };
    Ok(packages.into_iter().map(one).collect::<Vec<_>>().join(", "))
}

/// `GLIBC_2.34` as numbers.
fn glibc(name: &[u8]) -> Option<(u32, u32)> {
    let (major, minor) = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_needs_is_read_from_it() {
        let this = std::env::current_exe().unwrap();
        let read = read(&[this]).unwrap();
        assert!(read.starts_with("libc6 (>= 2.") && read.contains(", libgcc-s1"), "{read}");
        assert_eq!(glibc(b"GLIBC_2.3.4"), Some((2, 3)));
        assert_eq!(glibc(b"GCC_3.0"), None);
    }
}
