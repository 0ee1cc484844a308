//! What the tests need beside Rust and a C compiler: software Vulkan drivers and other Parquet readers.

use crate::shell::{command, run, target_dir, works};
use anyhow::{Result, bail};
use std::path::PathBuf;

/// Debian packages the tests use, and what for.
const PACKAGES: &[(&str, &str)] = &[
    ("mesa-vulkan-drivers", "software Vulkan driver: the GPU backend's bits"),
    ("libvulkan1", "Vulkan loader"),
    ("g++", "the fuzzing engine, which is C++"),
    ("debootstrap", "a Debian to install the package on"),
    ("tmux", "a terminal for `ebbline top`"),
    ("python3", "golden vectors, other Parquet readers"),
    ("python3-venv", "a place for pyarrow, duckdb, polars and pandas"),
];

/// What that place is for.
const IMPORTS: &str = "import pyarrow, duckdb, polars, pandas";

/// Installs what the tests need.
pub(crate) fn packages() -> Result<()> {
    install_missing(PACKAGES)
}

/// Installs packages as root on Debian; elsewhere says what to run, and goes on: the tests that need them say so.
pub(crate) fn install_missing(packages: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().map(|(name, _)| *name).filter(|name| !installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !works(&["apt-get", "--version"]) || !is_root() {
        eprintln!("The tests also use: {}. As root on Debian or Ubuntu:", missing.join(", "));
        eprintln!("    apt-get install --no-install-recommends {}", missing.join(" "));
        return Ok(());
    }
    run(&["apt-get", "update", "-qq"])?;
    let mut line = vec!["apt-get", "install", "-y", "-qq", "--no-install-recommends"];
    line.extend(missing);
    run(&line)
}

fn installed(package: &str) -> bool {
    command(&["dpkg-query", "-W", "-f=${Status}", package])
        .output()
        .is_ok_and(|output| output.stdout.ends_with(b"install ok installed"))
}

pub(crate) fn is_root() -> bool {
    command(&["id", "-u"]).output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// A second software Vulkan driver, which shares no code with Mesa's: the one in Debian's Chromium, unpacked to the side.
pub(crate) fn swiftshader() -> Result<PathBuf> {
    let folder = target_dir().join("swiftshader");
    let driver = folder.join("usr/lib/chromium/vk_swiftshader_icd.json");
    if driver.is_file() {
        return Ok(driver);
    }
    std::fs::create_dir_all(&folder)?;
    // Of the package only the driver is kept.
    let script = "cd \"$0\" && apt-get download -qq chromium-common && dpkg-deb --fsys-tarfile chromium-common_*.deb |
        tar -x ./usr/lib/chromium/libvk_swiftshader.so ./usr/lib/chromium/vk_swiftshader_icd.json
        status=$?; rm -f chromium-common_*.deb; exit $status";
    run(&["sh", "-c", script, &folder.to_string_lossy()])?;
    if !driver.is_file() {
        bail!("chromium-common has no {}", driver.display());
    }
    Ok(driver)
}

/// A Python with pyarrow, duckdb, polars and pandas, to read our files with other people's readers.
pub(crate) fn python() -> Result<PathBuf> {
    let folder = target_dir().join("python");
    let python = folder.join("bin/python3");
    let text = python.to_string_lossy().into_owned();
    if works(&[&text, "-c", IMPORTS]) {
        return Ok(python);
    }
    run(&["python3", "-m", "venv", "--clear", &folder.to_string_lossy()])?;
    run(&[
        &text,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "pyarrow==26.0.1",
        "duckdb==2.0.0",
        "polars==2.1.0",
        "pandas==3.1.1",
    ])?;
    if !works(&[&text, "-c", IMPORTS]) {
        bail!("pyarrow, duckdb, polars and pandas do not import in {}", folder.display());
    }
    Ok(python)
}
