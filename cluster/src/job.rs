//! Jobs of the engine: one for each bundle of parts, so that what is finished comes at once and what failed is tried again
//! alone.

use std::sync::Arc;
use std::time::Duration;

use archive::{ArchiveError, PartReport, PartTask, Runner};
use ballista_core::config::BallistaConfig;
use ballista_core::execution_plans::execute_physical_plan;
use ballista_core::extension::SessionConfigExt;
use datafusion::physical_plan::common::collect;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::PhysicalPlanNode;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::codec::Codec;
use crate::node::{StepExec, reports};
use crate::scheduler::MESSAGE_BYTES;
use crate::work::Run;

/// How often a part is handed out. The engine itself tries a task four times, on whatever executors there are.
const TRIES: u32 = 8;
/// From this try on what fails is reported, and the input skipped or the run ended.
const LAST: u32 = 3;
/// Seconds to wait before another try, at most: a scheduler may be on its way back.
const LONGEST_PAUSE: u64 = 15;
/// Bundles that a run is divided into at least, if it has as many parts: so many executors can share it well.
const BUNDLES: u64 = 64;
/// A bundle of several parts has no more than that.
const BUNDLE_BYTES: u64 = 64 << 20;
/// What a file costs beside its bytes.
const PART_COSTS: u64 = 64 << 10;
/// When nothing came for so long, that is said.
const SILENCE: Duration = Duration::from_secs(30);

/// A cluster, as seen by who wants something of it.
pub(crate) struct Cluster<'a> {
    /// `NAME:PORT`.
    pub(crate) scheduler: &'a str,
    pub(crate) run: Arc<Run>,
    /// Parts to hand out at a time.
    pub(crate) at_a_time: usize,
    pub(crate) runtime: &'a Runtime,
}

/// Takes part and report.
type Done<'a> = dyn FnMut(u64, &[u8]) -> Result<(), ArchiveError> + 'a;

/// What became of a try.
struct Tried {
    tasks: Vec<PartTask>,
    tries: u32,
    /// Part and report of each that is done.
    result: Result<Vec<(u64, Vec<u8>)>, String>,
}

impl Runner for Cluster<'_> {
    fn run(
        &self,
        parts: Vec<PartTask>,
        done: &(dyn Fn(PartReport) -> Result<(), ArchiveError> + Sync),
    ) -> Result<(), ArchiveError> {
        self.each(parts, &mut |_, report| match postcard::from_bytes(report) {
            Ok(report) => done(report),
            Err(error) => Err(self.failed(&error.to_string())),
        })
    }
}

impl Cluster<'_> {
    /// Has each part done, and hands out part and report as they come.
    pub(crate) fn each(&self, parts: Vec<PartTask>, done: &mut Done<'_>) -> Result<(), ArchiveError> {
        self.runtime.block_on(self.all(parts, done))
    }

    pub(crate) fn failed(&self, why: &str) -> ArchiveError {
        ArchiveError::Elsewhere(format!("cannot go on: scheduler {}: {why}", self.scheduler))
    }

    async fn all(&self, parts: Vec<PartTask>, done: &mut Done<'_>) -> Result<(), ArchiveError> {
        let (mut left, mut trying) = (bundles(parts).into_iter(), JoinSet::new());
        loop {
            while trying.len() < self.at_a_time
                && let Some(tasks) = left.next()
            {
                self.attempt(&mut trying, tasks, 0);
            }
            let next = match tokio::time::timeout(SILENCE, trying.join_next()).await {
                Ok(None) => return Ok(()),
                Ok(Some(next)) => next.map_err(|panic| self.failed(&panic.to_string()))?,
                Err(_) => {
                    eprintln!("waiting for executors at the scheduler {}", self.scheduler);
                    continue;
                }
            };
            let Tried { mut tasks, tries, result } = next;
            let why = match result {
                Err(why) => why,
                Ok(reports) => {
                    for (number, report) in reports {
                        tasks.retain(|task| task.number != number);
                        done(number, &report)?;
                    }
                    "half a report".to_owned()
                }
            };
            match tasks.is_empty() {
                true => {}
                false if tries + 1 >= TRIES => return Err(self.failed(&why)),
                false => {
                    log::info!("{} parts again, try {} ended so: {why}", tasks.len(), tries + 1);
                    self.attempt(&mut trying, tasks, tries + 1);
                }
            }
        }
    }

    fn attempt(&self, trying: &mut JoinSet<Tried>, tasks: Vec<PartTask>, tries: u32) {
        let (url, run) = (format!("http://{}", self.scheduler), self.run.clone());
        let last = tries + 1 >= LAST;
        let tasks: Vec<PartTask> = tasks.into_iter().map(|task| PartTask { last, ..task }).collect();
        trying.spawn(async move {
            if tries > 0 {
                let pause = (1 << tries.min(8)).min(LONGEST_PAUSE);
                tokio::time::sleep(Duration::from_secs(pause)).await;
            }
            // On a task of its own: where the engine panics this is an error like others.
            let job = tokio::spawn(submit(url, run, tasks.clone()));
            let result = job.await.unwrap_or_else(|panic| Err(panic.to_string()));
            Tried { tasks, tries, result }
        });
    }
}

