//! Numbers by chance, the same everywhere.

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed);
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`; the bias is far below what rows show.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of some things, each as likely; `None` if there are none.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len() as u64) as usize).copied()
    }

    /// An index below `len`, the i-th with weight 1/(i+1), in whole numbers so that it is the same everywhere.
    pub(crate) fn zipf(&mut self, len: usize) -> usize {
        let weight = |i: usize| 5040 / (i as u64 + 1);
        let mut left = self.below((0..len).map(weight).sum());
        for i in 0..len {
            if left < weight(i) {
                return i;
            }
            left -= weight(i);
        }
        0
    }
}
