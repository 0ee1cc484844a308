//! DNS messages, whole and cut.
#![no_main]

use parse::dns::{self, DnsError, MAX_ANSWER, MAX_ANSWERS};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let whole = dns::parse(bytes);
    if let Ok(message) = &whole {
        assert!(message.answers.len() <= MAX_ANSWERS.min(message.answer_count.into()));
        assert!(message.answers.iter().all(|answer| answer.len() <= MAX_ANSWER && printable(answer)));
        assert!(
            message
                .question
                .as_ref()
                .is_none_or(|question| question.name.len() <= 4 * 255 && printable(&question.name))
        );
    }
    // A copy that is cut never says more, and what it says of the question stands.
    let cut = dns::parse(&bytes[..bytes.len() - bytes.len() / 3]);
    match (whole, cut) {
        (Ok(whole), Ok(cut)) => {
            assert!(cut.question.is_none() || cut.question == whole.question);
            assert!(cut.answers.len() <= whole.answers.len());
        }
        (Ok(_), Err(error)) => assert_eq!(error, DnsError::Short),
        // A cut may hide what is wrong.
        (Err(_), _) => {}
    }
});

fn printable(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}
