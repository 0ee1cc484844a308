//! What the copies of this test program do in a cgroup.

use super::harness::{CGROUP, END, role_command};
use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{fd::AsRawFd, unix::process::CommandExt},
    process::{Command, Stdio},
};

/// Payload of the client and of the server.
pub(crate) const REQUEST: usize = 1000;
pub(crate) const REPLY: usize = 5000;
/// How many execs and connections a flood makes.
pub(crate) const FLOOD: u64 = 300;

pub(crate) fn play(role: &str) {
    if let Ok(cgroup) = std::env::var(CGROUP) {
        std::fs::write(format!("{cgroup}/cgroup.procs"), "0").unwrap();
    }
    match role {
        "tcp4" => tcp(Ipv4Addr::LOCALHOST.into()),
        "tcp6" => tcp(Ipv6Addr::LOCALHOST.into()),
        "client" => client(),
        "mapped" => mapped(),
        "reset" => reset(),
        "refused" => refused(),
        "udp4" => udp(Ipv4Addr::LOCALHOST.into()),
        "udp6" => udp(Ipv6Addr::LOCALHOST.into()),
        "memfd" => memfd(),
        "threads" => threads(),
        "flood" => flood(),
        "outside" => outside(),
        other => panic!("no role {other}"),
    }
    say(END);
    // Stays until it is let go. Nobody listens to what the test runner would still say.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    std::process::exit(0);
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

/// An IPv4 client of an IPv6 listener; the client closes first, fully, and asks for its peer's name meanwhile.
fn mapped() {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(&[b'x'; REQUEST]).unwrap();
    for _ in 0..3 {
        server.peer_addr().unwrap();
    }
    drop(client);
    let mut request = Vec::new();
    server.read_to_end(&mut request).unwrap();
    assert_eq!(request.len(), REQUEST);
    say(port);
}

/// The server goes away with the request unread, which resets the connection.
fn reset() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    client.write_all(&[b'x'; REQUEST]).unwrap();
    while server.peek(&mut [0; REQUEST]).unwrap() < REQUEST {}
    drop(server);
    assert!(client.read(&mut [0; 10]).is_err());
    say(listener.local_addr().unwrap().port());
}

fn refused() {
    // A port that was just free and nobody listens on.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    say(port);
}

/// Three datagrams to one destination, one to another, and one over a connected socket.
fn udp(ip: IpAddr) {
    let receivers = [(); 3].map(|()| UdpSocket::bind((ip, 0)).unwrap());
    let sender = UdpSocket::bind((ip, 0)).unwrap();
    for receiver in [0, 0, 0, 1] {
        sender.send_to(b"hello", receivers[receiver].local_addr().unwrap()).unwrap();
    }
    let connected = UdpSocket::bind((ip, 0)).unwrap();
    connected.connect(receivers[2].local_addr().unwrap()).unwrap();
    connected.send(b"hello").unwrap();
    say(std::process::id());
    say(sender.local_addr().unwrap().port());
    receivers.iter().for_each(|receiver| say(receiver.local_addr().unwrap().port()));
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

/// Sockets made in the cgroup, used after the process has left it.
fn outside() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mount = ebbline_agent_user::kernel::cgroup2_mount().unwrap();
    std::fs::write(mount.join("cgroup.procs"), "0").unwrap();
    let client = TcpStream::connect(address).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    drop(client);
    assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
    sender.send_to(b"hello", address).unwrap();
    sender.connect(address).unwrap();
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