/// Parts that go to one task: as handing one out costs as much as many rows, small ones go together.
fn bundles(parts: Vec<PartTask>) -> Vec<Vec<PartTask>> {
    let weight = |task: &PartTask| task.bytes.saturating_add(PART_COSTS * task.files.len() as u64);
    let total = parts.iter().map(weight).fold(0, u64::saturating_add);
    let most = (total / BUNDLES).min(BUNDLE_BYTES);
    let (mut bundles, mut filled): (Vec<Vec<PartTask>>, u64) = (Vec::new(), u64::MAX);
    for part in parts {
        let more = weight(&part);
        match bundles.last_mut() {
            Some(last) if filled.saturating_add(more) <= most => last.push(part),
            _ => {
                bundles.push(vec![part]);
                filled = 0;
            }
        }
        filled += more;
    }
    bundles
}

/// Has some parts done.
async fn submit(url: String, run: Arc<Run>, tasks: Vec<PartTask>) -> Result<Vec<(u64, Vec<u8>)>, String> {
    let plan = StepExec::plan(&run, &tasks).map_err(|error| error.to_string())?;
    let (config, codec, session) = (config(), Codec::default(), run.id.clone());
    let engine: BallistaConfig = config.ballista_config();
    let job = execute_physical_plan::<PhysicalPlanNode>(url, &engine, plan, &codec, session, config);
    let rows = job.await.map_err(|error| error.to_string())?;
    let rows = collect(rows).await.map_err(|error| error.to_string())?;
    let mut reports = reports(&rows).unwrap_or_default();
    reports.retain(|(number, _)| tasks.iter().any(|task| task.number == *number));
    Ok(reports)
}

/// Settings of the engine for all that is submitted.
pub(crate) fn config() -> SessionConfig {
    SessionConfig::new_with_ballista().with_ballista_grpc_client_max_message_size(MESSAGE_BYTES as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(sizes: &[u64]) -> Vec<PartTask> {
        let part = |(number, bytes): (u64, &u64)| PartTask {
            number,
            files: vec![Default::default()],
            bytes: *bytes,
            version: String::new(),
            last: false,
        };
        (0..).zip(sizes).map(part).collect()
    }

    #[test]
    fn every_part_is_in_one_bundle_and_large_ones_are_alone() {
        let sizes: Vec<u64> = (0..1000).map(|n| if n % 100 == 7 { 1 << 30 } else { n }).collect();
        let bundles = bundles(parts(&sizes));
        let numbers: Vec<u64> = bundles.iter().flatten().map(|part| part.number).collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
        for bundle in &bundles {
            assert!(bundle.len() == 1 || bundle.iter().all(|part| part.bytes < 1 << 30), "{bundle:?}");
        }
        assert!(bundles.len() < 40, "{}", bundles.len());
    }

    #[test]
    fn a_small_run_is_shared_too() {
        assert_eq!(bundles(parts(&[5; 48])).len(), 48);
        assert!((64..=96).contains(&bundles(parts(&[5; 288])).len()));
        assert!(bundles(Vec::new()).is_empty());
    }
}
