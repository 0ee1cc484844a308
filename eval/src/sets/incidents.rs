//! Incidents over what was scored: findings at the line of five false alerts a day, joined as the product joins them.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use model::{Baseline, Budget, Line};
use triage::{Evidence, Group, Item, group};

/// False alerts a day at which findings are made, and incidents a day that are read.
pub(super) const A_DAY: f64 = 5.0;

/// The least log2_n, in 1/1024 bit, of a finding on these hosts.
pub(super) fn line(baseline: &Baseline, hosts: &BTreeSet<Option<String>>) -> u16 {
    Budget::new(baseline, hosts, Line::AlertsPerDay(A_DAY)).line
}

/// A number for a text, the same in every run.
pub(super) fn number(text: &str) -> u64 {
    let mut hash = DefaultHasher::new();
    text.hash(&mut hash);
    hash.finish()
}

/// A window of one host over the line: its place, host, start and how rare it is.
pub(super) struct Window<'a> {
    pub(super) place: usize,
    pub(super) host: &'a str,
    pub(super) start: i64,
    pub(super) log2_n: f32,
}

/// Places of the windows of each incident, the rarest first.
pub(super) fn of_windows(windows: &[Window<'_>]) -> Vec<Vec<usize>> {
    let item = |(at, window): (usize, &Window<'_>)| Item {
        id: at as u64,
        name: at as u64,
        subject: number(window.host),
        window: window.start,
        time: window.start,
        log2_n: window.log2_n,
        host: 0,
        tree: None,
    };
    let items: Vec<Item> = windows.iter().enumerate().map(item).collect();
    let places = |group: Group| group.items.into_iter().map(|at| windows[at as usize].place).collect();
    group(&items, &Evidence::default(), &[]).into_iter().map(places).collect()
}

/// So many of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Share {
    pub(super) of: u64,
    pub(super) covered: f64,
}

impl Share {
    pub(super) fn add(&mut self, other: Self) {
        self.of += other.of;
        self.covered += other.covered;
    }

    /// `12 of 46 = 0.261 (0.156–0.402)`, with Wilson's interval (1927) of 95 %.
    pub(super) fn words(&self) -> String {
        let (low, high) = self.interval();
        let share = self.covered / (self.of as f64).max(1.0);
        format!("{:.0} of {} = {share:.3} ({low:.3}–{high:.3})", self.covered, self.of)
    }

    fn interval(&self) -> (f64, f64) {
        const Z: f64 = 1.959_963_984_540_054;
        let n = (self.of as f64).max(1.0);
        let p = self.covered / n;
        let scale = 1.0 + Z * Z / n;
        let middle = (p + Z * Z / (2.0 * n)) / scale;
        let half = Z / scale * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        ((middle - half).max(0.0), (middle + half).min(1.0))
    }
}

/// Attack windows among the first of these incidents.
pub(super) fn covered(incidents: &[Vec<usize>], most: usize, attack: &[bool]) -> Share {
    let found: BTreeSet<usize> = incidents.iter().take(most).flatten().copied().collect();
    let covered = found.iter().filter(|at| attack[**at]).count() as f64;
    Share { of: attack.iter().filter(|attack| **attack).count() as u64, covered }
}

/// The same of windows by themselves, the highest score first; of equal ones at the edge the mean is taken.
pub(super) fn covered_alone(scores: &[f64], most: usize, attack: &[bool]) -> Share {
    let mut by_score: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for (score, attack) in scores.iter().zip(attack) {
        // Scores are not negative, so that their bits are in their order.
        let same = by_score.entry(score.max(0.0).to_bits()).or_default();
        *same = (same.0 + 1.0, same.1 + f64::from(u8::from(*attack)));
    }
    let (mut left, mut covered) = (most as f64, 0.0);
    for (number, attacks) in by_score.values().rev() {
        let share = (left / number).min(1.0);
        covered += attacks * share;
        left = (left - number).max(0.0);
    }
    Share { of: attack.iter().filter(|attack| **attack).count() as u64, covered }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_wilsons_interval() {
        let (low, high) = Share { of: 10, covered: 8.0 }.interval();
        assert!((low - 0.4902).abs() < 1e-4 && (high - 0.9433).abs() < 1e-4, "{low} {high}");
        assert_eq!(Share::default().interval().0, 0.0);
    }

    #[test]
    fn windows_of_a_host_within_an_hour_are_one() {
        const HOUR: i64 = 3_600_000_000_000;
        let window = |place, host, start, log2_n| Window { place, host, start, log2_n };
        let windows =
            [window(0, "a", 0, 9.0), window(1, "a", HOUR, 9.0), window(2, "b", 0, 12.0), window(3, "a", 3 * HOUR, 5.0)];
        let incidents = of_windows(&windows);
        assert_eq!(incidents, [vec![0, 1], vec![2], vec![3]]);
        let attack = [true, false, true, true];
        assert_eq!(covered(&incidents, 2, &attack), Share { of: 3, covered: 2.0 });
        assert_eq!(covered_alone(&[3.0, 1.0, 1.0, 0.0], 2, &attack), Share { of: 3, covered: 1.5 });
    }
}
