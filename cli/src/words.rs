//! Numbers in words.

pub(crate) use model::explain::thousands;

/// `1 in 4.2 million` from log2 of N.
pub(crate) fn one_in(log2_n: f32) -> String {
    let n = f64::from(log2_n).exp2();
    const SCALES: [(f64, &str); 5] =
        [(1e15, " quadrillion"), (1e12, " trillion"), (1e9, " billion"), (1e6, " million"), (1e4, "")];
    match SCALES.iter().find(|(scale, _)| n >= *scale) {
        Some((scale, name)) if !name.is_empty() => format!("1 in {}{name}", round(n / scale)),
        _ => format!("1 in {}", thousands(n.round() as u64)),
    }
}

fn round(n: f64) -> String {
    if n < 10.0 { format!("{n:.1}") } else { thousands(n.round() as u64) }
}

/// `1 file`, `2 files`.
pub(crate) fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(n), if n == 1 { one } else { many })
}

/// An error and its causes, without those that the text before already says.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| {
        if text.is_empty() {
            cause
        } else if text.contains(&cause) {
            text
        } else {
            format!("{text}: {cause}")
        }
    })
}

/// Whatever a library said, on one line.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text for a terminal: what was captured, file names included, can hold anything. Line ends stay.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && archive::is_hidden(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// A captured value within a line: its line ends do not end ours.
pub(crate) fn inline(text: &str) -> String {
    visible(text).replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(one_in(0.0), "1 in 1");
        assert_eq!(one_in(10.0), "1 in 1,024");
        assert_eq!(one_in(16.0), "1 in 65,536");
        assert_eq!(one_in(22.0), "1 in 4.2 million");
        assert_eq!(one_in(25.0), "1 in 34 million");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(visible("a\nb\x1b[2J"), "a\nb\\u{1b}[2J");
        assert_eq!(inline("a\nb\x1b[2J"), "a\\nb\\u{1b}[2J");
        assert_eq!(plural(1, "row", "rows"), "1 row");
    }
}
