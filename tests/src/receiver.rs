//! Receivers on the loopback interface that fail as receivers do: a webhook, and syslog over TCP.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// What a receiver does with one request or connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Does {
    /// Takes it and says so.
    Takes,
    /// Takes it, and the answer is lost.
    TakesSilently,
    /// Answers so, with these headers, and takes nothing.
    Answers(u16, &'static str),
    /// Resets the connection before it has read anything.
    Resets,
    /// Reads everything, and resets the connection.
    ReadsAndResets,
    /// Never answers.
    Hangs,
}

/// One request of a webhook, whatever was done with it.
#[derive(Debug, Clone)]
pub struct Post {
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Path.
    pub path: String,
    /// Body.
    pub body: String,
    /// Whether it was taken.
    pub taken: bool,
}

type Plan = Box<dyn FnMut(usize) -> Does + Send>;

struct Shared {
    plan: Mutex<(usize, Plan)>,
    posts: Mutex<Vec<Post>>,
    frames: Mutex<Vec<String>>,
}

impl Shared {
    fn next(&self) -> Does {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let number = plan.0;
        plan.0 += 1;
        (plan.1)(number)
    }
}

/// A receiver; it lives as long as the test.
#[derive(Clone)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    /// A webhook that does with its requests, counted from 0, what the plan says.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn webhook(plan: impl FnMut(usize) -> Does + Send + 'static) -> Self {
        Self::start(Box::new(plan), webhook)
    }

    /// Syslog over TCP in frames, the same of its connections.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn syslog(plan: impl FnMut(usize) -> Does + Send + 'static) -> Self {
        Self::start(Box::new(plan), syslog)
    }

    fn start(plan: Plan, serve: fn(TcpStream, &Shared)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Shared { plan: Mutex::new((0, plan)), posts: Mutex::default(), frames: Mutex::default() };
        let shared = Arc::new(shared);
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let own = Arc::clone(&own);
                std::thread::spawn(move || serve(stream, &own));
            }
        });
        Self { address, shared }
    }

    /// Address and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does otherwise from now on.
    pub fn plan(&self, plan: impl FnMut(usize) -> Does + Send + 'static) {
        *self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner) = (0, Box::new(plan));
    }

    /// Requests in the order in which they were read.
    #[must_use]
    pub fn posts(&self) -> Vec<Post> {
        self.shared.posts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bodies that were taken.
    #[must_use]
    pub fn taken(&self) -> Vec<String> {
        self.posts().into_iter().filter(|post| post.taken).map(|post| post.body).collect()
    }

    /// Messages of syslog that were read.
    #[must_use]
    pub fn frames(&self) -> Vec<String> {
        self.shared.frames.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Requests of one connection, one after the other.
fn webhook(stream: TcpStream, shared: &Shared) {
    let Ok(own) = stream.try_clone() else { return };
    let mut reader = BufReader::new(own);
    let mut first = [0];
    while stream.peek(&mut first).is_ok_and(|read| read > 0) {
        let does = shared.next();
        if does == Does::Resets {
            return; // unread bytes make it a reset
        }
        let Some(mut post) = read_post(&mut reader) else { return };
        post.taken = matches!(does, Does::Takes | Does::TakesSilently);
        shared.posts.lock().unwrap_or_else(PoisonError::into_inner).push(post);
        let answer = match does {
            Does::Takes => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            Does::Answers(status, headers) => {
                format!("HTTP/1.1 {status} No\r\n{headers}Content-Length: 8\r\n\r\nnot now\n")
            }
            Does::Hangs => {
                let _ = reader.read(&mut [0]); // until the other side has enough
                return;
            }
            _ => return,
        };
        if (&stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read_post(reader: &mut impl BufRead) -> Option<Post> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.strip_prefix("POST ")?.split(' ').next()?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Post { headers, path, body: String::from_utf8(body).ok()?, taken: false })
}

/// Messages of one connection.
fn syslog(stream: TcpStream, shared: &Shared) {
    let does = shared.next();
    let mut reader = BufReader::with_capacity(1, stream);
    let most = match does {
        Does::Takes | Does::Hangs => usize::MAX,
        Does::Resets => return,
        _ => 1,
    };
    for _ in 0..most {
        let Some(frame) = read_frame(&mut reader) else { break };
        shared.frames.lock().unwrap_or_else(PoisonError::into_inner).push(frame);
    }
    if does == Does::Hangs {
        let mut poll = [0];
        // The other side has ended already; it is gone when nothing can be written to it.
        while reader.get_mut().write_all(&poll).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(50));
            poll[0] = b'.';
        }
    }
}

/// A frame: its length in digits, a space, as many bytes.
///
/// # Panics
/// When there is something else, or it is not UTF-8.
pub fn read_frame(reader: &mut impl BufRead) -> Option<String> {
    let mut digits = Vec::new();
    reader.read_until(b' ', &mut digits).ok()?;
    let digits = digits.strip_suffix(b" ")?;
    let length: usize = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).expect("a length");
    let mut frame = vec![0; length];
    reader.read_exact(&mut frame).ok()?;
    Some(String::from_utf8(frame).expect("UTF-8"))
}
