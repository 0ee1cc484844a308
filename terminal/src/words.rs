//! Numbers and captured values as people read them.

use model::explain::thousands;

use crate::colour;

/// `1 in 4.19 million` from log2 of N: three digits, nobody knows more.
#[must_use]
pub fn one_in(log2_n: f32) -> String {
    let n = f64::from(log2_n).exp2();
    if n >= 1e15 {
        return format!("1 in 10^{}", n.log10().floor());
    }
    const SCALES: [(f64, &str); 3] = [(1e12, " trillion"), (1e9, " billion"), (1e6, " million")];
    // What rounds to a million is one.
    let n = three_digits(n);
    match SCALES.iter().find(|(scale, _)| n >= *scale) {
        Some((scale, name)) => format!("1 in {}{name}", (n / scale * 100.0).round() / 100.0),
        None => format!("1 in {}", thousands(n as u64)),
    }
}

fn three_digits(n: f64) -> f64 {
    let unit = 10f64.powf((n.max(1.0).log10().floor() - 2.0).max(0.0));
    (n / unit).round() * unit
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

/// A value of a reason, or what it is given, as people read it: `exe_place=memory only (memfd)` of `exe_place=memfd:`. JSON has
/// values as they are.
#[must_use]
pub fn told(value: &str) -> String {
    let one = |pair: &str| match pair {
        "exe_place=memfd:" => "exe_place=memory only (memfd)".to_owned(),
        pair => pair.to_owned(),
    };
    value.split(", ").map(one).collect::<Vec<_>>().join(", ")
}

/// The text with hidden characters made visible, and cut to `longest` characters.
#[must_use]
pub fn printable(text: &str, longest: usize) -> String {
    let mut out = String::with_capacity(text.len().min(longest.saturating_mul(4)));
    for (at, c) in text.chars().enumerate() {
        if at == longest {
            out.push('…');
            break;
        }
        if is_hidden(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
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
        assert_eq!(one_in(10.0), "1 in 1,020");
        assert_eq!(one_in(9.0), "1 in 512");
        assert_eq!(one_in(16.0), "1 in 65,500");
        assert_eq!(one_in(22.0), "1 in 4.19 million");
        assert_eq!(one_in(25.0), "1 in 33.6 million");
        assert_eq!(one_in(999_990f32.log2()), "1 in 1 million");
        assert_eq!(one_in(60.0), "1 in 10^18");
        assert_eq!(plural(1, "row", "rows"), "1 row");
        assert_eq!(["0 B", "1.5 KiB", "2.0 MiB"], [0, 1536, 2 << 20].map(bytes).each_ref().map(String::as_str));
        assert_eq!(bytes(5 << 30), "5.0 GiB");
        assert_eq!([0.254, 5.0, 1123.5].map(expected), ["0.25", "5.0", "1,124"].map(str::to_owned));
        let durations = [59.9, 60.0, 3725.0, 90_000.0, -1.0, f64::NAN].map(duration);
        assert_eq!(durations, ["59 s", "1 min 0 s", "1 h 2 min", "1 d 1 h", "0 s", "0 s"].map(str::to_owned));
    }

    #[test]
    fn a_place_in_memory_is_said_and_others_stay() {
        assert_eq!(told("exe_place=memfd:"), "exe_place=memory only (memfd)");
        assert_eq!(told("user=0, exe_place=memfd:"), "user=0, exe_place=memory only (memfd)");
        for value in ["exe_place=memfd:x", "exe=memfd:a, user=33", ""] {
            assert_eq!(told(value), value);
        }
    }

    #[test]
    fn nothing_captured_commands_a_terminal() {
        assert_eq!(printable("a\x1b[2Jb", 99), "a\\u{1b}[2Jb");
        assert_eq!(printable("abc", 2), "ab…");
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
