//! The lists of commands that tests share.

/// A command line as words; an argument that starts with a quote goes to the next one, as it is.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '\'' | '"' => rest[1..].split_once(first).expect("quotes come in pairs"),
            _ => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// A command with a secret in it.
#[derive(Debug)]
pub(crate) struct Planted {
    pub(crate) family: String,
    pub(crate) args: Vec<String>,
    /// The secret, or as much of it as the command holds; a public prefix is no part of it.
    pub(crate) secret: String,
}

impl Planted {
    /// A piece of the secret, 8 bytes or all of it, that is in one of these strings.
    pub(crate) fn piece_in<'a>(&self, mut texts: impl Iterator<Item = &'a str>) -> Option<String> {
        let size = self.secret.len().min(8);
        let pieces: Vec<&str> = (0..=self.secret.len() - size).map(|at| &self.secret[at..at + size]).collect();
        texts.find_map(|text| pieces.iter().find(|piece| text.contains(**piece)).map(|piece| (*piece).to_owned()))
    }
}

/// The commands of `secrets.txt`.
pub(crate) fn planted() -> Vec<Planted> {
    let (mut family, mut prefix, mut secret) = ("", "", "");
    let mut all = Vec::new();
    for line in include_str!("../secrets.txt").lines().skip_while(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix("# ") {
            family = name;
        } else if let Some(value) = line.strip_prefix("= ") {
            (prefix, secret) = value.split_once('|').unwrap_or(("", value));
        } else if !line.is_empty() {
            let (whole, half) = (format!("{prefix}{secret}"), &secret[..secret.len() / 2]);
            let cut = format!("{prefix}{half}");
            let put = |word: String| {
                let word = word.replace("@@", "\u{1}\u{2}").replace("@5", &cut).replace('@', &whole);
                word.replace('\u{1}', &whole).replace('\u{2}', "@")
            };
            let kept = if line.contains("@5") { half } else { secret };
            let args = words(line).into_iter().map(put).collect();
            all.push(Planted { family: family.to_owned(), args, secret: kept.to_owned() });
        }
    }
    all
}
