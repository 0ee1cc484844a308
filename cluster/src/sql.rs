//! `ebbline-cluster sql`.

use std::io::{BufWriter, Write};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow_json::LineDelimitedWriter;
use ballista::prelude::SessionContextExt;
use ballista_core::extension::SessionConfigExt;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::args::SqlArgs;
use crate::codec::{Codec, TableCodec};
use crate::executor::host_and_port;
use crate::job::config;
use crate::tables::{Table, of_archive, of_results};

/// Parts that a table is read in on a cluster.
const PARTS: usize = 32;

/// Answers a query.
pub(crate) async fn run(args: &SqlArgs) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (context, parts) = match &args.scheduler {
        None => (SessionContext::new_with_config(SessionConfig::new().with_information_schema(true)), cores),
        Some(scheduler) => (far(scheduler).await?, PARTS),
    };
    let archives = args.archive.iter().map(|folder| of_archive(folder)).collect::<Result<Vec<_>>>()?;
    let results = args.scored.iter().map(|folder| of_results(folder)).collect::<Result<Vec<_>>>()?;
    let mut all: std::collections::BTreeMap<String, Table> = std::collections::BTreeMap::new();
    for (name, table) in archives.into_iter().chain(results).flatten() {
        all.entry(name).and_modify(|known| known.files.extend(table.files.clone())).or_insert(table);
    }
    if all.is_empty() {
        bail!("no tables: name folders with --archive and --scored");
    }
    for (name, table) in all {
        table.spec.schema().with_context(|| format!("cannot use: table {name}"))?;
        context.register_table(name, Arc::new(Table { parts, ..table }))?;
    }
    let asked = || format!("cannot answer: {}", args.query);
    let rows = context.sql(&args.query).await.with_context(asked)?.collect().await.with_context(asked)?;
    if !args.json {
        println!("{}", pretty_format_batches(&rows)?);
        return Ok(());
    }
    let mut writer = LineDelimitedWriter::new(BufWriter::new(std::io::stdout().lock()));
    writer.write_batches(&rows.iter().collect::<Vec<_>>())?;
    writer.finish()?;
    Ok(writer.into_inner().flush()?)
}

/// A context whose queries go to a cluster.
async fn far(scheduler: &str) -> Result<SessionContext> {
    host_and_port(scheduler)?;
    let config = config()
        .with_information_schema(true)
        .with_ballista_logical_extension_codec(Arc::new(TableCodec::default()))
        .with_ballista_physical_extension_codec(Arc::new(Codec::default()));
    let state = SessionStateBuilder::new().with_config(config).with_default_features().build();
    let connected = SessionContext::remote_with_state(&format!("df://{scheduler}"), state).await;
    connected.with_context(|| format!("cannot connect: scheduler {scheduler}"))
}
