//! What the loader and its worker tell each other. Questions about the machine have a channel of their own
//! ([`ebbline_agent_user::facts`]).

use ebbline_agent_user::{cli::RunArgs, sandbox::Plan};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The first message to a worker: all that it needs. With it come the channels of questions, of digests
/// and of scorers, then the sockets that there are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Start {
    /// The loader.
    pub(crate) pid: u32,
    /// How long ago the loader began.
    pub(crate) age: Duration,
    /// Workers of this run that died.
    pub(crate) restarts: u64,
    /// One of them has begun to capture.
    pub(crate) begun: bool,
    /// Without a scorer that cannot be had, it captures all the same.
    pub(crate) lenient: bool,
    /// The last scorer of the worker before.
    pub(crate) scorer: Option<u32>,
    /// The latest note of a worker before, as it gave it.
    pub(crate) note: Option<Vec<u8>>,
    /// What the worker keeps.
    pub(crate) plan: Plan,
    /// What people asked for.
    pub(crate) args: RunArgs,
    /// Host name in the rows.
    pub(crate) host: String,
    /// The boot id.
    pub(crate) boot_id: String,
    /// The run.
    pub(crate) run: String,
    /// A status socket comes with this.
    pub(crate) socket: bool,
    /// A socket of the metrics page comes with this.
    pub(crate) metrics: bool,
}

/// What is said to a worker afterwards.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Order {
    /// The programs are in place; the descriptors of the rings come with this.
    Begin {
        /// How many hooks there are.
        hooks: u64,
        /// Hooks that the kernel refused.
        refused: Vec<String>,
        /// Sizes of the rings, in bytes.
        rings: Vec<u32>,
    },
    /// End, in order.
    Stop,
    /// Read the configuration again.
    Reload,
}

/// What a worker wants done with its scorer; the answer is text, with a socket if there is one to talk to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Scorer {
    /// Start one.
    Start,
    /// End it, after so long if it does not end by itself.
    Stop(Duration),
}

/// What a worker says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Word {
    /// The archive is open.
    Open,
    /// It cannot be opened, or something else without which nothing begins is missing: why, as it is said to people.
    Failed(String),
}
