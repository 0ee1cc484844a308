//! Parts of a text, and the text without them.

use crate::HIDDEN;
use std::ops::Range;

/// Parts to hide, in any order; they may overlap.
pub(crate) type Spans = Vec<Range<usize>>;

/// The text with the parts hidden, `None` if nothing is left to hide. Parts that were hidden before do not count.
pub(crate) fn hide(text: &str, spans: &mut Spans) -> Option<String> {
    for span in spans.iter_mut() {
        *span = text.floor_char_boundary(span.start)..text.ceil_char_boundary(span.end);
    }
    spans.retain(|span| text[span.clone()].bytes().any(|byte| byte != b'*'));
    if spans.is_empty() {
        return None;
    }
    spans.sort_unstable_by_key(|span| (span.start, span.end));
    let mut out = String::with_capacity(text.len() + HIDDEN.len());
    let mut done = 0;
    for span in spans.iter() {
        // A part that touches the one before is hidden with it.
        if span.start > done || (done == 0 && span.start == 0) {
            out.push_str(&text[done..span.start]);
            out.push_str(HIDDEN);
        }
        done = done.max(span.end);
    }
    out.push_str(&text[done..]);
    Some(out)
}
