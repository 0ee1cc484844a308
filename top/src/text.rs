//! Text that fits: measured as terminals measure it, with nothing in it that would command one.

use ratatui::text::{Line, Span};
use terminal::inline;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::theme::{Role, Theme};

/// Characters of no width that may follow one another: more would pile up on one cell.
const STACKED: usize = 2;

/// A captured value for one line. What a terminal obeys, or nobody can see, is written out.
#[must_use]
pub fn clean(text: &str) -> String {
    let (mut out, mut stacked) = (String::with_capacity(text.len()), 0);
    for c in inline(text).chars() {
        let flat = c.width().unwrap_or(0) == 0;
        stacked = if flat { stacked + 1 } else { 0 };
        // A variation selector has no width, and may change that of the character before it.
        let selects = matches!(c, '\u{fe00}'..='\u{fe0f}');
        if stacked > STACKED || selects { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// Columns that a text takes.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text in so many columns at most; what is cut ends in `…`.
#[must_use]
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 0);
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide > columns.saturating_sub(1) {
            break;
        }
        out.push(c);
        used += wide;
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// The text in exactly so many columns.
#[must_use]
pub(crate) fn pad(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    let room = columns.saturating_sub(width(&text));
    text + &" ".repeat(room)
}

/// The same, to the right.
#[must_use]
pub(crate) fn pad_left(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    " ".repeat(columns.saturating_sub(width(&text))) + &text
}

/// Pieces of a line and what they are.
pub type Parts = Vec<(Role, String)>;

/// A line of pieces.
#[must_use]
pub(crate) fn line(parts: &Parts, theme: Theme) -> Line<'static> {
    Line::from(parts.iter().map(|(role, text)| Span::styled(text.clone(), theme.style(*role))).collect::<Vec<_>>())
}

/// Pieces in lines of so many columns, broken between words where that is possible. Lines after the first are indented.
#[must_use]
pub(crate) fn wrap(parts: &Parts, columns: usize, indent: usize) -> Vec<Parts> {
    let columns = columns.max(8);
    let indent = indent.min(columns / 2);
    let mut lines: Vec<Parts> = vec![Vec::new()];
    let mut used = 0;
    for (role, text) in parts {
        for word in text.split_inclusive(' ') {
            for piece in pieces(word, columns - indent) {
                let bare = width(piece.trim_end_matches(' '));
                if used + bare > columns && used > indent {
                    lines.push(vec![(Role::Plain, " ".repeat(indent))]);
                    used = indent;
                }
                used += width(&piece);
                if let Some(line) = lines.last_mut() {
                    line.push((*role, piece));
                }
            }
        }
    }
    lines
        .iter_mut()
        .filter_map(|line| line.last_mut())
        .for_each(|part| part.1.truncate(part.1.trim_end_matches(' ').len()));
    lines
}

/// A word in pieces that fit a line.
fn pieces(word: &str, columns: usize) -> Vec<String> {
    let (mut pieces, mut piece, mut used) = (Vec::new(), String::new(), 0);
    for c in word.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide > columns && c != ' ' {
            pieces.push(std::mem::take(&mut piece));
            used = 0;
        }
        piece.push(c);
        used += wide;
    }
    pieces.push(piece);
    pieces
}

/// Bars of eight heights, the newest to the right; a dot is none at all.
#[must_use]
pub(crate) fn spark(values: impl ExactSizeIterator<Item = u64>, columns: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let skip = values.len().saturating_sub(columns);
    let shown: Vec<u64> = values.skip(skip).collect();
    let most = shown.iter().copied().max().unwrap_or(0).max(1);
    let bar = |value: &u64| match value {
        0 => '·',
        value => BARS[((*value as f64 / most as f64) * 7.0).round() as usize & 7],
    };
    " ".repeat(columns - shown.len()) + &shown.iter().map(bar).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(
            (width("日本"), cut("日本語", 5), cut("日本語", 4), cut("abc", 0)),
            (4, "日本…".into(), "日…".into(), String::new())
        );
        assert_eq!((pad("日", 4), pad_left("7", 3)), ("日  ".into(), "  7".into()));
        assert_eq!(clean("a\x1b[2J\u{202e}\nb"), "a\\u{1b}[2J\\u{202e}\\nb");
        assert_eq!(clean("e\u{301}\u{301}\u{301}"), "e\u{301}\u{301}\\u{301}");
    }

    #[test]
    fn lines_break_between_words() {
        let lines = wrap(&vec![(Role::Plain, "one two three four".to_owned())], 10, 2);
        let lines: Vec<String> = lines.iter().map(|line| line.iter().map(|part| part.1.as_str()).collect()).collect();
        assert_eq!(lines, ["one two", "  three", "  four"]);
    }

    #[test]
    fn bars_are_as_high_as_their_values() {
        assert_eq!(spark([0, 1, 50, 100].into_iter(), 6), "  ·▁▅█");
        assert_eq!(spark([9, 9, u64::MAX].into_iter(), 2), "▁█");
    }

    proptest! {
        #[test]
        fn what_is_cut_padded_and_wrapped_fits(text in "\\PC*", columns in 8usize..60) {
            let text = clean(&text);
            prop_assert!(width(&cut(&text, columns)) <= columns);
            prop_assert_eq!(width(&pad(&text, columns)), columns);
            for line in wrap(&vec![(Role::Plain, text)], columns, 2) {
                let line: String = line.into_iter().map(|part| part.1).collect();
                prop_assert!(width(line.trim_end_matches(' ')) <= columns, "{:?}", line);
            }
        }
    }
}
