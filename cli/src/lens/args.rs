//! The arguments of `ebbline lens`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub(crate) enum LensCommand {
    Check(CheckArgs),
    Suggest(SuggestArgs),
    List(ListArgs),
    Show(ShowArgs),
}

/// Show what a lens sees in a table: what was found in each column, and what it becomes.
///
/// Warnings name what will say nothing: a column that is missing, a field with one value, a field or context that is new in
/// nearly every row, rows that no view is for, units with one row each or all rows in one, texts where numbers, addresses or
/// ports are wanted, times of another century. Looks at 200,000 rows.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline lens check zeek-conn conn.log
  ebbline lens check orders.toml orders-1.csv orders-2.csv")]
pub(crate) struct CheckArgs {
    /// The lens: the name of one that comes with Ebbline, or a file of TOML.
    #[arg(value_name = "NAME|FILE")]
    pub(crate) lens: String,
    /// Files with rows of its table.
    #[arg(required = true, value_name = "TABLE")]
    pub(crate) tables: Vec<PathBuf>,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Draft a lens for a table, by the names, types and values of its columns.
///
/// A draft asks of every column that varies how usual it is for the one that the table is most about, and of some pairs of
/// columns how usual they are together. Read it, and leave out what says nothing to you. Looks at 20,000 rows: give it a file
/// of some days, as the one that the table is about must repeat ten times on average.
#[derive(Args)]
#[command(after_help = "\
Example:
  ebbline lens suggest orders.csv > orders.toml
  ebbline lens check orders.toml orders.csv
  ebbline learn orders.csv --lens orders.toml --out orders.baseline")]
pub(crate) struct SuggestArgs {
    /// A file with rows of the table.
    #[arg(value_name = "TABLE")]
    pub(crate) table: PathBuf,
}

/// List the lenses that come with Ebbline.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Print a lens that comes with Ebbline, to read or to start from.
#[derive(Args)]
pub(crate) struct ShowArgs {
    /// Its name.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}
