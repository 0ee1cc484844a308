//! What rows show by themselves, and what people should know of it: a table. Texts in braces are columns of the row.
//!
//! A rule is a test on columns alone; it says what is so, never what is meant. Techniques are suggestions.

use super::facts::Fact;
use super::looks::{goes_out, is, is_one_of, is_public, is_shell};

/// A sign, and what to say where it is found.
pub(crate) struct Rule {
    /// Its name, for tests and other programs.
    pub(crate) sign: &'static str,
    /// How telling it is: the title goes by the most telling.
    pub(crate) weight: u32,
    /// Whether a row shows it.
    pub(crate) test: fn(&Fact) -> bool,
    /// What is so, as the end of a sentence.
    pub(crate) phrase: &'static str,
    /// When it is harmless.
    pub(crate) harmless: &'static str,
    /// What to look at next.
    pub(crate) check: &'static str,
    /// ATT&CK techniques that it may be about.
    pub(crate) techniques: &'static [&'static str],
    /// What must be unusual about it before techniques are suggested.
    pub(crate) needs: Needs,
}

/// What a reason must be about, so that a sign which ordinary rows have suggests techniques.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// The sign says enough.
    Nothing,
    /// That the shell ran, or that something ran under it.
    Shell,
    /// That, or what it was told.
    Command,
    /// The program, or the folder it ran from.
    Image,
}

