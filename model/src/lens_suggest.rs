//! A first lens for a table, drafted from names, types and values by fixed rules (docs/contracts.md §5, "Drafts").

use std::collections::HashSet;
use std::fmt::Write;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;

use crate::draft_rules::{Column, Meaning, has_word, meaning, sounds_like_a_time};
use crate::kind::mask::cut;
use crate::kind::{Kind, Part};
use crate::lens::{Lens, MAX_FIELDS};
use crate::lens_text::LensError;
use crate::raw::{Form, Raw};

/// Rows that a draft is made from.
pub const DRAFT_ROWS: usize = 20_000;
/// Columns that the pairs are looked for among.
const PAIR_COLUMNS: usize = 8;
/// Pairs that become views.
const MAX_PAIRS: usize = 6;
/// Columns that become fields: each may be two.
const MAX_COLUMNS: usize = MAX_FIELDS / 4;
/// The line of a draft without a time.
const TO_FILL_IN: &str = "# time = \"…\"";
/// The field that every draft with a time has.
const HOUR: &str = "hour_of_day";
/// Names of columns that say when, the best first.
const TIMES: [&str; 12] = [
    "time",
    "ts",
    "@timestamp",
    "timestamp",
    "event_time",
    "eventtime",
    "datetime",
    "utctime",
    "start_time",
    "date",
    "created",
    "when",
];
/// Names of columns that say where, the best first.
const HOSTS: [&str; 12] = [
    "host",
    "hostname",
    "host.name",
    "host_name",
    "computer",
    "computer_name",
    "computername",
    "sensor",
    "agent.hostname",
    "node",
    "device",
    "machine",
];

/// A field of the draft.
struct Drafted<'a> {
    name: String,
    column: &'a Column,
    kind: Kind,
    part: Option<Part>,
    /// Whether a view asks for it; else it is the entity.
    child: bool,
}

/// Why there is no draft.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// Nothing to look at.
    #[error("it has no rows")]
    Empty,
    /// No column varies.
    #[error("no column varies and repeats, so that there is nothing to learn; give it more rows, better some days")]
    Nothing,
    /// The draft is wrong, which is a mistake of ours.
    #[error("the draft is no lens: {0}")]
    Lens(#[from] LensError),
}

/// A lens as a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggested {
    /// The lens, as TOML with comments.
    pub toml: String,
    /// Whether there is a column that says when; else the draft has the line as a comment to fill in.
    pub has_time: bool,
}

/// A lens for the first rows of a table. `is_time` says whether a column can be read as times.
///
/// # Errors
/// When there are no rows or things that vary.
pub fn suggest(table: &str, rows: &[RecordBatch], is_time: &dyn Fn(&str) -> bool) -> Result<Suggested, DraftError> {
    let rows = rows.first().and_then(|first| concat_batches(&first.schema(), rows).ok()).ok_or(DraftError::Empty)?;
    if rows.num_rows() == 0 {
        return Err(DraftError::Empty);
    }
    let schema = rows.schema();
    let named = schema.fields().iter().zip(rows.columns());
    let columns: Vec<Column> = named.filter_map(|(field, array)| Column::new(field.name(), array)).collect();
    let time = time(&columns, is_time);
    let host = host(&columns);
    let used = |column: &&Column| Some(column.name.as_str()) != time && Some(&column.name) != host.map(|h| &h.name);
    let looked: Vec<(&Column, Meaning)> =
        columns.iter().filter(used).map(|column| (column, meaning(column, is_time))).collect();
    let draft = Draft { table, time, host, columns: looked, rows: rows.num_rows() };
    let toml = draft.toml()?;
    match time {
        Some(_) => Lens::parse(&toml)?,
        None => Lens::parse(&toml.replace(TO_FILL_IN, "time = \"time\""))?,
    };
    Ok(Suggested { toml, has_time: time.is_some() })
}

