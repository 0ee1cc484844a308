//! Where processes run: paths of cgroups, and the containers that they are.

use crate::rows::Place;
use std::collections::HashMap;

/// What is known of cgroups, by id.
#[derive(Default)]
pub struct Places {
    known: HashMap<u64, Place>,
    nowhere: Place,
}

impl Places {
    /// None known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The place with a cgroup id.
    pub fn of(&mut self, cgroup: u64) -> &Place {
        self.known.get(&cgroup).unwrap_or(&self.nowhere)
    }
}