/// All of them. Of rules that hold for a row each is used.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        sign: "memory file",
        weight: 90,
        test: |row| is(row, "exec") && row.get("exe").starts_with("memfd:"),
        phrase: "{exe} ran from memory, without a file",
        harmless: "Container runtimes and some installers run a helper of their own from memory.",
        check: "Find out what made the memory file: {parent_exe} started it; its image is not on disk, so save it from /proc/{pid}/exe while it runs.",
        techniques: &["T1620"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "deleted image",
        weight: 70,
        test: |row| is(row, "exec") && row.get("exe_unlinked") == "true" && !row.get("exe").starts_with("memfd:"),
        phrase: "{exe} ran though its file was deleted",
        harmless: "An upgrade replaces the file of a program that is being started.",
        check: "See whether a package was upgraded at that moment, and save the image from /proc/{pid}/exe while it runs.",
        techniques: &["T1070.004"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "temporary folder",
        weight: 50,
        test: |row| {
            is(row, "exec")
                && ["/tmp/", "/var/tmp/", "/dev/shm/", "/run/user/"]
                    .iter()
                    .any(|folder| row.get("exe").starts_with(folder))
        },
        phrase: "{exe} ran from a temporary folder",
        harmless: "Installers and builds unpack programs there and run them.",
        check: "Look at who wrote {exe} and when, and compare its digest ({exe_sha256}) with what you ship.",
        techniques: &["T1036.005", "T1105"],
        needs: Needs::Image,
    },
    Rule {
        sign: "hidden name",
        weight: 55,
        test: |row| is(row, "exec") && row.get("exe").contains("/.") && !row.get("exe").starts_with("memfd:"),
        phrase: "{exe} has a hidden name or folder in its path",
        harmless: "Tools of developers live in hidden folders of their homes.",
        check: "Look at what else lies beside {exe}.",
        techniques: &["T1564.001"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "kernel name",
        weight: 60,
        test: |row| {
            is(row, "exec")
                && ["kworker", "kthreadd", "ksoftirqd", "migration", "rcu_"].iter().any(|name| {
                    row.leaf("exe").trim_start_matches("memfd:").starts_with(name)
                        || row.args.first().is_some_and(|arg| arg.trim_start_matches('[').starts_with(name))
                })
        },
        phrase: "{exe} has the name of a kernel thread, but is a program",
        harmless: "None is known: kernel threads have no image.",
        check: "Compare the digest of {exe} ({exe_sha256}) with known programs.",
        techniques: &["T1036.004"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "shell over a socket",
        weight: 95,
        test: |row| {
            is(row, "exec")
                && is_shell(row.leaf("exe"))
                && (row.line().contains("/dev/tcp/") || row.line().contains("/dev/udp/"))
        },
        phrase: "{exe} was started with a network connection in its command",
        harmless: "Scripts test whether a port is open in this way.",
        check: "Find the other end of the connection, and what was read from it.",
        techniques: &["T1059.004", "T1095"],
        needs: Needs::Command,
    },
    Rule {
        sign: "shell command",
        weight: 40,
        test: |row| {
            is(row, "exec")
                && is_shell(row.leaf("exe"))
                && row.args.iter().any(|arg| arg.starts_with('-') && !arg.starts_with("--") && arg.contains('c'))
        },
        phrase: "{parent_exe} ran a command through {exe}",
        harmless: "Many programs run a helper through a shell; a new version or setting brings a new command.",
        check: "Read the command and ask who gave it to {parent_exe}.",
        techniques: &["T1059.004"],
        needs: Needs::Command,
    },
    Rule {
        sign: "shell",
        weight: 30,
        test: |row| is(row, "exec") && is_shell(row.leaf("exe")),
        phrase: "{parent_exe} started the shell {exe}",
        harmless: "Services start shells for scripts of theirs.",
        check: "See what else ran below {parent_exe} in that hour.",
        techniques: &["T1059.004"],
        needs: Needs::Shell,
    },
    Rule {
        sign: "interpreter with code",
        weight: 45,
        test: |row| {
            is(row, "exec")
                && is_one_of(row.leaf("exe"), &["python", "perl", "ruby", "node", "php", "lua"])
                && row.args.iter().skip(1).any(|arg| arg == "-c" || arg == "-e" || arg == "-r")
        },
        phrase: "{exe} was given its program as an argument",
        harmless: "Build systems and configuration tools run one-line programs.",
        check: "Read the argument.",
        techniques: &["T1059"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "download",
        weight: 60,
        test: |row| {
            is(row, "exec")
                && (is_one_of(row.leaf("exe"), &["curl", "wget", "tftp", "aria"])
                    || row.args.iter().skip(1).any(|arg| {
                        arg.starts_with("http://") || arg.starts_with("https://") || arg.starts_with("ftp://")
                    }))
        },
        phrase: "{exe} was told to fetch or send something: {args}",
        harmless: "Health checks, updates and webhooks do this.",
        check: "Find out what the address serves and what became of the file.",
        techniques: &["T1105"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "relay",
        weight: 65,
        test: |row| is(row, "exec") && is_one_of(row.leaf("exe"), &["nc", "ncat", "netcat", "socat"]),
        phrase: "{exe} ran, which joins sockets and programs",
        harmless: "People test connections with it.",
        check: "Look at its connections and at what it was joined to.",
        techniques: &["T1095", "T1090"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "encoded",
        weight: 60,
        test: |row| {
            is(row, "exec")
                && (row.leaf("exe") == "base64"
                    || row.line().contains("base64 -d")
                    || row.line().contains("base64 --decode")
                    || row.line().contains("b64decode"))
        },
        phrase: "{exe} decoded something: {args}",
        harmless: "Configuration and certificates are often stored in this form.",
        check: "Decode it yourself and read it.",
        techniques: &["T1140", "T1027"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "secrets",
        weight: 75,
        test: |row| {
            is(row, "exec")
                && ["/etc/shadow", "/.ssh/", "id_rsa", "id_ed25519", "/.aws/", ".kube/config", "/.netrc", ".pgpass"]
                    .iter()
                    .any(|name| row.line().contains(name))
        },
        phrase: "{exe} was pointed at a file of credentials",
        harmless: "Backups and account management read these files.",
        check: "See whether the file was read or copied, and change what is in it if so.",
        techniques: &["T1003.008", "T1552.001", "T1552.004"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "packing",
        weight: 35,
        test: |row| is(row, "exec") && is_one_of(row.leaf("exe"), &["tar", "zip", "gzip", "7z", "xz", "zstd"]),
        phrase: "{exe} packed or unpacked files",
        harmless: "Backups, logs and packages do this all day.",
        check: "Look at which files went in and where the result went.",
        techniques: &["T1560.001"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "stays",
        weight: 70,
        test: |row| {
            is(row, "exec")
                && (is_one_of(row.leaf("exe"), &["crontab", "at"])
                    || [
                        "/etc/cron",
                        "/cron.d/",
                        "authorized_keys",
                        ".bashrc",
                        ".profile",
                        "systemctl enable",
                        "/etc/systemd/",
                        "/etc/rc.local",
                        "ld.so.preload",
                    ]
                    .iter()
                    .any(|name| row.line().contains(name)))
        },
        phrase: "{exe} touched something that runs again by itself: {args}",
        harmless: "Configuration management writes these files.",
        check: "Compare the file with what configuration management holds.",
        techniques: &["T1053.003", "T1543.002", "T1546.004", "T1098.004"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "marks gone",
        weight: 70,
        test: |row| {
            is(row, "exec")
                && (row.leaf("exe") == "shred"
                    || ["history -c", "HISTFILE=", "/var/log/wtmp", ".bash_history"]
                        .iter()
                        .any(|name| row.line().contains(name)))
        },
        phrase: "{exe} may have removed marks: {args}",
        harmless: "People tidy up disks that they give away.",
        check: "See what is missing from the logs around that time.",
        techniques: &["T1070.003", "T1070.002"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "looking around",
        weight: 25,
        test: |row| {
            is(row, "exec")
                && is_one_of(
                    row.leaf("exe"),
                    &[
                        "whoami", "id", "uname", "hostname", "ps", "netstat", "ss", "ifconfig", "ip", "lsof", "last",
                        "who", "w", "arp", "getent", "lscpu",
                    ],
                )
        },
        phrase: "{exe} asked who or where it is",
        harmless: "Monitoring and login scripts ask this.",
        check: "See which questions came together, and who reads the answers.",
        techniques: &["T1082", "T1033", "T1057", "T1049"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "became root",
        weight: 85,
        test: |row| is(row, "credential") && row.get("euid") == "0" && !["", "0"].contains(&row.get("previous_euid")),
        phrase: "{exe} became root",
        harmless: "sudo, su and services with helpers do this.",
        check: "See who logged in as user {login_uid} and whether the program may do this.",
        techniques: &["T1548"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "crash",
        weight: 45,
        test: |row| is(row, "exit") && ["4", "6", "7", "8", "11", "31"].contains(&row.get("exit_signal")),
        phrase: "{exe} was ended by signal {exit_signal}",
        harmless: "Programs crash.",
        check: "Look for a core file, and for what was sent to the program before.",
        techniques: &["T1203"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "shell on the network",
        weight: 90,
        test: |row| row.table == events::CONNECTION && is_shell(row.leaf("exe")),
        phrase: "{exe}, a shell, itself has a connection with {remote_ip} port {remote_port}",
        harmless: "Scripts test whether a port is open in this way.",
        check: "Find out who is at {remote_ip} port {remote_port}.",
        techniques: &["T1059.004", "T1071"],
        needs: Needs::Shell,
    },
    Rule {
        sign: "outside",
        weight: 55,
        test: |row| row.table == events::CONNECTION && goes_out(row) && is_public(row.get("remote_ip")),
        phrase: "{exe} connected to {remote_ip} port {remote_port}, outside",
        harmless: "Services move: a new address of a provider or mirror looks like this.",
        check: "See whose address {remote_ip} is, and whether other hosts know it.",
        techniques: &["T1071"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "connection",
        weight: 20,
        test: |row| row.table == events::CONNECTION && goes_out(row),
        phrase: "{exe} connected to {remote_ip} port {remote_port}",
        harmless: "A new service, client or setting opens new connections.",
        check: "See what listens at {remote_ip} port {remote_port}.",
        techniques: &["T1071"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "listener",
        weight: 65,
        test: |row| row.table == events::CONNECTION && ["listen", "bind"].contains(&row.get("activity")),
        phrase: "{exe} began to wait at {local_ip} port {local_port}",
        harmless: "A service was started or got another port.",
        check: "See who connected to port {local_port} since, and whether it can be reached from outside.",
        techniques: &["T1571"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "visitor",
        weight: 20,
        test: |row| row.table == events::CONNECTION && row.get("activity") == "accept",
        phrase: "{exe} was reached by {remote_ip} at port {local_port}",
        harmless: "A new client came.",
        check: "See what {exe} did right after.",
        techniques: &["T1190"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "much sent",
        weight: 50,
        test: |row| {
            row.table == events::CONNECTION
                && row.number("bytes_out") >= 1e6
                && row.number("bytes_out") > 4.0 * row.number("bytes_in")
        },
        phrase: "{exe} sent {bytes_out} bytes to {remote_ip}",
        harmless: "Backups and uploads do.",
        check: "Find out which files {exe} had read before.",
        techniques: &["T1041", "T1048"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "refused",
        weight: 20,
        test: |row| {
            row.table == events::CONNECTION && ["refused", "timeout", "unreachable"].contains(&row.get("outcome"))
        },
        phrase: "{exe} did not get through to {remote_ip} port {remote_port} ({outcome})",
        harmless: "A service was down.",
        check: "See whether {exe} tried many ports or hosts.",
        techniques: &["T1046"],
        needs: Needs::Nothing,
    },
    Rule {
        sign: "name",
        weight: 20,
        test: |row| row.table == events::DNS,
        phrase: "{exe} asked for the name {name}",
        harmless: "A new service or version asks for new names.",
        check: "See who owns {name}, since when, and who else asks for it.",
        techniques: &["T1071.004"],
        needs: Needs::Nothing,
    },
];
