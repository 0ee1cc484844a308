//! `ebbline-agent upload`: closed files to an object store, again and again.

use crate::{
    cli::UploadArgs,
    error::one_line,
    sandbox::{self, Plan},
};
use serde::{Deserialize, Serialize};
use std::{io::Write, process::Command, time::Duration};
use store::{StoreError, UploadOptions, UploadStatus, Uploader};
use tokio::signal::unix::{SignalKind, signal};

/// Done, but some files could not be uploaded; each was named.
const SOME: u8 = 3;

/// How the names of variables begin that hold what opens an object store.
const CREDENTIALS: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];

/// Keeps what opens an object store from a process that uploads nothing.
pub fn without_credentials(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if CREDENTIALS.iter().any(|credentials| name.to_string_lossy().starts_with(credentials)) {
            command.env_remove(name);
        }
    }
}

/// The variable that holds what may open a store.
const SECRETS: &str = "EBBLINE_UPLOAD";

/// What may open a store: an address can hold a password, an option a key. Arguments are for everybody to read.
#[derive(Debug, Serialize, Deserialize)]
pub struct Secrets {
    to: String,
    options: Vec<(String, String)>,
}

impl Secrets {
    /// An address, and options of the store.
    #[must_use]
    pub fn of(to: &str, options: &[(String, String)]) -> Self {
        Self { to: to.to_owned(), options: options.to_vec() }
    }

    /// Hands them to a process that is about to be started.
    pub fn hand_to(&self, command: &mut Command) {
        command.env(SECRETS, serde_json::to_string(self).unwrap_or_default());
    }

    fn from_environment() -> Option<Self> {
        serde_json::from_str(&std::env::var(SECRETS).ok()?).ok()
    }
}

/// Uploads until SIGINT or SIGTERM, or once. Returns the exit code.
///
/// # Errors
/// [`StoreError`] if the archive or the store cannot be used at all, or nothing could be uploaded the one time.
pub fn upload(args: &UploadArgs) -> Result<u8, StoreError> {
    let fail = |error: std::io::Error| refused(args, &error.to_string());
    let confined = Plan::from_environment().and_then(|plan| plan.as_ref().map(sandbox::lock_down).transpose());
    confined.map_err(|error| refused(args, &error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
        // What is half sent when a signal comes is sent again by the next one who asks.
        tokio::select! {
            _ = interrupt.recv() => Ok(0),
            _ = terminate.recv() => Ok(0),
            code = passes(args) => code,
        }
    })
}

async fn passes(args: &UploadArgs) -> Result<u8, StoreError> {
    let Secrets { to, options } = Secrets::from_environment().unwrap_or_else(|| Secrets::of(&args.to, &args.option));
    let mut uploader = Uploader::open(&UploadOptions {
        archive: args.archive.clone(),
        to,
        settings: options,
        delete: args.delete,
        limit: args.limit,
    })?;
    loop {
        let status = uploader.pass().await?;
        say(&status, args.json);
        if !args.once {
            tokio::time::sleep(uploader.rest(Duration::from_secs(args.every))).await;
            continue;
        }
        return match &status.trouble {
            None => Ok(0),
            Some(_) if status.uploaded + status.known > 0 => Ok(SOME),
            Some(trouble) => Err(refused(args, trouble)),
        };
    }
}

fn refused(args: &UploadArgs, why: &str) -> StoreError {
    StoreError::Upload { to: store::shown_url(&args.to), why: why.to_owned() }
}

fn say(status: &UploadStatus, json: bool) {
    if let Some(trouble) = &status.trouble {
        crate::say!("warning: {}", one_line(trouble));
    }
    let text = if json { serde_json::to_string(status).unwrap_or_default() } else { status.line() };
    // Nobody may be reading; the files go up all the same.
    let _ = writeln!(std::io::stdout(), "{text}");
}
