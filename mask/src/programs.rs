//! Options and positions that hold a secret in one program and something else in others.

/// How an option and its value stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The value is the next argument.
    Next,
    /// The value follows in the same argument.
    Attached,
    /// Either, and after `=`.
    Both,
}

/// Which part of the value is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// What follows this character; nothing if it is not there.
    After(char),
}

/// Whether a list, with spaces between, has a word.
pub(crate) fn among(list: &str, word: &str) -> bool {
    list.split(' ').any(|listed| listed == word)
}

/// An option of named programs. Lists have spaces between.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) programs: &'static str,
    /// A word that must stand between the program and the option, or nothing.
    pub(crate) command: &'static str,
    pub(crate) options: &'static str,
    pub(crate) form: Form,
    pub(crate) part: Part,
}

const fn rule(programs: &'static str, command: &'static str, options: &'static str, form: Form, part: Part) -> Rule {
    Rule { programs, command, options, form, part }
}

use Form::{Attached, Both, Next};
use Part::{After, Whole};

/// The options.
pub(crate) const RULES: &[Rule] = &[
    rule(
        "mysql mysqldump mysqladmin mysqlimport mysqlcheck mysqlshow mysqlpump mariadb mariadb-dump mariadb-admin mariadb-backup xtrabackup",
        "",
        "-p",
        Attached,
        Whole,
    ),
    rule("sshpass", "", "-p", Both, Whole),
    rule("curl", "", "-u --user -U --proxy-user", Both, After(':')),
    rule("curl", "", "-b --cookie", Both, After('=')),
    rule("curl", "", "--oauth2-bearer", Both, Whole),
    rule("http https xh httpie", "", "-a --auth", Both, After(':')),
    rule(
        "ldapsearch ldapadd ldapmodify ldapdelete ldappasswd ldapwhoami ldapcompare ldapmodrdn",
        "",
        "-w",
        Both,
        Whole,
    ),
    rule("ldappasswd", "", "-s -a", Both, Whole),
    rule("redis-cli valkey-cli", "", "-a --pass", Both, Whole),
    rule("smbclient rpcclient net smbget smbcacls", "", "-U --user", Both, After('%')),
    rule("7z 7za 7zr 7zz rar unrar", "", "-p -hp", Attached, Whole),
    rule("zip unzip zipcloak", "", "-P", Both, Whole),
    rule("openssl", "", "-pass -passin -passout", Next, After(':')),
    rule("openssl", "", "-k -K -hmac", Next, Whole),
    rule("docker podman nerdctl buildah skopeo helm oras az cf oc crane", "login", "-p", Both, Whole),
    rule("mongo mongosh mongodump mongorestore mongoexport mongoimport", "", "-p", Both, Whole),
    rule("sqlcmd bcp osql", "", "-P", Both, Whole),
    rule("sqlplus expdp impdp rman", "", "", Attached, After('/')),
    rule("cqlsh cassandra-cli", "", "-p", Both, Whole),
    rule("snmpget snmpwalk snmpset snmpbulkwalk snmptrap", "", "-A -X -c", Both, Whole),
    rule("ipmitool", "", "-P", Both, Whole),
    rule("xfreerdp xfreerdp3 wlfreerdp", "", "/p:", Attached, Whole),
    rule("rdesktop", "", "-p", Both, Whole),
    rule("lftp", "", "-u --user", Both, After(',')),
    rule("ncftpput ncftpget ncftp", "", "-p", Both, Whole),
    rule("useradd usermod", "", "-p", Both, Whole),
    rule("mosquitto_pub mosquitto_sub", "", "-P --pw", Both, Whole),
    rule("doctl", "", "-t", Both, Whole),
    rule("crackmapexec netexec nxc evil-winrm smbmap", "", "-p -H", Both, Whole),
    rule("kubectl oc", "secret", "--from-literal", Both, After('=')),
    rule("ab", "", "-A -P", Both, After(':')),
    rule("clickhouse-client influx snowsql", "", "--password -password", Both, Whole),
    rule("oathtool", "", "--base32 -b --totp", Next, Whole),
    rule("ssh-keygen", "", "-N -P", Both, Whole),
    rule("wg-quick steghide", "", "-p", Both, Whole),
];

/// Where a secret stands after a word.
#[derive(Debug)]
pub(crate) struct Position {
    pub(crate) programs: &'static str,
    /// Any of these words.
    pub(crate) words: &'static str,
    /// So many words that are no options come between.
    pub(crate) skip: usize,
    pub(crate) part: Part,
}

const fn position(programs: &'static str, words: &'static str, skip: usize, part: Part) -> Position {
    Position { programs, words, skip, part }
}

/// The positions.
pub(crate) const POSITIONS: &[Position] = &[
    position("htpasswd", "-b -cb -bc -Bb -bB -cBb -Bbc -Bcb -cbB -bm -mb", 2, Whole),
    position("htpasswd", "-nb -bn -nbB -nBb -Bbn -bnB -nbm -nbs", 1, Whole),
    position("mysqladmin mariadb-admin", "password", 0, Whole),
    position("nmcli", "password", 0, Whole),
    position("wpa_passphrase", "wpa_passphrase", 1, Whole),
    position("rabbitmqctl", "add_user change_password authenticate_user", 1, Whole),
    position("vault bao", "login unseal", 0, Whole),
    position("redis-cli valkey-cli", "auth AUTH", 0, Whole),
    position("mc mcli", "set add", 3, Whole),
    position("ipmitool", "password", 1, Whole),
    position("chage samba-tool", "setpassword", 1, Whole),
];

/// Programs whose options by these names are no secrets: they ask for it, or name it.
pub(crate) const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "psql pg_dump pg_dumpall pg_restore pg_basebackup createdb dropdb createuser vacuumdb reindexdb pgbench mysql mysqldump mysqladmin mariadb mariadb-dump",
        "password pass",
    ),
    ("docker podman nerdctl buildah gcloud pulumi", "secret secrets"),
    ("ffmpeg ffprobe", "pass"),
    ("op vault bw", "fields field"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_make_sense() {
        assert!(RULES.iter().all(|rule| !rule.programs.is_empty()));
        assert!(POSITIONS.iter().all(|position| !position.words.is_empty()));
    }
}
