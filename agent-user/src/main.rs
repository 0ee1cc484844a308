//! The program `ebbline-agent`.

mod loader;
mod orders;
mod worker;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};
use ebbline_agent_user::{
    cli::{Cli, Command, ConfigArgs, DoctorArgs, StatusArgs},
    config::{self, ConfigError, Configuration},
    doctor,
    error::one_line,
    say, scoring,
    status::{ask::Answers, table},
    upload,
};
use std::{
    io::{ErrorKind, IsTerminal, Write},
    path::Path,
    process::ExitCode,
    time::Duration,
};

/// Where there is no worker, its status is asked for this often.
const AGAIN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread.
    unsafe { archive::quiet_drivers() };
    let result = match Cli::parse().command {
        Command::Run(_) => configured().and_then(loader::run),
        Command::Doctor(args) => examine(&args),
        Command::Status(args) => ask(&args),
        Command::Config(args) => configuration(&args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "ebbline-agent", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Worker => worker::work(),
        Command::Man { dir } => manual(&dir),
        Command::Scorer => scoring::serve().map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Command::Upload(args) => upload::upload(&args).map(ExitCode::from).map_err(Into::into),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            say!("error: {}", one_line(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// The flags again, now with the file between them and the defaults.
fn configured() -> Result<Configuration> {
    let behind_run = std::env::args_os().skip(2);
    match Configuration::load(behind_run) {
        Err(ConfigError::Usage(error)) => error.exit(),
        result => Ok(result?),
    }
}

fn configuration(args: &ConfigArgs) -> Result<ExitCode> {
    match &args.check {
        Some(path) => {
            config::check(path)?;
            println!("{}: good", one_line(&path.display().to_string()));
        }
        None if args.markdown => print!("{}", config::markdown()),
        None => print!("{}", config::toml()),
    }
    Ok(ExitCode::SUCCESS)
}

fn manual(dir: &Path) -> Result<ExitCode> {
    let text = || format!("cannot write manual pages: {}", dir.display());
    clap_mangen::generate_to(Cli::command(), dir).with_context(text)?;
    Ok(ExitCode::SUCCESS)
}

fn examine(args: &DoctorArgs) -> Result<ExitCode> {
    let report = doctor::examine(&args.btf, args.cgroup.as_deref());
    if args.json {
        terminal::print_raw(&serde_json::to_string(&report)?).context("cannot write: standard output")?;
    } else {
        terminal::set_colour(args.color);
        terminal::print(&report.text()).context("cannot write: standard output")?;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints a running agent's status, once or until it ends.
fn ask(args: &StatusArgs) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    // A terminal shows one table that changes; a file gets them one below the other.
    let clear = if args.watch && !args.json && out.is_terminal() { "\x1b[H\x1b[2J" } else { "" };
    terminal::set_colour(args.color);
    let mut answers = Answers::connect(&args.socket)?;
    let mut absent = false;
    loop {
        let Some(answer) = answers.receive()? else {
            if !absent {
                break;
            }
            // Whoever answers for the worker hangs up.
            std::thread::sleep(AGAIN);
            answers = Answers::connect(&args.socket)?;
            continue;
        };
        absent = answer.status.no_worker.is_some();
        let text = if args.json { answer.line } else { terminal::for_stdout(&table::text(&answer.status)) };
        let gap = if args.watch && !args.json && clear.is_empty() { "\n" } else { "" };
        match writeln!(out, "{clear}{text}{gap}").and_then(|()| out.flush()) {
            // A reader that has seen enough, such as `head`.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            result => result.context("cannot write: standard output")?,
        }
        if !args.watch {
            return Ok(if absent { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
    }
    say!("the agent has ended");
    Ok(ExitCode::SUCCESS)
}
