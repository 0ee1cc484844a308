//! Keys, as far as they mean something, from the bytes that a terminal sends.

/// Bytes of a key, at most; what is longer means nothing here.
const LONGEST: usize = 32;
const ESC: u8 = 0x1b;

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// Arrows.
    Up,
    /// Arrows.
    Down,
    /// Arrows.
    Left,
    /// Arrows.
    Right,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// The first line.
    Home,
    /// The last line.
    End,
    /// Opens.
    Enter,
    /// Goes back.
    Escape,
    /// Goes back, or takes a character away.
    Backspace,
    /// The next screen.
    Tab,
    /// The screen before.
    BackTab,
    /// Ctrl-C.
    Interrupt,
}

/// Bytes that are no whole key yet.
///
/// Keys are told apart here, and not by crossterm, as that takes two quick Esc for one, and an Esc with a quick letter for the
/// letter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bytes(Vec<u8>);

/// What the beginning of some bytes is.
enum Begins {
    /// So many bytes are a key, or mean nothing.
    With(usize, Option<Key>),
    /// It depends on what comes.
    Open,
}

impl Bytes {
    /// The keys that are whole with what was read. Nothing may be left out of what a terminal sends.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.0.extend_from_slice(bytes);
        let (mut keys, mut at) = (Vec::new(), 0);
        while let Some(rest) = self.0.get(at..).filter(|rest| !rest.is_empty()) {
            match begins(rest) {
                Begins::With(length, key) => {
                    keys.extend(key);
                    at += length;
                }
                Begins::Open => break,
            }
        }
        self.0.drain(..at);
        keys
    }

    /// Whether it is an Esc alone: then it matters that nothing more comes.
    pub(crate) fn is_escape(&self) -> bool {
        self.0 == [ESC]
    }

    /// Nothing more came: an Esc alone was a key.
    pub(crate) fn silence(&mut self) -> Option<Key> {
        let key = self.is_escape().then_some(Key::Escape);
        if key.is_some() {
            self.0.clear();
        }
        key
    }
}

fn begins(bytes: &[u8]) -> Begins {
    let key = |key: Key| Begins::With(1, Some(key));
    match bytes[0] {
        ESC => match bytes.get(1) {
            None => Begins::Open,
            Some(b'[') => sequence(bytes),
            Some(b'O') => bytes.get(2).map_or(Begins::Open, |last| Begins::With(3, of_last(*last, &[]))),
            Some(_) => key(Key::Escape),
        },
        0x03 => key(Key::Interrupt),
        0x06 => key(Key::PageDown),
        0x02 => key(Key::PageUp),
        0x08 | 0x7f => key(Key::Backspace),
        b'\t' => key(Key::Tab),
        b'\r' => key(Key::Enter),
        0..0x20 => Begins::With(1, None),
        _ => character(bytes),
    }
}

/// `ESC [ parameters last`: arrows, pages, whatever a terminal tells.
fn sequence(bytes: &[u8]) -> Begins {
    let seen = &bytes[2..bytes.len().min(LONGEST)];
    let Some(length) = seen.iter().position(|byte| !(0x20..0x40).contains(byte)) else {
        return if bytes.len() < LONGEST { Begins::Open } else { Begins::With(LONGEST, None) };
    };
    let (parameters, last) = (&bytes[2..2 + length], bytes[2 + length]);
    match last {
        // The function keys of a Linux console have one more.
        b'[' if length == 0 => bytes.get(3).map_or(Begins::Open, |_| Begins::With(4, None)),
        0x40..0x7f => Begins::With(3 + length, of_last(last, parameters)),
        // Broken off: what comes now is another key.
        _ => Begins::With(2 + length, None),
    }
}

fn of_last(last: u8, parameters: &[u8]) -> Option<Key> {
    let number = parameters.split(|byte| *byte == b';').next().unwrap_or_default();
    Some(match (last, number) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', b"1" | b"7") => Key::Home,
        (b'F', _) | (b'~', b"4" | b"8") => Key::End,
        (b'~', b"5") => Key::PageUp,
        (b'~', b"6") => Key::PageDown,
        (b'Z', _) => Key::BackTab,
        (b'M', _) => Key::Enter,
        _ => return None,
    })
}

/// A character of UTF-8; what is none means nothing.
fn character(bytes: &[u8]) -> Begins {
    let length = match bytes[0] {
        0..0x80 => 1,
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return Begins::With(1, None),
    };
    let there = &bytes[..length.min(bytes.len())];
    match std::str::from_utf8(there) {
        Ok(text) => Begins::With(length, text.chars().next().map(Key::Char)),
        Err(error) if error.error_len().is_none() && there.len() < length => Begins::Open,
        Err(_) => Begins::With(1, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut all = Bytes::default();
        let mut keys = all.read(bytes);
        keys.extend(all.silence());
        keys
    }

    #[test]
    fn two_quick_escapes_are_two() {
        assert_eq!(keys(b"\x1b"), [Key::Escape]);
        assert_eq!(keys(b"\x1b\x1b"), [Key::Escape; 2]);
        assert_eq!(keys(b"\x1b\x1b\x1b"), [Key::Escape; 3]);
        assert_eq!(keys(b"\x1bq"), [Key::Escape, Key::Char('q')]);
        assert_eq!(keys(b"\x1b\x1b[A"), [Key::Escape, Key::Up]);
    }

    #[test]
    fn keys_are_known_however_terminals_send_them() {
        let arrows = [Key::Up, Key::Down, Key::Right, Key::Left];
        assert_eq!(keys(b"\x1b[A\x1b[B\x1b[C\x1b[D"), arrows);
        assert_eq!(keys(b"\x1bOA\x1bOB\x1bOC\x1bOD"), arrows);
        assert_eq!(keys(b"\x1b[1;5A\x1b[H\x1bOF\x1b[1~\x1b[4~"), [Key::Up, Key::Home, Key::End, Key::Home, Key::End]);
        assert_eq!(keys(b"\x1b[5~\x1b[6~\x06\x02"), [Key::PageUp, Key::PageDown, Key::PageDown, Key::PageUp]);
        assert_eq!(
            keys(b"\t\x1b[Z\r\x7f\x08\x03"),
            [Key::Tab, Key::BackTab, Key::Enter, Key::Backspace, Key::Backspace, Key::Interrupt]
        );
        assert_eq!(keys("qé日🦀".as_bytes()), ['q', 'é', '日', '🦀'].map(Key::Char));
        assert_eq!(
            keys(b"\x1b[[A\x1b[15~\x1b[?1;2c\x01x"),
            [Key::Char('x')],
            "what means nothing takes nothing with it"
        );
        assert_eq!(keys(b"\x1b[1\x1b[A"), [Key::Up], "broken off");
        assert_eq!(keys(b"\xff\xc3(y"), [Key::Char('('), Key::Char('y')]);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_bytes_come(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
            let (one, other) = bytes.split_at(cut.min(bytes.len()));
            let mut parts = Bytes::default();
            let mut came = parts.read(one);
            prop_assert!(parts.0.len() < LONGEST, "bounded");
            came.extend(parts.read(other));
            came.extend(parts.silence());
            prop_assert_eq!(came, keys(&bytes));
        }
    }
}
