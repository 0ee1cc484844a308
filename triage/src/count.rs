//! Counting distinct things in a megabyte: linear counting (Whang, Vander-Zanden and Taylor 1990).

/// Bits of the map: good to some percent for tens of millions.
const BITS: usize = 1 << 23;

/// Which hashes were met, by a bit each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Distinct(Vec<u64>);

impl Distinct {
    /// Something with this hash was met.
    pub(crate) fn add(&mut self, hash: u64) {
        if self.0.is_empty() {
            self.0 = vec![0; BITS / 64];
        }
        let bit = hash as usize % BITS;
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    /// As if what the other met had been added.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    /// How many there were.
    pub(crate) fn estimate(&self) -> u64 {
        let met: u64 = self.0.iter().map(|word| u64::from(word.count_ones())).sum();
        let (bits, empty) = (BITS as f64, BITS as f64 - met as f64);
        // A map that is full says no more than that there were many.
        (bits * (bits / empty.max(1.0)).ln()).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_things_are_counted_once_and_nearly_all() {
        let (mut some, mut others) = (Distinct::default(), Distinct::default());
        assert_eq!(some.estimate(), 0);
        for n in 0..200_000u64 {
            let hash = crate::cells::hash64(&(n / 2).to_le_bytes());
            if n % 3 == 0 { some.add(hash) } else { others.add(hash) }
        }
        some.merge(&others);
        let counted = some.estimate() as f64;
        assert!((counted / 100_000.0 - 1.0).abs() < 0.01, "{counted}");
    }
}
