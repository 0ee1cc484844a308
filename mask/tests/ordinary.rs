//! Ordinary commands stay as they are.

use ebbline_mask::Masker;

/// A command line as words; an argument in quotes is kept as it is.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '\'' | '"' => rest[1..].split_once(first).expect("quotes come in pairs"),
            _ => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

#[test]
fn ordinary_commands_stay() {
    let masker = Masker::default();
    let lines: Vec<&str> = include_str!("ordinary.txt").lines().collect();
    assert!(lines.len() >= 600);
    let mut changed = 0;
    for line in &lines {
        let before = words(line);
        let mut after = before.clone();
        let hidden = masker.arguments(&mut after);
        assert_eq!(hidden, before != after, "{line}");
        if hidden {
            changed += 1;
            println!("{line}\n    {after:?}");
        }
    }
    println!("{changed} of {} ordinary commands masked", lines.len());
    assert!(changed * 100 <= lines.len(), "{changed} of {}", lines.len());
}
