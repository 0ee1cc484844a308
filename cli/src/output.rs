//! Results to standard output.

use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use serde_json::Value;

use crate::words::visible;

/// Prints text for people, with a line end.
pub(crate) fn print(text: &str) -> Result<()> {
    write(&visible(text))
}

/// Prints a value as indented JSON.
pub(crate) fn print_json(value: &Value) -> Result<()> {
    write(&serde_json::to_string_pretty(value)?)
}

/// A reader that has seen enough, such as `head`, is no error.
fn write(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write: standard output"),
    }
}

/// Lines above and below, and under the header; the rest is space.
const STYLE: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// A table of plain text that fits the terminal, or 120 columns where there is none. The columns in `numbers` are
/// aligned to the right.
pub(crate) fn table<const N: usize>(header: [&str; N], numbers: &[usize]) -> Table {
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
