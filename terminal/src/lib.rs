//! How everything of Ebbline speaks in a terminal: the same words, units, colours and tables in every program and verb.
//!
//! Text is a `String` all the way. What a part of it is ([`Role`]) stands in it as marks ([`mark`]), characters that Unicode
//! keeps for use within a program; [`print`] makes colours of them, or nothing where none are wanted.

mod colour;
mod output;
mod rates;
mod words;

pub use colour::{Colour, Role, mark, set_colour};
pub use model::explain::thousands;
pub use output::{for_stdout, print, print_raw, table, to_stderr};
pub use rates::{bandwidth, percent, rate};
pub use words::{bytes, duration, expected, inline, is_hidden, one_in, plural, printable, shorten, told, visible};
