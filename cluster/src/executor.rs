//! `ebbline-cluster executor`.

use std::fs::DirBuilder;
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use archive::BackendWish;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};

use crate::args::ExecutorArgs;
use crate::codec::{Codec, TableCodec};
use crate::runs::Runs;
use crate::scheduler::MESSAGE_BYTES;

/// How long to wait for the scheduler.
const PATIENCE: u16 = 60;
/// Reports that nobody fetched are removed after so many seconds.
const REPORTS_KEPT: u64 = 3600;

/// Works until it is stopped.
pub(crate) async fn run(args: &ExecutorArgs) -> Result<()> {
    let (scheduler_host, scheduler_port) = host_and_port(&args.scheduler)?;
    let tag = tag().context("cannot start: the system's randomness")?;
    store::tag_temporaries(&tag);
    let host = args.host.clone().unwrap_or_else(|| args.listen.to_string());
    let name = format!("{host}:{}", args.port);
    let tasks = args.tasks.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let work_dir = WorkDir::make(args.work_dir.clone(), &tag)?;
    let backend = BackendWish::for_files(args.backend, args.adapter.clone(), None).kept_for_user();
    let runs = Arc::new(Runs::new(name.clone(), backend));
    let config = ExecutorProcessConfig {
        executor_id: tag,
        bind_host: args.listen.to_string(),
        external_host: Some(host),
        port: args.port,
        grpc_port: 0, // nobody calls it: it asks for work
        scheduler_host,
        scheduler_port,
        scheduler_connect_timeout_seconds: PATIENCE,
        vcores: tasks,
        task_scheduling_policy: TaskSchedulingPolicy::PullStaged,
        work_dir: Some(work_dir.path.display().to_string()),
        job_data_ttl_seconds: REPORTS_KEPT,
        job_data_clean_up_interval_seconds: REPORTS_KEPT / 4,
        grpc_max_decoding_message_size: MESSAGE_BYTES,
        grpc_max_encoding_message_size: MESSAGE_BYTES,
        override_logical_codec: Some(Arc::new(TableCodec::default())),
        override_physical_codec: Some(Arc::new(Codec::of_executor(runs))),
        ..ExecutorProcessConfig::default()
    };
    eprintln!("executor {name}, {tasks} at a time, for the scheduler at {}", args.scheduler);
    let ended = start_executor_process(Arc::new(config)).await;
    ended.with_context(|| format!("cannot work: executor {name}, scheduler {}", args.scheduler))
}

/// `NAME:PORT`.
pub(crate) fn host_and_port(text: &str) -> Result<(String, u16)> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parts
        .filter(|(host, _)| !host.is_empty())
        .with_context(|| format!("wrong address: {text}: use NAME:PORT, for example 127.0.0.1:50050"))?;
    Ok((host.to_owned(), port))
}

/// 16 hexadecimal digits that no other process has.
pub(crate) fn tag() -> std::io::Result<String> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Where reports wait: they name programs and hosts, so for the owner alone. It goes with the process, unless that is killed.
struct WorkDir {
    path: PathBuf,
    is_ours: bool,
}

impl WorkDir {
    fn make(given: Option<PathBuf>, tag: &str) -> Result<Self> {
        let is_ours = given.is_none();
        let path = given.unwrap_or_else(|| std::env::temp_dir().join(format!("ebbline-cluster-{tag}")));
        let made = DirBuilder::new().mode(0o700).recursive(!is_ours).create(&path);
        made.with_context(|| format!("cannot write: {}", path.display()))?;
        Ok(Self { path, is_ours })
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
