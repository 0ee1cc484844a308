//! Uploads: whatever happens on the way, in the end the store has every byte, and nothing was removed before.

mod server;

use ebbline_store::{StoreError, UploadOptions, Uploader};
use serde_json::{Value, json};
use server::{Fault, Server};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Set for a copy of this test program that uploads: what, and the file for the status.
const ROLE: &str = "EBBLINE_UPLOAD_ROLE";
/// More than a few of these without success is a defect.
const PASSES: usize = 60;

/// Bytes that do not repeat, of a seed.
fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    std::iter::repeat_with(|| next().to_le_bytes()).flatten().take(count).collect()
}

/// An archive of closed files, and what must not go.
struct Archive {
    folder: tempfile::TempDir,
    files: BTreeMap<String, Vec<u8>>,
}

impl Archive {
    /// `large` bytes in one of the files.
    fn new(large: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let row =
            |table: &str, day: u32| format!("{table}/day=2026-11-{day:02}/host=web1/20261101T000000Z-000001.parquet");
        let mut files = BTreeMap::new();
        for day in 1..=3 {
            for table in ["process", "connection"] {
                files.insert(row(table, day), bytes(files.len() as u64, 3_000));
            }
        }
        files.insert(row("dns", 1), bytes(90, large));
        files.insert(format!("scores/0123456789abcdef/{}", row("process", 1)), bytes(91, 500));
        files.insert("findings/0123456789abcdef/live-web1.parquet".into(), bytes(92, 700));
        files.insert("manifest.json".into(), b"{\"runs\":[]}".to_vec());
        let archive = Self { folder, files };
        for (relative, content) in &archive.files {
            archive.put(relative, content);
        }
        for other in
            ["journal/host=web1/000001.journal", "process/day=2026-11-03/host=web1/x.parquet.tmp", ".hidden.parquet"]
        {
            archive.put(other, b"not for others");
        }
        archive
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn put(&self, relative: &str, content: &[u8]) {
        let path = self.path().join(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn is_here(&self, relative: &str) -> bool {
        self.path().join(relative).exists()
    }

    /// Nothing was removed that the store has not shown, byte for byte.
    fn check(&self, server: &Server, prefix: &str) {
        for (relative, content) in &self.files {
            let key = format!("{prefix}/{relative}");
            let there = server.has_shown(&key) && server.object(&key).as_ref() == Some(content);
            assert!(self.is_here(relative) || there, "{relative} is nowhere");
        }
    }

    /// All is there, nothing else, and of what may go nothing is here.
    fn check_all(&self, server: &Server, prefix: &str, deleted: bool) {
        let keys: Vec<String> = self.files.keys().map(|relative| format!("{prefix}/{relative}")).collect();
        assert_eq!(server.keys(), keys);
        for (relative, content) in &self.files {
            let stays = !deleted || relative.starts_with("findings/") || relative == "manifest.json";
            assert_eq!(self.is_here(relative), stays, "{relative}");
            assert!(server.object(&format!("{prefix}/{relative}")).as_ref() == Some(content), "{relative}");
        }
    }
}

/// What an upload is asked to do.
#[derive(Clone)]
struct Job {
    to: String,
    settings: Vec<[String; 2]>,
    delete: bool,
}

impl Job {
    fn to(to: impl Into<String>) -> Self {
        Self { to: to.into(), settings: vec![], delete: false }
    }

    /// To the server as S3.
    fn s3(server: &Server, prefix: &str) -> Self {
        let endpoint = format!("http://{}", server.address);
        let settings = [("endpoint", &*endpoint), ("allow_http", "true"), ("region", "eu-central-1")];
        settings
            .iter()
            .fold(Self::to(format!("s3://bucket/{prefix}")), |job, (key, value)| job.with(key, value))
            .hasty()
    }

    fn with(mut self, key: &str, value: &str) -> Self {
        self.settings.push([key.into(), value.into()]);
        self
    }

    fn hasty(self) -> Self {
        self.with("timeout", "2 seconds")
    }

    fn deleting(mut self) -> Self {
        self.delete = true;
        self
    }
}

/// A copy of this test program that makes one pass.
fn upload(archive: &Path, job: &Job, status: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let role = json!([archive.to_str(), job.to, job.settings, job.delete, status.to_str()]);
    command.args(["role", "--exact"]).stdout(Stdio::null()).stderr(Stdio::null());
    // No proxies, no credentials of whoever runs this.
    command.env_clear().env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
    command.env(ROLE, role.to_string());
    command
}

/// Not a test: one pass of an upload, for [`upload`].
#[test]
fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (archive, to, settings, delete, status): (String, String, Vec<[String; 2]>, bool, String) =
        serde_json::from_str(&role).unwrap();
    let settings = settings.into_iter().map(|[key, value]| (key, value)).collect();
    let options = UploadOptions { archive: archive.into(), to, settings, delete, limit: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let passed = runtime.block_on(async { Uploader::open(&options)?.pass().await });
    let said = passed.map_or_else(|error: StoreError| json!({"error": error.to_string()}), |passed| json!(passed));
    fs::write(status, said.to_string()).unwrap();
}

/// The status of one pass.
fn run(archive: &Path, job: &Job) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let status = folder.path().join("status");
    assert!(upload(archive, job, &status).status().unwrap().success());
    serde_json::from_slice(&fs::read(status).unwrap()).unwrap()
}

fn is_done(status: &Value) -> bool {
    assert!(status["error"].is_null(), "{status}");
    status["failed"] == 0 && status["down"] == false
}

/// Every file below a folder, by its path.
fn copies(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let relative = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                    files.insert(relative, fs::read(path).unwrap());
                }
            }
        }
    }
    files
}

