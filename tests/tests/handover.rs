//! Incidents to other systems with the real binary: receivers that fail half the time, senders that are killed, nothing lost and
//! nothing doubled.
//!
//! `EBBLINE_HANDOVER_KILLS` says how often to kill (20; `cargo xtask soak` 300).

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use ebbline_tests::handover::{Incidents, assert_whole, by_delivery, delivery, syslog_said, text};
use ebbline_tests::{Does, Receiver, ebbline, ended, read_frame};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What a test waits for comes long before.
const PATIENCE: Duration = Duration::from_secs(120);

/// Numbers from a seed.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Half of the time what receivers do when they fail.
fn half(seed: u64) -> impl FnMut(usize) -> Does + Send {
    let mut random = Random(seed);
    move |_| match random.below(200) {
        0..100 => Does::Takes,
        100..120 => Does::Answers(500, ""),
        120..135 => Does::Answers(503, "Retry-After: 0\r\n"),
        135..155 => Does::Resets,
        155..175 => Does::ReadsAndResets,
        175..197 => Does::TakesSilently,
        _ => Does::Hangs,
    }
}

fn url(receiver: &Receiver) -> String {
    format!("http://{}/in", receiver.address())
}

#[test]
fn a_webhook_that_fails_half_the_time_has_everything_once() {
    let fixture = Incidents::whole(40);
    let receiver = Receiver::webhook(half(1));
    fixture.run_to_the_end(&url(&receiver), &["--timeout", "1", "--attempts", "20"]);
    let all = by_delivery(&receiver.taken());
    assert_eq!(all.keys().cloned().collect::<BTreeSet<_>>(), fixture.expected());
    let posts = receiver.posts();
    assert!(posts.iter().filter(|post| !post.taken).count() > 5, "it did fail");
    for post in &posts {
        let value: Value = serde_json::from_str(&post.body).unwrap();
        assert_eq!(post.headers["idempotency-key"], value["delivery"].as_str().unwrap());
        assert_eq!(post.headers["content-type"], "application/json");
        assert_eq!((&value["format"], &value["event"], post.path.as_str()), (&1.into(), &"new".into(), "/in"));
        for part in ["title", "summary", "timeline", "reasons", "checks"] {
            assert!(!value["narrative"][part].as_array().unwrap().is_empty(), "{part}: {value}");
        }
        assert!(value["coverage"].is_array() && value["expected_per_day"].is_number() && value["rank"].is_u64());
    }
    let before = receiver.posts().len();
    let again = fixture.run(&url(&receiver), &["--json"]).json();
    assert_eq!((&again["targets"][0]["sent"], receiver.posts().len()), (&0.into(), before), "nothing came since");
}

