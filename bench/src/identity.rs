//! Whether a device's scores are the CPU's, bit for bit.

use std::sync::Arc;
use std::time::Duration;

use model::testing;
use model::{Backend, CpuBackend, EncodedBatch, Scores, Snapshot};
use scorer_gpu::measure::{Clock, difference};

use crate::device::{Device, Failure};
use crate::report::Identity;

/// Cases that every device scores, however long it takes.
const LEAST: usize = 8;

/// Scores cases that are meant to provoke, and holds them against a CPU backend that takes row after row without vector
/// instructions. A device that takes longer than `time` is given no further ones: each batch that is timed is compared, too.
pub(crate) fn check(device: &dyn Device, seed: u64, clock: &dyn Clock, time: Duration) -> Result<Identity, Failure> {
    let (mut cases, mut rows) = (0, 0);
    let begun = clock.now();
    for case in testing::cases(seed) {
        if cases >= LEAST && clock.now() - begun > time {
            break;
        }
        let mut scorer = device.open(&case.snapshot)?;
        let mut got = Scores::default();
        scorer.score(&case.batch, &mut got)?;
        same(&case.name, &plainly(&case.snapshot, &case.batch)?.0, &got, case.batch.rows)?;
        cases += 1;
        rows += case.batch.rows;
    }
    Ok(Identity { cases, rows })
}

/// What a backend says that takes no short way, and how many look-ups that were.
pub(crate) fn plainly(snapshot: &Arc<Snapshot>, batch: &EncodedBatch) -> Result<(Scores, u64), Failure> {
    let (mut scores, mut backend) = (Scores::default(), CpuBackend::plain(Arc::clone(snapshot)));
    backend.score(batch, &mut scores)?;
    Ok((scores, backend.counters().lookups))
}

/// Whether `got`, of `rows` rows, is the beginning of what was expected; the first difference is the error.
pub(crate) fn same(place: &str, expected: &Scores, got: &Scores, rows: usize) -> Result<(), Failure> {
    let different = match expected.bits.len() < rows {
        true => Some(format!("{} rows were expected of {rows}", expected.bits.len())),
        false => difference(expected, got, rows),
    };
    different.map_or(Ok(()), |what| Err(Failure::Differs(format!("{place}: {what}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Cpu;
    use model::testing::Plan;

    #[test]
    fn the_processor_is_itself() {
        let clock = scorer_gpu::measure::SystemClock::default();
        let identity = check(&Cpu, 11, &clock, Duration::MAX).unwrap();
        assert!(identity.cases > 20 && identity.rows > 20_000);
        assert_eq!(check(&Cpu, 11, &clock, Duration::ZERO).unwrap().cases, LEAST);
    }

    #[test]
    fn any_other_bit_is_named() {
        let case = testing::case("small", Plan { rows: 50, ..Plan::default() }, 1);
        let expected = plainly(&case.snapshot, &case.batch).unwrap().0;
        let few = plainly(&case.snapshot, &scorer_gpu::measure::head(&case.batch, 20)).unwrap().0;
        assert_eq!(same("here", &expected, &few, 20), Ok(()));
        let changes: [fn(&mut Scores); 5] = [
            |scores| scores.surprisal[23] ^= 1,
            |scores| scores.bits[19] ^= 1,
            |scores| scores.log2_n[0] ^= 1,
            |scores| scores.reasons[7][2].bits ^= 1,
            |scores| scores.bits.truncate(19),
        ];
        for change in changes {
            let mut other = few.clone();
            change(&mut other);
            let error = same("here", &expected, &other, 20).unwrap_err().to_string();
            assert!(error.starts_with("differs from the CPU: here: ") && !error.contains('\n'), "{error}");
        }
        let error = same("here", &expected, &Scores { surprisal: vec![0; 20], ..few }, 20).unwrap_err();
        assert!(matches!(error, Failure::Differs(_)));
    }
}
