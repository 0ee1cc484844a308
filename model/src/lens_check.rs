//! What a lens sees in a table: values field by field, and what about them will make views that say nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow_array::Array;
use arrow_array::RecordBatch;
use arrow_cast::cast;
use arrow_cast::display::array_value_to_string;
use arrow_schema::DataType;
use serde::Serialize;

use crate::days::day_text;
use crate::encode::{Codes, EncodeError, EncodedBatch, Encoder, NO_UNIT};
use crate::explain::thousands;
use crate::keys::{HashKey, Pair, join};
use crate::kind::Kind;
use crate::kind::mask::cut;
use crate::lens::Lens;
use crate::raw::Raw;

/// Distinct values that are told apart of a field, a context or a unit; what comes after is not looked at.
const MAX_DISTINCT: usize = 1 << 16;
/// Fewer rows say nothing about how often values repeat.
const ENOUGH_ROWS: u64 = 100;
/// Values of which this share is new with each row repeat too seldom to have a history.
const NEARLY_ALL: f64 = 0.9;
/// Bytes shown of a value.
const SHOWN_BYTES: usize = 80;
/// Values shown of a field.
const SHOWN_VALUES: usize = 3;
/// Classes named that no view is for.
const SHOWN_CLASSES: usize = 8;

/// What a lens without units misses.
pub const NO_UNITS: &str = "no [[units]]: rows are scored, but nothing can be a finding";
/// Days of 1990 and 2100: logs are not older, and not from then on.
const LIKELY_DAYS: std::ops::Range<i64> = 7_305..47_482;
const DAY_NS: i64 = 86_400_000_000_000;

/// What a lens sees of a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sight {
    /// Rows looked at.
    pub rows: u64,
    /// One per field, in the order of the lens.
    pub fields: Vec<SeenField>,
    /// What is probably not as it was meant, one line each.
    pub warnings: Vec<String>,
}

/// What a lens sees of a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeenField {
    /// Its name.
    pub field: String,
    /// Its column; empty if it counts rows.
    pub column: String,
    /// `kind part`.
    pub kind: String,
    /// Type of the column.
    pub found: String,
    /// Rows without a value.
    pub nulls: u64,
    /// Distinct values after the transform, null not counted; at most 65,536.
    pub distinct: usize,
    /// The most frequent values with their shares, most frequent first.
    pub frequent: Vec<(String, f64)>,
    /// A value as it is and as it is seen.
    pub example: Option<(String, String)>,
}

/// How many distinct things there are in how many rows, as long as they are told apart.
#[derive(Default)]
struct Distinct {
    seen: HashSet<u64, ahash::RandomState>,
    rows: u64,
}

impl Distinct {
    fn add(&mut self, key: u64) {
        if self.seen.len() < MAX_DISTINCT {
            self.seen.insert(key);
            self.rows += 1;
        }
    }

    fn nearly_all(&self) -> bool {
        self.rows >= ENOUGH_ROWS && self.seen.len() as f64 >= NEARLY_ALL * self.rows as f64
    }
}

#[derive(Default)]
struct Values {
    counts: HashMap<String, u64>,
    nulls: u64,
    rows: u64,
    /// Rows with a text that is not what the kind wants.
    odd: u64,
    found: String,
    example: Option<(String, String)>,
}

/// Looks at a table batch by batch.
pub struct Check {
    lens: Lens,
    encoder: Encoder,
    rows: u64,
    values: Vec<Values>,
    /// By view: the finest context.
    contexts: Vec<Distinct>,
    units: Vec<Distinct>,
    classes: BTreeMap<String, u64>,
    /// The first and the last time, in ns since 1970.
    times: Option<(i64, i64)>,
}

impl Check {
    /// A look through this lens.
    pub fn new(lens: &Lens) -> Self {
        let views = lens.views().len() - lens.random_views();
        Self {
            encoder: Encoder::new(lens, &HashKey([0; 32])),
            rows: 0,
            values: lens.fields().iter().map(|_| Values::default()).collect(),
            contexts: (0..views).map(|_| Distinct::default()).collect(),
            units: lens.units().iter().map(|_| Distinct::default()).collect(),
            classes: BTreeMap::new(),
            times: None,
            lens: lens.clone(),
        }
    }

