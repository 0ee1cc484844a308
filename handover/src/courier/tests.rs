//! A courier between an outbox and receivers that are made up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;

/// What a receiver does with each attempt, and what it has.
#[derive(Default)]
struct Script {
    answers: VecDeque<Result<(), Failure>>,
    has: Vec<String>,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Sink for Scripted {
    fn send(&mut self, parcels: &[Parcel]) -> Result<(), Failure> {
        let mut script = self.0.lock().unwrap();
        script.has.extend(parcels.iter().map(|parcel| parcel.incident.clone()));
        script.answers.pop_front().unwrap_or(Ok(()))
    }
}

fn courier(out: &Path, settings: Settings, answers: Vec<Result<(), Failure>>) -> (Courier, Scripted) {
    let target = Target::parse("https://hooks.example/in").unwrap();
    let script = Scripted::default();
    script.0.lock().unwrap().answers = answers.into();
    let mut courier = Courier::open(out, &target, None, settings).unwrap();
    courier.sink = Box::new(script.clone());
    courier.chance = |_| 0;
    (courier, script)
}

fn draft(at: u64) -> Draft {
    Draft::new(&at.to_string(), &[format!("{at:016x}")], json!({ "title": "t" }))
}

fn failure(again: Again) -> Result<(), Failure> {
    Err(Failure::new(again, "no"))
}

#[test]
fn a_failure_is_tried_again_and_what_never_works_is_dead() {
    let folder = tempfile::tempdir().unwrap();
    let answers = vec![failure(Again::Later), Ok(()), failure(Again::Never), Ok(())];
    let (mut courier, script) = courier(folder.path(), Settings::default(), answers);
    courier.queue(&[draft(1), draft(2), draft(3)]).unwrap();
    courier.deliver(None, &Stop::default()).unwrap();
    let report = courier.report();
    assert_eq!((report.sent, report.queued, report.dead, report.given_up, report.failed), (2, 0, 1, 1, 2));
    assert_eq!(report.trouble.as_deref(), Some("no"));
    assert_eq!(script.0.lock().unwrap().has, ["1", "1", "2", "3"]);
}

#[test]
fn a_receiver_that_is_down_keeps_its_messages_and_one_that_refuses_one_takes_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { attempts: 2, ..Settings::default() };
    let (mut courier, script) = courier(folder.path(), settings, vec![failure(Again::Later), failure(Again::Later)]);
    courier.queue(&[draft(1), draft(2)]).unwrap();
    courier.deliver(None, &Stop::default()).unwrap();
    assert_eq!((courier.report().sent, courier.report().queued), (0, 2));
    script.0.lock().unwrap().answers = (0..3).map(|_| failure(Again::Refused)).collect();
    courier.settings.attempts = 4;
    courier.deliver(None, &Stop::default()).unwrap();
    assert_eq!(courier.report().sent, 2);
    assert_eq!(script.0.lock().unwrap().has, ["1", "1", "1", "1", "1", "2", "1"]);
}

#[test]
fn what_is_too_old_is_given_up_and_a_time_ends_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { give_up_after: Duration::ZERO, ..Settings::default() };
    let (mut courier, _) = courier(folder.path(), settings, vec![failure(Again::Later)]);
    courier.queue(&[draft(1), draft(2)]).unwrap();
    courier.deliver(Some(Instant::now()), &Stop::default()).unwrap();
    assert_eq!((courier.report().queued, courier.report().dead), (1, 1), "no attempt before its pause is over");
    let stop = Stop::default();
    stop.set();
    courier.deliver(None, &stop).unwrap();
    assert_eq!((courier.report().sent, courier.report().queued), (0, 1));
}
