//! Planted secrets are hidden, and what tells of them stays.

mod corpus;

use ebbline_mask::{HIDDEN, Masker};
use std::collections::BTreeMap;

#[test]
fn no_planted_secret_is_left() {
    let masker = Masker::default();
    let mut families: BTreeMap<String, usize> = BTreeMap::new();
    let mut left = Vec::new();
    for planted in corpus::planted() {
        let mut after = planted.args.clone();
        let hidden = masker.arguments(&mut after);
        *families.entry(planted.family.clone()).or_default() += 1;
        let rest: String = after.concat().replace(HIDDEN, "");
        let tells = rest.len() > after[0].len() && after.concat().contains(HIDDEN);
        match planted.piece_in(after.iter().map(String::as_str)) {
            None if hidden && tells => {}
            piece => left.push(format!("{}: {piece:?} in {after:?}", planted.family)),
        }
    }
    println!("{} commands, {} families: {families:?}", families.values().sum::<usize>(), families.len());
    assert!(left.is_empty(), "{}", left.join("\n"));
    assert!(families.len() >= 12 && families.values().all(|&commands| commands >= 5), "{families:?}");
}

#[test]
fn a_secret_is_hidden_wherever_the_list_is_cut() {
    let masker = Masker::default();
    let mut left = Vec::new();
    for planted in corpus::planted() {
        let joined: String = planted.args.iter().flat_map(|argument| [argument, "\0"]).collect();
        let Some(start) = joined.find(&planted.secret) else { continue };
        for cut in start + 8..=start + planted.secret.len() {
            if !joined.is_char_boundary(cut) {
                continue;
            }
            let list = masker.list(&joined.as_bytes()[..cut]).unwrap_or_else(|| vec![joined[..cut].to_owned()]);
            if let Some(piece) = planted.piece_in(list.iter().map(String::as_str)) {
                left.push(format!("{}: {piece:?} of {:?} in {list:?}", planted.family, &joined[..cut]));
                break;
            }
        }
    }
    assert!(left.is_empty(), "{}", left.join("\n"));
}
