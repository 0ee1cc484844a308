//! `ebbline-cluster scheduler`.

use std::sync::Arc;

use anyhow::{Context, Result};
use ballista_core::config::TaskSchedulingPolicy;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::start_server;

use crate::args::SchedulerArgs;
use crate::codec::{Codec, TableCodec};

/// Most bytes of a message: a part may name many files.
pub(crate) const MESSAGE_BYTES: u32 = 64 << 20;
/// What is finished is forgotten after so many seconds; whoever asked for it has it by then.
const FORGOTTEN_AFTER: u64 = 300;

/// Serves until it is stopped.
pub(crate) async fn run(args: &SchedulerArgs) -> Result<()> {
    let host = args.host.clone().unwrap_or_else(|| args.listen.ip().to_string());
    let config = SchedulerConfig {
        bind_host: args.listen.ip().to_string(),
        bind_port: args.listen.port(),
        external_host: host,
        // Executors ask for work: they find a scheduler that was started again, and a task that was given up keeps no place.
        scheduling_policy: TaskSchedulingPolicy::PullStaged,
        executor_timeout_seconds: args.lost_after,
        expire_dead_executor_interval_seconds: 1,
        no_executors_grace_period_seconds: 2 * args.lost_after,
        finished_job_data_clean_up_interval_seconds: FORGOTTEN_AFTER,
        finished_job_state_clean_up_interval_seconds: FORGOTTEN_AFTER,
        grpc_server_max_decoding_message_size: MESSAGE_BYTES,
        grpc_server_max_encoding_message_size: MESSAGE_BYTES,
        grpc_client_max_message_size: MESSAGE_BYTES,
        override_logical_codec: Some(Arc::new(TableCodec::default())),
        override_physical_codec: Some(Arc::new(Codec::default())),
        ..SchedulerConfig::default()
    };
    let failed = || format!("cannot listen: {}", args.listen);
    let cluster = BallistaCluster::new_from_config(&config).await.with_context(failed)?;
    eprintln!("scheduler at {}; executors that say nothing for {} s are lost", args.listen, args.lost_after);
    start_server(cluster, args.listen, Arc::new(config)).await.with_context(failed)
}
