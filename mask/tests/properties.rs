//! What holds for every input.

#[allow(dead_code)]
mod corpus;

use ebbline_mask::Masker;
use proptest::prelude::*;
use std::sync::LazyLock;

static MASKER: LazyLock<Masker> = LazyLock::new(Masker::default);

/// Pieces that rules look for, and pieces that they do not.
fn piece() -> impl Strategy<Value = String> {
    let marks = [
        "--password",
        "TOKEN",
        "=",
        ":",
        " ",
        "'",
        "\"",
        "\\",
        "***",
        "://",
        "@",
        "user",
        "-p",
        "mysql",
        "curl",
        "-u",
        "ghp_0123456789",
        "eyJhbGci",
        "-----BEGIN PRIVATE KEY-----",
        "-----END",
        "{\"secret\":\"",
        "Bearer ",
        "&",
        ";",
        "Authorization: ",
        "$X",
        "${",
        "}",
        "é",
        "\u{fffd}",
        "sig",
        "?",
        "sh",
        "-c",
        "\n",
        "identified by '",
        "login",
    ];
    prop_oneof![3 => proptest::sample::select(marks.to_vec()).prop_map(str::to_owned), 1 => ".{0,6}", 1 => "[a-z0-9]{1,9}"]
}

fn list() -> impl Strategy<Value = Vec<String>> {
    let argument = proptest::collection::vec(piece(), 0..10).prop_map(|pieces| pieces.concat());
    proptest::collection::vec(argument, 0..7)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn masking_twice_is_masking_once(list in list()) {
        let mut once = list.clone();
        let hidden = MASKER.arguments(&mut once);
        prop_assert_eq!(hidden, once != list);
        let mut twice = once.clone();
        prop_assert!(!MASKER.arguments(&mut twice), "{:?} became {:?}", once, twice);
        for (before, after) in list.iter().zip(&once) {
            prop_assert!(after.len() <= (2 * before.len() + 1).max(3), "{:?} became {:?}", before, after);
        }
    }

    #[test]
    fn a_text_too(text in proptest::collection::vec(piece(), 0..12)) {
        let text = text.concat();
        let once = MASKER.text(&text).into_owned();
        prop_assert_eq!(&MASKER.text(&once), &once);
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = MASKER.list(&bytes);
    }
}
