//! What this program does under each of its names.

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

type Role = fn(&[String]) -> Result<()>;

/// The role behind a program name, if it is one.
pub(crate) fn find(name: &str) -> Option<Role> {
    Some(match name {
        "httpd" => |args| httpd(args, "127.0.0.1"),
        "deployd" => |args| httpd(args, "0.0.0.0"),
        "metricsd" | "dbd" => answer,
        "fetch" => fetch,
        "worker" => worker,
        "crond" => crond,
        "pkg" => package,
        "unpack" | "thumbnail" => |_| Ok(()),
        _ => return None,
    })
}

fn port(args: &[String], n: usize) -> Result<u16> {
    args.get(n).context("port missing")?.parse().context("port is not a number")
}

/// A small web server: `/thumb` starts its helper program. `/run?COMMAND` is the hole the demo's intruder uses:
/// it hands COMMAND to a shell.
fn httpd(args: &[String], address: &str) -> Result<()> {
    let helper = args.get(1).context("helper missing")?;
    for stream in TcpListener::bind((address, port(args, 0)?))?.incoming() {
        let mut stream = stream?;
        let request = read_request(&mut stream);
        if request.starts_with("/thumb") {
            let _ = Command::new(helper).args(["--size", "128"]).status();
        } else if let Some(command) = request.strip_prefix("/run?") {
            let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
            let _ = Command::new(shell).args(["-c", command]).stdin(Stdio::null()).status();
        }
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nok\n");
    }
    Ok(())
}

/// The path asked for, blanks decoded; empty when there is none.
fn read_request(stream: &mut TcpStream) -> String {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let mut buffer = [0; 2048];
    let n = stream.read(&mut buffer).unwrap_or(0);
    let text = String::from_utf8_lossy(&buffer[..n]);
    text.split(' ').nth(1).unwrap_or_default().replace('+', " ")
}

/// A service that answers whatever it is asked, over TCP, and takes datagrams.
fn answer(args: &[String]) -> Result<()> {
    let port = port(args, 0)?;
    let datagrams = UdpSocket::bind(("127.0.0.1", port))?;
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while datagrams.recv(&mut buffer).is_ok() {}
    });
    for stream in TcpListener::bind(("127.0.0.1", port))?.incoming() {
        let mut stream = stream?;
        read_request(&mut stream);
        let _ = stream.write_all(&[b'x'; 700]);
    }
    Ok(())
}

/// `fetch --url http://HOST:PORT/PATH`: one request.
fn fetch(args: &[String]) -> Result<()> {
    let url = args.get(1).context("url missing")?;
    let rest = url.strip_prefix("http://").context("not an http url")?;
    let (address, path) = rest.split_once('/').context("no path")?;
    ask(address, &format!("/{path}"))
}

/// One HTTP request, whatever the answer.
pub(super) fn ask(address: &str, path: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut body = Vec::new();
    let _ = stream.read_to_end(&mut body);
    Ok(())
}

/// Asks the database and sends one statistics datagram.
fn worker(args: &[String]) -> Result<()> {
    ask(&format!("127.0.0.1:{}", port(args, 0)?), "/query")?;
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.send_to(b"jobs:1|c", ("127.0.0.1", port(args, 1)?))?;
    Ok(())
}

/// Runs a script and waits for it, as cron does.
fn crond(args: &[String]) -> Result<()> {
    let script = args.first().context("script missing")?;
    Command::new(script).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    Ok(())
}

/// `pkg install NAME FOLDER UNPACK`: unpack, then run the maintainer scripts out of the new folder.
fn package(args: &[String]) -> Result<()> {
    let [_, name, folder, unpack] = args else { bail!("usage: pkg install NAME FOLDER UNPACK") };
    let folder = Path::new(folder);
    std::fs::create_dir_all(folder)?;
    Command::new(unpack).arg(name).arg(folder).status()?;
    for script in ["preinst", "postinst"] {
        let path = folder.join(format!("{name}.{script}"));
        std::fs::write(&path, "#!/bin/sh\ntest -d /usr && cat /etc/hostname > /dev/null\n")?;
        Command::new("chmod").arg("755").arg(&path).status()?;
        Command::new(&path).arg("configure").status()?;
    }
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