    /// Looks at more rows.
    ///
    /// # Errors
    /// When the lens cannot read the columns.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        let encoded = self.encoder.encode(batch)?;
        self.rows += encoded.rows as u64;
        for (at, codes) in encoded.fields.iter().enumerate() {
            let column = batch.column_by_name(&self.lens.fields()[at].column).map(AsRef::as_ref);
            self.values[at].add(codes, column, encoded.rows);
            if let Some(column) = column {
                let field = &self.lens.fields()[at];
                self.values[at].odd += odd_rows(field.kind, column);
            }
        }
        for (view, contexts) in self.lens.views().iter().zip(&mut self.contexts) {
            let applies = |row: &usize| view.class_mask >> encoded.class[*row] & 1 == 1;
            (0..encoded.rows).filter(applies).for_each(|row| contexts.add(tuple(&encoded, &view.contexts[0], row)));
        }
        for (unit, keys) in encoded.units.iter().zip(&mut self.units) {
            let named = unit.codes.iter().filter(|code| **code != NO_UNIT);
            named.for_each(|code| keys.add(text_hash(&unit.keys[*code as usize])));
        }
        self.count_classes(batch);
        self.note_times(batch);
        Ok(())
    }

    fn note_times(&mut self, batch: &RecordBatch) {
        let Some(column) = batch.column_by_name(self.lens.time_column()) else { return };
        let all = crate::raw::nanoseconds(column).unwrap_or_default();
        for time in all.into_iter().enumerate().filter_map(|(row, time)| column.is_valid(row).then_some(time)) {
            let (first, last) = self.times.unwrap_or((time, time));
            self.times = Some((first.min(time), last.max(time)));
        }
    }

    fn count_classes(&mut self, batch: &RecordBatch) {
        let Some(column) = self.lens.class_column().and_then(|class| batch.column_by_name(class)) else { return };
        for row in 0..batch.num_rows() {
            let Ok(class) = array_value_to_string(column, row) else { continue };
            if self.classes.len() < MAX_DISTINCT || self.classes.contains_key(&class) {
                *self.classes.entry(class).or_default() += 1;
            }
        }
    }

    /// What was seen.
    pub fn finish(self) -> Sight {
        let mut warnings = Vec::new();
        self.warn_of_times(&mut warnings);
        self.warn_of_fields(&mut warnings);
        self.warn_of_views(&mut warnings);
        self.warn_of_classes(&mut warnings);
        self.warn_of_units(&mut warnings);
        let fields = self.lens.fields().iter().zip(self.values);
        let seen = fields.map(|(field, values)| {
            let kind = if field.column.is_empty() { "counts rows".to_owned() } else { kind_words(field) };
            values.seen(field.name.clone(), field.column.clone(), kind)
        });
        Sight { rows: self.rows, fields: seen.collect(), warnings }
    }

    fn warn_of_times(&self, warnings: &mut Vec<String>) {
        let Some((first, last)) = self.times else { return };
        let (first, last) = (first.div_euclid(DAY_NS), last.div_euclid(DAY_NS));
        if LIKELY_DAYS.contains(&first) && LIKELY_DAYS.contains(&last) {
            return;
        }
        let day = |day: i64| day_text(day as i32); // 64 bits of ns are some 100,000 days
        let column = self.lens.time_column();
        warnings.push(format!("times lie from {} to {}: is column {column:?} the time?", day(first), day(last)));
    }

    fn warn_of_fields(&self, warnings: &mut Vec<String>) {
        for (at, (field, values)) in self.lens.fields().iter().zip(&self.values).enumerate() {
            let name = &field.name;
            if self.rows > 1 && values.nulls == self.rows {
                warnings.push(format!("field {name:?} has no value in any row"));
            } else if self.rows >= ENOUGH_ROWS && values.counts.len() == 1 && values.nulls == 0 {
                warnings.push(format!("field {name:?} has one value in all rows, which says nothing"));
            }
            if values.odd > 0 {
                let (odd, what) = (thousands(values.odd), field.kind.name());
                warnings.push(format!("field {name:?} is no {what} in {odd} of {} rows", thousands(values.rows)));
            }
            let as_child = self.lens.views().iter().take(self.contexts.len()).find(|view| view.child == [at]);
            if let Some(view) = as_child.filter(|_| values.nearly_all()) {
                let why = "has a new value in nearly every row: as the child of";
                warnings.push(format!(
                    "field {name:?} {why} view {:?} it is always a surprise; take another part",
                    view.name
                ));
            }
        }
    }

    fn warn_of_views(&self, warnings: &mut Vec<String>) {
        for (view, contexts) in self.lens.views().iter().zip(&self.contexts) {
            if contexts.nearly_all() {
                let why = "is new in nearly every row, so that it never has a history; leave it out";
                warnings.push(format!("view {:?}: its finest context {why}", view.name));
            }
            if self.rows > 0 && contexts.rows == 0 {
                warnings.push(format!(
                    "view {:?} applies to no row: there is no {}",
                    view.name,
                    view.when.join(" or ")
                ));
            }
        }
    }

    fn warn_of_classes(&self, warnings: &mut Vec<String>) {
        if self.lens.views().iter().any(|view| view.when.is_empty()) {
            return;
        }
        let of_none = self.classes.iter().filter(|(class, _)| !self.lens.classes().contains(class));
        let mut of_none: Vec<(&String, &u64)> = of_none.collect();
        of_none.sort_by_key(|(class, rows)| (std::cmp::Reverse(**rows), *class));
        if of_none.is_empty() {
            return;
        }
        let share = |rows: u64| percent(rows as f64 / self.rows.max(1) as f64);
        let words = |(class, rows): &(&String, &u64)| format!("{} ({})", cut(class, SHOWN_BYTES), share(**rows));
        let shown: Vec<String> = of_none.iter().take(SHOWN_CLASSES).map(words).collect();
        let more = of_none.len().saturating_sub(SHOWN_CLASSES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        warnings.push(format!("no view is for rows of class {}{more}: they score 0", shown.join(", ")));
    }

    fn warn_of_units(&self, warnings: &mut Vec<String>) {
        if self.lens.units().is_empty() {
            warnings.push(NO_UNITS.to_owned());
        }
        for (unit, keys) in self.lens.units().iter().zip(&self.units) {
            let what = match (keys.seen.len(), self.rows) {
                (0, 1..) => "has a key in no row",
                (1, ENOUGH_ROWS..) => "has one key for all rows: it is alerted on as a whole",
                _ if keys.nearly_all() => "has another key in nearly every row: nothing adds up",
                _ => continue,
            };
            warnings.push(format!("unit {:?} {what}", unit.kind));
        }
    }
}

