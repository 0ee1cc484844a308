//! Where incidents go.

use std::path::{Path, PathBuf};

use reqwest::Url;
use sha2::{Digest, Sha256};

use crate::error::HandoverError;
use crate::words::hex;

/// What can be named.
const FORMS: &str = "use https://HOST/PATH, syslog+tls://HOST, syslog+tcp://HOST, syslog+udp://HOST, syslog+unix:/dev/log, \
                     a file for JSON lines, - for standard output, or @FILE for a file that holds one of them";
/// Words in the names of query parameters whose values are secret.
const SECRET: [&str; 7] = ["key", "secret", "token", "password", "credential", "sig", "code"];
/// Digits of the name of a state.
const STATE_DIGITS: usize = 16;

/// What speaks there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Webhook(Url),
    Udp { host: String, port: u16 },
    Tcp { host: String, port: u16 },
    Tls { host: String, port: u16 },
    Unix(PathBuf),
    Lines(PathBuf),
    Output,
}

/// A receiver of incidents.
#[derive(Clone)]
pub struct Target {
    pub(crate) place: Place,
    shown: String,
    identity: String,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown) // the place may hold secrets
    }
}

impl Target {
    /// Reads what was given to `--to`; nothing is sent.
    ///
    /// # Errors
    /// [`HandoverError::Target`] if it is no target, [`HandoverError::Read`] for a file that cannot be read.
    pub fn parse(text: &str) -> Result<Self, HandoverError> {
        let Some(file) = text.strip_prefix('@') else { return Self::of(text) };
        let path = Path::new(file);
        let held = std::fs::read_to_string(path).map_err(|error| HandoverError::read(path, &error))?;
        // Whoever puts a URL into a file wants none of it shown but the host.
        let mut target = Self::of(held.trim()).map_err(|_| wrong(text, format!("it holds no target; {FORMS}")))?;
        if let Place::Webhook(url) = &target.place {
            target.shown = format!("{}/…", url.origin().ascii_serialization());
        }
        Ok(target)
    }

    fn of(text: &str) -> Result<Self, HandoverError> {
        let place = place(text).map_err(|why| wrong(text, format!("{why}; {FORMS}")))?;
        let (shown, identity) = match &place {
            Place::Webhook(url) => (shown(url), identity(url)),
            Place::Udp { host, port } => twice(format!("syslog+udp://{host}:{port}")),
            Place::Tcp { host, port } => twice(format!("syslog+tcp://{host}:{port}")),
            Place::Tls { host, port } => twice(format!("syslog+tls://{host}:{port}")),
            Place::Unix(path) => twice(format!("syslog+unix:{}", path.display())),
            Place::Lines(path) => {
                let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                (path.display().to_string(), whole.display().to_string())
            }
            Place::Output => twice("-".to_owned()),
        };
        Ok(Self { place, shown, identity })
    }

    /// As people see it: without password and query, of a URL from a file the host alone.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether it speaks HTTP.
    #[must_use]
    pub fn is_webhook(&self) -> bool {
        matches!(self.place, Place::Webhook(_))
    }

    /// Whether it is standard output.
    #[must_use]
    pub fn is_output(&self) -> bool {
        self.place == Place::Output
    }

    /// Whether what is sent can be read on the way.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let local = |host: &str| host == "localhost" || host.starts_with("127.") || matches!(host, "::1" | "[::1]");
        match &self.place {
            Place::Webhook(url) => url.scheme() == "http" && !url.host_str().is_some_and(local),
            Place::Udp { host, .. } | Place::Tcp { host, .. } => !local(host),
            _ => false,
        }
    }

    /// What its state is called: digits over where it is, and over which findings are handed over. No secret is in them.
    #[must_use]
    pub fn state_name(&self, baseline: Option<&str>) -> String {
        let whole = format!("{}\n{}", self.identity, baseline.unwrap_or("all"));
        hex(&Sha256::digest(whole))[..STATE_DIGITS].to_owned()
    }
}

fn twice(text: String) -> (String, String) {
    (text.clone(), text)
}

fn wrong(text: &str, why: String) -> HandoverError {
    // What was mistyped may hold a password all the same.
    let text = text.rsplit_once('@').map_or(text, |(before, after)| if before.is_empty() { text } else { after });
    HandoverError::Target { shown: text.split('?').next().unwrap_or_default().to_owned(), why }
}

