//! Templates filled with the cells of a row.

use super::facts::{Fact, cut};
use super::sentences::SENTENCES;

/// The template with each `{column}` replaced by its cell; one that is null says so.
pub(super) fn filled(template: &str, fact: &Fact) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((column, behind)) = after.split_once('}') else { break };
        text += before;
        text += &match column {
            "args" => cut(&fact.line()),
            column => match (fact.get(column), column) {
                ("", "exe" | "parent_exe") => "an unknown program".to_owned(),
                ("", "local_ip") => "any address".to_owned(),
                ("", "exe_sha256") => "not recorded".to_owned(),
                ("", column) => format!("unknown {}", column.replace('_', " ")),
                (value, _) => value.to_owned(),
            },
        };
        rest = behind;
    }
    text + rest
}

/// A row as a sentence: by its table and activity, or what of it there is.
pub(super) fn sentence_of(fact: &Fact) -> String {
    let fits = |(table, activity, _): &&(&str, &str, &str)| {
        *table == fact.table && (activity.is_empty() || *activity == fact.get("activity"))
    };
    if let Some((_, _, template)) = SENTENCES.iter().find(fits) {
        return cut(filled(template, fact).trim_end_matches([' ', ':']));
    }
    let cells: Vec<String> = fact.cells.iter().map(|(column, cell)| format!("{column}={cell}")).collect();
    cut(&cells.join(", "))
}
