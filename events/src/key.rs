//! The key that names one process of one boot.

use core::{fmt, str::FromStr};

/// Names one process of one boot: 4 bytes of the boot id, 8 of the start time, 4 of the thread group id.
///
/// Numbers are big endian, so that keys of one boot sort by start time. As text: 32 lower-case hex digits.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub struct ProcessKey([u8; 16]);

impl ProcessKey {
    /// The key of the process `tgid` that started `start` nanoseconds after boot; `boot` is the start of the boot id.
    #[must_use]
    pub const fn new(boot: [u8; 4], start: u64, tgid: u32) -> Self {
        let [b0, b1, b2, b3] = boot;
        let [s0, s1, s2, s3, s4, s5, s6, s7] = start.to_be_bytes();
        let [t0, t1, t2, t3] = tgid.to_be_bytes();
        Self([b0, b1, b2, b3, s0, s1, s2, s3, s4, s5, s6, s7, t0, t1, t2, t3])
    }

    /// The key whose bytes these are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The key's bytes, as stored in the tables.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The first 4 bytes of the boot id.
    #[must_use]
    pub const fn boot(&self) -> [u8; 4] {
        let [b0, b1, b2, b3, ..] = self.0;
        [b0, b1, b2, b3]
    }

    /// When the process started, in nanoseconds since boot.
    #[must_use]
    pub const fn start(&self) -> u64 {
        let [_, _, _, _, s0, s1, s2, s3, s4, s5, s6, s7, ..] = self.0;
        u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7])
    }

    /// The thread group id.
    #[must_use]
    pub const fn tgid(&self) -> u32 {
        let [.., t0, t1, t2, t3] = self.0;
        u32::from_be_bytes([t0, t1, t2, t3])
    }
}

impl fmt::Display for ProcessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ProcessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessKey({self})")
    }
}

/// The text is not 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseKeyError;

impl fmt::Display for ParseKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a process key is 32 hex digits")
    }
}

impl core::error::Error for ParseKeyError {}

impl FromStr for ProcessKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return Err(ParseKeyError);
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hex(pair[0])? << 4 | hex(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

fn hex(digit: u8) -> Result<u8, ParseKeyError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(ParseKeyError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn fields_come_back() {
        let key = ProcessKey::new([1, 2, 3, 4], 0x1122_3344_5566_7788, 0x99aa_bbcc);
        assert_eq!(key.to_string(), "01020304112233445566778899aabbcc");
        assert_eq!((key.boot(), key.start(), key.tgid()), ([1, 2, 3, 4], 0x1122_3344_5566_7788, 0x99aa_bbcc));
    }

    #[test]
    fn later_start_sorts_later() {
        assert!(ProcessKey::new([0; 4], 255, 9) < ProcessKey::new([0; 4], 256, 1));
    }

    #[test]
    fn bad_text_is_refused() {
        for text in ["", "00", "zz020304112233445566778899aabbcc", "é1020304112233445566778899aabbc"] {
            assert_eq!(text.parse::<ProcessKey>(), Err(ParseKeyError), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn text_round_trips(bytes: [u8; 16]) {
            let key = ProcessKey::from_bytes(bytes);
            proptest::prop_assert_eq!(key.to_string().parse(), Ok(key));
        }
    }
}
