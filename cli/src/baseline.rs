//! `ebbline baseline show`, and loading for the other commands.

use std::path::Path;

use anyhow::Result;
use model::{Baseline, BaselineError, Snapshot};
use serde_json::{Value, json};

use crate::args::BaselineShowArgs;
use crate::output::{print, print_json, table};
use crate::words::{plural, thousands};

/// Loads a baseline.
pub(crate) fn load(path: &Path) -> Result<Baseline> {
    Baseline::load(path).map_err(|error| {
        let hint = match error {
            BaselineError::Missing { .. } => format!("; make one with: ebbline learn SOURCE --out {}", path.display()),
            BaselineError::Version { .. } => {
                format!(", or make another with: ebbline learn SOURCE --out {}", path.display())
            }
            _ => "; name a file that `ebbline learn` wrote".to_owned(),
        };
        anyhow::anyhow!("cannot use baseline: {error}{hint}")
    })
}

/// Prints what a baseline holds.
pub(crate) fn run(args: &BaselineShowArgs) -> Result<bool> {
    let baseline = load(&args.baseline)?;
    if args.json {
        print_json(&to_json(&baseline))?;
        return Ok(false);
    }
    let mut rows = table(["table", "rows", "hosts", "days", "counts", "calibration"], &[1, 2, 3, 4]);
    for snapshot in baseline.snapshots() {
        let [learned, hosts, days] = learned(&baseline, snapshot).map(thousands);
        let calibration = &snapshot.calibration;
        let basis = format!("{}, {} rows", calibration.basis, thousands(calibration.rows_used));
        let counts = thousands(used(snapshot));
        rows.add_row([snapshot.lens.table().to_owned(), learned, hosts, days, counts, basis]);
    }
    let segments = plural(baseline.segments().len() as u64, "segment", "segments");
    print(&format!("baseline {}, {segments}\n{rows}", baseline.id()))?;
    Ok(false)
}

/// Rows, hosts and days that taught a table.
fn learned(baseline: &Baseline, snapshot: &Snapshot) -> [u64; 3] {
    let digest = snapshot.lens.digest();
    let of_table = || baseline.segments().iter().filter(|segment| segment.lens_digest == digest);
    let hosts: std::collections::BTreeSet<_> = of_table().map(|segment| &segment.host).collect();
    let days: std::collections::BTreeSet<_> = of_table().map(|segment| segment.day).collect();
    [of_table().map(|segment| segment.rows).sum(), hosts.len() as u64, days.len() as u64]
}

fn used(snapshot: &Snapshot) -> u64 {
    snapshot.slots.iter().filter(|slot| slot[2] != 0).count() as u64
}

fn to_json(baseline: &Baseline) -> Value {
    let tables: Vec<Value> = baseline
        .snapshots()
        .iter()
        .map(|snapshot| {
            let [rows, hosts, days] = learned(baseline, snapshot);
            let views: Vec<_> = snapshot.lens.views().iter().map(|view| &view.name).collect();
            json!({
                "table": snapshot.lens.table(), "rows": rows, "hosts": hosts, "days": days, "counts": used(snapshot),
                "views": views, "calibration": snapshot.calibration.basis.to_string(),
                "calibration_rows": snapshot.calibration.rows_used,
            })
        })
        .collect();
    json!({ "id": baseline.id(), "segments": baseline.segments().len(), "tables": tables })
}
