//! A store on the loopback interface that speaks as much S3 and WebDAV as an upload needs, and misbehaves on demand.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

/// How a request is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Refused.
    Error,
    /// The connection is closed in the middle of the request.
    Cut,
    /// Taken, and the connection closed before the answer.
    Mute,
    /// No answer for longer than the client waits.
    Stall,
    /// Taken, but no answer for longer than the client waits.
    Linger,
    /// Taken, but less of it is stored.
    Truncate,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<(String, u32), Vec<u8>>,
    /// Objects that a HEAD has shown.
    shown: HashSet<String>,
    requests: u64,
    puts: u64,
}

type Rule = Box<dyn Fn(u64, &str, &str) -> Fault + Send + Sync>;

struct Shared {
    state: Mutex<State>,
    rule: Mutex<Rule>,
    stop: AtomicBool,
}

/// The store.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// `rule` is asked for each request: its number, method and key.
    pub(crate) fn start(rule: impl Fn(u64, &str, &str) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (state, rule) = (Mutex::default(), Mutex::new(Box::new(rule) as Rule));
        let shared = Arc::new(Shared { state, rule, stop: AtomicBool::new(false) });
        let own = shared.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if own.stop.load(Relaxed) {
                    break;
                }
                let own = own.clone();
                std::thread::spawn(move || own.answer(stream));
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// From now on.
    pub(crate) fn rule(&self, rule: impl Fn(u64, &str, &str) -> Fault + Send + Sync + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    pub(crate) fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.shared.state.lock().unwrap().objects.get(key).cloned()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.shared.state.lock().unwrap().objects.keys().cloned().collect()
    }

    pub(crate) fn has_shown(&self, key: &str) -> bool {
        self.shared.state.lock().unwrap().shown.contains(key)
    }

    pub(crate) fn remove(&self, key: &str) {
        self.shared.state.lock().unwrap().objects.remove(key);
    }

    /// Something else of the same length is there.
    pub(crate) fn zero(&self, key: &str) {
        self.shared.state.lock().unwrap().objects.get_mut(key).unwrap().fill(0);
    }

    pub(crate) fn puts(&self) -> u64 {
        self.shared.state.lock().unwrap().puts
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        let _ = TcpStream::connect(self.address);
        self.thread.take().map(JoinHandle::join);
    }
}

struct Request {
    method: String,
    key: String,
    query: String,
    length: usize,
}

impl Shared {
    fn answer(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let Some(request) = head(&mut reader) else { return };
        let number = {
            let mut state = self.state.lock().unwrap();
            state.requests += 1;
            state.requests
        };
        let fault = self.rule.lock().unwrap()(number, &request.method, &request.key);
        let mut body = vec![0; request.length];
        if fault == Fault::Cut {
            let _ = reader.read_exact(&mut body[..request.length / 2]);
            return;
        }
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        match fault {
            Fault::Error => return say(stream, 500, "", b""),
            Fault::Stall => return std::thread::sleep(Duration::from_secs(4)),
            Fault::Truncate => drop(body.pop()),
            Fault::None | Fault::Mute | Fault::Cut | Fault::Linger => {}
        }
        let (code, headers, text) = self.carry_out(&request, body);
        if fault == Fault::Linger {
            std::thread::sleep(Duration::from_secs(4));
        } else if fault != Fault::Mute {
            say(stream, code, &headers, text.as_bytes());
        }
    }

    fn carry_out(&self, request: &Request, body: Vec<u8>) -> (u16, String, String) {
        let mut state = self.state.lock().unwrap();
        let value = |name: &str| {
            let mut pairs = request.query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        let key = request.key.clone();
        match (&*request.method, value("uploadId")) {
            ("PUT", Some(upload)) => {
                let tag = tag(&body);
                state.parts.insert((upload, value("partNumber").unwrap().parse().unwrap()), body);
                (200, tag, String::new())
            }
            ("PUT", None) => {
                state.puts += 1;
                let tag = tag(&body);
                state.objects.insert(key, body);
                (201, tag, String::new())
            }
            ("POST", None) => {
                let id = state.requests;
                (
                    200,
                    String::new(),
                    format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"),
                )
            }
            ("POST", Some(upload)) => {
                let parts = state.parts.range((upload.clone(), 0)..=(upload, u32::MAX));
                let whole: Vec<u8> = parts.flat_map(|(_, part)| part.clone()).collect();
                let text = format!(
                    "<CompleteMultipartUploadResult><Location>x</Location><Bucket>x</Bucket><Key>x</Key><ETag>{}</ETag></CompleteMultipartUploadResult>",
                    bare(&whole)
                );
                state.puts += 1;
                state.objects.insert(key, whole);
                (200, String::new(), text)
            }
            ("HEAD", _) => match state.objects.get(&key).map(|object| (object.len(), tag(object))) {
                Some((length, tag)) => {
                    state.shown.insert(key);
                    let headers =
                        format!("{tag}Last-Modified: Sun, 22 Nov 2026 00:00:00 GMT\r\nContent-Length: {length}\r\n");
                    (200, headers, String::new())
                }
                None => (404, String::new(), String::new()),
            },
            ("DELETE", _) => (204, String::new(), String::new()),
            ("MKCOL", _) => (201, String::new(), String::new()),
            _ => (405, String::new(), String::new()),
        }
    }
}

fn bare(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

fn tag(bytes: &[u8]) -> String {
    format!("ETag: {}\r\n", bare(bytes))
}

fn head(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    Some(Request { method, key: plain(path), query: query.to_owned(), length })
}

/// A path without its first slash and without escapes.
fn plain(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path.trim_start_matches('/');
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        out.push(char::from(u8::from_str_radix(&after[..2], 16).unwrap()));
        rest = &after[2..];
    }
    out + rest
}

fn say(mut stream: TcpStream, code: u16, headers: &str, body: &[u8]) {
    let length =
        if headers.contains("Content-Length") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let _ = write!(stream, "HTTP/1.1 {code} x\r\nConnection: close\r\n{length}{headers}\r\n");
    let _ = stream.write_all(body);
}
