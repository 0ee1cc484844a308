//! What the screens say, line by line, and that nothing that happens makes them fall.
//!
//! `EBBLINE_WRITE_GOLDEN=1 cargo test --workspace --test screens` writes what they show now.
#![allow(missing_docs)]

mod made_up;

use ebbline_top::{Ask, Event, Key, Page, Seen, State, Theme, Wish, draw};
use made_up::{NOW, state, told_around, told_incident};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

const SIZES: [(u16, u16); 3] = [(80, 24), (200, 60), (40, 10)];

fn drawn(state: &State, theme: Theme) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(state.size.0, state.size.1)).unwrap();
    terminal.draw(|frame| draw(state, theme, frame)).unwrap();
    terminal.backend().buffer().clone()
}

/// The text of a picture; what lies below the right half of a wide character is left out.
fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let (mut line, mut skip) = (String::new(), 0);
        for x in 0..buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            if skip == 0 {
                line += symbol;
            }
            skip = ebbline_top::width(symbol).max(skip).saturating_sub(1);
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Presses keys and answers what is asked.
fn press(state: &mut State, keys: &[Key]) {
    for key in keys {
        match state.update(Event::Key(*key)) {
            Some(Wish::Ask(Ask { number, what: ebbline_top::Question::Incident(_) })) => {
                state.update(told_incident(number))
            }
            Some(Wish::Ask(Ask { number, .. })) => state.update(told_around(number)),
            wish => wish,
        };
    }
}

/// The keys that lead to each screen.
fn scenes() -> Vec<(&'static str, Vec<Key>)> {
    use Key::{Char, Down, End, Enter};
    let filter = |text: &str| [vec![Char('/')], text.chars().map(Char).collect(), vec![Enter]].concat();
    vec![
        ("overview", vec![]),
        ("not-seen", vec![Enter]),
        ("findings", vec![Char('2'), Down, Down]),
        ("findings-filter", [vec![Char('2')], filter("KWORKER")].concat()),
        ("finding", vec![Char('2'), Enter, End]),
        ("incidents", vec![Char('3')]),
        ("incident", vec![Char('3'), Enter, Down]),
        ("around", vec![Char('2'), Enter, End, Enter]),
        ("paused", vec![Char(' '), Char('2'), End]),
        ("help", vec![Char('?')]),
    ]
}

fn golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("EBBLINE_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let how = "if that is meant: EBBLINE_WRITE_GOLDEN=1 cargo test --workspace --test screens";
    assert!(golden == text, "{path}: the screen changed; {how}\n{text}");
}

#[test]
fn every_screen_is_as_it_was() {
    for size in SIZES {
        // Of a terminal that is too small, one picture says it all.
        let scenes = scenes().into_iter().take(if size.0 < 60 { 1 } else { usize::MAX });
        for (name, keys) in scenes {
            let mut state = state(size);
            press(&mut state, &keys);
            golden(&format!("{name}-{}x{}", size.0, size.1), &text(&drawn(&state, Theme::Colour)));
        }
        if size.0 < 60 {
            continue;
        }
        let mut state = state(size);
        state.update(Event::Seen(Seen::Lost("Connection refused (os error 111)".into())));
        state.update(Event::Tick(NOW + 14_000_000_000));
        golden(&format!("lost-{}x{}", size.0, size.1), &text(&drawn(&state, Theme::Colour)));
        let nothing = State::new(size, NOW, true, None);
        golden(&format!("nothing-{}x{}", size.0, size.1), &text(&drawn(&nothing, Theme::Colour)));
    }
}

#[test]
fn without_colours_the_same_is_said() {
    for (name, keys) in scenes() {
        let mut state = state((80, 24));
        press(&mut state, &keys);
        let [colour, plain, bare] = [Theme::Colour, Theme::Plain, Theme::Bare].map(|theme| drawn(&state, theme));
        assert_eq!((text(&colour), text(&colour)), (text(&plain), text(&bare)), "{name}");
        assert!(plain.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset), "{name}");
        assert!(bare.content.iter().all(|cell| cell.modifier == Modifier::empty()), "{name}");
    }
}