/// Kills it again and again while findings come, each time within so many milliseconds, and lets it end.
fn killed(fixture: &mut Incidents, to: &str, longest: u64) {
    let (kills, mut random) = (kills(), Random(longest));
    let part = fixture.number().div_ceil(kills as usize);
    let mut amid = 0;
    for _ in 0..kills {
        fixture.show(part);
        let mut command = fixture.command(&[to], &["--timeout", "1", "--attempts", "20"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        // At any moment, and every other time just when something was written down.
        let before = (random.below(2) == 0).then(|| fixture.state_bytes());
        while before == Some(fixture.state_bytes()) && child.try_wait().is_ok_and(|ended| ended.is_none()) {
            std::thread::yield_now();
        }
        let longest = if before.is_some() { 20_000 } else { longest * 1_000 };
        std::thread::sleep(Duration::from_micros(random.below(longest)));
        amid += u32::from(child.try_wait().expect("it can be waited for").is_none());
        child.kill().expect("it can be killed");
        child.wait().expect("it can be waited for");
    }
    fixture.show(usize::MAX);
    fixture.run_to_the_end(to, &["--timeout", "1", "--attempts", "20"]);
    eprintln!("{kills} kills, {amid} of them before the end");
    assert!(amid > 0, "it was killed in the middle at least once");
}

fn kills() -> u32 {
    std::env::var("EBBLINE_HANDOVER_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

#[test]
fn killed_at_any_moment_nothing_is_lost_at_a_webhook_that_fails() {
    let mut fixture = Incidents::new(40);
    let receiver = Receiver::webhook(half(2));
    killed(&mut fixture, &url(&receiver), 900);
    assert_whole(&fixture, &receiver.taken());
    let grown = receiver.taken().iter().filter(|body| body.contains(r#""event":"grown""#)).count();
    eprintln!("{} requests, {} taken, {grown} of incidents that grew", receiver.posts().len(), receiver.taken().len());
    assert!(grown > 0);
}

fn half_of_streams(seed: u64) -> impl FnMut(usize) -> Does + Send {
    let mut random = Random(seed);
    move |_| match random.below(100) {
        0..50 => Does::Takes,
        50..70 => Does::Resets,
        70..97 => Does::ReadsAndResets,
        _ => Does::Hangs,
    }
}

#[test]
fn killed_at_any_moment_nothing_is_lost_at_a_syslog_that_fails() {
    let mut fixture = Incidents::new(40);
    let receiver = Receiver::syslog(half_of_streams(4));
    let to = format!("syslog+tcp://{}", receiver.address());
    killed(&mut fixture, &to, 500);
    let said = syslog_said(&receiver.frames());
    for incident in fixture.incidents() {
        assert_eq!(said.get(&delivery(&incident)).map(String::as_str), incident["title"].as_str(), "{incident}");
    }
}

#[test]
fn killed_at_any_moment_a_file_of_lines_has_each_once() {
    let mut fixture = Incidents::new(40);
    let path = fixture.folder.path().join("incidents.jsonl");
    killed(&mut fixture, text(&path), 200);
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written.ends_with('\n'));
    let lines: Vec<String> = written.lines().map(str::to_owned).collect();
    assert_whole(&fixture, &lines);
    assert_eq!(by_delivery(&lines).len(), lines.len(), "no line is there twice");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // On standard output, too.
    let printed = fixture.run("-", &[]);
    let printed: Vec<String> = printed.stdout.lines().map(str::to_owned).collect();
    assert_eq!(by_delivery(&printed).keys().cloned().collect::<BTreeSet<_>>(), fixture.expected());
}

/// What a kill between a line and its entry leaves, and one within a line: kills by chance seldom come at that moment.
#[test]
fn a_file_is_asked_what_is_in_it() {
    let fixture = Incidents::whole(4);
    let path = fixture.folder.path().join("incidents.jsonl");
    assert_eq!(fixture.run(text(&path), &[]).code, 0);
    let whole = std::fs::read(&path).unwrap();
    let state = fixture.out().join("incidents/handover");
    let (log, entries) = ebbline_tests::files_below(&state).into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let lines: Vec<&[u8]> = entries.split_inclusive(|byte| *byte == b'\n').collect();
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let cuts = [last, last + 1, last + 100, whole.len() - 2, whole.len() - 1, whole.len()];
    for (missing, length) in cuts.iter().map(|cut| (1, *cut)).chain([(2, whole.len()), (4, whole.len())]) {
        std::fs::write(state.join(&log), lines[..lines.len() - missing].concat()).unwrap();
        std::fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(fixture.run(text(&path), &[]).code, 0);
        assert!(std::fs::read(&path).unwrap() == whole, "{missing} entries missing, a file of {length} bytes");
    }
}

#[test]
fn more_than_an_outbox_holds_goes_in_turns() {
    let fixture = Incidents::whole(1_100);
    let (path, expected) = (fixture.folder.path().join("incidents.jsonl"), fixture.expected());
    assert!(expected.len() > 1_000, "{} are too few", expected.len());
    let ended = fixture.run(text(&path), &["--json"]).json();
    assert_eq!((&ended["targets"][0]["sent"], &ended["left"]), (&expected.len().into(), &false.into()), "{ended}");
    let written: Vec<String> = std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(by_delivery(&written).into_keys().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn what_a_receiver_never_takes_is_dead_until_somebody_asks() {
    let fixture = Incidents::whole(4);
    let receiver = Receiver::webhook(|number| if number == 0 { Does::Answers(422, "") } else { Does::Takes });
    let first = fixture.run(&url(&receiver), &[]);
    assert!(first.code == 3 && first.stdout.contains("1 could not be"), "{first:?}");
    let expected = fixture.expected();
    assert_eq!(by_delivery(&receiver.taken()).len(), expected.len() - 1);
    let dead = fixture.run(&url(&receiver), &["--dead", "--json"]).json();
    assert!(dead[0]["why"].as_str().unwrap().starts_with("it answered 422"), "{dead}");
    let listed = fixture.run(&url(&receiver), &["--dead"]);
    assert!(listed.code == 0 && listed.stdout.contains("it answered 422"), "{listed:?}");
    let again = fixture.run(&url(&receiver), &[]);
    assert!(again.code == 0 && receiver.taken().len() == expected.len() - 1, "it is left alone: {again:?}");
    assert_eq!(fixture.run(&url(&receiver), &["--retry-dead"]).code, 0);
    assert_eq!(by_delivery(&receiver.taken()).keys().cloned().collect::<BTreeSet<_>>(), expected);
    assert_eq!(fixture.run(&url(&receiver), &["--dead", "--json"]).json(), Value::Array(Vec::new()));
}

#[test]
fn a_receiver_that_is_down_keeps_nothing_from_the_others_and_gets_it_later() {
    let fixture = Incidents::whole(4);
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (there, down) = (Receiver::webhook(|_| Does::Takes), format!("http://{gone}/in"));
    let ended = ended(&mut fixture.command(&[&down, &url(&there)], &["--attempts", "2"]));
    assert!(ended.code == 3 && ended.stdout.contains("waiting for the next run"), "{ended:?}");
    assert!(ended.stdout.contains("onnection refused"), "{ended:?}");
    assert_eq!(by_delivery(&there.taken()).keys().cloned().collect::<BTreeSet<_>>(), fixture.expected());
    let late = fixture.run(&down, &["--attempts", "1", "--give-up-after", "0"]);
    assert!(late.code == 3 && late.stdout.contains("1 could not be"), "{late:?}");
}

#[test]
fn a_receiver_is_left_alone_as_long_as_it_asks_and_redirects_are_not_followed() {
    let fixture = Incidents::whole(1);
    let receiver = Receiver::webhook(|number| match number {
        0 => Does::Answers(429, "Retry-After: 2\r\n"),
        1 => Does::Answers(307, "Location: /elsewhere?token=hunter2\r\n"),
        _ => Does::Takes,
    });
    let start = Instant::now();
    let ended = fixture.run(&url(&receiver), &["--json"]);
    assert!(ended.code == 0 && start.elapsed() >= Duration::from_secs(2), "{ended:?}");
    assert!(receiver.posts().iter().all(|post| post.path == "/in"));
    let trouble = ended.json()["targets"][0]["trouble"].to_string();
    assert!(trouble.contains("307") && trouble.contains("/elsewhere") && !trouble.contains("hunter2"), "{trouble}");
}

#[test]
fn headers_and_signature_are_sent_and_told_nobody() {
    let fixture = Incidents::whole(1);
    let receiver = Receiver::webhook(|_| Does::Takes);
    let at = |name: &str| fixture.folder.path().join(name);
    std::fs::write(at("headers"), "Authorization: Bearer hunter2\n").unwrap();
    std::fs::write(at("key"), "0123456789abcdef0123456789abcdef\n").unwrap();
    std::fs::write(at("url"), url(&receiver) + "?token=hunter3\n").unwrap();
    let (to, headers, key) = (format!("@{}", text(&at("url"))), at("headers"), at("key"));
    let more = ["--header-file", text(&headers), "--sign-with", text(&key)];
    let ended = ended(fixture.command(&[&to], &more).env("EBBLINE_HANDOVER_HEADERS", "X-Room: 7"));
    assert_eq!(ended.code, 0, "{ended:?}");
    let post = &receiver.posts()[0];
    assert_eq!((post.headers["authorization"].as_str(), post.headers["x-room"].as_str()), ("Bearer hunter2", "7"));
    assert_eq!(
        post.headers["ebbline-signature"],
        format!("sha256={}", hmac(b"0123456789abcdef0123456789abcdef", &post.body))
    );
    let state = ebbline_tests::files_below(&fixture.out().join("incidents/handover"));
    let said = format!("{ended:?} {:?}", state.iter().map(|(path, _)| path).collect::<Vec<_>>());
    assert!(
        !said.contains("hunter") && !state.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains("hunter"))
    );
    let two = fixture.command(&[&url(&receiver), "https://127.0.0.1:1/"], &more).output().unwrap();
    assert!(String::from_utf8_lossy(&two.stderr).contains("one webhook"), "{two:?}");
}

/// HMAC-SHA256 as RFC 2104 has it.
fn hmac(key: &[u8], text: &str) -> String {
    let pad = |with: u8| (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect::<Vec<u8>>();
    let inner = Sha256::digest([pad(0x36).as_slice(), text.as_bytes()].concat());
    let outer = Sha256::digest([pad(0x5c).as_slice(), &inner].concat());
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn datagram(receive: impl FnOnce(&mut [u8]) -> std::io::Result<usize>) -> String {
    let mut buffer = [0; 4_096];
    let length = receive(&mut buffer).expect("it comes");
    String::from_utf8(buffer[..length].to_vec()).expect("UTF-8")
}

#[test]
fn datagrams_carry_the_titles() {
    let fixture = Incidents::whole(3);
    let expected = fixture.expected();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let path = fixture.folder.path().join("log");
    let unix = UnixDatagram::bind(&path).unwrap();
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    unix.set_read_timeout(Some(PATIENCE)).unwrap();
    let (far, near) = (format!("syslog+udp://{}", udp.local_addr().unwrap()), format!("syslog+unix:{}", text(&path)));
    let number = expected.len();
    // A datagram of a unix socket waits for its reader.
    let reader =
        std::thread::spawn(move || (0..number).map(|_| datagram(|buffer| unix.recv(buffer))).collect::<Vec<_>>());
    let ended = ended(&mut fixture.command(&[&far, &near], &[]));
    assert_eq!(ended.code, 0, "{ended:?}");
    let datagrams: Vec<String> = (0..number).map(|_| datagram(|buffer| udp.recv(buffer))).collect();
    for said in [datagrams, reader.join().unwrap()] {
        assert_eq!(syslog_said(&said).into_keys().collect::<BTreeSet<_>>(), expected);
    }
}

#[test]
fn over_tls_only_who_is_trusted_is_told() {
    let fixture = Incidents::whole(3);
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/tls");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = tls_config(&data);
    let server = std::thread::spawn(move || {
        let mut frames = Vec::new();
        while frames.is_empty() {
            let (stream, _) = listener.accept().unwrap();
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut reader = BufReader::new(rustls::StreamOwned::new(session, stream));
            while reader.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
                frames.extend(read_frame(&mut reader));
            }
            let stream = reader.get_mut();
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        frames
    });
    let to = format!("syslog+tls://localhost:{port}");
    let stranger = fixture.run(&to, &["--attempts", "1"]);
    assert!(stranger.code == 3 && stranger.stdout.contains("SSL_CERT_FILE"), "{stranger:?}");
    let ended = ended(fixture.command(&[&to], &[]).env("SSL_CERT_FILE", data.join("ca.pem")));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(syslog_said(&server.join().unwrap()).into_keys().collect::<BTreeSet<_>>(), fixture.expected());
}

fn tls_config(data: &Path) -> std::sync::Arc<rustls::ServerConfig> {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let chain = CertificateDer::from_pem_file(data.join("server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(data.join("server.key")).expect("a key");
    let provider = rustls::crypto::ring::default_provider().into();
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    config.expect("versions").with_no_client_auth().with_single_cert(vec![chain], key).expect("they fit").into()
}

/// Ends with the test.
struct Following(Child);

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_follows_until_it_is_told_and_is_alone_at_its_target() {
    let mut fixture = Incidents::new(6);
    let receiver = Receiver::webhook(|number| if number == 0 { Does::Answers(500, "") } else { Does::Takes });
    let mut command = fixture.command(&[&url(&receiver)], &["--follow", "1"]);
    let mut child = Following(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts"));
    for _ in 0..3 {
        fixture.show(6);
        let (expected, start) = (fixture.expected(), Instant::now());
        while !expected.is_subset(&by_delivery(&receiver.taken()).into_keys().collect()) {
            assert!(start.elapsed() < PATIENCE, "{expected:?} did not come");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let second = fixture.run(&url(&receiver), &[]);
    assert!(second.error().contains("target in use: http://127.0.0.1"), "{second:?}");
    let pid = i32::try_from(child.0.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is there");
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    child.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("handed over"), "{said}");
}

#[test]
fn what_cannot_be_is_one_line_with_the_next_step() {
    let fixture = Incidents::whole(1);
    for (to, more, expected) in [
        ("ftp://x/y", &[][..], "use https://HOST/PATH"),
        ("/tmp", &[], "it is a folder"),
        ("hooks.example/in", &[], "no such folder"),
        ("-", &["--json"], "leave it out"),
        ("http://127.0.0.1:1/", &["--header-file", "/nonexistent"], "cannot read: /nonexistent"),
        ("http://me:hunter2@127.0.0.1:1/", &["--sign-with", "/dev/null"], "openssl rand"),
    ] {
        let ended = fixture.run(to, more);
        assert!(ended.error().contains(expected) && !ended.stderr.contains("hunter2"), "{ended:?}");
    }
    let empty = tempfile::tempdir().unwrap();
    for more in [&["--follow"][..], &[]] {
        let wrong = ebbline(["handover", "/nonexistent", "--to", "-"].iter().chain(more));
        assert!(wrong.error().contains("/nonexistent"), "{wrong:?}");
    }
    let wrong = ebbline(["handover", text(empty.path()), "--to", "-"]);
    assert!(wrong.error().contains("no folder findings in it"), "{wrong:?}");
    assert!(std::fs::read_dir(empty.path()).unwrap().next().is_none(), "nothing is left there");
    let rowless = ebbline(["handover", text(&fixture.out()), "--to", "-"]);
    assert!(rowless.error().contains("name their folder with --archive"), "{rowless:?}");
    let twice = ended(&mut fixture.command(&["-", "-"], &[]));
    assert!(twice.error().contains("named twice"), "{twice:?}");
    assert_eq!(ebbline(["handover", text(&fixture.out())]).code, 2);
}
