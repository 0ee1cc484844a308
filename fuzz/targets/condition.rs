//! Conditions of `--where`: any text is one, or an error with its place; what is one is written so that it is read as the same.
#![no_main]

// Its room brings shaders and drivers along, of which nothing is fuzzed here.
#[path = "../../archive/src/condition.rs"]
#[allow(dead_code, missing_docs)]
mod condition;

use condition::Condition;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match text.parse::<Condition>() {
        Ok(condition) => {
            let written = condition.to_string();
            // A sign and a quote more for what may have been bare, and parentheses for levels.
            assert!(written.len() <= 16 * text.len() + 16, "{written}");
            assert_eq!(written.parse::<Condition>().as_ref(), Ok(&condition), "{written}");
            assert!(!condition.columns().is_empty(), "it asks for something");
        }
        Err(error) => {
            assert!((1..=text.chars().count() + 1).contains(&error.at), "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
});