#[test]
fn what_was_captured_does_not_reach_the_terminal_as_it_is() {
    let mut state = state((200, 60));
    press(&mut state, &[Key::Char('2')]);
    let text = text(&drawn(&state, Theme::Colour));
    assert!(text.contains("日本語ツール \\u{1b}[31mrot") && text.contains("\\u{202e}gnp.exe"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
}

#[test]
fn a_paused_picture_stays_and_a_lost_agent_shows_in_it() {
    let mut state = state((80, 24));
    press(&mut state, &[Key::Char(' ')]);
    let before = text(&drawn(&state, Theme::Colour));
    state.update(made_up::seen_status(500));
    assert_eq!(text(&drawn(&state, Theme::Colour)), before);
    state.update(Event::Seen(Seen::Lost("gone".into())));
    assert!(text(&drawn(&state, Theme::Colour)).contains("✗ lost since 14:03:07 UTC"));
    press(&mut state, &[Key::Char(' ')]);
    assert!(!text(&drawn(&state, Theme::Colour)).contains("PAUSED"));
}

#[test]
fn what_is_selected_stays_when_others_come() {
    let mut state = state((80, 24));
    press(&mut state, &[Key::Char('2'), Key::Down, Key::Down]);
    let mut findings = (*made_up::findings()).clone();
    findings.newest.insert(0, std::sync::Arc::new(made_up::finding(999, "new", 30.0)));
    state.update(Event::Seen(Seen::Findings(std::sync::Arc::new(findings))));
    assert_eq!(state.list().unwrap().cursor, 3);
    press(&mut state, &[Key::Enter]);
    assert!(matches!(&state.stack[0].page, Page::Finding(finding) if finding.id.ends_with("03")));
}

#[test]
fn processes_that_had_no_room_are_a_key_away() {
    let mut state = state((80, 40));
    press(&mut state, &[Key::Char('2'), Key::Enter, Key::End, Key::Enter]);
    assert!(text(&drawn(&state, Theme::Colour)).contains("and 7 processes more; a shows them"));
    let Some(Wish::Ask(ask)) = state.update(Event::Key(Key::Char('a'))) else { panic!("nothing is asked") };
    assert!(matches!(ask.what, ebbline_top::Question::Row(_, _, triage::Room::Much)), "{ask:?}");
    assert!(text(&drawn(&state, Theme::Colour)).contains("Reading the archive"));
    state.update(told_around(ask.number));
    assert!(text(&drawn(&state, Theme::Colour)).contains("and 7 processes more, more than this view shows"));
    assert_eq!(state.update(Event::Key(Key::Char('a'))), None, "there is no more to ask");
}

#[test]
fn an_incident_says_what_was_not_seen_of_it() {
    let mut state = state((80, 40));
    let mut incidents = (*made_up::incidents()).clone();
    let gap = |host: &str, text: &str| triage::Gap {
        kind: "learning".into(),
        host: Some(host.into()),
        text: text.into(),
        ..triage::Gap::default()
    };
    let host = incidents.first[0].hosts[0].clone();
    incidents.gaps = vec![gap(&host, "its own"), gap("another-host", "another's")];
    incidents.gaps.extend((0..9).map(|n| gap(&host, &format!("number {n}"))));
    state.update(Event::Seen(Seen::Incidents(std::sync::Arc::new(incidents))));
    press(&mut state, &[Key::Char('3'), Key::Enter]);
    let said = text(&drawn(&state, Theme::Colour));
    assert!(said.contains("Not seen, or not whole") && said.contains("learning  its own"), "{said}");
    assert!(!said.contains("another's") && said.contains("… and 4 more: "), "{said}");
}

#[test]
fn a_folder_without_results_says_what_to_do() {
    let mut state = State::new((80, 24), NOW, false, Some("/scored".into()));
    let says = |state: &State, what: &str| assert!(text(&drawn(state, Theme::Colour)).contains(what), "{what}");
    let seen = |scored| {
        Event::Seen(Seen::Findings(std::sync::Arc::new(ebbline_top::Findings { scored, ..Default::default() })))
    };
    state.update(seen(false));
    state.update(Event::Seen(Seen::Incidents(Default::default())));
    says(&state, "nothing scored yet; `ebbline score ARCHIVE");
    press(&mut state, &[Key::Char('3')]);
    says(&state, "nothing scored yet; `ebbline score ARCHIVE");
    state.update(seen(true));
    says(&state, "none: nothing was rarer than the line");
    state.update(seen(false));
    state.update(made_up::seen_status(1));
    says(&state, "the agent scores, and writes findings here");
}

#[test]
fn the_folder_is_what_the_agent_says() {
    let mut state = State::new((80, 24), NOW, true, None);
    let mut status = made_up::status(1);
    (status["archive"], status["out"]) = ("/a".into(), serde_json::Value::Null);
    let status = ebbline_top::Status::parse(status.to_string().as_bytes()).unwrap();
    let wish = state.update(Event::Seen(Seen::Status(Box::new(status.clone()))));
    assert_eq!(wish, Some(Wish::Watch("/a".into(), vec!["/a".into()])));
    assert_eq!(state.update(Event::Seen(Seen::Status(Box::new(status)))), None, "once");
}

fn keys() -> impl Strategy<Value = Key> {
    prop_oneof![
        prop::sample::select(vec![
            Key::Up,
            Key::Down,
            Key::Left,
            Key::Right,
            Key::PageUp,
            Key::PageDown,
            Key::Home,
            Key::End,
            Key::Enter,
            Key::Escape,
            Key::Backspace,
            Key::Tab,
            Key::BackTab,
            Key::Interrupt,
        ]),
        prop::sample::select("123/?s qhjklgGab \u{1b}日".chars().collect::<Vec<_>>()).prop_map(Key::Char),
        any::<char>().prop_map(Key::Char),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => keys().prop_map(Event::Key),
        2 => (0u16..220, 0u16..70).prop_map(|(columns, lines)| Event::Resize(columns, lines)),
        1 => any::<i64>().prop_map(Event::Tick),
        1 => (0u64..200).prop_map(made_up::seen_status),
        1 => "\\PC*".prop_map(|why| Event::Seen(Seen::Lost(why))),
        1 => (0usize..70).prop_map(|number| {
            let mut findings = (*made_up::findings()).clone();
            findings.newest.truncate(number);
            Event::Seen(Seen::Findings(std::sync::Arc::new(findings)))
        }),
        1 => Just(Event::Seen(Seen::Incidents(made_up::incidents()))),
        1 => any::<Option<String>>().prop_map(|trouble| Event::Seen(Seen::Trouble(trouble))),
        1 => (0u64..30).prop_map(told_incident),
        1 => (0u64..30).prop_map(told_around),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn nothing_that_happens_makes_it_fall(known: bool, events in prop::collection::vec(events(), 0..60)) {
        let mut state = if known { state((80, 24)) } else { State::new((80, 24), NOW, false, None) };
        for event in events {
            let _ = state.update(event);
            let escapes = text(&drawn(&state, Theme::Colour)).contains('\u{1b}');
            prop_assert!(!escapes);
        }
    }
}
