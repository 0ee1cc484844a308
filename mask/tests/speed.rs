//! What masking costs. `cargo test -p ebbline-mask --test speed -- --ignored --nocapture`

#[allow(dead_code)]
mod corpus;

use ebbline_mask::Masker;
use std::{hint::black_box, time::Instant};

fn cost(name: &str, lists: &[Vec<u8>]) {
    let masker = Masker::default();
    let rounds = 2_000 / lists.len() + 1;
    let start = Instant::now();
    for list in (0..rounds).flat_map(|_| lists) {
        black_box(masker.list(black_box(list)));
    }
    let (lists, bytes) = (rounds * lists.len(), rounds * lists.iter().map(Vec::len).sum::<usize>());
    println!("{name}: {} ns a list of {} bytes", start.elapsed().as_nanos() as usize / lists, bytes / lists);
}

#[test]
#[ignore = "a measurement"]
fn nanoseconds_a_list() {
    let join = |args: &[String]| args.iter().flat_map(|arg| [arg.as_bytes(), &[0]].concat()).collect::<Vec<u8>>();
    let ordinary: Vec<_> = include_str!("ordinary.txt").lines().map(|line| join(&corpus::words(line))).collect();
    cost("ordinary", &ordinary);
    cost("planted", &corpus::planted().iter().map(|planted| join(&planted.args)).collect::<Vec<_>>());
    cost("plain, as long as can be", &[b"x".repeat(4095)]);
    for piece in
        ["--password=a ", "token: ", "eyJ ", "=", "://a:", "\"", "'a'=", "-----BEGIN PRIVATE KEY-----", "secret=\\\""]
    {
        cost(&format!("full of {piece:?}"), &[piece.repeat(4095 / piece.len()).into_bytes()]);
    }
    cost("one mark, then words", &[[b"sh\0-c\0mysql token ".to_vec(), b"a b ".repeat(1000)].concat()]);
}