/// The column that says when: of those that are full, the one with the best name, else the first that holds times. Numbers
/// count from 1970 if all are of this century; those of other sizes are times by an exact name alone.
fn time<'a>(columns: &'a [Column], is_time: &dyn Fn(&str) -> bool) -> Option<&'a str> {
    let full = |column: &&Column| column.filled() == column.rows;
    let named = |column: &Column| TIMES.iter().position(|name| column.name.eq_ignore_ascii_case(name));
    let mut good: Vec<&Column> = columns.iter().filter(full).filter(|c| named(c).is_some()).collect();
    good.sort_by_key(|column| named(column));
    let named_numbers = good.iter().copied().filter(|column| column.is_numeric() && !column.is_epoch());
    let named = good.iter().copied().filter(|column| !column.is_numeric() || column.is_epoch());
    let typed = columns.iter().filter(full).filter(|column| column.form == Form::Time);
    let texts = columns.iter().filter(full).filter(|c| c.form == Form::Text && looks_like_a_date(c));
    let mut epochs: Vec<&Column> = columns.iter().filter(full).filter(|column| column.is_epoch()).collect();
    epochs.sort_by_key(|column| !sounds_like_a_time(&column.name));
    let mut all = named.chain(typed).chain(texts).chain(epochs).chain(named_numbers);
    all.find(|column| column.form == Form::Time || is_time(&column.name)).map(|column| column.name.as_str())
}

fn looks_like_a_date(column: &Column) -> bool {
    let date = |text: &str| {
        let bytes = text.as_bytes();
        bytes.len() >= 10 && bytes[4] == b'-' && bytes[7] == b'-' && bytes[..4].iter().all(u8::is_ascii_digit)
    };
    !column.values.is_empty() && column.values.iter().all(|raw| matches!(raw, Raw::Text(text) if date(text)))
}

fn host(columns: &[Column]) -> Option<&Column> {
    let named = |column: &&Column| HOSTS.iter().position(|name| column.name.eq_ignore_ascii_case(name));
    let texts = columns.iter().filter(|column| column.form == Form::Text);
    texts.filter(|c| named(c).is_some() && c.filled() > 0 && c.distinct() * 10 <= c.rows.max(10)).min_by_key(named)
}

struct Draft<'a> {
    table: &'a str,
    time: Option<&'a str>,
    host: Option<&'a Column>,
    columns: Vec<(&'a Column, Meaning)>,
    rows: usize,
}

