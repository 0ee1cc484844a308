//! `ebbline baseline merge`, `forget` and `compile`: another baseline from those that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use model::Baseline;
use model::compile::{Group, Options};
use model::groups::{Rules, assign};
use model::ops::{self, Forget};
use serde_json::json;

use super::args::{CompileArgs, ForgetArgs, MergeArgs};
use super::{Original, current, load, save, show, today};
use crate::output::{print, print_json};
use crate::words::plural;

/// Joins baselines.
pub(super) fn merge(args: &MergeArgs) -> Result<()> {
    let originals: Vec<Original> = args.baselines.iter().filter_map(|path| Original::of(path)).collect();
    let all = args.baselines.iter().map(|path| load(path)).collect::<Result<Vec<_>>>()?;
    let (before, options) = (Size::of(&all[0]), all[0].options().clone());
    if all.iter().any(|other| *other.options() != options) {
        eprintln!("note: they are compiled in different ways; that of {} is kept", args.baselines[0].display());
    }
    let joined = ops::merge(all).context("cannot merge")?;
    written(&joined, &before, (&args.out, &originals), args.json)
}

/// Takes something away.
pub(super) fn forget(args: &ForgetArgs) -> Result<()> {
    let (hosts, segments, dismissals) = (args.host.clone(), args.segment.clone(), args.dismissal.clone());
    let what = Forget { hosts, from: args.from, to: args.to, segments, dismissals };
    let named = what.in_words();
    let originals = Vec::from_iter(Original::of(&args.baseline));
    let baseline = load(&args.baseline)?;
    check(&baseline, args)?;
    let before = Size::of(&baseline);
    let less = match &args.what_came_from {
        Some(other) => {
            let words = || format!("cannot forget what came from {}", other.display());
            ops::forget_what_came_from(baseline, &load(other)?).with_context(words)?
        }
        None => ops::forget(baseline, &what).with_context(|| format!("cannot forget {named}"))?,
    };
    written(&less, &before, (&args.out, &originals), args.json)
}

/// A name that is mistyped must not pass because another one fits.
fn check(baseline: &Baseline, args: &ForgetArgs) -> Result<()> {
    let segments = baseline.segments();
    if let Some(host) = args.host.iter().find(|host| !baseline.knows_host(Some(host))) {
        bail!(
            "cannot forget host {host}: baseline {} learned nothing from it; see: ebbline baseline show --segments",
            baseline.id()
        );
    }
    if let Some(id) = args.segment.iter().find(|id| segments.iter().all(|s| s.id != **id)) {
        bail!(
            "cannot forget segment {id}: baseline {} has none of this id; see: ebbline baseline show --segments",
            baseline.id()
        );
    }
    if let Some(id) = args.dismissal.iter().find(|id| baseline.dismissals().iter().all(|one| one.id != **id)) {
        bail!(
            "cannot forget dismissal {id}: baseline {} has none of this id; see: ebbline baseline show",
            baseline.id()
        );
    }
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        bail!("cannot forget days: --from is after --to");
    }
    Ok(())
}

/// Compiles in another way.
pub(super) fn compile(args: &CompileArgs) -> Result<()> {
    let originals = Vec::from_iter(Original::of(&args.baseline));
    let baseline = current(&args.baseline, today())?;
    let before = Size::of(&baseline);
    let mut options = if args.plain { Options::default() } else { baseline.options().clone() };
    options.half_life_days = args.half_life.or(options.half_life_days);
    options.as_of = args.as_of.or(options.as_of);
    options.max_entries = args.max_entries.or(options.max_entries);
    if !args.group.is_empty() || args.learn_groups {
        let given = groups(&baseline, &args.group)?;
        let lenses: Vec<_> = baseline.parts().lenses.iter().collect();
        let rules = args.learn_groups.then(Rules::default);
        options.groups = assign(baseline.hash_key(), &lenses, baseline.segments(), &given, rules.as_ref());
    }
    let compiled = ops::compile(baseline, options).context("cannot compile")?;
    written(&compiled, &before, (&args.out, &originals), args.json)
}

/// The group of each host; a host is in one.
fn groups(baseline: &Baseline, given: &[(String, String)]) -> Result<BTreeMap<String, Group>> {
    let mut groups = BTreeMap::new();
    for (name, hosts) in given {
        for host in hosts.split(',').map(str::trim).filter(|host| !host.is_empty()) {
            if !baseline.knows_host(Some(host)) {
                eprintln!("note: host {host} of group {name} has taught nothing yet");
            }
            let group = Group { name: name.clone(), why: "named with --group".to_owned() };
            if groups.insert(host.to_owned(), group).is_some_and(|other| other.name != *name) {
                bail!("cannot compile: host {host} is in two groups; name it in one");
            }
        }
    }
    Ok(groups)
}

/// What a baseline had before.
struct Size {
    id: String,
    segments: BTreeSet<String>,
    calibrated: bool,
}

impl Size {
    fn of(baseline: &Baseline) -> Self {
        let calibrated = !baseline.evidence().is_empty();
        let segments = baseline.segments().iter().map(|s| s.id.clone()).collect();
        Self { id: baseline.id().to_owned(), segments, calibrated }
    }
}

/// Saves the result and says what came of it.
fn written(baseline: &Baseline, before: &Size, (out, originals): (&Path, &[Original]), as_json: bool) -> Result<()> {
    save(baseline, out, originals)?;
    let after = Size::of(baseline);
    let [came, went] = [after.segments.difference(&before.segments), before.segments.difference(&after.segments)]
        .map(|ids| ids.count() as u64);
    if before.calibrated && !after.calibrated {
        eprintln!(
            "warning: nothing calibrates {} any more: all evidence went; learn again for \"1 in N\"",
            out.display()
        );
    }
    if as_json {
        let mut value = show::to_json(baseline, false);
        value["baseline"] = json!(out);
        value["before"] = json!(before.id);
        value["segments_added"] = json!(came);
        value["segments_removed"] = json!(went);
        return print_json(&value);
    }
    let changes = match (came, went) {
        (0, 0) => "no segment came or went".to_owned(),
        (came, 0) => format!("{} came", plural(came, "segment", "segments")),
        (0, went) => format!("{} went", plural(went, "segment", "segments")),
        (came, went) => format!("{} came, {went} went", plural(came, "segment", "segments")),
    };
    let lines = [vec![format!("{} in {}", show::title(baseline), out.display()), changes], show::in_words(baseline)];
    print(&lines.concat().join("\n"))
}
