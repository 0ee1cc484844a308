//! The pages people open in a browser: one file each, that needs no network.
//!
//! They are TypeScript in `pages/web/`, bundled by `cargo xtask report`. Data are text inside a script element that is never
//! run, in a form that cannot end it (docs/decisions/0055).

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::ser::Formatter;
use store::StoreError;

/// Where the data go.
const PLACE: &str = "{{data}}";

/// A page without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Of `ebbline report`; its data are those of docs/contracts.md §11.
    Report,
    /// Of `ebbline bench`; its data are those of docs/contracts.md §13.
    Bench,
}

impl Page {
    fn text(self) -> &'static str {
        match self {
            Self::Report => include_str!("../report.html"),
            Self::Bench => include_str!("../bench.html"),
        }
    }
}

/// JSON without any character that HTML or JavaScript gives a meaning.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, to: &mut W, fragment: &str) -> io::Result<()> {
        let mut from = 0;
        for (at, c) in fragment.char_indices() {
            if matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') {
                to.write_all(&fragment.as_bytes()[from..at])?;
                write!(to, "\\u{:04x}", c as u32)?;
                from = at + c.len_utf8();
            }
        }
        to.write_all(&fragment.as_bytes()[from..])
    }
}

fn write_to(to: &mut dyn Write, page: Page, data: &impl Serialize) -> io::Result<()> {
    let (before, after) = page.text().rsplit_once(PLACE).ok_or(io::ErrorKind::InvalidData)?;
    to.write_all(before.as_bytes())?;
    data.serialize(&mut serde_json::Serializer::with_formatter(&mut *to, Harmless))?;
    to.write_all(after.as_bytes())
}

/// Writes a page with these data, in place of a file of that name.
///
/// # Errors
/// [`StoreError::Write`] naming the path; nothing is left behind.
pub fn write(path: &Path, page: Page, data: &impl Serialize) -> Result<(), StoreError> {
    store::write_whole(path, |to| write_to(to, page, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Page; 2] = [Page::Report, Page::Bench];

    fn written(of: Page, text: &str) -> String {
        let mut page = Vec::new();
        write_to(&mut page, of, &serde_json::json!({ text: [text] })).expect("a page");
        String::from_utf8(page).expect("text")
    }

    fn block(page: &str) -> &str {
        let from = page.rfind(r#"id="data">"#).expect("a block") + r#"id="data">"#.len();
        &page[from..from + page[from..].find("</script").expect("its end")]
    }

    proptest::proptest! {
        #[test]
        fn any_text_stays_in_its_block(text in "(</script>|<!--|[<>&\u{2028}\u{2029}\\\\\"]|\\PC|\\{\\{data\\}\\}){0,40}") {
            for of in ALL {
                let page = written(of, &text);
                let block = block(&page);
                let safe = !block.contains(['<', '>', '&', '\u{2028}', '\u{2029}']);
                proptest::prop_assert!(safe);
                let back: serde_json::Value = serde_json::from_str(block).expect("JSON");
                proptest::prop_assert_eq!(&back[&text][0], &serde_json::Value::from(text.clone()));
                let plain = written(of, "");
                proptest::prop_assert_eq!(page.matches('<').count(), plain.matches('<').count());
            }
        }
    }

    #[test]
    fn pages_forbid_whatever_they_do_not_need() {
        let walls =
            ["default-src 'none'", "script-src 'sha256-", "style-src 'sha256-", "require-trusted-types-for 'script'"];
        for page in ALL {
            for wall in walls {
                assert!(page.text().contains(wall), "{page:?}: {wall}");
            }
            assert!(!page.text().contains("unsafe-inline") && !page.text().contains("http-equiv=\"refresh\""));
        }
    }
}
