//! Lenses by name or file, as `--lens` gives them.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use model::{Baseline, Lens, builtin};

/// Most bytes of a lens; the largest of Ebbline's own has some 4,000.
const MAX_BYTES: u64 = 1 << 20;

/// The lenses of Ebbline's own tables, and those given, which take the place of one of the same table.
pub(crate) fn with_builtin(given: &[String]) -> Result<Vec<Lens>> {
    let given: Vec<Lens> = given.iter().map(|text| read(text)).collect::<Result<_>>()?;
    for (at, lens) in given.iter().enumerate() {
        if given[..at].iter().any(|other| other.table() == lens.table()) {
            bail!("two lenses: table {}: a table has one lens in a baseline", lens.table());
        }
    }
    let mut all = builtin::all();
    all.retain(|own| given.iter().all(|lens| lens.table() != own.table()));
    all.extend(given);
    Ok(all)
}

/// What is learned onto a baseline keeps to its lenses: one that is given for their tables must be the same.
pub(crate) fn check_onto(given: &[String], onto: &Baseline, path: &Path) -> Result<()> {
    for text in given {
        let lens = read(text)?;
        let Some(known) = onto.lenses().find(|known| known.table() == lens.table()) else { continue };
        let lens = onto.entities().map_or(lens.clone(), |entities| lens.with_entities(entities));
        if lens.digest() != known.digest() {
            bail!(
                "cannot use: {text}: {} was learned with another lens for table {}, which it keeps; leave --lens away, \
                 or learn everything again without --onto",
                path.display(),
                known.table()
            );
        }
    }
    Ok(())
}

/// A lens by the name of one that comes with Ebbline, else from a file.
pub(crate) fn read(given: &str) -> Result<Lens> {
    if let Some(lens) = builtin::named(given) {
        return Ok(lens);
    }
    let path = Path::new(given);
    let is_path = given.contains(['/', '.']) || path.exists();
    if !is_path {
        let names: Vec<&str> = builtin::names().collect();
        bail!("no such lens: {given}: name a file, or one of {}", names.join(", "));
    }
    let size = std::fs::metadata(path).with_context(|| format!("cannot read: {given}"))?.len();
    if size > MAX_BYTES {
        bail!("cannot read: {given}: a lens has {MAX_BYTES} bytes at most, this has {size}");
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read: {given}"))?;
    Lens::parse(&text).map_err(|error| anyhow!("cannot use: {given}: {error}"))
}
