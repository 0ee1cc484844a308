//! Values with a name: `--password=…`, `TOKEN=…`, `"secret": "…"`, `?sig=…`, `Authorization: …`.

use crate::{
    edit::Spans,
    names::{Kind, kind},
    values::{Plain, quoted, unquoted},
};

/// Ways of proving who asks; they stay readable.
const SCHEMES: [&str; 10] =
    ["basic", "bearer", "token", "digest", "negotiate", "ntlm", "apikey", "key", "aws4-hmac-sha256", "hawk"];

/// What a text is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    /// An argument whose value, if it starts with a name, goes to its end.
    Argument,
    /// Commands for a shell.
    Script,
    /// For people: a commit message.
    Prose,
}

/// A name found before `=` or `:`.
struct Named<'a> {
    text: &'a str,
    plain: &'a Plain,
    of: Text,
    /// Where the name starts and the mark after it is.
    start: usize,
    mark: usize,
    /// The name ended with a quote of its own.
    in_quotes: bool,
    /// The quote that everything is in.
    inside: Option<u8>,
}

/// The values in a text whose names say that they are secret.
pub(crate) fn find(text: &str, of: Text, plain: &Plain, spans: &mut Spans) {
    let bytes = text.as_bytes();
    let (mut inside, mut at, mut done) = (None, 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            quote @ (b'"' | b'\'') => match inside {
                None => inside = Some(quote),
                Some(open) if open == quote => inside = None,
                Some(_) => {}
            },
            b'=' | b':' if at >= done => {
                let found = Named::before(text, plain, of, at, inside).and_then(|named| named.value());
                if let Some((start, end)) = found.filter(|&(start, end)| !plain.is(&text[start..end])) {
                    spans.push(start..end);
                    done = end;
                }
            }
            _ => {}
        }
        at += 1;
    }
}

fn of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)
}

impl<'a> Named<'a> {
    fn before(text: &'a str, plain: &'a Plain, of: Text, mark: usize, inside: Option<u8>) -> Option<Self> {
        let bytes = text.as_bytes();
        let back =
            |end: usize, fits: &dyn Fn(u8) -> bool| end - bytes[..end].iter().rev().take_while(|&&b| fits(b)).count();
        let mut end = back(mark, &|byte| byte == b' ');
        let quotes = back(end, &|byte| b"\"'\\]".contains(&byte));
        let in_quotes = quotes < end && bytes[quotes..end].iter().any(|byte| b"\"'".contains(byte));
        end = quotes;
        let start = back(end, &of_name);
        // The value of a variable is not there: `$TOKEN` = …
        let variable = start > 0 && bytes[start - 1] == b'$' || start > 1 && bytes[start - 2..start] == *b"${";
        (start < end && !variable).then_some(Self { text, plain, of, start, mark, in_quotes, inside })
    }

    /// Where the value is, if it is secret and to be found.
    fn value(&self) -> Option<(usize, usize)> {
        let bytes = self.text.as_bytes();
        let name = self.text[self.start..self.mark].trim_end_matches(['"', '\'', '\\', ']', ' ']);
        let of = kind(name).or_else(|| self.signature(name))?;
        let spaces = bytes[self.mark + 1..].iter().take_while(|&&byte| byte == b' ').count();
        let at = self.mark + 1 + spaces;
        if bytes[self.mark] == b'=' && bytes.get(self.mark + 1) == Some(&b'=') {
            return None;
        }
        if let Some((start, end)) = quoted(self.text, at).filter(|_| bytes.get(at).copied() != self.inside) {
            let whole = unquoted(self.text, at, self.inside);
            // More may follow right after the quote: a"b"c is one word, and all of it goes.
            if bytes[self.mark] == b'=' && spaces == 0 && whole > end + start - at {
                return Some((at, whole));
            }
            return Some((self.after_scheme(of, start, end), end));
        }
        let (start, end) = match bytes[self.mark] {
            b'=' if spaces == 0 && name.len() == self.mark - self.start => (at, self.end(at)),
            b'=' if spaces == 0 => (at, unquoted(self.text, at, self.inside)),
            b':' => (at, self.end_of_line(name, at, spaces)?),
            _ => return None,
        };
        let start = self.after_scheme(of, start, end);
        (start < end).then_some((start, end))
    }

    /// In a query, `sig` is a secret too.
    fn signature(&self, name: &str) -> Option<Kind> {
        let before = self.start.checked_sub(1).map(|at| self.text.as_bytes()[at]);
        let signs = ["sig", "signature", "x-amz-signature", "x-goog-signature"];
        let query = matches!(before, Some(b'?' | b'&' | b';' | b',' | b' '));
        (query && signs.iter().any(|sign| name.eq_ignore_ascii_case(sign))).then_some(Kind::Secret)
    }

    /// Where an unquoted value ends after `=`.
    fn end(&self, at: usize) -> usize {
        let before = self.start.checked_sub(1).map(|at| self.text.as_bytes()[at]);
        match before {
            None if self.of == Text::Argument => {
                // Of options in a list, as `credentials=FILE,uid=1000`, only the value counts if it is no secret.
                let end = unquoted(self.text, at, None);
                let listed = self.text[end..].starts_with(',') && self.plain.is(&self.text[at..end]);
                if listed { end } else { self.text.len() }
            }
            Some(byte) if self.inside == Some(byte) && self.of == Text::Script => self.end_of_quote(at),
            _ => unquoted(self.text, at, self.inside),
        }
    }

    fn end_of_quote(&self, at: usize) -> usize {
        let quote = self.inside.map_or('\n', char::from);
        self.text[at..].find(quote).map_or(self.text.len(), |end| at + end)
    }

    /// Where an unquoted value ends after `:`, a header or a line of YAML. Elsewhere a colon says little.
    fn end_of_line(&self, name: &str, at: usize, spaces: usize) -> Option<usize> {
        let header =
            name.contains('-') || kind(name) == Some(Kind::Authorization) || name.eq_ignore_ascii_case("cookie");
        if self.of == Text::Prose && !header || spaces == 0 && !header && !self.in_quotes {
            return None;
        }
        let before = self.text[..self.start].trim_end_matches(' ').bytes().next_back();
        let first = matches!(before, None | Some(b'\n' | b'"' | b'\'' | b'{' | b','));
        if !first && !header && !self.in_quotes {
            return None;
        }
        let rest = &self.text[at..];
        let ends = |c: char| c == '\n' || self.inside.is_some_and(|quote| c == char::from(quote));
        let line = rest.find(ends).map_or(self.text.len(), |end| at + end);
        let structured = matches!(before, Some(b'{' | b',')) || self.in_quotes;
        Some(if structured { unquoted(self.text, at, self.inside).min(line) } else { line })
    }

    /// Leaves out `Bearer` and the like.
    fn after_scheme(&self, of: Kind, start: usize, end: usize) -> usize {
        let value = &self.text[start..end];
        match value.split_once(' ') {
            Some((scheme, rest)) if of == Kind::Authorization && SCHEMES.contains(&&*scheme.to_ascii_lowercase()) => {
                end - rest.trim_start().len()
            }
            _ => start,
        }
    }
}
