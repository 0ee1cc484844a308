//! How to speak to a receiver.

use std::path::Path;
use std::time::Duration;

use crate::error::HandoverError;

/// A header that is sent with each message to a webhook.
#[derive(Clone)]
pub struct Header {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Times, and what a webhook asks for.
#[derive(Clone)]
pub struct Settings {
    /// How long a receiver may take.
    pub timeout: Duration,
    /// A message that cannot be handed over for so long goes to the dead letters.
    pub give_up_after: Duration,
    /// Attempts that may fail in a row before it is left for the next run.
    pub attempts: u32,
    /// Headers for a webhook.
    pub headers: Vec<Header>,
    /// Key of the signature of bodies.
    pub key: Option<Vec<u8>>,
}

impl Default for Settings {
    fn default() -> Self {
        let (timeout, give_up_after) = (Duration::from_secs(30), Duration::from_secs(86_400));
        Self { timeout, give_up_after, attempts: 5, headers: Vec::new(), key: None }
    }
}

impl Settings {
    /// Takes headers from a file: a line `NAME: VALUE` each; blank lines and those that begin with `#` are passed over.
    ///
    /// # Errors
    /// [`HandoverError::Read`], or [`HandoverError::Setting`] with the number of a line that is no header; its text is not told.
    pub fn read_headers(&mut self, path: &Path) -> Result<(), HandoverError> {
        let text = std::fs::read_to_string(path).map_err(|error| HandoverError::read(path, &error))?;
        self.take_headers(path, &text)
    }

    /// The same of a text, which errors call by a name.
    ///
    /// # Errors
    /// [`HandoverError::Setting`].
    pub fn take_headers(&mut self, name: &Path, text: &str) -> Result<(), HandoverError> {
        for (line, number) in text.lines().zip(1..) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let header = header(line).ok_or_else(|| HandoverError::Setting {
                path: name.into(),
                why: format!("line {number} is no header; write NAME: VALUE"),
            })?;
            self.headers.push(header);
        }
        Ok(())
    }

    /// Takes the key of the signature from a file, without the line end behind it.
    ///
    /// # Errors
    /// [`HandoverError::Read`], or [`HandoverError::Setting`] if there is none in it.
    pub fn read_key(&mut self, path: &Path) -> Result<(), HandoverError> {
        let mut key = std::fs::read(path).map_err(|error| HandoverError::read(path, &error))?;
        while key.last().is_some_and(|last| matches!(last, b'\n' | b'\r')) {
            key.pop();
        }
        if key.len() < KEY_BYTES {
            let why = format!("a key has {KEY_BYTES} bytes at least; `openssl rand -hex 32` makes one");
            return Err(HandoverError::Setting { path: path.into(), why });
        }
        self.key = Some(key);
        Ok(())
    }
}

/// Shorter keys can be guessed.
const KEY_BYTES: usize = 16;

fn header(line: &str) -> Option<Header> {
    let (name, value) = line.split_once(':')?;
    let (name, value) = (name.trim(), value.trim());
    reqwest::header::HeaderName::try_from(name).ok()?;
    reqwest::header::HeaderValue::try_from(value).ok()?;
    Some(Header { name: name.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_lines_and_no_error_tells_their_text() {
        let mut settings = Settings::default();
        let name = Path::new("headers");
        settings.take_headers(name, "# a token\nAuthorization: Bearer hunter2\n\nX-Room:7\n").unwrap();
        let headers: Vec<_> = settings.headers.iter().map(|h| (h.name.as_str(), h.value.as_str())).collect();
        assert_eq!(headers, [("Authorization", "Bearer hunter2"), ("X-Room", "7")]);
        for bad in ["hunter2", "a b: hunter2", "A: hunter2\u{7f}"] {
            let error = settings.take_headers(name, &format!("A: b\n{bad}")).unwrap_err().to_string();
            assert_eq!(error, "cannot use: headers: line 2 is no header; write NAME: VALUE");
        }
    }

    #[test]
    fn a_key_is_no_word() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let mut settings = Settings::default();
        std::fs::write(&path, "hunter2\n").unwrap();
        let error = settings.read_key(&path).unwrap_err().to_string();
        assert!(error.contains("16 bytes at least") && !error.contains("hunter2"), "{error}");
        std::fs::write(&path, "0123456789abcdef\r\n").unwrap();
        settings.read_key(&path).unwrap();
        assert_eq!(settings.key.as_deref(), Some(&b"0123456789abcdef"[..]));
    }
}
