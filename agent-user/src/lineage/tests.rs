//! Families of processes with numbers that nobody has.

use super::*;
use bytemuck::Zeroable;

// Numbers above any real one, so that nothing is found in /proc.
const BASE: u32 = 1 << 30;

fn task(tgid: u32, parent: u32, session: u32) -> TaskHead {
    TaskHead {
        tgid: BASE + tgid,
        start: u64::from(tgid) * 10,
        parent_tgid: BASE + parent,
        parent_start: u64::from(parent) * 10,
        session: BASE + session,
        time: u64::from(tgid) * 10,
        ..TaskHead::zeroed()
    }
}

fn key(tgid: u32) -> ProcessKey {
    ProcessKey::new([0; 4], u64::from(tgid) * 10, BASE + tgid)
}

#[test]
fn children_run_their_parents_image_until_they_exec() {
    let mut lineage = Lineage::new([0; 4], 100);
    lineage.exec(&task(5, 1, 5), Some("/bin/sh".into()));
    let child = lineage.fork(&task(6, 5, 5)).unwrap();
    assert_eq!((child.exe.as_deref(), child.root, child.parent), (Some("/bin/sh"), key(5), Some(key(5))));
    let child = lineage.exec(&task(6, 5, 5), Some("/bin/ls".into()));
    assert_eq!((child.exe.as_deref(), child.parent_exe.as_deref()), (Some("/bin/ls"), Some("/bin/sh")));
    assert_eq!(child.root_exe.as_deref(), Some("/bin/sh"));
}

#[test]
fn a_new_session_is_a_new_root_and_survives_its_leader() {
    let mut lineage = Lineage::new([0; 4], 100);
    lineage.exec(&task(5, 1, 5), Some("/bin/sh".into()));
    lineage.fork(&task(6, 5, 5));
    // 6 called setsid, which is no event; its child shows it.
    assert_eq!(lineage.fork(&task(7, 6, 6)).unwrap().root, key(6));
    lineage.exit(&task(6, 5, 6)).unwrap();
    assert_eq!(lineage.exec(&task(7, 1, 6), Some("/bin/d".into())).root, key(6));
}

#[test]
fn without_a_known_leader_the_topmost_known_ancestor_is_the_root() {
    let mut lineage = Lineage::new([0; 4], 100);
    lineage.exec(&task(5, 1, 2), Some("/bin/a".into()));
    assert_eq!(lineage.fork(&task(6, 5, 2)).unwrap().root, key(5));
}

#[test]
fn a_process_begins_once() {
    let mut lineage = Lineage::new([0; 4], 100);
    // Created live and in the snapshot, in either order.
    assert!(lineage.fork(&task(5, 1, 1)).is_some());
    assert!(lineage.running(&task(5, 1, 1), Some("/bin/a".into())).is_none());
    assert!(lineage.running(&task(6, 5, 1), Some("/bin/b".into())).is_some());
    assert!(lineage.fork(&task(6, 5, 1)).is_none());
    // Seen live before the snapshot came to it.
    lineage.exec(&task(7, 5, 1), Some("/bin/c".into()));
    assert!(lineage.running(&task(7, 5, 1), Some("/bin/c".into())).is_some());
    lineage.exit(&task(8, 5, 1)).unwrap();
    assert!(lineage.running(&task(8, 5, 1), None).is_none());
}

#[test]
fn a_reused_number_is_another_process() {
    let mut lineage = Lineage::new([0; 4], 100);
    let second = TaskHead { start: 500, ..task(5, 1, 5) };
    let child = TaskHead { start: 510, parent_start: 500, ..task(6, 5, 5) };
    let late = task(7, 5, 1);
    lineage.exec(&task(5, 1, 5), Some("/bin/first".into()));
    lineage.exit(&task(5, 1, 5)).unwrap();
    lineage.exec(&second, Some("/bin/second".into()));
    let child = lineage.fork(&child).unwrap();
    let of_second = ProcessKey::new([0; 4], 500, BASE + 5);
    assert_eq!((child.parent, child.root, child.exe.as_deref()), (Some(of_second), of_second, Some("/bin/second")));
    // What still names the first is not taken for the second's.
    let late = lineage.exec(&late, Some("/bin/late".into()));
    assert_eq!((late.parent, late.parent_exe.as_deref()), (Some(key(5)), Some("/bin/first")));
    assert_eq!(lineage.numbered(BASE + 5).unwrap().key, of_second);
}

#[test]
fn ancestors_end_at_the_root() {
    let mut lineage = Lineage::new([0; 4], 100);
    lineage.exec(&task(4, 1, 4), Some("/bin/login".into()));
    lineage.exec(&task(5, 4, 5), Some("/bin/sh".into()));
    lineage.exec(&task(6, 5, 5), Some("/bin/make".into()));
    let process = lineage.exec(&task(7, 6, 5), Some("/bin/cc".into())).clone();
    let names: Vec<_> = lineage.ancestors(&process).into_iter().map(|(key, exe)| (key, exe.unwrap())).collect();
    assert_eq!(names, [(key(6), "/bin/make".into()), (key(5), "/bin/sh".into())]);
    let root = lineage.numbered(BASE + 5).unwrap().clone();
    assert!(lineage.ancestors(&root).is_empty());
}

#[test]
fn credentials_before_a_change_are_remembered() {
    let mut lineage = Lineage::new([0; 4], 100);
    let as_user = |uid| TaskHead { uid, cgroup: 9, ..task(5, 1, 1) };
    assert_eq!(lineage.acted(&as_user(0)).1, None);
    let (process, before) = lineage.acted(&as_user(33));
    assert_eq!((process.credentials.uid, before.unwrap().uid), (33, 0));
}

#[test]
fn an_end_is_recorded_once_and_kept_for_a_while() {
    let mut lineage = Lineage::new([0; 4], 100);
    lineage.fork(&task(5, 1, 1));
    assert!(lineage.exit(&task(5, 1, 1)).is_some());
    assert!(lineage.exit(&task(5, 1, 1)).is_none());
    lineage.forget(50 + GRACE);
    assert_eq!(lineage.len(), 1);
    lineage.forget(51 + GRACE);
    assert!(lineage.is_empty());
}

#[test]
fn the_cache_is_bounded_and_counts_what_it_gave_up() {
    let mut lineage = Lineage::new([0; 4], 3);
    (10..20).for_each(|tgid| assert!(lineage.fork(&task(tgid, 1, 1)).is_some()));
    assert_eq!((lineage.len(), lineage.evicted()), (3, 7));
}

#[test]
fn what_a_process_did_before_its_exec_is_told_of_what_it_was_then() {
    let mut lineage = Lineage::new([0; 4], 100);
    lineage.exec(&TaskHead { time: 100, ..task(5, 1, 5) }, Some("/bin/python".into()));
    lineage.exec(&TaskHead { time: 200, ..task(5, 1, 5) }, Some("/bin/sleep".into()));
    let mut exe_at = |time| lineage.owner_at(50, BASE + 5, time).exe.clone().unwrap();
    assert_eq!((&*exe_at(150), &*exe_at(200)), ("/bin/python", "/bin/sleep"));
}
