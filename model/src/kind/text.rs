//! What free text looks like, without what it says.

/// A class of characters: its name, and whether it holds one.
type Class = (&'static str, fn(char) -> bool);

/// The classes of a text's characters, in the order of their names here.
const CLASSES: [Class; 15] = [
    ("arabic", |c| matches!(c, '\u{600}'..='\u{6FF}' | '\u{750}'..='\u{77F}')),
    ("control", |c| c.is_ascii_control() && !c.is_ascii_whitespace() || matches!(c, '\u{80}'..='\u{9F}')),
    ("cyrillic", |c| matches!(c, '\u{400}'..='\u{52F}')),
    ("digit", |c| c.is_ascii_digit()),
    ("greek", |c| matches!(c, '\u{370}'..='\u{3FF}')),
    ("han", |c| matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{20000}'..='\u{323AF}')),
    ("hangul", |c| matches!(c, '\u{1100}'..='\u{11FF}' | '\u{AC00}'..='\u{D7A3}')),
    ("hebrew", |c| matches!(c, '\u{590}'..='\u{5FF}')),
    ("invisible", |c| {
        matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
            || matches!(c, '\u{E0000}'..='\u{E007F}')
    }),
    ("kana", |c| matches!(c, '\u{3040}'..='\u{30FF}')),
    ("latin", |c| matches!(c, '\u{C0}'..='\u{24F}')),
    ("lower", |c| c.is_ascii_lowercase()),
    ("punctuation", |c| c.is_ascii_punctuation()),
    ("space", |c| c.is_ascii_whitespace()),
    ("upper", |c| c.is_ascii_uppercase()),
];

/// The set of classes, and `other` for what is of none.
pub(super) fn charset(text: &str) -> String {
    let mut seen = [false; CLASSES.len() + 1];
    for c in text.chars() {
        let class = CLASSES.iter().position(|(_, holds)| holds(c));
        seen[class.unwrap_or(CLASSES.len())] = true;
    }
    let names = CLASSES.iter().map(|(name, _)| *name).chain(["other"]);
    names.zip(seen).filter(|(_, seen)| *seen).map(|(name, _)| name).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_characters() {
        assert_eq!(charset("Hello, 42!"), "digit lower punctuation space upper");
        assert_eq!(charset("pаypal"), "cyrillic lower", "one letter is not what it seems");
        assert_eq!(charset("a\u{200B}é\u{7}"), "control invisible latin lower");
        assert_eq!(charset("漢字かな한글שלוםعαж😀"), "arabic cyrillic greek han hangul hebrew kana other");
        assert_eq!(charset(""), "");
    }
}
