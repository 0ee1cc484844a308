//! `ebbline-cluster submit learn`: executors count, and who submitted joins the counts and calibrates.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use archive::{ArchiveError, Counter, Filter, LearnOptions, PartTask, count_part, learn_by};
use model::{Baseline, Entities, HashKey, Lens, Partial, builtin};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use crate::args::LearnArgs;
use crate::executor::{host_and_port, tag};
use crate::job::Cluster;
use crate::score::{Lines, absolute, new_run};
use crate::work::{Counted, Run, Step};

/// The plan, in the folder of a run.
const PLAN: &str = "plan";
/// Most bytes of a lens or of a mapping of ids.
const MAX_BYTES: u64 = 64 << 20;

/// What executors count by. It holds the key of the baseline, and so lies in a folder for its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    release: String,
    key: HashKey,
    /// Each lens as text, with its digest.
    lenses: Vec<(String, [u8; 32])>,
    entities: Option<Entities>,
}

impl Plan {
    fn of(key: &HashKey, lenses: &[Lens]) -> Self {
        let entities = lenses.iter().find_map(Lens::entities).map(|entities| (**entities).clone());
        let lenses = lenses.iter().map(|lens| (lens.source().to_owned(), lens.digest())).collect();
        Self { release: env!("CARGO_PKG_VERSION").to_owned(), key: key.clone(), lenses, entities }
    }

    /// The plan of the run in a folder; an error in words if it cannot be read.
    pub(crate) fn load(folder: &Path) -> Result<Self, String> {
        let path = folder.join(PLAN);
        let wrong = |why: String| format!("cannot read: {}: {why}", path.display());
        let bytes = fs::read(&path).map_err(|error| wrong(error.to_string()))?;
        let plan: Self = postcard::from_bytes(&bytes).map_err(|error| wrong(error.to_string()))?;
        match plan.release == env!("CARGO_PKG_VERSION") {
            true => Ok(plan),
            false => Err(wrong(format!("it is of release {}", plan.release))),
        }
    }

    fn lenses(&self) -> Result<Vec<Lens>, String> {
        let entities = self.entities.clone().map(Arc::new);
        let parsed = |(text, digest): &(String, [u8; 32])| {
            let lens = Lens::parse(text).map_err(|error| error.to_string())?;
            let lens = entities.iter().fold(lens, |lens, entities| lens.with_entities(entities));
            match lens.digest() == *digest {
                true => Ok(lens),
                false => Err(format!("the lens of table {} is another one here", lens.table())),
            }
        };
        self.lenses.iter().map(parsed).collect()
    }

    /// Counts a part into a file of the folder, unless it is there, and gives its name.
    pub(crate) fn count(&self, task: &PartTask, run: &Run, filter: &Filter) -> Result<String, ArchiveError> {
        let mut hash = Sha256::new();
        hash.update(&task.version);
        hash.update(filter.text());
        let hash: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{hash}.counts");
        if !run.out.join(&name).exists() {
            let lenses = self.lenses().map_err(ArchiveError::Learn)?;
            let partial = count_part(task, &self.key, &lenses, filter, &run.settings)?;
            write(&run.out, &name, &partial.encode()).map_err(|error| {
                ArchiveError::Elsewhere(format!("cannot write: {}: {error}", run.out.join(&name).display()))
            })?;
        }
        Ok(name)
    }
}

/// Writes a file for its owner, which is there whole or not at all.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = folder.join(format!("{name}.{}.tmp", tag()?));
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&temporary, folder.join(name))).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// Counts on a cluster, in a folder beside the baseline that will be.
struct Counting<'a> {
    cluster: Cluster<'a>,
    folder: PathBuf,
}

