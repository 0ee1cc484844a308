//! Whether a name, as of an option or a variable, says that its value is secret.

use crate::programs::among;

/// Words that say so.
const SECRET: &str = "password passwords passwd passphrase passcode pass pwd pw secret token apikey credential credentials \
    creds psk authtoken authorization cookie jsessionid phpsessid sessionid bearer";
/// Ends of words written as one: `dbpassword`.
const ENDS: &str = "password passwd passphrase secret token apikey accesskey secretkey privatekey accountkey storepass \
    keypass dbpass userpass requirepass bindpw";
/// Other words written as one.
const WHOLE: &str =
    "rootpass mypass adminpass sshpass masterauth rootpw adminpw userpw httppass ftppass ldappass smbpass";
/// Words that say so before `key`.
const KEYS: &str = "api access secret private account storage shared encryption signing master auth subscription session \
    service";
/// With one of these before, the value is a choice, a number or a position in a list.
const NOT_BEFORE: &str = "no max min num n without with skip disable enable require requires use is has show generate rotate allow \
    force ask prompt expire revoke pad eos bos stop unk cls next starting continuation page pagination \
    existing per automount print reset delete update";
/// With one of these after, the value tells about the secret, not the secret.
const NOT_AFTER: &str = "file files filename path dir directory folder ttl lifetime expiry expiration expires expire age length \
    len size max min count counter limit id ids name names url uri endpoint host type kind format policy \
    prompt stdin fd cmd command env passwordenv var ref version mode timeout rotation provider service store \
    manager arn hint field column header algorithm alg mount scope issuer audience number location engine \
    backend source rules attempts auth authentication helper cert ca region required enabled days through thru";

/// What the value of a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A secret.
    Secret,
    /// A header that starts with the way of proving who asks.
    Authorization,
}

/// What a name says of its value, if it says that it is secret.
pub(crate) fn kind(name: &str) -> Option<Kind> {
    let name = name.trim_matches(['-', '.', '_']);
    if name.len() < 2 || name.len() > 128 || name == "OLDPWD" {
        return None;
    }
    let words = words(name);
    let words: Vec<&str> = words.split('_').filter(|word| !word.is_empty()).collect();
    let at = words.iter().enumerate().position(|(at, word)| secret_at(&words, at, word))?;
    let told = |list: &str, words: &[&str]| words.iter().any(|word| among(list, word));
    if told(NOT_BEFORE, &words[..at]) || told(NOT_AFTER, &words[at + 1..]) {
        return None;
    }
    // The key that a password is kept under; a secret key is a secret all the same.
    if words.get(at + 1).is_some_and(|word| word.starts_with("key")) && !words[at].ends_with("secret") {
        return None;
    }
    Some(if words.last() == Some(&"authorization") { Kind::Authorization } else { Kind::Secret })
}

fn secret_at(words: &[&str], at: usize, word: &str) -> bool {
    let pair = || *word == *"key" && at > 0 && among(KEYS, words[at - 1]);
    among(SECRET, word) || among(WHOLE, word) || ENDS.split(' ').any(|end| word.ends_with(end)) || pair()
}

/// The words of a name in small letters, `_` between them: `DB_Password1`, `dbPassword` and `DB.password` are
/// `db_password`.
fn words(name: &str) -> String {
    let bytes = name.as_bytes();
    let mut out = String::with_capacity(name.len() + 4);
    for (at, &byte) in bytes.iter().enumerate() {
        let before = at.checked_sub(1).map_or(0, |before| bytes[before]);
        let next = bytes.get(at + 1).copied().unwrap_or(0);
        let hump = before.is_ascii_lowercase() || (before.is_ascii_uppercase() && next.is_ascii_lowercase());
        if byte.is_ascii_uppercase() && hump {
            out.push('_');
        }
        out.push(if byte.is_ascii_alphabetic() { byte.to_ascii_lowercase() as char } else { '_' });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        for name in [
            "password",
            "--db-password",
            "MYSQL_PWD",
            "AWS_SECRET_ACCESS_KEY",
            "apiKey",
            "API_KEY",
            "X-Api-Key",
            "psk",
            "-Djavax.net.ssl.trustStorePassword",
            "PRIVATE-TOKEN",
            "PASSWORD1",
            "access_token",
            "APIKey",
            "_authToken",
            "AccountKey",
            "SharedAccessKey",
            "clientSecret",
            "DB_PASS",
            "requirepass",
            "dbPasswd",
            "Cookie",
        ] {
            assert_eq!(kind(name), Some(Kind::Secret), "{name}");
        }
        assert_eq!(kind("Proxy-Authorization"), Some(Kind::Authorization));
    }

    #[test]
    fn names_of_other_things() {
        for name in [
            "--password-file",
            "--no-password",
            "--token-ttl",
            "max_tokens",
            "tokens",
            "--max-token-count",
            "bypass",
            "pass-through",
            "next-token",
            "key",
            "keyboard",
            "passes",
            "author",
            "secret-id",
            "secretsmanager",
            "pad_token",
            "PASSWORD_MIN_LENGTH",
            "ask-become-pass",
            "with-token",
            "path",
            "AWS_ACCESS_KEY_ID",
            "--discovery-token-ca",
        ] {
            assert_eq!(kind(name), None, "{name}");
        }
    }
}
