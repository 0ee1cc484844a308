use super::*;

fn fact(table: &str, cells: &[(&str, &str)], args: &[&str]) -> Fact {
    Fact {
        link: RowLink { file: "f".into(), row: cells.len() as u64 },
        table: table.into(),
        bits: 9.0,
        cells: cells.iter().map(|(column, cell)| ((*column).to_owned(), (*cell).to_owned())).collect(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        ..Fact::default()
    }
}

fn signs_of(fact: &Fact) -> Vec<&'static str> {
    signs(std::slice::from_ref(fact)).iter().map(|(rule, _)| rule.sign).collect()
}

#[test]
fn signs_are_what_rows_show() {
    let exec = |exe: &str, args: &[&str]| fact(events::PROCESS, &[("activity", "exec"), ("exe", exe)], args);
    assert_eq!(signs_of(&exec("memfd:x", &["x"])), ["memory file"]);
    assert_eq!(signs_of(&exec("/usr/bin/ls", &["ls", "--color"])), [""; 0]);
    assert_eq!(signs_of(&exec("/usr/bin/bash", &["bash", "-c", "x"])), ["shell command", "shell"]);
    assert_eq!(signs_of(&exec("/usr/bin/dash", &["sh", "/x/y.sh"])), ["shell"]);
    assert_eq!(signs_of(&exec("/tmp/a/.b/kworker", &["kworker"])), ["kernel name", "hidden name", "open folder"]);
    assert_eq!(signs_of(&exec("/usr/bin/python3.13", &["python3", "-c", "1"])), ["interpreter with code"]);
    let connect = |ip| fact(events::CONNECTION, &[("activity", "connect"), ("exe", "/x"), ("remote_ip", ip)], &[]);
    for (ip, outside) in
        [("127.0.0.1", false), ("10.1.2.3", false), ("fd00::1", false), ("9.9.9.9", true), ("2620:fe::9", true)]
    {
        assert_eq!(signs_of(&connect(ip)).contains(&"outside"), outside, "{ip}");
    }
}

#[test]
fn what_is_null_is_said_to_be_unknown() {
    let row = fact(events::CONNECTION, &[("exe", "/x")], &[]);
    assert_eq!(filled("{exe} to {remote_ip} {", &row), "/x to unknown remote ip {");
    assert_eq!(sentence_of(&fact("mail", &[("to", "ada"), ("size", "7")], &[])), "size=7, to=ada");
}

#[test]
fn every_rule_has_something_to_say_and_no_two_share_a_name() {
    let mut names: Vec<&str> = RULES.iter().map(|rule| rule.sign).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RULES.len());
    for rule in RULES {
        assert!(!rule.techniques.is_empty() && !rule.harmless.is_empty() && !rule.check.is_empty(), "{}", rule.sign);
        assert!(rule.techniques.iter().all(|id| id.starts_with('T') && id.len() >= 5), "{}", rule.sign);
    }
    assert!(KINDS.last().is_some_and(|kind| kind.0.is_empty()), "the last fits every kind");
}