impl<'a> Draft<'a> {
    /// Whose habits: of the columns that name somebody or something and repeat, a user before an address before a name;
    /// then the one that fewer rows lack, then the one with more values.
    fn entity(&self) -> Option<&'a Column> {
        let rank = |meaning: &Meaning| match meaning {
            Meaning::User => Some(0),
            Meaning::Ip => Some(1),
            Meaning::Path | Meaning::Domain => Some(2),
            Meaning::Id => Some(3),
            _ => None,
        };
        let all = self.columns.iter().filter(|(column, _)| column.has_habits());
        let source = |column: &Column| {
            !has_word(&column.name, &["src", "source", "client", "orig", "orig_h", "caller", "sender", "from"])
        };
        let missing = |column: &Column| (self.rows - column.filled()) * 20 / self.rows.max(1);
        let ranked = all.filter_map(|(column, meaning)| Some((rank(meaning)?, column)));
        let best = ranked.min_by_key(|(rank, c)| (*rank, source(c), missing(c), usize::MAX - c.distinct()));
        best.map(|(_, column)| *column)
    }

    fn fields(&self, entity: Option<&Column>) -> Vec<Drafted<'a>> {
        let mut fields: Vec<Drafted<'a>> = Vec::new();
        for (column, meaning) in self.columns.iter().copied().take(MAX_COLUMNS) {
            let is_entity = entity.is_some_and(|entity| entity.name == column.name);
            for (at, (kind, part)) in meaning.fields().iter().enumerate() {
                let name = match part {
                    Some(part) if at > 0 => format!("{}_{}", plain_name(&column.name), part.name()),
                    _ => plain_name(&column.name),
                };
                let is_entity = is_entity && at == 0;
                let child = !is_entity && column.varies(*kind, part.unwrap_or(kind.parts()[0]));
                if child || is_entity {
                    fields.push(Drafted { name: free(name, &fields), column, kind: *kind, part: *part, child });
                }
            }
        }
        fields
    }

    fn toml(&self) -> Result<String, DraftError> {
        let entity = self.entity();
        let fields = self.fields(entity);
        if !fields.iter().any(|field| field.child) {
            return Err(DraftError::Nothing);
        }
        let name_of = |column: &Column| fields.iter().find(|f| f.column.name == column.name).map(|f| f.name.as_str());
        let entity_field = entity.and_then(name_of);
        let mut out = self.head(entity, &fields);
        out.push_str("[fields]\n");
        for field in &fields {
            let part = field.part.map_or_else(String::new, |part| format!(", part = {}", quoted(part.name())));
            let _ = writeln!(out, "# {}", field.column.words());
            let column = quoted(&field.column.name);
            let _ =
                writeln!(out, "{} = {{ column = {column}, kind = {}{part} }}", field.name, quoted(field.kind.name()));
        }
        self.single(&mut out);
        if let Some(time) = self.time {
            let _ = writeln!(out, "{HOUR} = {{ column = {}, kind = \"time\" }}", quoted(time));
        }
        out.push('\n');
        self.views(&mut out, &fields, entity_field);
        self.pairs(&mut out, &fields, entity);
        self.unit(&mut out, entity);
        Ok(out)
    }

    fn head(&self, entity: Option<&Column>, fields: &[Drafted<'_>]) -> String {
        let mut out = format!("# A draft for table {}, from its first {} rows.\n", self.table, self.rows);
        out.push_str("# What each line means is in docs/contracts.md §5. Leave out what says nothing to you; `ebbline lens check` shows\n");
        out.push_str("# what it sees.\n");
        let _ = writeln!(out, "table = {}", quoted(self.table));
        match self.time {
            Some(time) => drop(writeln!(out, "time = {}\n", quoted(time))),
            None => {
                out.push_str("# No column was found that holds times in every row. Name it, and take the # away:\n");
                let _ = writeln!(out, "{TO_FILL_IN}\n");
            }
        }
        if let Some(host) = self.host {
            let _ = writeln!(out, "[scopes]\nhost = {} # {}\n", quoted(&host.name), host.words());
        }
        if let Some(entity) = entity {
            let _ = writeln!(out, "# Whose habits: {}.\n", entity.name);
        }
        let used = |column: &Column| fields.iter().any(|field| field.column.name == column.name);
        let left = self.columns.iter().filter(|(column, meaning)| !used(column) && !is_single(column, *meaning));
        let left: Vec<String> = left.map(|(column, _)| column.name.replace(char::is_control, " ")).collect();
        if !left.is_empty() {
            let why = "they hold one value, name single things or hold times of their own";
            let _ = writeln!(out, "# Left out, as {why}: {}.\n", left.join(", "));
        }
        out
    }

    /// Columns that hold one value as yet: fields to be taken in when more days show others.
    fn single(&self, out: &mut String) {
        for (column, meaning) in self.columns.iter().filter(|(column, meaning)| is_single(column, *meaning)) {
            let Some((kind, _)) = meaning.fields().first() else { continue };
            let name = plain_name(&column.name);
            let column_name = quoted(&column.name);
            let _ = writeln!(out, "# One value so far: {}", column.words());
            let _ = writeln!(out, "# {name} = {{ column = {column_name}, kind = {} }}", quoted(kind.name()));
        }
    }

    /// Every field that varies, given the entity.
    fn views(&self, out: &mut String, fields: &[Drafted<'_>], entity: Option<&str>) {
        let hour = Some(HOUR).filter(|_| entity.is_some() && self.time.is_some());
        let children = fields.iter().filter(|field| field.child).map(|field| field.name.as_str());
        for child in children.chain(hour) {
            match entity {
                Some(entity) => view(out, &format!("{child} given {entity}"), child, &[&[entity]]),
                None => view(out, child, child, &[]),
            }
        }
    }

    /// The pairs of columns of which one leaves few choices for the other.
    fn pairs(&self, out: &mut String, fields: &[Drafted<'_>], entity: Option<&Column>) {
        let good = |field: &&Drafted<'_>| {
            field.child && field.column.has_habits() && field.kind != Kind::Number && field.part.is_none()
        };
        let mut good: Vec<&Drafted<'_>> = fields.iter().filter(good).collect();
        good.sort_by_key(|field| usize::MAX - field.column.distinct());
        good.truncate(PAIR_COLUMNS);
        let mut pairs: Vec<(usize, &Drafted<'_>, &Drafted<'_>)> = Vec::new();
        for child in good.iter().copied() {
            for given in good.iter().copied().filter(|given| given.column.name != child.column.name) {
                let choices = cells(child.column, given.column) * 100 / given.column.distinct().max(1);
                // At most a third of what there is otherwise.
                if choices * 3 <= child.column.distinct() * 100 && child.column.distinct() > 2 {
                    pairs.push((choices * 100 / child.column.distinct(), child, given));
                }
            }
        }
        pairs.sort_by(|a, b| (a.0, &a.1.name, &a.2.name).cmp(&(b.0, &b.1.name, &b.2.name)));
        let entity = entity.and_then(|entity| fields.iter().find(|f| f.column.name == entity.name));
        for (_, child, given) in pairs.into_iter().take(MAX_PAIRS) {
            let name = format!("{} given {}", child.name, given.name);
            match entity {
                Some(entity) => view(out, &name, &child.name, &[&[&given.name, &entity.name], &[&given.name]]),
                None => view(out, &name, &child.name, &[&[&given.name]]),
            }
        }
    }

    /// What adds up: the rows of an entity in an hour, else those of a host.
    fn unit(&self, out: &mut String, entity: Option<&Column>) {
        let Some(column) = entity.or(self.host) else {
            out.push_str("# What is alerted on: no column was found that names somebody or something and repeats ten times on average.\n");
            out.push_str("# Without a unit rows are scored, but nothing can be a finding.\n");
            out.push_str("# [[units]]\n# kind = \"…\"\n# key = [\"…\"]\n# window = \"1h\"\n");
            return;
        };
        let kind = quoted(&plain_name(&column.name));
        let _ = writeln!(
            out,
            "# What is alerted on.\n[[units]]\nkind = {kind}\nkey = [{}]\nwindow = \"1h\"",
            quoted(&column.name)
        );
    }
}

/// Whether a column holds one value as yet, and would be a field with others.
fn is_single(column: &Column, meaning: Meaning) -> bool {
    column.distinct() == 1 && !meaning.fields().is_empty()
}

/// The name, or the first with a number behind that no field has.
fn free(name: String, fields: &[Drafted<'_>]) -> String {
    let taken = |name: &str| name == HOUR || fields.iter().any(|field| field.name == name);
    if !taken(&name) {
        return name;
    }
    (2..).map(|n| format!("{name}_{n}")).find(|name| !taken(name)).unwrap_or(name)
}

/// Distinct pairs of values.
fn cells(a: &Column, b: &Column) -> usize {
    let both = a.codes.iter().zip(&b.codes).filter(|(a, b)| **a != u32::MAX && **b != u32::MAX);
    both.collect::<HashSet<_>>().len()
}

fn view(out: &mut String, name: &str, child: &str, contexts: &[&[&str]]) {
    let list = |names: &&[&str]| format!("[{}]", names.iter().map(|n| quoted(n)).collect::<Vec<_>>().join(", "));
    let contexts: Vec<String> = contexts.iter().map(list).chain(["[]".to_owned()]).collect();
    let contexts = contexts.join(", ");
    let _ = writeln!(out, "[[views]]\nname = {}\nchild = [{}]\ncontext = [{contexts}]\n", quoted(name), quoted(child));
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A name that TOML takes without quotes.
fn plain_name(column: &str) -> String {
    let plain = column.trim_start_matches('@').to_lowercase();
    let plain: String = plain.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let plain = plain.trim_matches('_');
    if plain.is_empty() { "column".to_owned() } else { cut(plain, 60).to_owned() }
}
