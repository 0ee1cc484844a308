//! Figures of a ranking: AUROC, average precision, hits at a budget of false alerts, false alerts against their promise.

use serde::Serialize;

use crate::poisson;

/// Nothing is said of a promise of which fewer false alerts than this are expected.
pub const LEAST_EXPECTED: f64 = 20.0;

/// What became of one thing that a label belongs to: a row, a request, a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Its score; more is odder.
    pub score: u64,
    /// Things like it were promised 1 in 2^(log2_n/1024).
    pub log2_n: u16,
    /// The label.
    pub attack: bool,
    /// Things that share a number are drawn together by the bootstrap.
    pub cluster: u32,
    /// Its UTC day.
    pub day: i32,
}

/// Outcomes in order of score, the oddest first, with equal scores side by side.
#[derive(Debug, Clone, Default)]
pub struct Ranking {
    /// One per outcome: whether it is an attack, and its cluster.
    items: Vec<(bool, u32)>,
    /// Where each run of equal scores ends.
    ends: Vec<usize>,
    /// The score of each run.
    scores: Vec<u64>,
    clusters: usize,
}

impl Ranking {
    /// Ranks outcomes.
    #[must_use]
    pub fn new(outcomes: &[Outcome]) -> Self {
        use rayon::prelude::*;
        let mut order: Vec<(u64, bool, u32)> = outcomes.iter().map(|o| (o.score, o.attack, o.cluster)).collect();
        order.par_sort_unstable_by(|a, b| b.cmp(a));
        let (mut ends, mut scores) = (Vec::new(), Vec::new());
        for run in order.chunk_by(|a, b| a.0 == b.0) {
            ends.push(ends.last().copied().unwrap_or(0) + run.len());
            scores.push(run[0].0);
        }
        let clusters = outcomes.iter().map(|o| o.cluster as usize + 1).max().unwrap_or(0);
        let items = order.into_iter().map(|(_, attack, cluster)| (attack, cluster)).collect();
        Self { items, ends, scores, clusters }
    }

    /// The scores at ranks 1, 2, 4, 8, …, each with its rank.
    #[must_use]
    pub fn ladder(&self) -> Vec<(u64, u64)> {
        let ranks = (0..usize::BITS).map(|power| 1usize << power).take_while(|rank| *rank <= self.items.len());
        ranks.map(|rank| (rank as u64, self.scores[self.ends.partition_point(|end| *end < rank)])).collect()
    }

    /// One more than the greatest cluster number.
    #[must_use]
    pub fn clusters(&self) -> usize {
        self.clusters
    }

    /// AUROC and average precision; `None` if there are no attacks, or nothing else.
    #[must_use]
    pub fn areas(&self) -> Option<Areas> {
        self.weighed(|_| 1)
    }

    /// The same, each outcome counted as often as `weight` of its cluster says.
    #[must_use]
    pub fn weighed(&self, weight: impl Fn(u32) -> u32) -> Option<Areas> {
        let (mut hits, mut misses) = (0u64, 0u64);
        // Twice the pairs in which the attack stands above the other; a tie is half a pair.
        let (mut beaten, mut precisions) = (0u128, 0.0);
        let mut start = 0;
        for end in &self.ends {
            let (mut attacks, mut others) = (0u64, 0u64);
            for (attack, cluster) in &self.items[start..*end] {
                let weight = u64::from(weight(*cluster));
                if *attack { attacks += weight } else { others += weight }
            }
            start = *end;
            // Attacks so far stand above these others, and beside them half of those of this score.
            beaten += u128::from(others) * u128::from(2 * hits + attacks);
            hits += attacks;
            misses += others;
            if attacks > 0 {
                precisions += attacks as f64 * (hits as f64 / (hits + misses) as f64);
            }
        }
        let pairs = u128::from(hits) * u128::from(misses);
        (pairs > 0)
            .then(|| Areas { auroc: beaten as f64 / (2 * pairs) as f64, average_precision: precisions / hits as f64 })
    }

    /// How many attacks stand above the line that lets at most `most` false alerts through.
    #[must_use]
    pub fn hits(&self, most: u64) -> Hits {
        let mut found = Hits::default();
        let mut start = 0;
        for end in &self.ends {
            let run = &self.items[start..*end];
            let attacks = run.iter().filter(|item| item.0).count() as u64;
            let others = run.len() as u64 - attacks;
            if found.false_alerts + others > most {
                break;
            }
            found.attacks += attacks;
            found.false_alerts += others;
            start = *end;
        }
        found
    }
}

/// Areas under two curves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Areas {
    /// The chance that an attack scores higher than something else; ties count half.
    pub auroc: f64,
    /// Mean over the attacks of the precision at their score.
    pub average_precision: f64,
}

/// What stands above a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hits {
    /// Attacks.
    pub attacks: u64,
    /// The rest.
    pub false_alerts: u64,
}

/// What a promise of rarity was worth: of things that are no attack, how many were called so rare, and how many should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FalseAlerts {
    /// The promise: 1 in this many.
    pub one_in: u64,
    /// How many would be expected.
    pub expected: f64,
    /// How many there were.
    pub observed: u64,
    /// Observed over expected.
    pub ratio: f64,
    /// Lower end of its exact 95 % Poisson interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// For 1 in 2, 4, 8, … as long as at least [`LEAST_EXPECTED`] false alerts are expected.
