//! The binary `ebbline-cluster`: the step of `ebbline score` and the counting of `ebbline learn` on many machines, which an
//! engine hands out, and SQL over what was written (docs/cluster.md).

mod args;
mod codec;
mod executor;
mod job;
mod learn;
mod log;
mod node;
mod read;
mod runs;
mod scheduler;
mod score;
mod sql;
mod tables;
mod work;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use crate::args::{Cli, Command, SubmitCommand};

/// Done, but some inputs were skipped and named.
const SKIPPED: u8 = 3;

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread.
    unsafe { archive::quiet_drivers() };
    let cli = Cli::parse();
    log::start(cli.verbose);
    match run(cli.command) {
        Ok(true) => ExitCode::from(SKIPPED),
        Ok(false) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("{error:#}");
            eprintln!("error: {}", text.split_whitespace().collect::<Vec<_>>().join(" "));
            ExitCode::FAILURE
        }
    }
}

/// True if inputs were skipped.
fn run(command: Command) -> Result<bool> {
    match command {
        Command::Scheduler(args) => runtime()?.block_on(scheduler::run(&args)).map(|()| false),
        Command::Executor(args) => runtime()?.block_on(executor::run(&args)).map(|()| false),
        Command::Sql(args) => runtime()?.block_on(sql::run(&args)).map(|()| false),
        Command::Submit(SubmitCommand::Learn(args)) => learn::run(&args, &runtime()?),
        Command::Submit(SubmitCommand::Score(args)) => score::run(&args, &runtime()?),
    }
}

fn runtime() -> Result<Runtime> {
    Builder::new_multi_thread().enable_all().build().context("cannot start threads")
}
