//! Errors in words, and the words that all that is shown shares.

pub(crate) use terminal::{Role, inline, mark, one_in, plural, thousands, visible};

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
