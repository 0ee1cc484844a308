//! Reading Arrow columns as codes into their distinct raw values.

use std::collections::HashMap;
use std::fmt::Write;
use std::hash::Hash;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayAccessor, GenericListArray, OffsetSizeTrait, PrimitiveArray};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};

const HOUR_NS: i64 = 3_600_000_000_000;

/// A distinct value of a column before its transform.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Raw {
    Null,
    Text(String),
    Int(i128),
    Float(Float),
    Bool(bool),
    List(Vec<String>),
    Key([u8; 16]),
    /// A time, in hours since 1970 UTC: no transform looks closer.
    Hour(i64),
}

/// A binary64 number by its bits, every NaN as one and both zeros as one, so that equal numbers are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Float(u64);

impl Float {
    pub(crate) fn new(number: f64) -> Self {
        match number {
            n if n.is_nan() => Self(f64::NAN.to_bits()),
            n => Self((n + 0.0).to_bits()), // −0 + 0 is 0
        }
    }

    pub(crate) fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl Raw {
    /// The value in words.
    pub(crate) fn text(&self) -> String {
        match self {
            Raw::Null => String::new(),
            Raw::Text(text) => text.clone(),
            Raw::Int(number) => number.to_string(),
            Raw::Float(number) => number.get().to_string(),
            Raw::Bool(truth) => truth.to_string(),
            Raw::List(list) => list.join(" "),
            Raw::Hour(hour) => hour.to_string(),
            Raw::Key(bytes) => bytes.iter().fold(String::with_capacity(32), |mut hex, b| {
                let _ = write!(hex, "{b:02x}");
                hex
            }),
        }
    }

    /// As a number; a text may spell one.
    pub(crate) fn int(&self) -> Option<i128> {
        match self {
            Raw::Int(number) => Some(*number),
            Raw::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// As hours since 1970.
    pub(crate) fn hour(&self) -> Option<i64> {
        match self {
            Raw::Hour(hour) => Some(*hour),
            _ => None,
        }
    }
}

/// What a column type can be read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Null,
    Text,
    Int,
    Float,
    Bool,
    List,
    Key,
    Time,
}

/// The form of a type, or `None` if no lens can use it.
pub(crate) fn form(data_type: &DataType) -> Option<Form> {
    use DataType::*;
    Some(match data_type {
        Null => Form::Null,
        Utf8 | LargeUtf8 | Utf8View => Form::Text,
        Boolean => Form::Bool,
        Timestamp(..) => Form::Time,
        FixedSizeBinary(16) => Form::Key,
        Float16 | Float32 | Float64 => Form::Float,
        t if t.is_integer() => Form::Int,
        List(item) | LargeList(item) if text_inside(item.data_type()) => Form::List,
        Dictionary(_, values) if !matches!(**values, Dictionary(..)) => form(values)?,
        _ => return None,
    })
}

fn text_inside(data_type: &DataType) -> bool {
    form(data_type) == Some(Form::Text)
}

/// A column as codes into distinct values.
#[derive(Debug, Clone, Default)]
pub(crate) struct RawColumn {
    pub(crate) codes: Vec<u32>,
    pub(crate) values: Vec<Raw>,
}

/// Gives each distinct key the next number.
struct Interner<K> {
    numbers: HashMap<K, u32, ahash::RandomState>,
    /// The last key and its number: columns have runs.
    last: Option<(K, u32)>,
    out: RawColumn,
}

impl<K: Hash + Eq + Copy> Interner<K> {
    fn new(rows: usize) -> Self {
        let out = RawColumn { codes: Vec::with_capacity(rows), values: Vec::new() };
        Self { numbers: HashMap::default(), last: None, out }
    }

    #[inline]
    fn push(&mut self, key: K, raw: impl FnOnce() -> Raw) {
        let code = match self.last {
            Some((last, code)) if last == key => code,
            _ => *self.numbers.entry(key).or_insert_with(|| {
                self.out.values.push(raw());
                (self.out.values.len() - 1) as u32
            }),
        };
        self.last = Some((key, code));
        self.out.codes.push(code);
    }
}

/// Reads any column but a dictionary whose type has a [`Form`]; other types read as null.
pub(crate) fn read(array: &dyn Array) -> RawColumn {
    use DataType::*;
    match array.data_type() {
        Utf8 => texts(array.as_string::<i32>()),
        LargeUtf8 => texts(array.as_string::<i64>()),
        Utf8View => texts(array.as_string_view()),
        Boolean => bools(array),
        Int8 => ints::<Int8Type>(array),
        Int16 => ints::<Int16Type>(array),
        Int32 => ints::<Int32Type>(array),
        Int64 => ints::<Int64Type>(array),
        UInt8 => ints::<UInt8Type>(array),
        UInt16 => ints::<UInt16Type>(array),
        UInt32 => ints::<UInt32Type>(array),
        UInt64 => ints::<UInt64Type>(array),
        Float16 | Float32 | Float64 => floats(array),
        FixedSizeBinary(16) => keys(array),
        Timestamp(..) => hours(array),
        List(_) => lists(array.as_list::<i32>()),
        LargeList(_) => lists(array.as_list::<i64>()),
        _ => RawColumn { codes: vec![0; array.len()], values: vec![Raw::Null] },
    }
}

/// The keys of a dictionary column of so many entries; nulls, and keys that name no entry, as the one after the last.
pub(crate) fn dictionary_keys(array: &dyn Array, entries: usize) -> Vec<u32> {
    let keys = array.as_any_dictionary().keys();
    let none = u32::try_from(entries).unwrap_or(u32::MAX);
    let known = |key: i64| u32::try_from(key).map_or(none, |key| key.min(none));
    if let Some(keys) = keys.as_primitive_opt::<Int32Type>() {
        if keys.null_count() == 0 {
            // A negative key is beyond the entries as a number without sign.
            return keys.values().iter().map(|key| (*key as u32).min(none)).collect();
        }
        return keys.iter().map(|key| key.map_or(none, |key| known(key.into()))).collect();
    }
    match cast(keys, &DataType::Int64) {
        Ok(wide) => wide.as_primitive::<Int64Type>().iter().map(|key| key.map_or(none, known)).collect(),
        Err(_) => vec![none; array.len()], // a key beyond i64 names no value
    }
}

/// A timestamp column in ns since 1970, without its nulls' meaning; `None` if it is no timestamp.
pub(crate) fn nanoseconds(array: &dyn Array) -> Option<Vec<i64>> {
    fn scaled<T: ArrowPrimitiveType<Native = i64>>(array: &dyn Array, scale: i64) -> Vec<i64> {
        array.as_primitive::<T>().values().iter().map(|t| t.saturating_mul(scale)).collect()
    }
    Some(match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => scaled::<TimestampSecondType>(array, 1_000_000_000),
        DataType::Timestamp(TimeUnit::Millisecond, _) => scaled::<TimestampMillisecondType>(array, 1_000_000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => scaled::<TimestampMicrosecondType>(array, 1_000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => scaled::<TimestampNanosecondType>(array, 1),
        _ => return None,
    })
}

fn texts<'a>(array: impl ArrayAccessor<Item = &'a str>) -> RawColumn {
    let mut interner = Interner::new(array.len());
    for row in 0..array.len() {
        let text = array.is_valid(row).then(|| array.value(row));
        interner.push(text, || text.map_or(Raw::Null, |t| Raw::Text(t.to_owned())));
    }
    interner.out
}

fn ints<T: ArrowPrimitiveType>(array: &dyn Array) -> RawColumn
where
    T::Native: Into<i128> + Hash + Eq,
{
    let numbers = array.as_primitive::<T>();
    if let Some(out) = close_ints(numbers) {
        return out;
    }
    let mut interner = Interner::new(array.len());
    for number in numbers {
        interner.push(number, || number.map_or(Raw::Null, |n| Raw::Int(n.into())));
    }
    interner.out
}

/// Integers that lie close together, by a table in the place of a map.
fn close_ints<T: ArrowPrimitiveType>(numbers: &PrimitiveArray<T>) -> Option<RawColumn>
where
    T::Native: Into<i128>,
{
    // A table of more would cost more than it saves.
    let farthest = (4 * numbers.len() as i128).min(1 << 16);
    if numbers.null_count() > 0 || numbers.is_empty() {
        return None;
    }
    let mut least: i128 = numbers.value(0).into();
    let mut most = least;
    for number in numbers.values() {
        let number: i128 = (*number).into();
        (least, most) = (least.min(number), most.max(number));
        if most - least >= farthest {
            return None;
        }
    }
    let mut codes_of = vec![u32::MAX; (most - least) as usize + 1];
    let mut out = RawColumn { codes: Vec::with_capacity(numbers.len()), values: Vec::new() };
    for number in numbers.values() {
        let number: i128 = (*number).into();
        let code = &mut codes_of[(number - least) as usize];
        if *code == u32::MAX {
            *code = out.values.len() as u32;
            out.values.push(Raw::Int(number));
        }
        out.codes.push(*code);
    }
    Some(out)
}

/// Every float widens to binary64 without a change.
fn floats(array: &dyn Array) -> RawColumn {
    let mut interner = Interner::new(array.len());
    let Ok(wide) = cast(array, &DataType::Float64) else {
        return RawColumn { codes: vec![0; array.len()], values: vec![Raw::Null] };
    };
    for number in wide.as_primitive::<Float64Type>() {
        let number = number.map(Float::new);
        interner.push(number, || number.map_or(Raw::Null, Raw::Float));
    }
    interner.out
}

fn bools(array: &dyn Array) -> RawColumn {
    let code = |b: Option<bool>| b.map_or(2, u32::from);
    let codes = array.as_boolean().iter().map(code).collect();
    RawColumn { codes, values: vec![Raw::Bool(false), Raw::Bool(true), Raw::Null] }
}

fn keys(array: &dyn Array) -> RawColumn {
    let mut interner = Interner::new(array.len());
    for key in array.as_fixed_size_binary() {
        let key = key.and_then(|k| <[u8; 16]>::try_from(k).ok());
        interner.push(key, || key.map_or(Raw::Null, Raw::Key));
    }
    interner.out
}

fn hours(array: &dyn Array) -> RawColumn {
    let mut interner = Interner::new(array.len());
    for (row, time) in nanoseconds(array).unwrap_or_default().into_iter().enumerate() {
        let hour = array.is_valid(row).then(|| time.div_euclid(HOUR_NS));
        interner.push(hour, || hour.map_or(Raw::Null, Raw::Hour));
    }
    interner.out
}

fn lists<O: OffsetSizeTrait>(array: &GenericListArray<O>) -> RawColumn {
    if let Some(items) = array.values().as_string_opt::<i32>() {
        return lists_of(array, items);
    }
    match cast(array.values(), &DataType::LargeUtf8) {
        Ok(items) => lists_of(array, items.as_string::<i64>()),
        Err(_) => RawColumn { codes: vec![0; array.len()], values: vec![Raw::Null] },
    }
}

fn lists_of<'a, O: OffsetSizeTrait>(
    array: &GenericListArray<O>,
    items: impl ArrayAccessor<Item = &'a str>,
) -> RawColumn {
    let item = |i: usize| if items.is_valid(i) { items.value(i) } else { "" };
    let mut out = RawColumn { codes: Vec::with_capacity(array.len()), values: vec![Raw::Null] };
    let mut numbers: HashMap<Vec<u8>, u32, ahash::RandomState> = HashMap::default();
    let mut bytes = Vec::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            out.codes.push(0);
            continue;
        }
        let range = array.value_offsets()[row].as_usize()..array.value_offsets()[row + 1].as_usize();
        bytes.clear();
        for i in range.clone() {
            bytes.extend_from_slice(&(item(i).len() as u64).to_le_bytes());
            bytes.extend_from_slice(item(i).as_bytes());
        }
        let code = numbers.get(&bytes).copied().unwrap_or_else(|| {
            out.values.push(Raw::List(range.map(|i| item(i).to_owned()).collect()));
            let code = (out.values.len() - 1) as u32;
            numbers.insert(bytes.clone(), code);
            code
        });
        out.codes.push(code);
    }
    out
}