impl Counter for Counting<'_> {
    fn key(&self) -> Option<HashKey> {
        Plan::load(&self.folder).ok().map(|plan| plan.key)
    }

    fn count(&self, parts: Vec<PartTask>, key: &HashKey, lenses: &[Lens]) -> Result<Vec<Partial>, ArchiveError> {
        let failed =
            |why: std::io::Error| ArchiveError::Elsewhere(format!("cannot write: {}: {why}", self.folder.display()));
        let plan = Plan::of(key, lenses);
        if Plan::load(&self.folder).ok().as_ref() != Some(&plan) {
            let _ = fs::remove_dir_all(&self.folder); // of another run: nothing of it can be used
            fs::DirBuilder::new().mode(0o700).create(&self.folder).map_err(failed)?;
            let bytes = postcard::to_stdvec(&plan).map_err(|error| failed(std::io::Error::other(error)))?;
            write(&self.folder, PLAN, &bytes).map_err(failed)?;
        }
        let mut partials: Vec<Option<Partial>> = parts.iter().map(|_| None).collect();
        self.cluster.each(parts, &mut |number, report| {
            let wrong = |why: String| self.cluster.failed(&why);
            let Counted { file } = postcard::from_bytes(report).map_err(|error| wrong(error.to_string()))?;
            let path = self.folder.join(file.map_err(ArchiveError::Elsewhere)?);
            let unread = |why: String| wrong(format!("cannot read: {}: {why}", path.display()));
            let bytes = fs::read(&path).map_err(|error| unread(error.to_string()))?;
            let partial = Partial::decode(&bytes).map_err(unread)?;
            let at = usize::try_from(number).ok().and_then(|number| partials.get_mut(number));
            *at.ok_or_else(|| wrong("a part that nobody asked for".to_owned()))? = Some(partial);
            Ok(())
        })?;
        Ok(partials.into_iter().flatten().collect())
    }
}

/// Learns and saves; true if inputs were skipped.
pub(crate) fn run(args: &LearnArgs, runtime: &Runtime) -> Result<bool> {
    let reading = &args.reading;
    host_and_port(&reading.scheduler)?;
    let out = absolute(&args.out)?;
    if out.is_dir() || !out.parent().is_some_and(Path::is_dir) {
        bail!("cannot write: {}: name a file in a folder that exists", out.display());
    }
    let onto = args.onto.as_deref().map(Baseline::load).transpose()?;
    let key = match (&onto, &args.key_of) {
        (Some(onto), _) => Some(onto.hash_key().clone()),
        (None, Some(path)) => Some(Baseline::load(path)?.hash_key().clone()),
        (None, None) => None,
    };
    let mut name = out.clone().into_os_string();
    name.push(".learning");
    let folder = PathBuf::from(name);
    let run = Arc::new(new_run(Step::Count, folder.clone(), reading)?);
    let scheduler = reading.scheduler.as_str();
    let cluster = Cluster { scheduler, run, at_a_time: usize::from(reading.at_a_time), runtime };
    let (lenses, settings) = (Some(lenses(args)?), reading.option.clone());
    let options = LearnOptions { strict: reading.strict, key, onto, lenses, settings, filter: reading.filter() };
    let counting = Counting { cluster, folder };
    let learned = learn_by(Some(&counting), &reading.sources, &options, &Lines)?;
    learned.baseline.save(&out).context("cannot write")?;
    let _ = fs::remove_dir_all(&counting.folder);
    let (id, rows, files, wall) = (learned.baseline.id(), learned.rows, learned.files, learned.wall_seconds);
    if reading.json {
        let (out, skipped) = (&args.out, &learned.skipped);
        let result = json!({
            "baseline": out, "id": id, "rows": rows, "files": files, "skipped": skipped, "wall_seconds": wall,
        });
        println!("{result:#}");
    } else {
        println!("learned {rows} rows of {files} files in {wall:.1} s\nbaseline {id} in {}", args.out.display());
    }
    Ok(!learned.skipped.is_empty())
}

/// The lenses that were named, in the place of the built-in ones of their tables, with the mapping of ids.
fn lenses(args: &LearnArgs) -> Result<Vec<Lens>> {
    let mut all = builtin::all();
    for given in &args.lens {
        let lens = match builtin::named(given) {
            Some(lens) => lens,
            None => Lens::parse(&text(Path::new(given))?).map_err(|error| anyhow!("cannot use: {given}: {error}"))?,
        };
        all.retain(|known| known.table() != lens.table());
        all.push(lens);
    }
    let Some(path) = &args.entities else { return Ok(all) };
    let entities = Entities::parse(&text(path)?).map_err(|error| anyhow!("cannot use: {}: {error}", path.display()))?;
    let entities = Arc::new(entities);
    Ok(all.into_iter().map(|lens| lens.with_entities(&entities)).collect())
}

fn text(path: &Path) -> Result<String> {
    let shown = path.display();
    let bytes = fs::metadata(path).with_context(|| format!("cannot read: {shown}"))?.len();
    if bytes > MAX_BYTES {
        bail!("cannot read: {shown}: {MAX_BYTES} bytes at most, this has {bytes}");
    }
    fs::read_to_string(path).with_context(|| format!("cannot read: {shown}"))
}
