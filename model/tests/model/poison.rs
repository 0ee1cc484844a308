//! How far one process, or a patient attacker, gets in teaching a baseline (docs/model.md §3, "Caps").

use crate::rows::{DAY, Row, ordinary, process};
use ebbline_model::compile::{Options, compile_with};
use ebbline_model::segment::day_of;
use ebbline_model::teach::Caps;
use ebbline_model::testing::{self, Rng};
use ebbline_model::{
    Calibration, EncodedBatch, Encoder, Lens, Scope, Segment, SegmentBuilder, Snapshot, ViewExplanation, builtin,
    explain,
};

const HOSTS: [&str; 3] = ["web0", "web1", "web2"];
const NO_CAPS: Caps = Caps { max_count: u32::MAX, max_new: u32::MAX };

fn encode(lens: &Lens, rows: &[Row]) -> EncodedBatch {
    Encoder::new(lens, &testing::key()).encode(&process(rows)).unwrap()
}

/// What each host does on a day; on web1 with the batches of `more`, each so many times over.
fn segments(lens: &Lens, rows: &[Row], more: &[(EncodedBatch, usize)], caps: Caps) -> Vec<Segment> {
    let segment = |host: &str| {
        let rows: Vec<Row> = rows.iter().filter(|row| row.host == host).cloned().collect();
        let batch = encode(lens, &rows);
        let mut builder = SegmentBuilder::with_caps(lens, &testing::key(), Some(host), day_of(batch.time[0]), caps);
        builder.add(&batch, &(0..batch.rows as u32).collect::<Vec<_>>());
        for (batch, times) in more.iter().filter(|_| host == "web1") {
            let all: Vec<u32> = (0..batch.rows as u32).collect();
            (0..*times).for_each(|_| builder.add(batch, &all));
        }
        builder.finish()
    };
    HOSTS.map(segment).into()
}

fn snapshot(lens: &Lens, segments: &[Segment], options: &Options) -> Snapshot {
    let compiled = compile_with(&testing::key(), segments, options);
    Snapshot::of(lens.clone(), &testing::key(), compiled, Calibration::identity(lens.views().len())).unwrap()
}

/// A program that cat should never start.
fn odd(time: i64, number: u32) -> Row {
    Row {
        time,
        host: "web1".to_owned(),
        activity: "exec".to_owned(),
        root: Some(200),
        exe: Some(format!("/tmp/.x/{}", word(number))),
        parent_exe: Some("/usr/bin/cat".to_owned()),
        args: Some(vec![word(number), "-c".to_owned()]),
        uid: 33,
    }
}

/// A word of letters: digits would all look alike.
fn word(number: u32) -> String {
    (0..6).map(|i| char::from(b'a' + (number / 26u32.pow(i) % 26) as u8)).collect()
}

fn lg(x: f64) -> f64 {
    x.log2()
}

/// What a level costs, in bits.
fn cost(n: u32, total: u32, kinds: u32) -> f64 {
    lg(f64::from(total) + f64::from(kinds)) - lg(f64::from(if n > 0 { n } else { kinds }))
}

/// Checks that each level of `after` is where one unit can have moved it at most, and returns how far the view went.
fn compare(before: &ViewExplanation, after: &ViewExplanation) -> f64 {
    for (old, new) in before.levels.iter().zip(&after.levels) {
        let (of_host, caps) = (old.scope == Scope::Host, Caps::default());
        let (more, kinds) = (new.total - old.total, new.kinds - old.kinds);
        assert!(kinds <= caps.max_new, "{kinds} new kinds");
        assert!(more <= if of_host { caps.max_count + caps.max_new } else { kinds.max(caps.max_new) }, "{more} more");
        assert!(new.seen - old.seen <= if of_host { caps.max_count } else { 1 });
        if old.total > 0 && (old.seen > 0) == (new.seen > 0) {
            let moved = cost(new.seen, new.total, new.kinds) - cost(old.seen, old.total, old.kinds);
            let all = f64::from(old.total) + f64::from(old.kinds);
            assert!(moved <= lg((all + f64::from(more + kinds)) / all) + 1e-9);
            let down = match old.seen {
                0 => lg(f64::from(old.kinds + kinds) / f64::from(old.kinds)),
                n => lg(f64::from(n + 1000) / f64::from(n)),
            };
            assert!(moved >= -down - 1e-9);
        }
    }
    (f64::from(after.surprisal) - f64::from(before.surprisal)).abs() / 1024.0
}

/// The most that any view of another's rows moves.
fn moved(lens: &Lens, rows: &[Row], before: &Snapshot, after: &Snapshot, check: bool) -> f64 {
    let batch = encode(lens, rows);
    let mut most = 0f64;
    for row in 0..batch.rows {
        for (old, new) in explain(before, &batch, row).iter().zip(&explain(after, &batch, row)) {
            let far = if check { compare(old, new) } else { 0.0 };
            most = most.max(far.max(f64::from(new.surprisal.abs_diff(old.surprisal)) / 1024.0));
        }
    }
    most
}

