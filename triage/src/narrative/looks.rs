//! What the tests of rules ask of a row.

use super::facts::Fact;

pub(super) fn is(row: &Fact, activity: &str) -> bool {
    row.table == events::PROCESS && row.get("activity") == activity
}

/// Whether a program is a shell, by its name.
pub(super) fn is_shell(leaf: &str) -> bool {
    ["sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "busybox"].contains(&leaf)
}

/// Whether a name is one of these, with or without a version behind.
pub(super) fn is_one_of(leaf: &str, names: &[&str]) -> bool {
    let plain = leaf.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    names.contains(&leaf) || (!plain.is_empty() && names.contains(&plain))
}

pub(super) fn goes_out(row: &Fact) -> bool {
    let reaches = ["connect", "send"].contains(&row.get("activity"));
    reaches || (["close", "flow"].contains(&row.get("activity")) && row.get("direction") == "outbound")
}

pub(super) fn is_public(ip: &str) -> bool {
    match ip.parse() {
        Ok(std::net::IpAddr::V4(ip)) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_unspecified()
                || shared)
        }
        Ok(std::net::IpAddr::V6(ip)) => {
            let local = ip.segments()[0] & 0xfe00 == 0xfc00 || ip.segments()[0] & 0xffc0 == 0xfe80;
            !(ip.is_loopback() || ip.is_multicast() || ip.is_unspecified() || local)
        }
        Err(_) => false,
    }
}
