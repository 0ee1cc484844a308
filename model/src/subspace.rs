//! Random subspace views: which few fields go together is drawn from the lens digest (docs/model.md §2).

use crate::kind::Kind;
use crate::lens::{Field, View};

/// What their names begin with.
pub(crate) const PREFIX: &str = "random ";
/// Fewest and most fields of one.
const WIDTHS: (usize, usize) = (2, 8);

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((u128::from(z ^ z >> 31) * n as u128) >> 64) as usize
    }
}

/// The numbers of the fields to draw from.
fn candidates(fields: &[Field]) -> Vec<usize> {
    (0..fields.len()).filter(|f| fields[*f].kind != Kind::Key).collect()
}

/// How many different ones there are, at most `usize::MAX`.
pub(crate) fn choices(fields: &[Field]) -> usize {
    let n = candidates(fields).len();
    let ways = |width: usize| (0..width).fold(1u128, |ways, i| ways * n.saturating_sub(i) as u128 / (i as u128 + 1));
    (WIDTHS.0..=WIDTHS.1).map(ways).sum::<u128>().try_into().unwrap_or(usize::MAX)
}

/// As many views as wanted, no two of the same fields; `wanted` is at most [`choices`].
pub(crate) fn views(fields: &[Field], wanted: usize, digest: &[u8; 32]) -> Vec<View> {
    let mut start = [0; 8];
    start.copy_from_slice(&digest[..8]);
    let (mut draw, mut taken) = (Draw(u64::from_le_bytes(start)), Vec::new());
    let candidates = candidates(fields);
    while taken.len() < wanted {
        let mut all = candidates.clone();
        let width = WIDTHS.0 + draw.below(WIDTHS.1.min(all.len()) - WIDTHS.0 + 1);
        for i in 0..width {
            let other = i + draw.below(all.len() - i);
            all.swap(i, other);
        }
        let mut child = all[..width].to_vec();
        child.sort_unstable();
        if !taken.contains(&child) {
            taken.push(child);
        }
    }
    taken.into_iter().enumerate().map(|(i, child)| view(fields, i + 1, child)).collect()
}

fn view(fields: &[Field], number: usize, child: Vec<usize>) -> View {
    let names: Vec<&str> = child.iter().map(|f| fields[*f].name.as_str()).collect();
    View {
        name: format!("{PREFIX}{number}: {}", names.join(", ")),
        when: Vec::new(),
        child,
        contexts: vec![Vec::new()],
        class_mask: u32::MAX,
        attack: Vec::new(),
    }
}
