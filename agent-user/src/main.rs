//! The program `ebbline-agent`.

use anyhow::{Context, Result, bail};
use clap::Parser;
use ebbline_agent_user::{
    books::WriterBooks,
    cli::{Cli, Command, DoctorArgs, RunArgs},
    doctor, kernel,
    load::{self, RingSizes},
    run::{self, Settings},
    sink::{Alone, Archive},
    writer::Writer,
};
use std::{process::ExitCode, sync::Arc, time::Duration};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => capture(&args).map(|()| true),
        Command::Doctor(args) => examine(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn examine(args: &DoctorArgs) -> Result<bool> {
    let report = doctor::examine(&args.btf, args.cgroup.as_deref());
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{}", report.text());
    }
    Ok(report.ok)
}

fn capture(args: &RunArgs) -> Result<()> {
    kernel::require_rights()?;
    let layout = kernel::layout(&args.btf)?;
    let cgroup = kernel::cgroup(args.cgroup.as_deref())?;
    let host: Arc<str> = args.host.clone().unwrap_or_else(kernel::host_name).into();
    let boot_id = kernel::boot_id()?;
    let books = Arc::new(WriterBooks::default());
    let rotate = Duration::from_secs(args.rotate);
    let archive = Archive::open(&args.archive, &host, &boot_id, rotate, books.clone(), Alone)?;
    let sizes = RingSizes { lifecycle: args.lifecycle_ring_size, sockets: args.ring_size };
    let loaded = load::load(&layout, &cgroup, sizes)?;
    let writer = Writer::start(archive).context("writer: cannot start its thread")?;
    let attached = loaded.attach_all(&cgroup)?;
    for (hook, why) in &attached.refused {
        eprintln!("warning: {hook}: {why}; its events will be missing");
    }
    let settings = Settings {
        host,
        boot: kernel::boot_prefix(&boot_id),
        limit: args.limit.map(Duration::try_from_secs_f64).transpose().context("--for: not a time")?,
        json: args.json,
        backend: None,
        baseline: None,
    };
    let summary = run::run(settings, attached, writer, books)?;
    match summary.trouble {
        Some(trouble) => bail!("{trouble}"),
        None => Ok(()),
    }
}
