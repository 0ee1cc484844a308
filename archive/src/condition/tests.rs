use proptest::prelude::*;

use super::*;

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        ".{0,6}".prop_map(Value::Text),
        any::<i64>().prop_map(|n| Value::Int(n.into())),
        any::<f64>().prop_filter("a number", |n| n.is_finite()).prop_map(Value::Float),
    ]
}

fn comparison() -> impl Strategy<Value = Comparison> {
    prop::sample::select(Comparison::ALL.map(|(_, comparison)| comparison).to_vec())
}

fn condition() -> impl Strategy<Value = Condition> {
    let column = || prop_oneof!["[a-z_]{1,4}", ".{0,4}"];
    let leaf = prop_oneof![
        (column(), comparison(), value()).prop_map(|(column, by, value)| Condition::Compare(column, by, value)),
        (column(), prop::collection::vec(value(), 1..4)).prop_map(|(column, values)| Condition::In(column, values)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let several = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![several().prop_map(Condition::And), several().prop_map(Condition::Or)]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(condition in condition()) {
        prop_assert_eq!(condition.to_string().parse::<Condition>(), Ok(condition));
    }

    #[test]
    fn any_text_is_a_condition_or_an_error_with_its_place(text in "([a-c<>=!(),.'\"0-9é -]|and|or|in){0,24}") {
        match text.parse::<Condition>() {
            Ok(condition) => prop_assert_eq!(condition.to_string().parse(), Ok(condition)),
            Err(error) => prop_assert!((1..=text.chars().count() + 1).contains(&error.at), "{}", error),
        }
    }
}

fn parsed(text: &str) -> Result<String, String> {
    text.parse::<Condition>().map(|condition| condition.to_string()).map_err(|error| error.to_string())
}

#[test]
fn and_goes_before_or() {
    let same = |a: &str, b: &str| assert_eq!(parsed(a), parsed(b));
    same("a = 1 and b = 2 or c = 3", "(a = 1 and b = 2) or c = 3");
    same("a = 1 or b = 2 AND c = 3", "a=1 or(b=2 and c=3)");
    same("a = 1 and (b = 2 or c = 3)", "((a = 1)) and (b = 2 or c = 3)");
    assert_ne!(parsed("(a = 1 or b = 2) and c = 3"), parsed("a = 1 or b = 2 and c = 3"));
}

#[test]
fn values_and_names_are_as_in_sql() {
    let is = |text: &str, wanted: &str| assert_eq!(parsed(text).as_deref(), Ok(wanted));
    is("user = 'O''Brien'", "\"user\" = 'O''Brien'");
    is("id.resp_p in (22, 3389)", "\"id.resp_p\" in (22, 3389)");
    is("\"two words\" >= -1.5e3", "\"two words\" >= -1.5e3");
    is("up = true", "\"up\" = 'true'");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let wrong = |text: &str, wanted: &str| assert_eq!(parsed(text).unwrap_err(), wanted);
    wrong("", "character 1: expected the name of a column");
    wrong("uid", "character 4: expected =, !=, <, <=, >, >= or in");
    wrong("uid = root", "character 7: expected a number, or a text in single quotes");
    wrong("uid = inf", "character 7: expected a number, or a text in single quotes");
    wrong("uid = 1e999", "character 7: expected a number, or a text in single quotes");
    wrong("exe = 'sh", "character 7: no ' ends this");
    wrong("(uid = 0", "character 9: expected )");
    wrong("uid = 0 exe = 'x'", "character 9: expected and, or, or the end");
    wrong("uid in 5", "character 8: expected ( and values after in");
    wrong("uid in (5 6)", "character 11: expected , or )");
    let deep = "(".repeat(70);
    wrong(&deep, "character 66: more than 64 parentheses in one another");
    wrong(&"x".repeat(LONGEST + 1), "character 1: longer than 64 KiB");
}
