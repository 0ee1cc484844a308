//! From figures to a choice, and the words for it: nothing here measures.

use terminal::{rate, thousands};

use crate::measure::{BatchFigure, Spread, crossover};

/// A card is given smaller batches only where they are so much faster: fewer batches mean less work around them.
const CLEARLY: f64 = 1.25;

/// The batches that a caller makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batches {
    /// As many rows as are best, at most so many.
    UpTo(usize),
    /// About so many: what comes, or what somebody wished.
    Of(usize),
}

/// What was measured of the processor and of an adapter, both with the same rows and table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// The processor, sizes rising.
    pub cpu: Vec<BatchFigure>,
    /// The adapter, the ways to it and back included.
    pub gpu: Vec<BatchFigure>,
}

/// What is best for some batches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// Whether the adapter is faster.
    pub is_gpu: bool,
    /// Rows of a batch.
    pub batch_rows: usize,
    /// Rows a second of the processor, at the size that suits it.
    pub cpu: f64,
    /// Rows a second of the adapter, at the size that suits it; nothing if it was measured at none.
    pub gpu: Option<f64>,
    /// Rows of a batch from which on the adapter is at least as fast.
    pub crossover: Option<usize>,
}

/// The faster of both for these batches. Where an adapter is not faster, or nothing is known of it, the processor.
#[must_use]
pub fn decide(measured: &Measured, batches: Batches) -> Decision {
    let [quiet_cpu, quiet_gpu] = [&measured.cpu, &measured.gpu].map(|of| quiet(of));
    let asked = match batches {
        Batches::UpTo(rows) | Batches::Of(rows) => rows,
    };
    let (cpu, gpu) = (best(&quiet_cpu, batches).map(|(_, rate)| rate), best(&quiet_gpu, batches));
    let is_gpu = gpu.is_some_and(|(_, gpu)| cpu.is_none_or(|cpu| gpu > cpu));
    Decision {
        is_gpu,
        // The processor cuts batches by itself.
        batch_rows: gpu.filter(|_| is_gpu).map_or(asked, |(rows, _)| rows),
        cpu: cpu.unwrap_or(0.0),
        gpu: gpu.map(|(_, rate)| rate),
        crossover: crossover(&quiet_cpu, &quiet_gpu),
    }
}

/// The fastest run of each size: what else the machine does makes runs slower, and a choice is for long.
fn quiet(figures: &[BatchFigure]) -> Vec<BatchFigure> {
    let fastest = |figure: &BatchFigure| Spread { median: figure.rows_per_s.most, ..figure.rows_per_s };
    figures.iter().map(|figure| BatchFigure { rows_per_s: fastest(figure), ..*figure }).collect()
}

/// The batch that suits a device, and its rate.
fn best(figures: &[BatchFigure], batches: Batches) -> Option<(usize, f64)> {
    let rate = |figure: &BatchFigure| figure.rows_per_s.median;
    match batches {
        Batches::Of(rows) => {
            // The nearest size below; where all are larger, the smallest.
            let below = figures.iter().rfind(|figure| figure.rows <= rows).or(figures.first())?;
            Some((rows, rate(below)))
        }
        Batches::UpTo(most) => {
            let sizes = || figures.iter().filter(|figure| figure.rows <= most);
            let top = sizes().map(rate).fold(0.0, f64::max);
            let found = sizes().rfind(|figure| rate(figure) * CLEARLY >= top).or(figures.first())?;
            // Sizes beyond the last that was measured took too long for that, and cost no more a row.
            let is_last = sizes().next_back().is_none_or(|last| last.rows == found.rows);
            Some((if is_last { most } else { found.rows }, rate(found)))
        }
    }
}

