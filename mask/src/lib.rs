//! Hides secrets in argument lists before anything leaves the process.

use regex::Regex;
use std::borrow::Cow;

/// What stands for a secret.
pub const HIDDEN: &str = "***";

/// Finds and hides secrets.
#[derive(Debug)]
pub struct Masker {
    option: Regex,
}

impl Default for Masker {
    #[allow(clippy::expect_used)]
    fn default() -> Self {
        Self { option: Regex::new("(?i)(pass(?:word|wd)=)(.+)").expect("a constant pattern") }
    }
}

impl Masker {
    /// Looks at a list as the kernel keeps it, each argument ended by a zero byte. `None` if there is nothing to hide;
    /// otherwise the list with its secrets hidden. Bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn list(&self, joined: &[u8]) -> Option<Vec<String>> {
        let whole = joined.strip_suffix(&[0]).unwrap_or(joined);
        let mut list: Vec<String> =
            whole.split(|&byte| byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect();
        self.arguments(&mut list).then_some(list)
    }

    /// Hides the secrets in a list of arguments, the first of which names the program. Says whether there were any.
    pub fn arguments(&self, list: &mut [String]) -> bool {
        let mut hidden = false;
        for argument in list {
            if let Cow::Owned(masked) = self.text(argument) {
                hidden |= masked != *argument;
                *argument = masked;
            }
        }
        hidden
    }

    /// Hides the secrets in a single string, as a URL.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.option.replace_all(text, "${1}***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_as_the_kernel_keeps_it() {
        let masker = Masker::default();
        assert_eq!(masker.list(b"ls\0-l\0"), None);
        assert_eq!(masker.list(b"x\0--password=fake\0").unwrap(), ["x", "--password=***"]);
    }
}
