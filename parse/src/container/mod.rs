//! Containers: who they are, from cgroup paths and from the files that runtimes keep.

mod files;
mod path;

pub use files::{Kind, MAX_NAME, Names, candidates, names};
pub use path::{ContainerId, Runtime, of_path};
