//! Numbers and captured values as people read them.

use model::explain::thousands;

use crate::colour;

/// `1 in 4.2 million` from log2 of N.
#[must_use]
pub fn one_in(log2_n: f32) -> String {
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
#[must_use]
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(n), if n == 1 { one } else { many })
}

/// How many a day are expected: `0.25`, `5.0`, `1,124`.
#[must_use]
pub fn expected(per_day: f64) -> String {
    match per_day {
        n if n < 1.0 => format!("{n:.2}"),
        n if n < 100.0 => format!("{n:.1}"),
        n => thousands(n.round() as u64),
    }
}

/// `12.0 MiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..0x10_0000 => format!("{:.1} KiB", count as f64 / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", count as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", count as f64 / 1_073_741_824.0),
    }
}

/// `3 min 20 s`: the two largest units.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let whole = seconds as u64;
    let (days, hours, minutes, seconds) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {seconds} s"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Whether a character could change what a terminal shows of the others: control characters, and those that are
/// invisible or turn the direction of writing. Our own marks of colour are among them.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    let invisible = matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    );
    c.is_control() || invisible || colour::is_mark(c)
}

/// Text for a terminal: what was captured, file names included, can hold anything. Line ends and marks stay.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && is_hidden(c) && !colour::is_mark(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// A captured value within a line: its line ends do not end ours, and it colours nothing.
#[must_use]
pub fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            c if is_hidden(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Long paths without their middle: `/srv/…/bin/httpd`. JSON has them whole.
#[must_use]
pub fn shorten(text: &str) -> String {
    text.split_inclusive([' ', '=', ','])
        .map(|word| {
            let parts: Vec<&str> = word.split('/').collect();
            match parts.as_slice() {
                ["", first, .., parent, leaf] if parts.len() > 4 => format!("/{first}/…/{parent}/{leaf}"),
                _ => word.to_owned(),
            }
        })
        .collect()
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
        assert_eq!(plural(1, "row", "rows"), "1 row");
        assert_eq!(["0 B", "1.5 KiB", "2.0 MiB"], [0, 1536, 2 << 20].map(bytes).each_ref().map(String::as_str));
        assert_eq!(bytes(5 << 30), "5.0 GiB");
        assert_eq!([0.254, 5.0, 1123.5].map(expected), ["0.25", "5.0", "1,124"].map(str::to_owned));
        let durations = [59.9, 60.0, 3725.0, 90_000.0, -1.0, f64::NAN].map(duration);
        assert_eq!(durations, ["59 s", "1 min 0 s", "1 h 2 min", "1 d 1 h", "0 s", "0 s"].map(str::to_owned));
    }

    #[test]
    fn nothing_captured_commands_a_terminal() {
        assert_eq!(visible("a\nb\x1b[2J"), "a\nb\\u{1b}[2J");
        assert_eq!(inline("a\nb\x1b[2J"), "a\\nb\\u{1b}[2J");
        assert_eq!(inline("\u{fdd1}a"), "\\u{fdd1}a");
        for c in ['\u{ad}', '\u{61c}', '\u{180e}', '\u{2028}', '\u{2029}', '\u{fffa}', '\u{e0041}'] {
            assert!(is_hidden(c), "{c:?}");
        }
        assert!(!is_hidden('é') && !is_hidden('…') && !is_hidden('‧'));
    }

    #[test]
    fn long_paths_lose_their_middle() {
        assert_eq!(shorten("exe=/a/b/c/d/e given x=/usr/bin/cut"), "exe=/a/…/d/e given x=/usr/bin/cut");
        assert_eq!(shorten("/a/b/c /"), "/a/b/c /");
    }
}
