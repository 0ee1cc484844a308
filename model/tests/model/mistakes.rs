//! Every mistake in a lens is named with its place and with what was probably meant.

use ebbline_model::Lens;

const LENS: &str = r#"table = "t"
time = "time"
class = "class"
[scopes]
host = "host"
[fields]
name = { column = "a", kind = "path", part = "leaf" }
size = { column = "b", kind = "number" }
tree = { column = "k", kind = "key" }
before = { column = "a", kind = "path", of = "tree", lag = 2 }
burst = { burst = true, of = ["tree"], tick = "60s" }
[[views]]
name = "v"
when = ["x", "y"]
child = ["name"]
context = [["size"], []]
attack = ["T1071", "T1071.004"]
[[units]]
kind = "u"
key = ["tree"]
window = "10m"
[subspace]
views = 3
[learning]
tick = "60s"
teacher = "u"
"#;

/// What is changed into what, where that is found to be wrong, and why.
const MISTAKES: &[(&str, &str, &str)] = &[
    // Keys: here, elsewhere, nowhere, missing.
    (
        "table = \"t\"",
        "tabel = \"t\"",
        r#"1, column 1: no key "tabel" at the top; did you mean "table"? There are table, time, class, scopes, fields, views, units, subspace, learning"#,
    ),
    ("table = \"t\"\n", "", r#"1, column 1: a lens needs the key "table""#),
    ("host = ", "hst = ", r#"5, column 1: no key "hst" in [scopes]; did you mean "host"? There are host"#),
    (
        "{ column = \"a\", kind = \"path\", part",
        "{ colum = \"a\", kind = \"path\", part",
        r#"7, column 10: no key "colum" in a field of [fields]; did you mean "column"? There are column, kind, part, ids, of, lag, burst, rate, fanout, tick"#,
    ),
    (
        "when = ",
        "wen = ",
        r#"14, column 1: no key "wen" in [[views]]; did you mean "when"? There are name, when, child, context, attack"#,
    ),
    ("child = [\"name\"]\n", "", r#"12, column 1: a view needs the key "child""#),
    (
        "window = ",
        "windows = ",
        r#"21, column 1: no key "windows" in [[units]]; did you mean "window"? There are kind, key, window"#,
    ),
    ("teacher = ", "window = ", r#"26, column 1: no key "window" in [learning]; it belongs in [[units]]"#),
    ("teacher = ", "blue = ", r#"26, column 1: no key "blue" in [learning]; there are tick, count, teacher"#),
    (
        "[subspace]",
        "[subspaces]",
        r#"22, column 2: no key "subspaces" at the top; did you mean "subspace"? There are table, time, class, scopes, fields, views, units, subspace, learning"#,
    ),
    // Types.
    ("when = [\"x\", \"y\"]", "when = \"x\"", r#"14, column 8: "when" takes a list of strings, not this string"#),
    (
        "context = [[\"size\"], []]",
        "context = [\"size\"]",
        r#"16, column 11: "context" takes a list of lists of strings, not this array"#,
    ),
    ("lag = 2", "lag = \"2\"", r#"10, column 60: "lag" takes a whole number, not this string"#),
    ("views = 3", "views = 3.5", r#"23, column 9: "views" takes a whole number, not this float"#),
    ("burst = true", "burst = \"yes\"", r#"11, column 19: "burst" takes true or false, not this string"#),
    ("[[units]]", "[units]", r#"18, column 1: "units" takes a list of tables, not this table"#),
    // Words.
    (
        "\"number\"",
        "\"nmber\"",
        r#"8, column 31: no kind "nmber"; did you mean "number"? There are path, cmdline, url, domain, ip, port, socket, user, number, time, text, id, key"#,
    ),
    (
        "\"number\"",
        "\"colour\"",
        r#"8, column 31: no kind "colour"; there are path, cmdline, url, domain, ip, port, socket, user, number, time, text, id, key"#,
    ),
    (
        "\"leaf\"",
        "\"laef\"",
        r#"7, column 46: kind "path": no part "laef"; did you mean "leaf"? There are whole, leaf, dir, place, extension"#,
    ),
    (
        "[\"size\"]",
        "[\"sise\"]",
        r#"16, column 13: no field "sise"; did you mean "size"? There are before, burst, name, size"#,
    ),
    ("[\"size\"]", "[\"tree\"]", r#"16, column 13: field "tree" is a key: keys name units, views cannot use them"#),
    ("[\"name\"]", "[]", "15, column 9: a view needs at least one child field"),
    (
        "teacher = \"u\"",
        "count = \"tics\"",
        r#"26, column 9: no way to count "tics"; did you mean "ticks"? There are rows, ticks"#,
    ),
    (
        "tick = \"60s\"\nteacher = \"u\"",
        "count = \"ticks\"",
        r#"25, column 9: counting ticks needs a `tick`, such as 60s"#,
    ),
    ("teacher = \"u\"", "teacher = \"uu\"", r#"26, column 11: no unit of kind "uu"; did you mean "u"? There are u"#),
    ("T1071.004", "T1071.4", "17, column 20: not the number of an ATT&CK technique such as T1071 or T1071.004"),
    // Durations.
    ("\"10m\"", "\"10 minutes\"", r#"21, column 10: not a duration such as 30s, 10m, 1h or 1d; did you mean "10m"?"#),
    ("\"10m\"", "\"2 weeks\"", r#"21, column 10: not a duration such as 30s, 10m, 1h or 1d; did you mean "14d"?"#),
    ("\"10m\"", "\"0s\"", "21, column 10: not a duration such as 30s, 10m, 1h or 1d"),
    (
        "tick = \"60s\" }",
        "tick = \"60\" }",
        r#"11, column 47: not a duration such as 30s, 10m, 1h or 1d; did you mean "60s"?"#,
    ),
    ("tick = \"60s\" }", "tick = \"2h\" }", "11, column 47: a tick lasts from 1s to 1h"),
    ("]\ntick = \"60s\"", "]\ntick = \"soon\"", "25, column 8: not a duration such as 30s, 10m, 1h or 1d"),
    // What goes together.
    ("class = \"class\"\n", "", "13, column 9: `when` needs a `class` column"),
    (
        "context = [[\"size\"], []]",
        "context = [[], [\"size\"]]",
        "16, column 11: the empty context can only be the last",
    ),
    // Not TOML.
    ("time = \"time\"", "time = time", "2, column 8: invalid boolean, expected `true`"),
];

#[test]
fn every_mistake_is_named_with_its_place_and_the_nearest_word() {
    Lens::parse(LENS).unwrap();
    let wrong = MISTAKES.iter().filter_map(|(from, to, message)| {
        let broken = LENS.replacen(from, to, 1);
        assert_ne!(broken, LENS, "{from} is not in the lens");
        let got = Lens::parse(&broken).map_or_else(|e| e.to_string(), |_| "no mistake".to_owned());
        (got != format!("lens: line {message}")).then(|| format!("{from} -> {to}\n  {got}\n  lens: line {message}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "got, and should be:\n{}", wrong.join("\n"));
}

#[test]
fn suggestions_are_prose() {
    let without = LENS.replace("attack = [\"T1071\", \"T1071.004\"]\n", "");
    let (with, without) = (Lens::parse(LENS).unwrap(), Lens::parse(&without).unwrap());
    assert_eq!(with.digest(), without.digest());
    assert_eq!(with.views()[0].attack, ["T1071", "T1071.004"]);
}
