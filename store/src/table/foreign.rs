//! Parquet of other programs: nested columns by paths, times in whatever type, lists as text where one is wanted.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray, StructArray};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Fields, Schema};
use arrow_select::concat::concat_batches;
use arrow_select::nullif::nullif;

use super::{Form, JOINED_BY, Wanted, time};
use crate::error::StoreError;

/// Structs within structs beyond this are not looked into.
const DEPTH: usize = 16;

/// The wanted columns and where they are.
pub(super) struct Resolved(Vec<(Wanted, Vec<String>)>);

impl Resolved {
    /// Finds every wanted column.
    pub(super) fn new(path: &Path, schema: &Schema, wanted: &[Wanted]) -> Result<Self, StoreError> {
        let find = |wanted: &Wanted| match find(schema.fields(), &wanted.column, DEPTH) {
            Some(steps) => Ok((wanted.clone(), steps)),
            None => Err(StoreError::MissingColumn {
                path: path.into(),
                column: wanted.column.clone(),
                table: "of this lens".into(),
            }),
        };
        Ok(Self(wanted.iter().map(find).collect::<Result<_, _>>()?))
    }

    /// The paths to read, each as its steps.
    pub(super) fn paths(&self) -> Vec<&[String]> {
        self.0.iter().map(|(_, steps)| steps.as_slice()).collect()
    }

    /// The wanted columns of a batch; `row` gives the number in the file of a row of the batch, for errors.
    pub(super) fn batch(&self, batch: &RecordBatch, row: &dyn Fn(usize) -> u64) -> Result<RecordBatch, (u64, String)> {
        let (mut fields, mut arrays) = (Vec::new(), Vec::new());
        for (wanted, steps) in &self.0 {
            let failed = |(at, why): (usize, String)| (row(at), format!("column {}: {why}", wanted.column));
            let array = value(batch, steps).map_err(|why| failed((0, why)))?;
            let array = as_wanted(&array, wanted).map_err(failed)?;
            fields.push(Field::new(&wanted.column, array.data_type().clone(), true));
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
            .map_err(|e| (row(0), e.to_string()))
    }
}

/// Every path to a value.
pub(super) fn names(schema: &Schema) -> BTreeSet<String> {
    fn below(fields: &Fields, prefix: &str, depth: usize, out: &mut BTreeSet<String>) {
        for field in fields {
            let name = format!("{prefix}{}", field.name());
            match field.data_type() {
                DataType::Struct(fields) if depth > 0 => below(fields, &format!("{name}."), depth - 1, out),
                _ => {
                    out.insert(name);
                }
            }
        }
    }
    let mut out = BTreeSet::new();
    below(schema.fields(), "", DEPTH, &mut out);
    out
}

/// Whether there is such a column or path.
pub(super) fn has(schema: &Schema, column: &str) -> bool {
    find(schema.fields(), column, DEPTH).is_some()
}

/// The steps to a column: one of that very name, else a path of structs.
fn find(fields: &Fields, name: &str, depth: usize) -> Option<Vec<String>> {
    if fields.find(name).is_some() {
        return Some(vec![name.to_owned()]);
    }
    name.match_indices('.').filter(|_| depth > 0).find_map(|(at, _)| {
        let (_, field) = fields.find(&name[..at])?;
        let DataType::Struct(inside) = field.data_type() else { return None };
        let mut steps = vec![name[..at].to_owned()];
        steps.extend(find(inside, &name[at + 1..], depth - 1)?);
        Some(steps)
    })
}

/// The column at the end of the steps; a null struct has nulls inside.
fn value(batch: &RecordBatch, steps: &[String]) -> Result<ArrayRef, String> {
    let missing = || "not among the columns read".to_owned();
    let (first, rest) = steps.split_first().ok_or_else(missing)?;
    let mut array = batch.column_by_name(first).ok_or_else(missing)?.clone();
    for step in rest {
        let parent: &StructArray = array.as_struct_opt().ok_or_else(missing)?;
        let child = parent.column_by_name(step).ok_or_else(missing)?.clone();
        array = match parent.null_count() {
            0 => child,
            _ => {
                let absent: BooleanArray = (0..parent.len()).map(|row| Some(parent.is_null(row))).collect();
                nullif(&child, &absent).map_err(|e| e.to_string())?
            }
        };
    }
    Ok(array)
}

/// A column in the form that is wanted, or the row that cannot have it.
fn as_wanted(array: &ArrayRef, wanted: &Wanted) -> Result<ArrayRef, (usize, String)> {
    let array = match wanted.form {
        Form::Time => time::of_column(&without_empty(array)?)?,
        Form::Text => text(array)?,
        Form::Words => without_empty(array)?,
    };
    match (0..array.len()).find(|row| wanted.required && array.is_null(*row)) {
        Some(row) => Err((row, "no time".to_owned())),
        None => Ok(array),
    }
}

/// Lists become one text, and so do types that no lens reads but text can say.
fn text(array: &ArrayRef) -> Result<ArrayRef, (usize, String)> {
    match array.data_type() {
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => Ok(Arc::new(joined_lists(array)?)),
        t if t.is_decimal() || (t.is_temporal() && !matches!(t, DataType::Timestamp(..))) => to_text(array),
        _ => without_empty(array),
    }
}

fn to_text(array: &ArrayRef) -> Result<ArrayRef, (usize, String)> {
    cast(array, &DataType::Utf8).map_err(|e| (0, e.to_string()))
}

fn joined_lists(array: &ArrayRef) -> Result<StringArray, (usize, String)> {
    let (DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)) = array.data_type()
    else {
        return Err((0, "not a list".to_owned()));
    };
    let wide = DataType::LargeList(Arc::new(Field::new(item.name(), DataType::Utf8, true)));
    let wide = cast(array, &wide).map_err(|e| (0, e.to_string()))?;
    let joined = wide.as_list::<i64>().iter().map(|items| {
        let items = items?;
        let joined = items.as_string::<i32>().iter().flatten().collect::<Vec<_>>().join(JOINED_BY);
        (!joined.is_empty()).then_some(joined)
    });
    Ok(joined.collect())
}

