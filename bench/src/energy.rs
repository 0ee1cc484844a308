//! Energy of the processor's packages, where the kernel tells.

use std::path::{Path, PathBuf};

const POWERCAP: &str = "/sys/class/powercap";

/// Counters of energy in microjoules, one for each package.
#[derive(Debug)]
pub(crate) struct Meter {
    /// The counter's file, and after how much it begins again.
    counters: Vec<(PathBuf, u64)>,
}

/// What the counters said at some moment.
#[derive(Debug)]
pub(crate) struct Reading(Vec<u64>);

impl Meter {
    /// The counters of this machine, or why there are none.
    pub(crate) fn open() -> Result<Self, String> {
        Self::below(Path::new(POWERCAP))
    }

    fn below(root: &Path) -> Result<Self, String> {
        let unknown = |why: &str| format!("unknown: {}: {why}", root.display());
        let entries = std::fs::read_dir(root).map_err(|error| unknown(&error.to_string()))?;
        // `intel-rapl:0` is a package, `intel-rapl:0:1` a part of it; AMD's have the same names.
        let is_package = |name: &str| name.strip_prefix("intel-rapl:").is_some_and(|n| !n.contains(':'));
        let mut counters = Vec::new();
        for entry in entries.flatten().filter(|entry| is_package(&entry.file_name().to_string_lossy())) {
            let file = entry.path().join("energy_uj");
            number(&file).map_err(|why| unknown(&why))?;
            let most = number(&entry.path().join("max_energy_range_uj")).unwrap_or(u64::MAX);
            counters.push((file, most));
        }
        if counters.is_empty() { Err(unknown("no counter of a package")) } else { Ok(Self { counters }) }
    }

    /// What they say now; `None` if they are gone.
    pub(crate) fn read(&self) -> Option<Reading> {
        self.counters.iter().map(|(file, _)| number(file).ok()).collect::<Option<_>>().map(Reading)
    }

    /// Joules of all packages since then.
    pub(crate) fn since(&self, before: &Reading) -> Option<f64> {
        let now = self.read()?;
        let parts = self.counters.iter().zip(before.0.iter().zip(&now.0));
        let microjoules = |((_, most), (before, now)): (&(PathBuf, u64), (&u64, &u64))| {
            if now >= before { now - before } else { now.wrapping_add(most - before) }
        };
        Some(parts.map(microjoules).map(|energy| energy as f64).sum::<f64>() / 1e6)
    }
}

fn number(file: &Path) -> Result<u64, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    text.trim().parse().map_err(|_| "no number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(root: &Path, name: &str, energy: u64) {
        let folder = root.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("energy_uj"), format!("{energy}\n")).unwrap();
        std::fs::write(folder.join("max_energy_range_uj"), "1000000\n").unwrap();
    }

    #[test]
    fn packages_are_added_up_and_counters_begin_again() {
        let root = tempfile::tempdir().unwrap();
        let of_none = Meter::below(root.path()).unwrap_err();
        assert!(of_none.starts_with("unknown: ") && of_none.ends_with("no counter of a package"), "{of_none}");
        assert!(Meter::below(&root.path().join("none")).is_err());

        for (name, energy) in [("intel-rapl:0", 900_000), ("intel-rapl:0:0", 1), ("intel-rapl:1", 5)] {
            package(root.path(), name, energy);
        }
        let meter = Meter::below(root.path()).unwrap();
        let before = meter.read().unwrap();
        for (name, energy) in [("intel-rapl:0", 100_000), ("intel-rapl:0:0", 7), ("intel-rapl:1", 300_005)] {
            package(root.path(), name, energy);
        }
        assert_eq!(meter.since(&before), Some(0.5));
        std::fs::remove_dir_all(root.path().join("intel-rapl:1")).unwrap();
        assert_eq!(meter.since(&before), None);
    }
}