#[must_use]
pub fn false_alerts(outcomes: &[Outcome]) -> Vec<FalseAlerts> {
    let quiet: Vec<u16> = outcomes.iter().filter(|o| !o.attack).map(|o| o.log2_n).collect();
    let mut kept = Vec::new();
    for level in 1..48u32 {
        let expected = quiet.len() as f64 / f64::from(level).exp2();
        if expected < LEAST_EXPECTED {
            break;
        }
        let observed = quiet.iter().filter(|log2_n| u32::from(**log2_n) >= level << 10).count() as u64;
        let (low, high) = poisson::interval(observed);
        let ratio = observed as f64 / expected;
        kept.push(FalseAlerts {
            one_in: 1 << level,
            expected,
            observed,
            ratio,
            low: low / expected,
            high: high / expected,
        });
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outcomes(scored: &[(u64, bool)]) -> Vec<Outcome> {
        let outcome = |(i, (score, attack)): (usize, &(u64, bool))| Outcome {
            score: *score,
            log2_n: (*score << 10).min(65535) as u16,
            attack: *attack,
            cluster: i as u32,
            day: 0,
        };
        scored.iter().enumerate().map(outcome).collect()
    }

    /// By every pair.
    fn slow_auroc(scored: &[(u64, bool)]) -> f64 {
        let (mut beaten, mut pairs) = (0.0, 0.0);
        for (score, _) in scored.iter().filter(|s| s.1) {
            for (other, _) in scored.iter().filter(|s| !s.1) {
                pairs += 1.0;
                beaten += if score > other { 1.0 } else { f64::from(u8::from(score == other)) / 2.0 };
            }
        }
        beaten / pairs
    }

    /// By every threshold.
    fn slow_average_precision(scored: &[(u64, bool)]) -> f64 {
        let attacks = scored.iter().filter(|s| s.1).count() as f64;
        let mut scores: Vec<u64> = scored.iter().map(|s| s.0).collect();
        scores.sort_unstable();
        scores.dedup();
        let (mut area, mut recall) = (0.0, 0.0);
        for line in scores.into_iter().rev() {
            let above: Vec<_> = scored.iter().filter(|s| s.0 >= line).collect();
            let hits = above.iter().filter(|s| s.1).count() as f64;
            area += (hits / attacks - recall) * hits / above.len() as f64;
            recall = hits / attacks;
        }
        area
    }

    fn mixed() -> impl Strategy<Value = Vec<(u64, bool)>> {
        let one = (0u64..12, any::<bool>());
        proptest::collection::vec(one, 2..60)
            .prop_filter("both kinds", |s| s.iter().any(|s| s.1) && s.iter().any(|s| !s.1))
    }

    proptest! {
        #[test]
        fn areas_are_those_of_their_definitions(scored in mixed()) {
            let areas = Ranking::new(&outcomes(&scored)).areas().unwrap();
            prop_assert!((areas.auroc - slow_auroc(&scored)).abs() < 1e-12);
            prop_assert!((areas.average_precision - slow_average_precision(&scored)).abs() < 1e-12);
        }

        #[test]
        fn weights_are_repetitions(scored in mixed(), weights in proptest::collection::vec(0u32..4, 60)) {
            let ranking = Ranking::new(&outcomes(&scored));
            let repeated: Vec<(u64, bool)> = scored.iter().zip(&weights)
                .flat_map(|(s, w)| std::iter::repeat_n(*s, *w as usize)).collect();
            let by_weight = ranking.weighed(|cluster| weights[cluster as usize]);
            let by_repetition = Ranking::new(&outcomes(&repeated)).areas();
            prop_assert_eq!(by_weight, by_repetition);
        }

        #[test]
        fn hits_are_those_above_the_lowest_line_in_budget(scored in mixed(), most in 0u64..20) {
            let hits = Ranking::new(&outcomes(&scored)).hits(most);
            let at = |line: u64, attack| scored.iter().filter(|s| s.0 >= line && s.1 == attack).count() as u64;
            let line = (0..=12).find(|line| at(*line, false) <= most).unwrap();
            prop_assert_eq!(hits, Hits { attacks: at(line, true), false_alerts: at(line, false) });
        }

        #[test]
        fn a_promise_is_judged_by_its_own_line(levels in proptest::collection::vec((0u64..12, any::<bool>()), 0..400)) {
            let outcomes = outcomes(&levels);
            let quiet = levels.iter().filter(|l| !l.1).count() as f64;
            let judged = false_alerts(&outcomes);
            prop_assert!(judged.iter().all(|j| j.expected >= LEAST_EXPECTED));
            prop_assert_eq!(judged.is_empty(), quiet / 2.0 < LEAST_EXPECTED);
            for promise in judged {
                let line = u64::from(promise.one_in.ilog2());
                prop_assert_eq!(promise.observed, levels.iter().filter(|l| !l.1 && l.0 >= line).count() as u64);
                prop_assert_eq!(promise.expected, quiet / promise.one_in as f64);
                prop_assert!(promise.low <= promise.ratio && promise.ratio <= promise.high);
            }
        }
    }

    #[test]
    fn the_ladder_has_the_scores_in_order() {
        let scored: Vec<(u64, bool)> = (0..9).map(|i| (i % 5, i == 0)).collect(); // 4 3 3 2 2 1 1 0 0
        assert_eq!(Ranking::new(&outcomes(&scored)).ladder(), [(1, 4), (2, 3), (4, 2), (8, 0)]);
        assert!(Ranking::new(&[]).ladder().is_empty());
    }

    #[test]
    fn one_kind_alone_has_no_areas() {
        assert_eq!(Ranking::new(&outcomes(&[(3, true), (1, true)])).areas(), None);
        assert_eq!(Ranking::new(&[]).areas(), None);
    }

    #[test]
    fn half_a_million_pairs_of_equal_scores_are_worth_a_half() {
        let scored: Vec<(u64, bool)> = (0..1_500).map(|i| (7, i % 3 == 0)).collect();
        let areas = Ranking::new(&outcomes(&scored)).areas().unwrap();
        assert_eq!((areas.auroc, areas.average_precision), (0.5, 1.0 / 3.0));
    }
}
