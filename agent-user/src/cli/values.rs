//! Checks of values: text in, value or how to write one.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// Units of a size, each 1024 times the one before.
const UNITS: &str = "KMGT";

pub(super) fn alerts_per_day(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if (0.001..=1e6).contains(&n) => Ok(n),
        _ => Err("use a number from 0.001 to 1000000, for example 5".to_owned()),
    }
}

pub(super) fn rarer_than(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n >= 1.0 && n.is_finite() => Ok(n),
        _ => Err("use a number from 1 up, for example 1000".to_owned()),
    }
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "use a number of seconds, for example 60".to_owned())
}

/// A number of bytes, with a unit or without.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let unit = text.chars().last().and_then(|last| UNITS.find(last.to_ascii_uppercase()));
    let digits = if unit.is_some() { &text[..text.len() - 1] } else { text };
    let factor = unit.map_or(1, |at| 1024_u64.pow(at as u32 + 1));
    // `parse` would take a sign.
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    let bytes = number.and_then(|number: u64| number.checked_mul(factor)).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| "use a number of bytes from 1 up, for example 1048576, 64M or 10G".to_owned())
}

/// The kernel's own rules are checked where rings are made.
pub(super) fn ring_size(text: &str) -> Result<u32, String> {
    size(text)?.try_into().map_err(|_| "use less than 4G".to_owned())
}

/// A bare port is on the loopback interface: to be seen from elsewhere is a choice to spell out.
pub(super) fn metrics_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse().map(|port: u16| (Ipv4Addr::LOCALHOST, port).into());
    port.or_else(|_| text.parse()).map_err(|_| {
        "use a port, for example 9464, or an address and a port, for example 192.0.2.7:9464 or [::1]:9464".to_owned()
    })
}

/// A name of a host: as long as the kernel lets one be, four times over.
pub(super) fn host(text: &str) -> Result<String, String> {
    match text.len() {
        1..=255 => Ok(text.to_owned()),
        _ => Err("use a name of 1 to 255 bytes, or leave it out for the machine's own".to_owned()),
    }
}

pub(super) fn option(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("use KEY=VALUE, for example region=eu-central-1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_port_is_for_this_machine_only() {
        assert_eq!(metrics_address("9464").unwrap().to_string(), "127.0.0.1:9464");
        assert_eq!(metrics_address("0.0.0.0:9464").unwrap().to_string(), "0.0.0.0:9464");
        assert_eq!(metrics_address("[::1]:1").unwrap().to_string(), "[::1]:1");
        for wrong in ["", ":9464", "localhost:9464", "65536", "1.2.3.4"] {
            assert!(metrics_address(wrong).unwrap_err().contains("9464"), "{wrong}");
        }
    }

    #[test]
    fn a_host_has_a_name() {
        assert_eq!(host("a b").as_deref(), Ok("a b"));
        assert!(host("").is_err() && host(&"x".repeat(256)).is_err());
    }

    #[test]
    fn a_size_has_a_unit_or_none_and_is_never_nothing() {
        for (text, bytes) in
            [("1", 1), ("4096", 4096), ("4k", 4096), ("10G", 10 << 30), ("16777215T", 16_777_215 << 40)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "G", "0", "0M", "-1", "+1", "1.5G", "10GB", "1 G", "16777216T", "18446744073709551616", "é"]
        {
            assert!(size(wrong).unwrap_err().contains("10G"), "{wrong}");
        }
        assert_eq!(ring_size("4M"), Ok(4 << 20));
        assert!(ring_size("4G").unwrap_err().contains("4G"));
    }
}
