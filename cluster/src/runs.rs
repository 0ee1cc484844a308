//! The runs that an executor works for: of each a thread with its baselines or its plan, and of each part one more.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use archive::{Against, ArchiveError, BackendWish, Engines, PartReport, PartTask, score_part};
use model::Baseline;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::learn::Plan;
use crate::work::{Counted, Run, Step};

/// Runs whose baselines are kept in memory at a time.
const KEPT: usize = 2;

/// The report of a part as bytes, or why it should be tried again.
pub(crate) type Answer = Result<Vec<u8>, String>;

/// All runs of an executor, the latest last.
#[derive(Debug)]
pub(crate) struct Runs {
    name: String,
    backend: BackendWish,
    open: Mutex<VecDeque<(Run, Sender<Asked>)>>,
}

/// A task, and where its answer goes.
struct Asked {
    task: PartTask,
    answer: oneshot::Sender<Answer>,
}

impl Runs {
    /// None yet, for an executor of this name.
    pub(crate) fn new(name: String, backend: BackendWish) -> Self {
        Self { name, backend, open: Mutex::new(VecDeque::new()) }
    }

    /// Has a part of a run scored; the answer comes when it comes, or never if the thread failed.
    pub(crate) fn ask(&self, run: &Run, task: PartTask) -> oneshot::Receiver<Answer> {
        let (answer, receive) = oneshot::channel();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut asked = Asked { task, answer };
        if let Some((_, send)) = open.iter().find(|(known, _)| known == run) {
            match send.send(asked) {
                Ok(()) => return receive,
                Err(returned) => asked = returned.0, // it could not begin; perhaps now
            }
        }
        open.retain(|(known, _)| known != run);
        let (send, tasks) = channel();
        let (of_run, name, backend) = (run.clone(), self.name.clone(), self.backend.clone());
        std::thread::spawn(move || {
            let tasks = &tasks;
            if let Err(why) = serve(&of_run, &name, &backend, tasks) {
                for Asked { task, answer } in tasks.try_iter() {
                    let _ = answer.send(refused(&of_run, &task, &why, &name));
                }
            }
        });
        if send.send(asked).is_ok() {
            open.push_back((run.clone(), send));
        }
        while open.len() > KEPT {
            open.pop_front(); // its thread ends with its last task
        }
        receive
    }
}

/// Why a part was not done.
fn refused(run: &Run, task: &PartTask, why: &str, name: &str) -> Answer {
    let why = format!("{why} (on {name})");
    match (&run.step, task.last) {
        (_, false) => Err(why),
        (Step::Score(_), true) => bytes(&PartReport::fatal(task, why)),
        (Step::Count, true) => bytes(&Counted { file: Err(why) }),
    }
}

fn bytes<T: Serialize>(report: &T) -> Answer {
    postcard::to_stdvec(report).map_err(|error| error.to_string())
}

/// Does the parts of a run until no more can come.
fn serve(run: &Run, name: &str, backend: &BackendWish, tasks: &Receiver<Asked>) -> Result<(), String> {
    let filter = run.filter.filter()?;
    let baselines = match &run.step {
        Step::Score(baselines) => baselines,
        Step::Count => {
            let plan = Plan::load(&run.out)?;
            let count = |task: &PartTask| plan.count(task, run, &filter);
            each(run, name, tasks, &|task| match count(task) {
                Err(error) if error.may_pass() && !task.last => Err(error.to_string()),
                done => bytes(&Counted { file: done.map_err(|error| format!("{error} (on {name})")) }),
            });
            return Ok(());
        }
    };
    let loaded = baselines.iter().map(|(path, id)| load(path, id)).collect::<Result<Vec<_>, _>>()?;
    let mut against = Vec::with_capacity(loaded.len());
    let mut kept = backend.memory();
    let mut opener = backend.opener(&mut kept);
    for baseline in &loaded {
        let tables: Vec<&str> = baseline.lenses().map(|lens| lens.table()).collect();
        let engines = Engines::open(&mut opener, baseline, tables).map_err(|e| e.to_string())?;
        against.push(Against { baseline, engines });
    }
    let step = archive::Step { against: &against, filter: &filter, out: &run.out, sidecars: true };
    each(run, name, tasks, &|task| {
        let report = score_part(task, &step, &run.settings, name);
        bytes(&report.map_err(|error: ArchiveError| error.to_string())?)
    });
    Ok(())
}

/// Does each task on a thread of its own: the engine decides how many there are at a time.
fn each(run: &Run, name: &str, tasks: &Receiver<Asked>, act: &(dyn Fn(&PartTask) -> Answer + Sync)) {
    std::thread::scope(|scope| {
        for Asked { task, answer } in tasks {
            scope.spawn(move || {
                let done = catch_unwind(AssertUnwindSafe(|| act(&task)));
                let done = done.unwrap_or_else(|_| refused(run, &task, "it ended with a panic", name));
                let _ = answer.send(done); // a task that was given up listens no more
            });
        }
    });
}

fn load(path: &Path, id: &str) -> Result<Baseline, String> {
    let baseline = Baseline::load(path).map_err(|error| error.to_string())?;
    match baseline.id() == id {
        true => Ok(baseline),
        false => Err(format!(
            "another baseline: {}: it is {} here, and {id} where it was submitted",
            path.display(),
            baseline.id()
        )),
    }
}
