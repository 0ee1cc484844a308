//! What the copies of a test program do with sockets in a cgroup.

use super::harness::{CGROUP, END, role_command};
use rustix::{
    ioctl::{Setter, ioctl},
    net::{AddressFamily, SocketFlags, SocketType, bind, connect, listen, socket, socket_with, sockopt},
    thread::{UnshareFlags, unshare_unsafe},
};
use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::OwnedFd,
    process::Stdio,
};

/// Payload of the client and of the server.
pub(crate) const REQUEST: usize = 1000;
pub(crate) const REPLY: usize = 5000;
/// Datagrams of the client and of the server, by their sizes.
pub(crate) const ASKED: [usize; 4] = [0, 5, 1000, 20_000];
pub(crate) const ANSWERED: [usize; 3] = [7, 0, 1400];
/// No network has it: it is for documentation.
pub(crate) const NOWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const LOCAL4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOCAL6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const PEER: &str = "EBBLINE_LIVE_PEER";

pub(crate) fn play(role: &str, more: impl Fn(&str)) {
    if let Ok(cgroup) = std::env::var(CGROUP) {
        std::fs::write(format!("{cgroup}/cgroup.procs"), "0").unwrap();
    }
    match role {
        "tcp4" => tcp(LOCAL4),
        "tcp6" => tcp(LOCAL6),
        "client" => exchange(TcpStream::connect(peer()).unwrap()),
        "mapped" => mapped(),
        "silent" => silent(),
        "reset" => reset(),
        "refused" => refused(),
        "timeout" => timeout(),
        "unreachable" => unreachable(),
        "bind" => binds(),
        "outside" => outside(),
        "udp4" => udp(UdpSocket::bind((LOCAL4, 0)).unwrap(), LOCAL4),
        "udp6" => udp(UdpSocket::bind((LOCAL6, 0)).unwrap(), LOCAL6),
        "udpmapped" => udp(UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap(), LOCAL4),
        "connected4" => connected(LOCAL4),
        "connected6" => connected(LOCAL6),
        "older" => older(),
        other => more(other),
    }
    say(END);
    stay()
}

/// Stays until it is let go. Nobody listens any more, not even to what the test runner would still say.
fn stay() -> ! {
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    std::process::exit(0);
}

pub(crate) fn say(word: impl std::fmt::Display) {
    // On a line of its own, whatever the test runner wrote before.
    println!("\n@{word}");
}

fn peer() -> SocketAddr {
    std::env::var(PEER).unwrap().parse().unwrap()
}

/// A network of this thread's own, with nothing but a loopback device that is up.
pub(crate) fn own_network() {
    // SAFETY: the network namespace is changed for this thread only, which has no sockets yet.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET).unwrap() };
    const SET_FLAGS: u32 = 0x8914;
    const UP: u16 = 1;
    let mut request = [0_u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16..18].copy_from_slice(&UP.to_ne_bytes());
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
    // SAFETY: the request is an `ifreq`: a name and flags.
    unsafe { ioctl(any, Setter::<SET_FLAGS, _>::new(request)).unwrap() };
}

/// A server in this process and a client in another.
fn tcp(ip: IpAddr) {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut command = role_command("client");
    command.env_remove(CGROUP).env(PEER, address.to_string()).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let (mut stream, client) = listener.accept().unwrap();
    let mut request = Vec::new();
    stream.read_to_end(&mut request).unwrap();
    assert_eq!(request.len(), REQUEST);
    stream.write_all(&[b'y'; REPLY]).unwrap();
    drop(stream);
    assert!(child.wait().unwrap().success());
    say(std::process::id());
    say(child.id());
    say(address.port());
    say(client.port());
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

/// A server that does not ask who is there.
fn silent() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = rustix::net::accept(&listener).unwrap();
    say(std::process::id());
    say(listener.local_addr().unwrap().port());
    say(client.local_addr().unwrap().port());
    drop(client);
    assert_eq!(TcpStream::from(server).read(&mut [0; 1]).unwrap(), 0);
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
}

fn refused() {
    // A port that was just free and nobody listens on.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    say(port);
}

