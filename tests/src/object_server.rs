//! A store on the loopback interface that speaks as much of S3, Google Cloud Storage and Azure Blob Storage as reading needs,
//! over the files below a folder: GET with ranges and `If-Match`, HEAD, ListObjectsV2 in pages and List Blobs.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use crate::files_below;

/// Entries of a page of a listing.
const PAGE: usize = 5;

/// One request, as it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `HEAD`.
    pub method: String,
    /// Path below the bucket; empty for listings.
    pub key: String,
    /// First and last byte, if a range was asked for.
    pub range: Option<(usize, usize)>,
}

struct Shared {
    root: PathBuf,
    asked: Mutex<Vec<Request>>,
    stop: AtomicBool,
}

/// The store; its bucket is `archive`.
pub struct ObjectServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl ObjectServer {
    /// Serves the files below a folder.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { root: root.into(), asked: Mutex::default(), stop: AtomicBool::new(false) });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if own.stop.load(Relaxed) {
                    break;
                }
                let own = Arc::clone(&own);
                std::thread::spawn(move || own.answer(&stream));
            }
        });
        Self { address, shared }
    }

    /// What to pass to `ebbline` so that it finds the store.
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        let endpoint = format!("endpoint=http://{}", self.address);
        let options =
            [&endpoint, "allow_http=true", "access_key_id=a", "secret_access_key=b", "region=x", "timeout=10 seconds"];
        options.iter().flat_map(|option| ["--option".to_owned(), (*option).to_owned()]).collect()
    }

    /// The same as Google Cloud Storage has it.
    #[must_use]
    pub fn google_options(&self) -> Vec<String> {
        let account = format!(
            r#"service_account_key={{"gcs_base_url":"http://{}","disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}}"#,
            self.address
        );
        ["--option", &account, "--option", "allow_http=true"].map(str::to_owned).into()
    }

    /// The same as Azure Blob Storage has it.
    #[must_use]
    pub fn azure_options(&self) -> Vec<String> {
        let endpoint = format!("endpoint=http://{}", self.address);
        let options = [&endpoint, "allow_http=true", "account_name=a", "skip_signature=true"];
        options.iter().flat_map(|option| ["--option".to_owned(), (*option).to_owned()]).collect()
    }

    /// The URL of a file to whom knows nothing but HTTP.
    #[must_use]
    pub fn http(&self, key: &str) -> String {
        format!("http://{}/archive/{key}", self.address)
    }

    /// Every request so far.
    ///
    /// # Panics
    /// When an answer panicked.
    #[must_use]
    pub fn asked(&self) -> Vec<Request> {
        self.shared.asked.lock().expect("no answer panicked").clone()
    }
}

