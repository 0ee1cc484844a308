//! The binary `ebbline`: learn what is normal from Parquet files, score events against it, show what stands out.

mod args;
mod baseline;
mod bench;
mod entities;
mod eval;
mod explain;
mod export;
mod handover;
mod incident;
mod learn;
mod leave;
mod lens;
mod lenses;
mod output;
mod progress;
mod report;
mod score;
mod show;
mod techniques;
mod top;
mod words;

use std::process::ExitCode;

use anyhow::Context;
use args::{Cli, Command};
use clap::{CommandFactory, Parser};

/// Done, but some inputs were skipped and named.
const SKIPPED: u8 = 3;

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread.
    unsafe { archive::quiet_drivers() };
    let Cli { color, command } = Cli::parse();
    terminal::set_colour(color);
    let done = match command {
        Command::Learn(args) => learn::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Incident(command) => incident::run(command),
        Command::Report(args) => report::run(&args),
        Command::Top(args) => top::run(args, color),
        Command::Export(args) => export::run(&args),
        Command::Handover(args) => handover::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Baseline(command) => baseline::run(command),
        Command::Lens(command) => lens::run(command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ebbline", &mut script);
            output::print(String::from_utf8_lossy(&script).trim_end()).map(|()| false)
        }
        Command::Man { dir } => manual(&dir),
    };
    if let Err(error) = &done {
        let text = words::one_line(&words::visible(&words::chain(error)));
        terminal::to_stderr(&format!("{} {text}", words::mark(words::Role::Bad, "error:")));
    }
    if archive::left_behind() {
        leave::at_once(code(&done));
    }
    ExitCode::from(code(&done))
}

/// How the program ends: 0 done, 1 failed, 3 done but for what was named.
fn code(done: &anyhow::Result<bool>) -> u8 {
    match done {
        Ok(false) => 0,
        Ok(true) => SKIPPED,
        Err(_) => 1,
    }
}

fn manual(dir: &std::path::Path) -> anyhow::Result<bool> {
    let text = || format!("cannot write manual pages: {}", dir.display());
    clap_mangen::generate_to(Cli::command(), dir).with_context(text)?;
    Ok(false)
}