impl Decision {
    /// The choice in words, where `adapter` is the other one.
    #[must_use]
    pub fn words(&self, adapter: &str) -> String {
        let rows = thousands(self.batch_rows as u64);
        let (cpu, gpu) = (rate(self.cpu), self.gpu.map_or("not measured".to_owned(), rate));
        let from =
            self.crossover.map_or(String::new(), |rows| format!(", as fast from {} rows on", thousands(rows as u64)));
        match self.is_gpu {
            true => format!("gpu: {adapter}: {gpu} rows/s at {rows} rows a batch, CPU {cpu}{from}"),
            false => format!("cpu: {cpu} rows/s at {rows} rows a batch, {adapter} {gpu}{from}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn figures(rates: &[(usize, f64)]) -> Vec<BatchFigure> {
        let one = |(rows, rate): &(usize, f64)| BatchFigure { rows: *rows, rows_per_s: Spread::of(&[*rate]).unwrap() };
        rates.iter().map(one).collect()
    }

    /// A card that is good at large batches, beside a processor.
    fn card() -> Measured {
        Measured {
            cpu: figures(&[(256, 2e6), (1024, 5e6), (4096, 8e6), (16_384, 9e6), (65_536, 9.1e6)]),
            gpu: figures(&[(256, 2e5), (1024, 8e5), (4096, 6e6), (16_384, 2e7), (65_536, 4.1e7)]),
        }
    }

    #[test]
    fn large_batches_go_to_the_card_and_small_ones_stay() {
        let files = decide(&card(), Batches::UpTo(65_536));
        assert_eq!((files.is_gpu, files.batch_rows, files.crossover), (true, 65_536, Some(16_384)));
        assert_eq!(
            files.words("A (vulkan, B)"),
            "gpu: A (vulkan, B): 41.0 M rows/s at 65,536 rows a batch, CPU 9.10 M, as fast from 16,384 rows on"
        );
        let live = decide(&card(), Batches::Of(1024));
        assert_eq!((live.is_gpu, live.batch_rows), (false, 1024));
        assert_eq!(
            live.words("A (vulkan, B)"),
            "cpu: 5.00 M rows/s at 1,024 rows a batch, A (vulkan, B) 800 k, as fast from 16,384 rows on"
        );
        assert!(decide(&card(), Batches::Of(20_000)).is_gpu && !decide(&card(), Batches::Of(1)).is_gpu);
        assert!(!decide(&card(), Batches::UpTo(4096)).is_gpu);
    }

    #[test]
    fn a_smaller_batch_is_taken_only_where_it_is_clearly_faster() {
        let with =
            |last: f64| Measured { cpu: Vec::new(), gpu: figures(&[(4096, 10.0), (16_384, 100.0), (65_536, last)]) };
        let rows = |last| decide(&with(last), Batches::UpTo(65_536)).batch_rows;
        assert_eq!((rows(81.0), rows(79.0), rows(120.0)), (65_536, 16_384, 65_536));
        // A device too slow for the larger sizes costs no more a row there.
        let slow = Measured { cpu: figures(&[(256, 100.0)]), gpu: figures(&[(256, 10.0), (1024, 12.0)]) };
        let decision = decide(&slow, Batches::UpTo(65_536));
        assert_eq!((decision.is_gpu, decision.batch_rows, decision.cpu), (false, 65_536, 100.0));
    }

    #[test]
    fn what_counts_is_the_fastest_run() {
        let noisy = |runs: &[f64]| vec![BatchFigure { rows: 256, rows_per_s: Spread::of(runs).unwrap() }];
        let measured = Measured { cpu: noisy(&[1.0, 2.0, 9.0]), gpu: noisy(&[5.0, 5.0, 5.0]) };
        assert!(!decide(&measured, Batches::UpTo(65_536)).is_gpu, "the processor was busy with something else");
    }

    #[test]
    fn equal_or_unknown_is_the_processor() {
        let same = figures(&[(256, 5.0), (1024, 5.0)]);
        assert!(!decide(&Measured { cpu: same.clone(), gpu: same.clone() }, Batches::UpTo(1024)).is_gpu);
        for batches in [Batches::UpTo(65_536), Batches::Of(100)] {
            let nothing = decide(&Measured::default(), batches);
            assert!(!nothing.is_gpu && nothing.gpu.is_none(), "{nothing:?}");
            assert!(nothing.words("A").ends_with("A not measured"));
            assert!(!decide(&Measured { cpu: same.clone(), gpu: Vec::new() }, batches).is_gpu);
        }
    }

    fn any_figures() -> impl Strategy<Value = Vec<BatchFigure>> {
        prop::collection::vec(1.0..1e9f64, 0..6).prop_map(|rates| {
            let sized: Vec<(usize, f64)> = rates.iter().enumerate().map(|(n, rate)| (256 << (2 * n), *rate)).collect();
            figures(&sized)
        })
    }

    fn any_batches() -> impl Strategy<Value = Batches> {
        prop_oneof![(256..=1_048_576usize).prop_map(Batches::UpTo), (1..=1_048_576usize).prop_map(Batches::Of)]
    }

    proptest! {
        #[test]
        fn the_faster_is_chosen_within_what_was_asked(cpu in any_figures(), gpu in any_figures(), batches in any_batches()) {
            let decision = decide(&Measured { cpu: cpu.clone(), gpu: gpu.clone() }, batches);
            match batches {
                Batches::UpTo(most) => prop_assert!(decision.batch_rows <= most && decision.batch_rows > 0),
                Batches::Of(rows) => prop_assert_eq!(decision.batch_rows, rows),
            }
            prop_assert_eq!(decision.is_gpu, decision.gpu.is_some_and(|gpu| cpu.is_empty() || gpu > decision.cpu));
            // The rate that decides is nearly the best of the sizes that may be taken.
            if let (Batches::UpTo(most), Some(rate)) = (batches, decision.gpu) {
                let may = gpu.iter().filter(|figure| figure.rows <= most);
                let top = may.map(|figure| figure.rows_per_s.median).fold(0.0, f64::max);
                prop_assert!(rate * CLEARLY >= top);
            }
        }

        #[test]
        fn a_faster_card_is_chosen_no_less(measured in (any_figures(), any_figures()), batches in any_batches(), by in 1.0..100.0f64) {
            let (cpu, gpu) = measured;
            let before = decide(&Measured { cpu: cpu.clone(), gpu: gpu.clone() }, batches);
            let faster: Vec<(usize, f64)> = gpu.iter().map(|figure| (figure.rows, figure.rows_per_s.median * by)).collect();
            let after = decide(&Measured { cpu, gpu: figures(&faster) }, batches);
            prop_assert!(!before.is_gpu || after.is_gpu);
        }
    }
}
