//! What the copies of this test program do in a cgroup.

use super::harness::{CGROUP, END, role_command};
use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::{fd::AsRawFd, unix::process::CommandExt},
    process::{Command, Stdio},
};

/// Payload of the client and of the server.
const REQUEST: usize = 1000;
const REPLY: usize = 5000;
/// How many execs and connections a flood makes.
pub(crate) const FLOOD: u64 = 300;

pub(crate) fn play(role: &str) {
    if let Ok(cgroup) = std::env::var(CGROUP) {
        std::fs::write(format!("{cgroup}/cgroup.procs"), "0").unwrap();
    }
    match role {
        "tcp4" => tcp(Ipv4Addr::LOCALHOST.into()),
        "client" => client(),
        "memfd" => memfd(),
        "threads" => threads(),
        "flood" => flood(),
        "load" => load(),
        other => panic!("no role {other}"),
    }
    say(END);
    // Stays until it is let go. Nobody listens to what the test runner would still say.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    std::process::exit(0);
}

/// Programs, connections and datagrams until standard input ends, no two quite the same. Says how many of each.
fn load() {
    let told = std::thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (socket, mut made) = (std::net::UdpSocket::bind("127.0.0.1:0").unwrap(), 0_u64);
    while !told.is_finished() {
        let argument = format!("--number={made} in /tmp/{}", made % 1000);
        assert!(Command::new("/bin/true").arg(argument).status().unwrap().success());
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"x", peer.local_addr().unwrap()).unwrap();
        drop(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        drop(listener.accept().unwrap());
        made += 1;
    }
    say(made);
}

fn say(word: impl std::fmt::Display) {
    // On a line of its own, whatever the test runner wrote before.
    println!("\n@{word}");
}

/// A server in this process and a client in another.
fn tcp(ip: IpAddr) {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut child = role_command("client")
        .env_remove(CGROUP)
        .env("EBBLINE_LIVE_PEER", address.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = Vec::new();
    stream.read_to_end(&mut request).unwrap();
    assert_eq!(request.len(), REQUEST);
    stream.write_all(&[b'y'; REPLY]).unwrap();
    drop(stream);
    assert!(child.wait().unwrap().success());
    say(std::process::id());
    say(child.id());
    say(address.port());
}

fn client() {
    let address: SocketAddr = std::env::var("EBBLINE_LIVE_PEER").unwrap().parse().unwrap();
    exchange(TcpStream::connect(address).unwrap());
}

fn exchange(mut stream: TcpStream) {
    stream.write_all(&[b'x'; REQUEST]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    assert_eq!(reply.len(), REPLY);
}

/// Runs a program from a memory file.
fn memfd() {
    let file = rustix::fs::memfd_create("ebb", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let mut file = std::fs::File::from(file);
    file.write_all(&std::fs::read("/bin/true").unwrap()).unwrap();
    assert!(Command::new(format!("/proc/self/fd/{}", file.as_raw_fd())).status().unwrap().success());
}

/// Threads come and go, then one that is not the first runs another program.
fn threads() {
    (0..8).map(|_| std::thread::spawn(|| ())).for_each(|thread| thread.join().unwrap());
    let error = std::thread::spawn(|| Command::new("/bin/true").exec()).join().unwrap();
    panic!("{error}");
}

fn flood() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for _ in 0..FLOOD {
        assert!(Command::new("/bin/true").status().unwrap().success());
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        drop(client);
        // Wait for the other side's end, so that each connection is over before the next.
        assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
    }
}
