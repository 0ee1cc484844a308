//! Columns in the form the card reads: one head per column, then codes as narrow as their dictionaries allow.

use bytemuck::cast_slice;

/// Words of a column's head: first word of its codes, log2 of the bytes a code takes, first entry of its hashes, 0.
pub(crate) const HEAD: usize = 4;

/// The most words that `columns` columns of `rows` rows can take.
pub(crate) fn words_at_most(columns: usize, rows: usize) -> usize {
    columns * (HEAD + rows + 1)
}

/// Packs columns one after the other into one buffer.
pub(crate) struct Packer<'a> {
    words: &'a mut Vec<u32>,
    next: usize,
}

impl<'a> Packer<'a> {
    /// Starts a buffer that will hold `columns` columns.
    pub(crate) fn new(words: &'a mut Vec<u32>, columns: usize) -> Self {
        words.clear();
        words.resize(columns * HEAD, 0);
        Self { words, next: 0 }
    }

    /// Adds a column of codes below `distinct`, whose hashes start at `hashes`.
    pub(crate) fn codes(&mut self, codes: &[u32], distinct: usize, hashes: u32) {
        match distinct {
            0..=0x100 => {
                self.head(0, hashes);
                self.narrow::<4, 8>(codes);
            }
            0x101..=0x1_0000 => {
                self.head(1, hashes);
                self.narrow::<2, 16>(codes);
            }
            _ => {
                self.head(2, hashes);
                self.words.extend_from_slice(codes);
            }
        }
    }

    /// Adds a column of bytes that has no hashes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.head(0, 0);
        let whole = bytes.len() / 4 * 4;
        self.words.extend(bytes[..whole].chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])));
        if whole < bytes.len() {
            let mut last = [0; 4];
            last[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            self.words.push(u32::from_le_bytes(last));
        }
    }

    /// The packed buffer as bytes.
    pub(crate) fn finish(self) -> &'a [u8] {
        cast_slice(self.words)
    }

    fn head(&mut self, width: u32, hashes: u32) {
        let first = self.words.len() as u32;
        self.words[self.next..self.next + HEAD].copy_from_slice(&[first, width, hashes, 0]);
        self.next += HEAD;
    }

    fn narrow<const PER_WORD: usize, const BITS: usize>(&mut self, codes: &[u32]) {
        let join = |part: &[u32]| (0..).zip(part).fold(0, |word, (place, &code)| word | code << (place * BITS));
        let (whole, rest) = codes.as_chunks::<PER_WORD>();
        self.words.extend(whole.iter().map(|part| join(part)));
        if !rest.is_empty() {
            self.words.push(join(rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shader's `code`.
    fn code(words: &[u32], column: usize, row: usize) -> u32 {
        let (first, width) = (words[HEAD * column] as usize, words[HEAD * column + 1]);
        let per_word = 2 - width;
        let word = words[first + (row >> per_word)];
        let place = row as u32 & ((1 << per_word) - 1);
        word >> (place << (3 + width)) & (u32::MAX >> (32 - (8 << width)))
    }

    #[test]
    fn packed_codes_read_back() {
        for rows in [0, 1, 2, 3, 4, 5, 255, 257] {
            let bytes: Vec<u8> = (0..rows).map(|row| (row * 7 % 32) as u8).collect();
            let columns = [1usize, 256, 257, 65_536, 65_537, 4_000_000]
                .map(|distinct| (distinct, (0..rows).map(|row| (row * 7919 % distinct) as u32).collect::<Vec<_>>()));
            let mut words = Vec::new();
            let mut packer = Packer::new(&mut words, 7);
            packer.bytes(&bytes);
            for (distinct, codes) in &columns {
                packer.codes(codes, *distinct, 9);
            }
            assert!(words.len() <= words_at_most(7, rows));
            for row in 0..rows {
                assert_eq!(code(&words, 0, row), u32::from(bytes[row]));
                for (column, (_, codes)) in columns.iter().enumerate() {
                    assert_eq!(code(&words, column + 1, row), codes[row]);
                }
            }
        }
    }
}