/// Every second request of many sorts goes wrong.
fn bad(number: u64, _: &str, _: &str) -> Fault {
    match number % 10 {
        1 => Fault::Error,
        3 => Fault::Cut,
        5 => Fault::Mute,
        7 => Fault::Error,
        9 if number % 30 == 9 => Fault::Stall,
        _ => Fault::None,
    }
}

#[test]
fn a_folder_gets_a_copy_and_then_only_what_is_new() {
    let archive = Archive::new(20 << 20);
    let there = tempfile::tempdir().unwrap();
    let job = Job::to(format!("file://{}/some/where", there.path().display()));
    let status = run(archive.path(), &job);
    assert!(is_done(&status) && status["uploaded"] == archive.files.len(), "{status}");
    assert!(copies(&there.path().join("some/where")) == archive.files);
    archive.put("manifest.json", b"{\"runs\":[],\"more\":1}");
    let status = run(archive.path(), &job);
    assert!(status["uploaded"] == 1 && status["known"] == archive.files.len() - 1, "{status}");
    // A file that was known is confirmed again before it goes.
    let lost = there.path().join("some/where").join(archive.files.keys().next().unwrap());
    fs::remove_file(&lost).unwrap();
    let status = run(archive.path(), &job.deleting());
    assert!(is_done(&status) && status["missing"] == 1 && status["deleted"] == 8, "{status}");
    assert!(lost.exists() && archive.is_here("manifest.json") && archive.is_here("journal/host=web1/000001.journal"));
}

/// Passes until one is whole; after each, nothing may be lost.
fn in_the_end(archive: &Archive, server: &Server, job: &Job, prefix: &str) {
    let done = (0..PASSES).any(|_| {
        let status = run(archive.path(), job);
        archive.check(server, prefix);
        is_done(&status)
    });
    assert!(done);
    archive.check_all(server, prefix, true);
}

#[test]
fn a_store_that_fails_in_every_way_has_all_in_the_end() {
    let archive = Archive::new(20 << 20);
    let server = Server::start(bad);
    in_the_end(&archive, &server, &Job::s3(&server, "ebbline").deleting(), "bucket/ebbline");
}

