//! Passwords in URLs: `scheme://user:password@host`.

use crate::{edit::Spans, values::Plain};

/// A user name of this length with a digit in it, before `@` and without a password, is a token.
const TOKEN: usize = 20;

/// The passwords in the URLs of a text.
pub(crate) fn find(text: &str, plain: &Plain, spans: &mut Spans) {
    let mut from = 0;
    while let Some(at) = text[from..].find("://") {
        let start = from + at + 3;
        let rest = &text[start..];
        // Another URL may follow in the same word, as in a query.
        let word = rest.find("://").unwrap_or(rest.len());
        let word = rest[..word].find(|c: char| c.is_whitespace() || "\"'`<>".contains(c)).unwrap_or(word);
        if let Some((begin, end)) = password(&rest[..word], start + word == text.len())
            && !plain.is(&rest[begin..end])
        {
            spans.push(start + begin..start + end);
        }
        from = start;
    }
}

/// Where the password is in what follows `://`; `last` says that the text ends with it, maybe cut.
fn password(url: &str, last: bool) -> Option<(usize, usize)> {
    let host = url.find(['/', '?', '#']).unwrap_or(url.len());
    if let Some(at) = url[..host].rfind('@') {
        let user = &url[..at];
        return match user.find(':') {
            Some(colon) if colon + 1 < at => Some((colon + 1, at)),
            Some(colon) if colon >= TOKEN => Some((0, colon)),
            None if at >= TOKEN && user.bytes().any(|byte| byte.is_ascii_digit()) => Some((0, at)),
            _ => None,
        };
    }
    // No user, so far: a port, or a password with a slash in it, or one that was cut.
    let colon = url[..host].find(':').filter(|_| !url.starts_with('['))?;
    let port = &url[colon + 1..host];
    if port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match url[host..].find('@') {
        Some(at) => Some((colon + 1, host + at)),
        None if last && host == url.len() && port.bytes().all(|byte| byte != b'{' && byte != b'$') => {
            Some((colon + 1, host))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_urls() {
        assert_eq!(password("user:pw@host/x@y", true), Some((5, 7)));
        assert_eq!(password("user:p@w@host", false), Some((5, 8)));
        assert_eq!(password("user:p/w@host", false), Some((5, 8)));
        assert_eq!(password("user:cut-shor", true), Some((5, 13)));
        assert_eq!(password(":pw@host", false), Some((1, 3)));
        for url in ["host:80/a@b", "git@host:22/x", "host:8080", "[::1]:80", "host/a:b@c", "user:@host", "host:{port}"]
        {
            assert_eq!(password(url, true), None, "{url}");
        }
    }
}
