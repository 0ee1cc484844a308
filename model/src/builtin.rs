//! The lenses that come with Ebbline: those of its own tables, and those of tables that other programs write.

use crate::lens::Lens;

/// Ebbline's own tables: name and text of the lens.
const OWN: [(&str, &str); 3] = [
    ("process", include_str!("../lenses/process.toml")),
    ("connection", include_str!("../lenses/connection.toml")),
    ("dns", include_str!("../lenses/dns.toml")),
];

/// Tables of other programs (`lenses/` of the repository).
const FOREIGN: [(&str, &str); 11] = [
    ("zeek-conn", include_str!("../../lenses/zeek-conn.toml")),
    ("zeek-dns", include_str!("../../lenses/zeek-dns.toml")),
    ("web-proxy", include_str!("../../lenses/web-proxy.toml")),
    ("modbus", include_str!("../../lenses/modbus.toml")),
    ("auditd", include_str!("../../lenses/auditd.toml")),
    ("sysmon", include_str!("../../lenses/sysmon.toml")),
    ("authentication", include_str!("../../lenses/authentication.toml")),
    ("cloud-trail", include_str!("../../lenses/cloud-trail.toml")),
    ("mail", include_str!("../../lenses/mail.toml")),
    ("chat", include_str!("../../lenses/chat.toml")),
    ("llm-gateway", include_str!("../../lenses/llm-gateway.toml")),
];

/// The name of every lens: those of Ebbline's own tables first.
pub fn names() -> impl Iterator<Item = &'static str> {
    OWN.iter().chain(&FOREIGN).map(|(name, _)| *name)
}

/// The TOML of the lens of this name.
pub fn source(name: &str) -> Option<&'static str> {
    OWN.iter().chain(&FOREIGN).find(|lens| lens.0 == name).map(|lens| lens.1)
}

/// The lens of this name.
pub fn named(name: &str) -> Option<Lens> {
    source(name).map(parse)
}

/// The lens of the `process` table.
pub fn process() -> Lens {
    parse(OWN[0].1)
}

/// The lens of the `connection` table.
pub fn connection() -> Lens {
    parse(OWN[1].1)
}

/// The lens of the `dns` table.
pub fn dns() -> Lens {
    parse(OWN[2].1)
}

/// The lens of one of Ebbline's own tables.
pub fn for_table(table: &str) -> Option<Lens> {
    all().into_iter().find(|lens| lens.table() == table)
}

/// The lenses of Ebbline's own tables.
pub fn all() -> Vec<Lens> {
    vec![process(), connection(), dns()]
}

fn parse(toml: &str) -> Lens {
    Lens::parse(toml).expect("the lenses that come with Ebbline are valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lens_is_valid_and_of_a_table_of_its_own() {
        let mut tables: Vec<String> = names().map(|name| named(name).unwrap().table().to_owned()).collect();
        tables.sort();
        let all = tables.len();
        tables.dedup();
        assert_eq!(tables.len(), all);
        assert!(named("no such").is_none());
    }
}
