//! Addresses of the web: what is asked for, without what differs from request to request.

use super::mask::{cut, identifiers, identifiers_and_addresses};
use super::{Part, domain, extension};

/// Components of a path that are kept.
const PATH_PARTS: usize = 8;
/// Parameters that are kept.
const MAX_NAMES: usize = 16;
/// Bytes kept of a component, and of the name of a parameter.
const WORD_BYTES: usize = 40;

/// The part of a URL; what it lacks is empty.
pub(super) fn apply(part: Part, text: &str) -> String {
    let url = Url::of(text);
    match part {
        Part::Scheme => url.scheme,
        Part::Host => domain::apply(Part::Whole, url.host),
        Part::Site => domain::apply(Part::Registered, url.host),
        Part::Port => url.port().to_owned(),
        Part::Path => path(url.path),
        Part::Query => names(url.query),
        Part::Extension => extension(url.path.rsplit('/').next().unwrap_or("")),
        _ => url.shape(),
    }
}

struct Url<'a> {
    scheme: String,
    host: &'a str,
    port: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Url<'a> {
    /// `scheme://user@host:port/path?query#fragment`, of which only the path or the host may be there. A `scheme:` without
    /// slashes has a path alone, unless a port follows: `host:443` is no scheme.
    fn of(text: &'a str) -> Self {
        let text = text.trim();
        let text = text.split('#').next().unwrap_or(text);
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) && !is_port(rest) => (scheme, rest),
            _ => ("", text),
        };
        let opaque = !scheme.is_empty() && !rest.starts_with("//");
        let slashes = rest.strip_prefix("//");
        let (authority, rest) = match slashes {
            None if opaque || rest.starts_with(['/', '?']) => ("", rest),
            _ => {
                let rest = slashes.unwrap_or(rest);
                rest.split_at(rest.find(['/', '?', '\\']).unwrap_or(rest.len()))
            }
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let host = authority.rsplit('@').next().unwrap_or(authority);
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, port),
            _ => (host, ""),
        };
        Self { scheme: cut(scheme, WORD_BYTES).to_ascii_lowercase(), host, port, path, query }
    }

    /// As it is given, else that of the scheme.
    fn port(&self) -> &str {
        match self.scheme.as_str() {
            _ if !self.port.is_empty() => cut(self.port, 5),
            "http" | "ws" => "80",
            "https" | "wss" => "443",
            "ftp" => "21",
            _ => "",
        }
    }

    fn shape(&self) -> String {
        let scheme = match self.scheme.as_str() {
            "" => String::new(),
            scheme if self.host.is_empty() => format!("{scheme}:"),
            scheme => format!("{scheme}://"),
        };
        let query = names(self.query);
        let query = if query.is_empty() { query } else { format!("?{query}") };
        format!("{scheme}{}{}{query}", domain::apply(Part::Whole, self.host), path(self.path))
    }
}

fn is_scheme(text: &str) -> bool {
    let rest = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(rest)
}

fn is_port(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && matches!(text.as_bytes().get(digits), None | Some(b'/' | b'?'))
}

/// The first components, each masked and cut; `…` for those left out.
fn path(path: &str) -> String {
    let mut parts = path.split('/');
    let mut out: Vec<String> = parts.by_ref().take(PATH_PARTS + 1).map(|part| word(part, true)).collect();
    if parts.next().is_some() {
        out.push("…".to_owned());
    }
    out.join("/")
}

/// The sorted set of the parameters' names.
fn names(query: &str) -> String {
    let name = |parameter: &str| word(parameter.split('=').next().unwrap_or(parameter), false);
    let mut names: Vec<String> = query.split(['&', ';']).filter(|p| !p.is_empty()).map(name).collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(MAX_NAMES);
    names.join("&")
}

/// Masked and cut, runs of percent-encoded bytes as one `%`.
fn word(text: &str, addresses: bool) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        let escapes = rest.as_bytes()[at..].chunks(3).take_while(|c| matches!(c, [b'%', a, b] if hex(*a) && hex(*b)));
        let escaped = 3 * escapes.count();
        plain.push('%');
        rest = &rest[at + escaped.max(1)..];
    }
    plain.push_str(rest);
    let masked = if addresses { identifiers_and_addresses(&plain) } else { identifiers(&plain) };
    cut(&masked, WORD_BYTES).to_owned()
}

fn hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Part; 8] =
        [Part::Shape, Part::Scheme, Part::Host, Part::Site, Part::Port, Part::Path, Part::Query, Part::Extension];

    #[test]
    fn a_whole_one() {
        let url = "HTTPS://ada:secret@WWW.Example.co.uk:8443/api/v2/users/6f9619ff-8b86-d011-b42d-00cf4fc964ff/a%20b.JSON?page=7&id=x&id=y#top";
        let parts = ALL.map(|part| apply(part, url));
        assert_eq!(parts[0], "https://www.example.co.uk/api/vN/users/N/a%b.JSON?id&page");
        assert_eq!(parts[1..5], ["https", "www.example.co.uk", "example.co.uk", "8443"]);
        assert_eq!(parts[5..], ["/api/vN/users/N/a%b.JSON", "id&page", "json"]);
    }

    #[test]
    fn those_that_lack_something() {
        let shape = |url| apply(Part::Shape, url);
        assert_eq!(shape("example.com:443"), "example.com");
        assert_eq!(apply(Part::Port, "example.com:443"), "443");
        assert_eq!(shape("/index.html?x"), "/index.html?x");
        assert_eq!(shape("//cdn.example.com/a"), "cdn.example.com/a");
        assert_eq!(shape("http://[2001:db8::1]:80/x"), "http://2001:db8::1/x");
        assert_eq!(shape("http://192.0.2.1/10.0.0.1/x"), "http://192.0.2.1/A/x");
        assert_eq!(shape("mailto:ada@example.com"), "mailto:ada@example.com");
        assert_eq!(ALL.map(|part| apply(part, "")), [""; 8]);
        assert_eq!(apply(Part::Port, "http://example.com/"), "80");
        assert_eq!(apply(Part::Extension, "http://example.com/a.tar.gz?b.exe"), "gz");
    }

    #[test]
    fn long_ones_are_cut() {
        let long = format!("http://example.com/{}?{}", "part/".repeat(50), "name=1&".repeat(50));
        assert_eq!(apply(Part::Path, &long), format!("/{}…", "part/".repeat(8)));
        let many: String = (b'a'..=b'z').map(|b| format!("{}=1&", b as char)).collect();
        assert_eq!(apply(Part::Query, &format!("/?{many}")).split('&').count(), MAX_NAMES);
        assert_eq!(apply(Part::Path, "/dGhpcyBpcyBhIHRva2Vu0aXM5MjM0/getAccountBalance"), "/N/getAccountBalance");
    }
}