#[test]
fn a_poisoned_process_moves_no_view_of_another_by_more_than_its_cap() {
    let (lens, time) = (builtin::process(), 100 * DAY + 3_600_000_000_000);
    let rows = ordinary(100..101, 6000, 1);
    let others = ordinary(101..102, 300, 2);
    let clean = snapshot(&lens, &segments(&lens, &rows, &[], Caps::default()), &Options::default());
    let same = vec![odd(time, 1); 1000];
    let different: Vec<Row> = (0..100_000).map(|number| odd(time, number)).collect();
    let different = different.chunks(10_000).map(|rows| (encode(&lens, rows), 1)).collect::<Vec<_>>();
    for (what, more) in [("10^6 of one thing", vec![(encode(&lens, &same), 1000)]), ("10^5 things", different)] {
        let [capped, free] = [Caps::default(), NO_CAPS].map(|caps| segments(&lens, &rows, &more, caps));
        let withheld: u64 = capped.iter().flat_map(|s| s.withheld.values()).sum();
        assert!(withheld > 10_000 && free.iter().all(|s| s.withheld.is_empty()), "{what}: {withheld}");
        let [capped, free] = [capped, free].map(|segments| snapshot(&lens, &segments, &Options::default()));
        let (with, without) =
            (moved(&lens, &others, &clean, &capped, true), moved(&lens, &others, &clean, &free, false));
        println!("{what}: a view of another moves by at most {with:.2} bits, without caps {without:.2}");
        assert!(with < without);
    }
}

#[test]
fn ordinary_days_lose_nothing_to_the_caps() {
    let lens = builtin::process();
    let rows = ordinary(100..101, 6000, 1);
    let capped = segments(&lens, &rows, &[], Caps::default());
    assert!(capped.iter().all(|s| s.withheld.is_empty()));
    assert_eq!(capped, segments(&lens, &rows, &[], NO_CAPS));
}

#[test]
fn a_patient_attacker_over_thirty_simulated_days() {
    println!("surprisal in bits of /tmp/.x/b under cat on the attacker's host and on another, after so many days");
    for half_life_days in [None, Some(7)] {
        let options = Options { half_life_days, ..Options::default() };
        let mut elsewhere = Vec::new();
        let capped = Caps::default();
        for (an_hour, hours, caps) in
            [(1, 1, capped), (1, 24, capped), (40, 24, capped), (20_000, 1, capped), (20_000, 1, NO_CAPS)]
        {
            let progress = patient(an_hour, hours, caps, &options);
            let words: Vec<_> =
                progress.iter().map(|(day, own, other)| format!("day {day}: {own:.2}, {other:.2}")).collect();
            let capped = if caps == NO_CAPS { " without caps" } else { "" };
            let decay = half_life_days.map_or("no decay".to_owned(), |days| format!("half-life of {days} days"));
            println!("  {an_hour} an hour, {hours} hours a day{capped}, {decay}: {}", words.join("; "));
            elsewhere.push(progress.iter().map(|p| p.2).collect::<Vec<_>>());
            assert!(progress.is_sorted_by(|a, b| a.1 > b.1 - 0.5), "he gets on, day by day");
        }
        assert!(elsewhere.windows(2).all(|pair| pair[0] == pair[1]), "elsewhere diligence gains him nothing");
    }
}

/// Surprisals on the attacker's host and on another after some days, of what he does so often an hour, each hour from another
/// tree, in so many hours a day.
fn patient(an_hour: usize, hours: i64, caps: Caps, options: &Options) -> Vec<(i64, f64, f64)> {
    let (lens, mut rng, mut all, mut progress) = (builtin::process(), Rng(4), Vec::new(), Vec::new());
    for day in 0..30 {
        let rows = ordinary(day..day + 1, 6000, rng.bits());
        let at_once = an_hour.min(1000);
        let hour = |hour: i64| {
            let row = Row { uid: 0, ..odd(day * DAY + hour * 3_600_000_000_000, 1) };
            (encode(&lens, &vec![row; at_once]), an_hour / at_once)
        };
        all.extend(segments(&lens, &rows, &(0..hours).map(hour).collect::<Vec<_>>(), caps));
        if [0, 1, 6, 13, 29].contains(&day) {
            let learned = snapshot(&lens, &all, options);
            let [own, other] = ["web1", "web2"].map(|host| {
                let batch = encode(&lens, &[Row { host: host.to_owned(), uid: 0, ..odd(31 * DAY, 1) }]);
                f64::from(explain(&learned, &batch, 0)[0].surprisal) / 1024.0
            });
            progress.push((day + 1, own, other));
        }
    }
    progress
}
