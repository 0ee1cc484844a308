//! Text to standard output and standard error.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use std::io::{ErrorKind, Write};

use crate::colour::{render, wanted};
use crate::words::visible;

/// Prints text for people to standard output, with a line end.
///
/// # Errors
/// When it cannot be written. A reader that has seen enough, such as `head`, is no error.
pub fn print(text: &str) -> std::io::Result<()> {
    print_raw(&for_stdout(text))
}

/// What [`print`] prints of a text: safe for a terminal, with colours where standard output is to have them.
#[must_use]
pub fn for_stdout(text: &str) -> String {
    render(&visible(text), wanted(&std::io::stdout()))
}

/// Prints text for programs, such as JSON, as it is, with a line end.
///
/// # Errors
/// As [`print`].
pub fn print_raw(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Prints a line to standard error; if nobody can read it, nobody can be told so.
pub fn to_stderr(text: &str) {
    let text = render(&visible(text), wanted(&std::io::stderr()));
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Lines above and below, and under the header; the rest is space.
const STYLE: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// A table of plain text that fits the terminal, or 120 columns where there is none. The columns in `numbers` are
/// aligned to the right.
#[must_use]
pub fn table<const N: usize>(header: [&str; N], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none() {
        table.set_width(120);
    }
    table.set_header(header);
    for number in numbers {
        if let Some(column) = table.column_mut(*number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
