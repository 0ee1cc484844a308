//! Other people's programs: where they are.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A folder with unpacked packages, below which programs and libraries lie as on a system.
const UNPACKED: &str = "EBBLINE_PEERS";
const FOLDERS: [&str; 4] = ["usr/bin", "usr/sbin", "bin", "sbin"];

/// A program of the system or of the unpacked packages.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let unpacked = env::var_os(UNPACKED).map(PathBuf::from);
    let roots = [Some(PathBuf::from("/")), unpacked].into_iter().flatten();
    let mut places = roots.flat_map(|root| FOLDERS.map(|folder| root.join(folder).join(name)));
    places.find(|path| path.is_file())
}

/// Lets a program find the libraries that were unpacked with it.
pub(crate) fn with_libraries(command: &mut Command, program: &Path) {
    let Some(root) = env::var_os(UNPACKED).map(PathBuf::from).filter(|root| program.starts_with(root)) else { return };
    let multiarch = format!("{}-linux-gnu", env::consts::ARCH);
    let folders = [root.join("usr/lib").join(&multiarch), root.join("lib").join(&multiarch)];
    if let Ok(path) = env::join_paths(folders) {
        command.env("LD_LIBRARY_PATH", path);
    }
}

/// The text of a file that may not be there.
pub(crate) fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
