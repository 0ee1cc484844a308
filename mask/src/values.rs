//! Where a value ends, and whether it is plainly no secret.

use regex::Regex;

/// Forms of values that are no secrets, whatever the name says.
const PLAIN: &[(&str, &str)] = &[
    ("nothing, or hidden before", r"\*+|\W?"),
    ("a digit, a choice", r"(?i)[0-9]|true|false|yes|no|on|off|none|null|nil|prompt|ask|stdin|undefined|-"),
    ("a variable", r"\$+(?:[A-Z_][A-Z0-9_]*|[a-z_]+|[0-9@*#?])|%[A-Z_]+%|\$\{[^{}]*\}|\$\{\{[^{}]*\}\}|\{\{[^{}]*\}\}"),
    ("the output of a command", r"\$\(.*|`.*"),
    ("a placeholder", r"<[A-Za-z _-]+>|\.+|[xX]+|\[[A-Za-z_]+\]"),
    ("read from elsewhere", r"@.*|(?:file|fd|env|stdin|fileb):.*|(?:id|source|src|type)=.*"),
    (
        "a path",
        r"(?:~|\.{1,2})?/(?:etc|run|var|home|root|tmp|opt|usr|dev|proc|srv|mnt|app|data|secrets?|vault|config|sys)(?:/[\w.@-]+)*/?|(?:~|\.{1,2})/[\w./@-]*",
    ),
    ("a file", r"[\w./~-]{1,100}\.(?:txt|json|ya?ml|pem|key|crt|env|conf|ini|toml|gpg|tfvars|md|go|py|rs|js|ts)"),
    ("a look-up in code", r#"\\?["']?[A-Za-z_]+(?:\.[A-Za-z_]+)+[\[(].*"#),
];

/// Knows values that are plainly no secrets.
#[derive(Debug)]
pub(crate) struct Plain(Regex);

impl Plain {
    pub(crate) fn new() -> Self {
        let forms: Vec<String> = PLAIN.iter().map(|(_, form)| format!("(?:{form})")).collect();
        Self(crate::shapes::compile(&format!("^(?s:{})$", forms.join("|"))))
    }

    /// Whether a value is plainly no secret.
    pub(crate) fn is(&self, value: &str) -> bool {
        // The longest form is a path; what is longer is not looked at.
        let value = value.trim_matches(['"', '\'', '\\', ' ']);
        value.len() <= 512 && self.0.is_match(value) || value.is_empty()
    }
}

/// Where the content of a quoted value is, if a quote opens at a place: backslashes belong to the quote.
pub(crate) fn quoted(text: &str, at: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let slashes = bytes[at..].iter().take_while(|&&byte| byte == b'\\').count();
    let quote = *bytes.get(at + slashes)?;
    if !matches!(quote, b'"' | b'\'' | b'`') {
        return None;
    }
    let start = at + slashes + 1;
    let (mut end, mut run) = (start, 0);
    while end < bytes.len() {
        match bytes[end] {
            b'\\' => run += 1,
            // As many backslashes as the opening one has, or fewer: more of them are an escape inside.
            byte if byte == quote && run <= slashes => return Some((start, end - run)),
            _ => run = 0,
        }
        end += 1;
    }
    Some((start, end))
}

/// Where an unquoted value ends that may be followed by more: at white space, at the quote it is in, and at a mark
/// that is followed by another name or nothing.
pub(crate) fn unquoted(text: &str, at: usize, inside: Option<u8>) -> usize {
    let bytes = text.as_bytes();
    let (mut end, mut open) = (at, 0);
    while end < bytes.len() {
        match bytes[end] {
            byte if byte.is_ascii_whitespace() || inside == Some(byte) => break,
            b'\\' if inside.is_some() && bytes.get(end + 1).copied() == inside => break,
            b'\\' => end += 1,
            b'"' | b'\'' => end = quoted(text, end).map_or(end, |(_, close)| close),
            b'{' => open += 1,
            b'}' if open > 0 => open -= 1,
            b';' | b'&' | b',' | b'}' | b')' | b'|' | b'<' | b'>' | b']' | b'#' if stops(&bytes[end + 1..]) => break,
            _ => {}
        }
        end += 1;
    }
    end.min(bytes.len())
}

/// Whether what follows a mark is another name, another mark or nothing.
fn stops(rest: &[u8]) -> bool {
    let marks = b";&,}|<>])\"'#";
    match rest.first() {
        None => true,
        Some(byte) if byte.is_ascii_whitespace() || marks.contains(byte) => true,
        Some(_) => {
            let name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
            // As in a connection string, names may be of two words; longer ones than these are none.
            let long = rest.iter().take(40).take_while(|byte| name(byte) || **byte == b' ').count();
            long > 0 && rest.get(long) == Some(&b'=')
        }
    }
}