#[test]
fn a_webdav_folder_that_fails_has_all_in_the_end() {
    let archive = Archive::new(9 << 20);
    let server = Server::start(bad);
    let job = Job::to(format!("http://{}/dav", server.address)).hasty().deleting();
    in_the_end(&archive, &server, &job, "dav");
}

#[test]
fn a_store_that_lies_is_not_believed() {
    let liar = |key: &str| key.contains("connection") && key.contains("day=2026-11-01");
    let archive = Archive::new(1_000);
    let server = Server::start(move |_, method, key| match method {
        "PUT" if liar(key) => Fault::Truncate,
        _ => Fault::None,
    });
    let status = run(archive.path(), &Job::s3(&server, "x").deleting());
    assert_eq!(status["failed"], 1, "{status}");
    assert!(archive.files.keys().filter(|relative| liar(relative)).all(|relative| archive.is_here(relative)));
    archive.check(&server, "bucket/x");
}

#[test]
fn what_the_store_lost_or_changed_goes_up_again() {
    let archive = Archive::new(1_000);
    let server = Server::start(|_, _, _| Fault::None);
    let job = Job::s3(&server, "x");
    assert!(is_done(&run(archive.path(), &job)));
    let keys = server.keys();
    server.remove(&keys[0]);
    server.zero(&keys[1]);
    let status = run(archive.path(), &job.deleting());
    assert!(status["missing"] == 2 && status["uploaded"] == 2, "{status}");
    archive.check_all(&server, "bucket/x", true);
}

#[test]
fn an_upload_that_is_killed_goes_on_where_it_was() {
    let archive = Archive::new(20 << 20);
    let server = Server::start(|_, _, _| Fault::None);
    let job = Job::s3(&server, "ebbline").deleting();
    let status = archive.path().join("status.tmp");
    for round in 0..20_u64 {
        // It is killed in the middle of one of its first requests, before or after the store has acted on it.
        let (asked, last) = (Arc::new(AtomicU64::new(0)), 1 + round % 7);
        let counter = asked.clone();
        server.rule(move |_, _, _| match counter.fetch_add(1, Relaxed) + 1 {
            number if number < last => Fault::None,
            _ if round % 2 == 0 => Fault::Stall,
            _ => Fault::Linger,
        });
        let mut child = upload(archive.path(), &job, &status).spawn().unwrap();
        while asked.load(Relaxed) < last && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(round));
        let _ = child.kill(); // it may be done
        child.wait().unwrap();
        archive.check(&server, "bucket/ebbline");
    }
    server.rule(|_, _, _| Fault::None);
    assert!(is_done(&run(archive.path(), &job)));
    archive.check_all(&server, "bucket/ebbline", true);
    let puts = server.puts();
    assert_eq!((&run(archive.path(), &job)["uploaded"], server.puts()), (&json!(0), puts), "nothing goes up twice");
}

#[test]
fn a_store_that_is_down_costs_nothing() {
    let archive = Archive::new(1_000);
    // Nobody listens there any more.
    let gone = Server::start(|_, _, _| Fault::None).address;
    let status = run(archive.path(), &Job::to(format!("http://{gone}/dav")).deleting());
    assert!(status["down"] == true && status["uploaded"] == 0 && status["deleted"] == 0, "{status}");
    assert!(archive.files.keys().all(|relative| archive.is_here(relative)));
}

#[test]
fn what_cannot_be_is_one_line() {
    let archive = Archive::new(10);
    let wrong = [Job::to("ftp://x/y"), Job::to("s3://b/x").with("regoin", "x"), Job::to("file:///tmp").with("a", "b")];
    for job in wrong {
        let status = run(archive.path(), &job);
        let error = status["error"].as_str().unwrap();
        assert!(error.starts_with("cannot upload: ") && error.lines().count() == 1, "{error}");
    }
    let status = run(&archive.path().join("gone"), &Job::to("file:///tmp"));
    assert!(status["error"].as_str().unwrap().contains("gone"), "{status}");
}