fn place(text: &str) -> Result<Place, String> {
    if let Some(path) = text.strip_prefix("syslog+unix:") {
        let path = Path::new(path.strip_prefix("//").unwrap_or(path));
        let whole = path.is_absolute().then(|| Place::Unix(path.into()));
        return whole.ok_or_else(|| "the socket needs its whole path".to_owned());
    }
    match text.split_once("://").map(|(scheme, _)| scheme) {
        None if text.is_empty() => Err("it is empty".to_owned()),
        None if text == "-" => Ok(Place::Output),
        None if Path::new(text).is_dir() => Err("it is a folder, not a file".to_owned()),
        None if !has_folder(Path::new(text)) => Err("there is no such folder for a file".to_owned()),
        None => Ok(Place::Lines(text.into())),
        Some("http" | "https") => Url::parse(text).map(Place::Webhook).map_err(|error| error.to_string()),
        Some("syslog+udp") => host_and_port(text, 514).map(|(host, port)| Place::Udp { host, port }),
        Some("syslog+tcp") => host_and_port(text, 601).map(|(host, port)| Place::Tcp { host, port }),
        Some("syslog+tls") => host_and_port(text, 6514).map(|(host, port)| Place::Tls { host, port }),
        Some(_) => Err("a scheme that is not known".to_owned()),
    }
}

fn has_folder(file: &Path) -> bool {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.is_none_or(Path::is_dir)
}

fn host_and_port(text: &str, port: u16) -> Result<(String, u16), String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("there is no host in it")?;
    if !matches!(url.path(), "" | "/") || url.query().is_some() || !url.username().is_empty() {
        return Err("syslog takes a host and a port alone".to_owned());
    }
    Ok((host.to_owned(), url.port().unwrap_or(port)))
}

fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_password(None); // of a URL that can have none
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// Which receiver this is. Parameters belong to it, as they may choose a room, but not the values of secret ones: those change.
fn identity(url: &Url) -> String {
    let is_secret = |name: &str| SECRET.iter().any(|word| name.to_ascii_lowercase().contains(word));
    let mut whole = shown(url);
    for (name, value) in url.query_pairs() {
        let value = if is_secret(&name) { "" } else { &*value };
        whole += &format!("\n{name}={value}");
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> String {
        Target::parse(text).unwrap().state_name(None)
    }

    #[test]
    fn every_form_is_read() {
        for (text, shown) in [
            ("https://me:hunter2@hooks.example/in?sig=abc", "https://me@hooks.example/in"),
            ("syslog+tcp://logs", "syslog+tcp://logs:601"),
            ("syslog+udp://[::1]:5140", "syslog+udp://[::1]:5140"),
            ("syslog+tls://logs/", "syslog+tls://logs:6514"),
            ("syslog+unix:/dev/log", "syslog+unix:/dev/log"),
            ("incidents.jsonl", "incidents.jsonl"),
            ("-", "-"),
        ] {
            assert_eq!(Target::parse(text).unwrap().shown(), shown);
        }
    }

    #[test]
    fn what_is_no_target_is_one_line_without_secrets() {
        for text in [
            "",
            "ftp://x/y",
            "https://me:hunter2@",
            "syslog+tcp://",
            "syslog+tcp://a/b",
            "syslog+unix:log",
            "/tmp",
            "hooks.example/in",
        ] {
            let error = Target::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("no such target: ") && error.contains("use https://"), "{error}");
            assert!(error.lines().count() == 1 && !error.contains("hunter2"), "{error}");
        }
        assert!(Target::parse("@/nonexistent").unwrap_err().to_string().starts_with("cannot read: /nonexistent: "));
    }

    #[test]
    fn a_new_secret_is_the_same_receiver_and_another_room_is_another() {
        let of = |password: &str, room: &str, token: &str| {
            name(&format!("https://me:{password}@h/in?room={room}&access_token={token}"))
        };
        assert_eq!(of("a", "1", "x"), of("b", "1", "y"));
        assert_ne!(of("a", "1", "x"), of("a", "2", "x"));
        let target = Target::parse("-").unwrap();
        assert_ne!(target.state_name(None), target.state_name(Some("0123")));
    }

    #[test]
    fn of_a_url_in_a_file_the_host_alone_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        std::fs::write(&path, "https://hooks.example/services/T0/hunter2\n").unwrap();
        let target = Target::parse(&format!("@{}", path.display())).unwrap();
        assert_eq!(target.shown(), "https://hooks.example/…");
        std::fs::write(&path, "hunter2://").unwrap();
        assert!(!Target::parse(&format!("@{}", path.display())).unwrap_err().to_string().contains("hunter2"));
    }

    #[test]
    fn what_others_can_read_on_the_way_is_known() {
        for (text, open) in [
            ("http://127.0.0.1:1/x", false),
            ("http://hooks.example/x", true),
            ("https://hooks.example/x", false),
            ("syslog+udp://10.0.0.1", true),
            ("syslog+tls://10.0.0.1", false),
        ] {
            assert_eq!(Target::parse(text).unwrap().is_open(), open, "{text}");
        }
    }
}
