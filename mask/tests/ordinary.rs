//! Ordinary commands stay as they are.

#[allow(dead_code)]
mod corpus;

use ebbline_mask::Masker;

#[test]
fn ordinary_commands_stay() {
    let masker = Masker::default();
    let lines: Vec<&str> = include_str!("ordinary.txt").lines().collect();
    assert!(lines.len() >= 600);
    let mut changed = 0;
    for line in &lines {
        let before = corpus::words(line);
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
