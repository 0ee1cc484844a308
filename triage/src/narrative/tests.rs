use super::sentences::KINDS;
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
    assert_eq!(signs_of(&exec("/tmp/a/.b/kworker", &["kworker"])), ["kernel name", "hidden name", "temporary folder"]);
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

/// A process tree of one row with these reasons: views are called as their fields.
fn finding(rows: &[&Fact], reasons: &[(&str, &str, f32)]) -> Finding {
    let row = |fact: &&Fact| store::FindingRow {
        file: fact.link.file.clone(),
        row: fact.link.row,
        bits: fact.bits,
        ..Default::default()
    };
    let reason = |(child, context, bits): &(&str, &str, f32)| FindingReason {
        view: child.split('=').next().unwrap_or_default().into(),
        child: (*child).into(),
        context: (*context).into(),
        bits: *bits,
        ..FindingReason::default()
    };
    Finding {
        id: "f".into(),
        log2_n: 9.0,
        rows: rows.iter().map(row).collect(),
        reasons: reasons.iter().map(reason).collect(),
        ..Finding::default()
    }
}

fn story<R>(facts: &[Fact], findings: &[Finding], look: impl FnOnce(&Story<'_>) -> R) -> R {
    let incident = Incident { title: "told once".into(), ..Incident::default() };
    let rarity = Rarity::default();
    look(&Story { incident: &incident, findings, lenses: &[], facts, signs: signs(facts), rarity: &rarity })
}

fn techniques_of(facts: &[Fact], reasons: &[(&str, &str, f32)]) -> Vec<String> {
    let finding = finding(&facts.iter().collect::<Vec<_>>(), reasons);
    story(facts, &[finding], |story| story.techniques().into_iter().map(|one| one.id).collect())
}

#[test]
fn a_shell_suggests_something_where_it_is_what_is_unusual() {
    let shell =
        fact(events::PROCESS, &[("activity", "exec"), ("exe", "/bin/sh"), ("uid", "4011")], &["sh", "/etc/x.sh"]);
    let command = fact(events::PROCESS, &[("activity", "exec"), ("exe", "/bin/sh")], &["sh", "-c", "id"]);
    let has =
        |facts: &[Fact], reasons: &[(&str, &str, f32)]| techniques_of(facts, reasons).contains(&"T1059.004".into());
    // Merely above what has another user, or a script of its own; or so usual that it says nothing.
    let alone = std::slice::from_ref(&shell);
    assert!(!has(alone, &[("user=4011", "exe=/bin/sh", 8.0)]));
    assert!(!has(alone, &[("script=/etc/x.sh", "exe=/bin/sh, parent_exe=/usr/sbin/cron", 8.0)]));
    assert!(!has(alone, &[("exe=/bin/sh", "parent_exe=/usr/sbin/cron", 1.5)]));
    assert!(!has(alone, &[("exe=/bin/other", "", 9.0)]), "another row's");
    // The shell itself, or what it started.
    assert!(has(alone, &[("exe=/bin/sh", "parent_exe=/usr/sbin/nginx", 9.0)]));
    assert!(has(alone, &[("parent_exe=/bin/sh", "exe=/usr/bin/id", 9.0)]));
    // A command given to it counts, where one was given.
    let mut told = command;
    told.asked.insert("arguments".into(), "arguments=sh -c id".into());
    let reason = [("arguments=sh -c id", "exe=/bin/sh", 9.0)];
    assert!(has(std::slice::from_ref(&told), &reason));
    told.asked.insert("arguments".into(), "arguments=sh -c other".into());
    assert!(!has(&[told], &reason));
}

#[test]
fn a_temporary_folder_suggests_something_where_the_program_is_unusual() {
    let cron = fact(events::PROCESS, &[("activity", "exec"), ("exe", "/tmp/bin/crond")], &["crond"]);
    assert_eq!(signs_of(&cron), ["temporary folder"]);
    assert!(techniques_of(std::slice::from_ref(&cron), &[("user=4011", "", 8.0)]).is_empty());
    assert_eq!(techniques_of(&[cron], &[("exe=/tmp/bin/crond", "", 8.0)]), ["T1036.005", "T1105"]);
    assert!(RULES.iter().all(|rule| !rule.phrase.contains("everyone")), "rights are not known");
}

#[test]
fn one_connection_is_one_time() {
    let row = |row: u64, activity: &str, cookie: &str| {
        let cells = [
            ("activity", activity),
            ("exe", "/bin/sh"),
            ("remote_ip", "10.0.0.7"),
            ("remote_port", "1"),
            ("cookie", cookie),
        ];
        let fact = fact(events::CONNECTION, &[&cells[..], &[("direction", "outbound"), ("host", "a")]].concat(), &[]);
        Fact { link: RowLink { file: "c".into(), row }, ..fact }
    };
    let says = |facts: &[Fact]| {
        let finding = finding(&facts.iter().collect::<Vec<_>>(), &[]);
        story(facts, &[finding], |story| story.summary(&[])[1].text.clone())
    };
    let one = [row(1, "connect", "77"), row(2, "close", "77")];
    assert_eq!(says(&one), "/bin/sh, a shell, itself has a connection with 10.0.0.7 port 1.");
    let two = [one.to_vec(), vec![row(3, "connect", "78")]].concat();
    assert!(says(&two).ends_with("port 1 (2 times)."), "{}", says(&two));
}

#[test]
fn a_reason_leads_to_the_row_where_its_view_saw_it() {
    let mut rows: Vec<Fact> = (0..3)
        .map(|row| Fact {
            link: RowLink { file: "p".into(), row },
            ..fact(events::PROCESS, &[("activity", "exec"), ("exe", "/bin/uname")], &["uname"])
        })
        .collect();
    rows[1].asked.insert("flags".into(), "flags=-a".into());
    rows[2].asked.insert("flags".into(), "flags=-r".into());
    let finding = finding(&rows.iter().collect::<Vec<_>>(), &[("flags=-a", "", 9.0), ("flags=-z", "", 8.0)]);
    story(&rows, &[finding], |story| {
        let told = story.numbers();
        assert_eq!(told[0].rows, [RowLink { file: "p".into(), row: 1 }]);
        assert_eq!(told[1].rows.len(), 3, "nobody knows which: all");
        let title = story.title();
        assert_eq!((title[0].text.as_str(), &title[0].rows), ("told once", &told[0].rows));
    });
    let cut = FindingReason { view: "flags".into(), child: "flags=-…".into(), ..FindingReason::default() };
    assert!(rows[1].holds(&cut));
}

#[test]
fn evidence_is_numbered_as_the_parts_name_it() {
    let row = |row: u64| RowLink { file: "f".into(), row };
    let said = |rows: &[u64]| vec![said("x".into(), rows.iter().map(|n| row(*n)).collect())];
    let told = Narrative {
        title: said(&[3]),
        summary: said(&[5, 3]),
        timeline: vec![Step { said: said(&[1])[0].clone(), ..Step::default() }],
        reasons: said(&[9]),
        root: said(&[1, 7]),
        techniques: vec![Technique { rows: vec![row(2), row(5)], ..Technique::default() }],
        ..Narrative::default()
    };
    assert_eq!(told.cited(), [3, 5, 1, 9, 7, 2].map(row));
}
