//! ATT&CK techniques that a lens suggests for its views: looked up when something is shown, stored nowhere else.

use model::{Lens, builtin};

/// The lenses that suggestions come from: the given ones, else all that come with Ebbline.
pub(crate) fn lenses(given: Option<Vec<Lens>>) -> Vec<Lens> {
    given.unwrap_or_else(|| builtin::names().filter_map(builtin::named).collect())
}

/// What the lenses of these tables suggest for a view.
pub(crate) fn of<'a>(lenses: &'a [Lens], tables: &[&str], view: &str) -> &'a [String] {
    let lenses = lenses.iter().filter(|lens| tables.contains(&lens.table()));
    let mut views = lenses.flat_map(Lens::views).filter(|v| v.name == view);
    views.next().map_or(&[], |view| &view.attack)
}

/// `suggestions: T1059, T1190` for several views, the first first; nothing if there are none.
pub(crate) fn in_words<'a>(suggestions: impl Iterator<Item = &'a [String]>) -> Option<String> {
    let mut all: Vec<&str> = Vec::new();
    for id in suggestions.flatten() {
        if !all.contains(&id.as_str()) {
            all.push(id);
        }
    }
    (!all.is_empty()).then(|| format!("ATT&CK suggestions: {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_of_the_right_table_are_asked() {
        let lenses = lenses(None);
        assert_eq!(of(&lenses, &["process"], "exe given root"), ["T1059"]);
        assert!(of(&lenses, &["dns"], "exe given root").is_empty());
        let two = ["exe given root", "arguments given exe"].map(|view| of(&lenses, &["process"], view));
        assert_eq!(in_words(two.into_iter()).as_deref(), Some("ATT&CK suggestions: T1059"));
        assert_eq!(in_words(std::iter::empty()), None);
    }
}