/// A listener whose queue is full does not answer.
fn timeout() {
    let listener = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    listen(&listener, 0).unwrap();
    let listener = TcpListener::from(listener);
    let address = listener.local_addr().unwrap();
    let _first = TcpStream::connect(address).unwrap();
    let second = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_tcp_user_timeout(&second, 1000).unwrap();
    let error = connect(&second, &address).unwrap_err();
    assert_eq!(error, rustix::io::Errno::TIMEDOUT);
    say(address.port());
}

/// No route: twice with one socket, once over IPv6, once with UDP.
fn unreachable() {
    own_network();
    let tcp = |family| socket(family, SocketType::STREAM, None).unwrap();
    let fails = |socket: &OwnedFd, ip: IpAddr| {
        let error = connect(socket, &SocketAddr::new(ip, 80)).unwrap_err();
        assert_eq!(error, rustix::io::Errno::NETUNREACH);
    };
    let twice = tcp(AddressFamily::INET);
    fails(&twice, NOWHERE.into());
    fails(&twice, NOWHERE.into());
    fails(&tcp(AddressFamily::INET6), NOWHERE.to_ipv6_mapped().into());
    fails(&socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap(), NOWHERE.into());
    say(std::process::id());
}

/// One of each kind of address.
fn binds() {
    for ip in ["0.0.0.0", "::", "::ffff:127.0.0.1", "::1"] {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        say(listener.local_addr().unwrap().port());
        say(UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap().port());
    }
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
    say(std::process::id());
}

/// A client and a server without connections; the client also sends once to a port where nobody is.
fn udp(server: UdpSocket, ip: IpAddr) {
    let port = server.local_addr().unwrap().port();
    let client = UdpSocket::bind((ip, 0)).unwrap();
    let mut buffer = vec![0; 1 << 16];
    for size in ASKED {
        assert_eq!(client.send_to(&vec![b'q'; size], (ip, port)).unwrap(), size);
        assert_eq!(server.recv_from(&mut buffer).unwrap().0, size);
    }
    let (_, from) = {
        client.send_to(b"", (ip, port)).unwrap();
        server.recv_from(&mut buffer).unwrap()
    };
    for size in ANSWERED {
        server.send_to(&vec![b'a'; size], from).unwrap();
        assert_eq!(client.recv_from(&mut buffer).unwrap().0, size);
    }
    say(std::process::id());
    say(client.local_addr().unwrap().port());
    say(port);
}

/// Two sockets connected to each other.
fn connected(ip: IpAddr) {
    let (one, other) = (UdpSocket::bind((ip, 0)).unwrap(), UdpSocket::bind((ip, 0)).unwrap());
    one.connect(other.local_addr().unwrap()).unwrap();
    other.connect(one.local_addr().unwrap()).unwrap();
    let mut buffer = vec![0; 1 << 16];
    for size in ASKED {
        one.send(&vec![b'q'; size]).unwrap();
        assert_eq!(other.recv(&mut buffer).unwrap(), size);
    }
    for size in ANSWERED {
        other.send(&vec![b'a'; size]).unwrap();
        assert_eq!(one.recv(&mut buffer).unwrap(), size);
    }
    say(std::process::id());
    say(one.local_addr().unwrap().port());
    say(other.local_addr().unwrap().port());
}

/// Sockets made before the agent, which go on and end while it watches.
fn older() {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let (mut server, from) = listener.accept().unwrap();
    client.write_all(&[b'x'; REQUEST]).unwrap();
    server.read_exact(&mut [0; REQUEST]).unwrap();
    let again = client.try_clone().unwrap();
    let waiting = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let joined = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    joined.connect((Ipv6Addr::LOCALHOST, 9)).unwrap();
    let ports = [port, from.port(), waiting.local_addr().unwrap().port(), joined.local_addr().unwrap().port()];
    say(std::process::id());
    ports.into_iter().for_each(say);
    say(END);
    std::io::stdin().read_exact(&mut [0]).unwrap();
    server.write_all(&[b'y'; REPLY]).unwrap();
    client.read_exact(&mut [0; REPLY]).unwrap();
    waiting.send_to(b"hello", (Ipv4Addr::LOCALHOST, 9)).unwrap();
    drop((again, client));
    assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
    drop((server, listener, waiting, joined));
    stay()
}
