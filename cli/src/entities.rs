//! Who is who, as `--entities` gives it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use model::{Baseline, Entities, Lens};

/// Most bytes of a mapping: 1,000,000 ids of 60 bytes.
const MAX_BYTES: u64 = 64 << 20;

/// Reads a mapping.
pub(crate) fn read(path: &Path) -> Result<Arc<Entities>> {
    let shown = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("cannot read: {shown}"))?.len();
    if size > MAX_BYTES {
        bail!("cannot read: {shown}: a mapping has {MAX_BYTES} bytes at most, this has {size}");
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read: {shown}"))?;
    Ok(Arc::new(Entities::parse(&text).map_err(|error| anyhow!("cannot use: {shown}: {error}"))?))
}

/// The lenses with the mapping; one that no lens asks for is a mistake.
pub(crate) fn given(lenses: Vec<Lens>, path: &Path) -> Result<Vec<Lens>> {
    let entities = read(path)?;
    if !lenses.iter().any(Lens::asks_for_entities) {
        bail!(
            "cannot use: {}: no lens has a field with part = \"entity\", so that it would change nothing",
            path.display()
        );
    }
    Ok(lenses.into_iter().map(|lens| lens.with_entities(&entities)).collect())
}

/// Checks that a baseline was learned with this mapping.
pub(crate) fn check(baseline: &Baseline, path: &Path) -> Result<()> {
    if baseline.entities() == Some(&read(path)?) {
        return Ok(());
    }
    let has = match baseline.entities() {
        Some(_) => "the baseline was learned with another mapping, which scoring keeps to",
        None => "the baseline was learned without a mapping",
    };
    bail!("cannot use: {}: {has}; leave --entities away, or learn again with it", path.display())
}