impl Values {
    fn add(&mut self, codes: &Codes, column: Option<&dyn Array>, rows: usize) {
        let mut counts = vec![0u64; codes.values.len()];
        codes.codes.iter().for_each(|code| counts[*code as usize] += 1);
        for (value, count) in codes.values.iter().zip(counts).filter(|(_, count)| *count > 0) {
            self.rows += count;
            match value {
                None => self.nulls += count,
                Some(value) if self.counts.len() < MAX_DISTINCT || self.counts.contains_key(value) => {
                    *self.counts.entry(value.clone()).or_default() += count;
                }
                Some(_) => {}
            }
        }
        let Some(column) = column else { return };
        self.found = column.data_type().to_string();
        if self.example.is_none() {
            let row = (0..rows).find(|row| codes.value(*row).is_some());
            self.example = row.and_then(|row| {
                let raw = in_words(column, row)?;
                Some((shown(&raw), shown(codes.text(row))))
            });
        }
    }

    fn nearly_all(&self) -> bool {
        let rows = self.rows - self.nulls;
        rows >= ENOUGH_ROWS && self.counts.len() as f64 >= NEARLY_ALL * rows.min(MAX_DISTINCT as u64) as f64
    }

    fn seen(self, field: String, column: String, kind: String) -> SeenField {
        let distinct = self.counts.len();
        let mut frequent: Vec<(String, u64)> = self.counts.into_iter().collect();
        frequent.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        frequent.truncate(SHOWN_VALUES);
        let share = |(value, count): (String, u64)| (shown(&value), count as f64 / self.rows.max(1) as f64);
        let frequent = frequent.into_iter().map(share).collect();
        SeenField {
            field,
            column,
            kind,
            found: self.found,
            nulls: self.nulls,
            distinct,
            frequent,
            example: self.example,
        }
    }
}

/// Rows whose text is not what a kind is for; of other kinds and types none.
fn odd_rows(kind: Kind, column: &dyn Array) -> u64 {
    let fits: fn(&str) -> bool = match kind {
        Kind::Number => |text| text.trim().parse::<f64>().is_ok(),
        Kind::Port => |text| text.trim().parse::<u16>().is_ok(),
        Kind::Ip => |text| text.parse::<std::net::IpAddr>().is_ok(),
        _ => return 0,
    };
    let plain = match column.data_type() {
        DataType::Dictionary(_, values) => cast(column, values).ok(),
        _ => None,
    };
    let read = crate::raw::read(plain.as_deref().unwrap_or(column));
    let odd: Vec<bool> = read.values.iter().map(|raw| matches!(raw, Raw::Text(text) if !fits(text))).collect();
    read.codes.iter().filter(|code| odd[**code as usize]).count() as u64
}

/// A value as it is; times with a zone, which need its rules, in UTC.
fn in_words(column: &dyn Array, row: usize) -> Option<String> {
    let DataType::Timestamp(unit, Some(_)) = column.data_type() else {
        return array_value_to_string(column, row).ok();
    };
    let plain = cast(&column.slice(row, 1), &DataType::Timestamp(*unit, Some("+00:00".into()))).ok()?;
    array_value_to_string(&plain, 0).ok()
}

fn shown(value: &str) -> String {
    let short = cut(value, SHOWN_BYTES);
    if short.len() < value.len() { format!("{short}…") } else { short.to_owned() }
}

fn kind_words(field: &crate::lens::Field) -> String {
    format!("{} {}", field.kind.name(), field.part.name())
}

/// `12 %`, `0.3 %`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 10.0 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

fn tuple(batch: &EncodedBatch, fields: &[usize], row: usize) -> u64 {
    let absorb = |state, field: &usize| crate::keys::absorb(state, batch.fields[*field].hash(row));
    join(fields.iter().fold(Pair::default(), absorb))
}

fn text_hash(text: &str) -> u64 {
    join(HashKey([0; 32]).value(Some(text)))
}