impl Drop for ObjectServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn answer(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let headers: Vec<(String, String)> = reader
            .lines()
            .map_while(|line| Some(line.ok()?.split_once(": ").map(|(k, v)| (k.to_lowercase(), v.to_owned()))))
            .map_while(|header| header)
            .collect();
        let header = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let key = plain(path).trim_start_matches("/archive").trim_matches('/').to_owned();
        let range = header("range").and_then(|range| {
            let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        });
        self.asked.lock().ok()?.push(Request { method: method.clone(), key: key.clone(), range });
        if query.contains("list-type=2") {
            return say(stream, 200, "", self.list(query).as_bytes());
        }
        if query.contains("comp=list") {
            return say(stream, 200, "", self.list_blobs(query).as_bytes());
        }
        let Ok(content) = std::fs::read(self.root.join(&key)) else { return say(stream, 404, "", b"") };
        let tag = tag(&content);
        if header("if-match").is_some_and(|wanted| wanted != tag) {
            return say(stream, 412, "", b"");
        }
        let common = format!("ETag: {tag}\r\nLast-Modified: Sun, 22 Nov 2026 00:00:00 GMT\r\n");
        match (method.as_str(), range) {
            ("HEAD", _) => say(stream, 200, &format!("{common}Content-Length: {}\r\n", content.len()), b""),
            (_, Some((first, last))) if first < content.len() => {
                let last = last.min(content.len() - 1);
                let range = format!("{common}Content-Range: bytes {first}-{last}/{}\r\n", content.len());
                say(stream, 206, &range, &content[first..=last])
            }
            _ => say(stream, 200, &common, &content),
        }
    }

    /// What begins with a prefix, up to the next slash: folders, and files with their content.
    fn entries(&self, prefix: &str) -> BTreeSet<(String, Option<Vec<u8>>)> {
        let mut entries = BTreeSet::new();
        for (path, content) in files_below(&self.root) {
            let key = path.to_string_lossy().into_owned();
            let Some(rest) = key.strip_prefix(prefix) else { continue };
            entries.insert(match rest.split_once('/') {
                Some((folder, _)) => (format!("{prefix}{folder}/"), None),
                None => (key.clone(), Some(content)),
            });
        }
        entries
    }

    /// All of List Blobs.
    fn list_blobs(&self, query: &str) -> String {
        let blob = |(key, content): (String, Option<Vec<u8>>)| match content {
            None => format!("<BlobPrefix><Name>{key}</Name></BlobPrefix>"),
            Some(content) => format!(
                "<Blob><Name>{key}</Name><Properties><Content-Length>{}</Content-Length><Content-Type>x</Content-Type><Etag>{}</Etag>\
                 <Last-Modified>Sun, 22 Nov 2026 00:00:00 GMT</Last-Modified></Properties></Blob>",
                content.len(),
                tag(&content)
            ),
        };
        let blobs: String = self.entries(&value_of(query, "prefix")).into_iter().map(blob).collect();
        format!("<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>")
    }

    /// One page of ListObjectsV2.
    fn list(&self, query: &str) -> String {
        let (prefix, after) = (value_of(query, "prefix"), value_of(query, "continuation-token"));
        let mut rest = self.entries(&prefix).into_iter().filter(|(key, _)| *key > after);
        let page: Vec<_> = rest.by_ref().take(PAGE).collect();
        let more = rest.next().is_some();
        let mut text = format!("<ListBucketResult><IsTruncated>{more}</IsTruncated>");
        for (key, content) in &page {
            text += &match content {
                None => format!("<CommonPrefixes><Prefix>{key}</Prefix></CommonPrefixes>"),
                Some(content) => format!(
                    "<Contents><Key>{key}</Key><Size>{}</Size><ETag>{}</ETag>\
                     <LastModified>2026-11-22T00:00:00.000Z</LastModified></Contents>",
                    content.len(),
                    tag(content)
                ),
            };
        }
        let next = page.last().filter(|_| more).map(|(key, _)| key.clone()).unwrap_or_default();
        if more {
            text += &format!("<NextContinuationToken>{next}</NextContinuationToken>");
        }
        text + "</ListBucketResult>"
    }
}

/// What tells one content of a file from another.
fn tag(content: &[u8]) -> String {
    format!("\"{}-{}\"", content.len(), content.iter().fold(7u32, |a, b| a.rotate_left(3) ^ u32::from(*b)))
}

/// A value of a query; empty if it has none.
fn value_of(query: &str, name: &str) -> String {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| plain(value)).unwrap_or_default()
}

/// Without the escapes of a URL.
fn plain(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let escaped = (byte == b'%').then(|| (bytes.next(), bytes.next()));
        out.push(match escaped {
            Some((Some(high), Some(low))) => {
                let hex = [high, low];
                std::str::from_utf8(&hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(b'?')
            }
            _ => byte,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn say(mut stream: &TcpStream, code: u16, headers: &str, body: &[u8]) -> Option<()> {
    let length =
        if headers.contains("Content-Length") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    write!(stream, "HTTP/1.1 {code} x\r\nConnection: close\r\n{length}{headers}\r\n").ok()?;
    stream.write_all(body).ok()
}