/// An empty text is null, as in a text file, where the two cannot be told apart.
fn without_empty(array: &ArrayRef) -> Result<ArrayRef, (usize, String)> {
    let failed = |e: arrow_schema::ArrowError| (0, e.to_string());
    if let DataType::Dictionary(_, values) = array.data_type() {
        let entries = array.as_any_dictionary().values();
        return match is_text(values) && has_empty(entries) {
            true => Ok(array.as_any_dictionary().with_values(nullif(entries, &empty(entries)).map_err(failed)?)),
            false => Ok(array.clone()),
        };
    }
    if !is_text(array.data_type()) || !has_empty(array) {
        return Ok(array.clone());
    }
    nullif(array, &empty(array)).map_err(failed)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn has_empty(array: &ArrayRef) -> bool {
    empty(array).true_count() > 0
}

/// Which texts are empty.
fn empty(array: &ArrayRef) -> BooleanArray {
    let of = |is_empty: &dyn Fn(usize) -> bool| {
        (0..array.len()).map(|row| Some(array.is_valid(row) && is_empty(row))).collect()
    };
    match array.data_type() {
        DataType::LargeUtf8 => of(&|row| array.as_string::<i64>().value(row).is_empty()),
        DataType::Utf8View => of(&|row| array.as_string_view().value(row).is_empty()),
        DataType::Utf8 => of(&|row| array.as_string::<i32>().value(row).is_empty()),
        _ => of(&|_| false),
    }
}

/// Parts of a text file as one batch. Whether a column is one of lists may show in a later part only: the parts before
/// have nothing but nulls there.
pub(super) fn joined(parts: &[RecordBatch]) -> Result<RecordBatch, String> {
    let last = parts.last().ok_or("no rows")?;
    let same = |part: &RecordBatch| {
        let arrays = part.columns().iter().zip(last.columns());
        let arrays = arrays.map(|(array, like)| match array.data_type() == like.data_type() {
            true => array.clone(),
            false => arrow_array::new_null_array(like.data_type(), array.len()),
        });
        RecordBatch::try_new(last.schema(), arrays.collect())
    };
    let parts: Result<Vec<RecordBatch>, _> = parts.iter().map(same).collect();
    parts.and_then(|parts| concat_batches(&last.schema(), &parts)).map_err(|e| e.to_string())
}
