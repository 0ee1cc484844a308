//! What an incident is called: first what is rarest in it, then the row that its rarest finding is called by.

use std::borrow::Cow;

use store::FindingReason;

/// Characters of a value, so that the row behind it is read, too.
const LONGEST: usize = 64;

/// A reason of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Why<'a> {
    pub(crate) child: &'a str,
    pub(crate) context: &'a str,
    /// Times that it was seen there.
    pub(crate) seen: u32,
}

impl<'a> From<&'a FindingReason> for Why<'a> {
    fn from(reason: &'a FindingReason) -> Self {
        Self { child: &reason.child, context: &reason.context, seen: reason.n }
    }
}

/// `New user 4011: /usr/sbin/cron started …`, by the first, strongest reason: two incidents that are alike but for their reasons
/// have other titles. `row` is the finding's title, and `unit` its kind and key.
pub(crate) fn title(reasons: &[Why<'_>], row: &str, unit: (&str, &str)) -> String {
    let Some(first) = reasons.first() else { return row.to_owned() };
    let what = rare(*first);
    // Rows of other programs have no words but a reason: whose they are says more.
    let told = if is_reason(row) { subject(reasons, unit) } else { row.to_owned() };
    let is_said = is_reason(row) && told.rsplit(' ').next().is_some_and(|value| what.contains(value));
    if is_said { what } else { format!("{what}: {told}") }
}

/// Who or what it is about: the unit; of a process the program, as keys are for programs.
fn subject(reasons: &[Why<'_>], (kind, key): (&str, &str)) -> String {
    if key.parse::<events::ProcessKey>().is_err() {
        return format!("{kind} {key}").trim().to_owned();
    }
    let values = reasons.iter().flat_map(|why| [why.child, why.context]).flat_map(|values| values.split(", "));
    let mut programs = values.filter_map(|pair| pair.strip_prefix("exe="));
    programs.next().map_or_else(String::new, |exe| cut(&format!("program {exe}")))
}

/// `New flags -a for program /usr/bin/uname`.
fn rare(Why { child, context, seen }: Why<'_>) -> String {
    let word = if seen == 0 { "New" } else { "Rare" };
    let given = if context.is_empty() { String::new() } else { format!(" for {}", in_words(context)) };
    format!("{word} {}{given}", in_words(child))
}

/// Whether a title is `field=value given …: 3 of 41 (7 kinds), this host`: that of a row of which there are no other words.
fn is_reason(row: &str) -> bool {
    let field = row.split('=').next().unwrap_or_default();
    let is_field = !field.is_empty() && field.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    is_field && field.len() < row.len() && !row.starts_with('/')
}

/// `exe=/usr/bin/id, user=33` as `program /usr/bin/id, user 33`.
fn in_words(values: &str) -> String {
    let pairs = values.split(", ").map(|pair| match pair.split_once('=') {
        Some(("exe_unlinked", "true")) => "image without a file (deleted, or only in memory)".to_owned(),
        Some(("exe_unlinked", "false")) => "image with a file".to_owned(),
        Some(("exe_place", "memfd:")) => "place: memory only (memfd)".to_owned(),
        Some((field, value)) => format!("{} {value}", name_of(field)),
        None => pair.to_owned(),
    });
    cut(&pairs.collect::<Vec<_>>().join(", "))
}

/// A field of our own lenses as people call it; others by their names.
fn name_of(field: &str) -> Cow<'_, str> {
    match field {
        "exe" => "program".into(),
        "exe_place" => "place".into(),
        "parent_exe" => "parent".into(),
        "root_exe" => "top process".into(),
        "remote" => "address".into(),
        field if field.contains('_') => field.replace('_', " ").into(),
        field => field.into(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: (&str, &str) = ("process_tree", "0123456789abcdef0123456789abcdef");

    fn why<'a>(child: &'a str, context: &'a str, seen: u32) -> Why<'a> {
        Why { child, context, seen }
    }

    #[test]
    fn alike_incidents_differ_where_their_reasons_do() {
        let cron = "/tmp/srv/bin/crond report.sh started under /usr/bin/init";
        let titles = ["user=4011", "user=4019"].map(|user| title(&[why(user, "", 0)], cron, TREE));
        assert_eq!(titles[0], "New user 4011: /tmp/srv/bin/crond report.sh started under /usr/bin/init");
        assert_ne!(titles[0], titles[1]);
        let with = why("exe=/usr/bin/tr", "parent_exe=/bin/sh, user=1000", 1);
        assert_eq!(
            title(&[with], cron, TREE),
            format!("Rare program /usr/bin/tr for parent /bin/sh, user 1000: {cron}")
        );
        let memory = [why("exe_unlinked=true", "", 0)];
        assert_eq!(
            title(&memory, "memfd:a started", TREE),
            "New image without a file (deleted, or only in memory): memfd:a started"
        );
        assert_eq!(title(&[why("exe_place=memfd:", "", 0)], "x", TREE), "New place: memory only (memfd): x");
        assert_eq!(title(&[], cron, TREE), cron, "a finding without reasons");
    }

    #[test]
    fn rows_without_words_are_called_by_whose_they_are() {
        let row = "asn=131279 given user=ada: 0 of 41 (3 kinds), this host";
        let asn = why("asn=131279", "", 0);
        assert_eq!(title(&[asn], row, ("user", "ada")), "New asn 131279: user ada");
        let given = why("asn=131279", "user=ada", 0);
        assert_eq!(title(&[given], row, ("user", "ada")), "New asn 131279 for user ada", "said once");
        let name = [why("name=a.example", "", 0), why("exe=/usr/bin/curl", "name=a.example", 0)];
        let row = "name=a.example: nothing like it seen anywhere";
        assert_eq!(title(&name, row, TREE), "New name a.example: program /usr/bin/curl");
        assert_eq!(title(&name[..1], row, TREE), "New name a.example");
    }

    #[test]
    fn a_long_value_leaves_room_for_the_row() {
        let long = format!("arguments={}", "é".repeat(300));
        let text = title(&[why(&long, "", 0)], "/bin/sh started", TREE);
        assert!(text.ends_with("…: /bin/sh started") && text.chars().count() < 100, "{text}");
    }
}
