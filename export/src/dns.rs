//! Rows of `dns` as DNS Activity (docs/contracts.md §9).

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_schema::Schema;

use crate::columns::{Result, Rows, Struct, at, ints, lists, longs, number, texts, valid_if};
use crate::event::{self, Class, OTHER, is_host_name, millis};
use crate::network::{Ends, owner};

/// Columns that no attribute has, or not as exactly.
const REST: [&str; 12] = [
    "activity",
    "root_key",
    "parent_exe",
    "root_exe",
    "image",
    "pod",
    "name",
    "type",
    "rcode",
    "answer_count",
    "complete",
    "id",
];

/// Answers' codes: as in DNS, with the names of OCSF.
const CODES: [(&str, i32, &str); 11] = [
    ("NOERROR", 0, "NoError"),
    ("FORMERR", 1, "FormError"),
    ("SERVFAIL", 2, "ServError"),
    ("NXDOMAIN", 3, "NXDomain"),
    ("NOTIMP", 4, "NotImp"),
    ("REFUSED", 5, "Refused"),
    ("YXDOMAIN", 6, "YXDomain"),
    ("YXRRSET", 7, "YXRRSet"),
    ("NXRRSET", 8, "NXRRSet"),
    ("NOTAUTH", 9, "NotAuth"),
    ("NOTZONE", 10, "NotZone"),
];

fn activity_id(activity: Option<&str>) -> i32 {
    match activity {
        Some("query") => 1,
        Some("answer") => 2,
        _ => OTHER,
    }
}

/// The events of rows; `ids` are theirs.
pub(crate) fn events(rows: &Rows<'_>, schema: &Schema, ids: ArrayRef) -> Result<Struct> {
    let (count, times) = (rows.len(), rows.nanos("time")?);
    let (activity, rcode) = (rows.text("activity")?, rows.text("rcode")?);
    let ends = Ends::of(rows)?;
    let mut event = Struct::default();
    let id = |row| activity_id(at(&activity, row));
    let own = |row| at(&activity, row).unwrap_or("unknown").to_owned();
    event::classify(&mut event, Class::DnsActivity, count, id, own);
    event::severity(&mut event, count, |_| 1);
    event.put("time", longs(count, |row| number(&times, row).map(millis)));
    let success = |row| at(&rcode, row).map(|code| code == "NOERROR");
    event::status(&mut event, count, success, texts(count, |_| None::<&str>), Arc::new(rcode.clone()));
    let source =
        event::Source { profiles: &["host", "container"], log_name: events::DNS, log_provider: "ebbline-agent" };
    event.put("metadata", event::metadata(&source, &times, ids, Arc::new(activity.clone()))?);
    event.put("device", event::device(&rows.text("host")?, true)?);
    event.put("actor", owner(rows)?);
    ends.put(&mut event)?;
    event.put("connection_info", ends.info(rows)?);
    let is = |row: usize, wanted: i32| id(row) == wanted;
    event.put("query_time", longs(count, |row| number(&times, row).filter(|_| is(row, 1)).map(millis)));
    event.put("response_time", longs(count, |row| number(&times, row).filter(|_| is(row, 2)).map(millis)));
    event.put("query", query(rows)?);
    event.put("answers", answers(rows)?);
    let code = |row| at(&rcode, row).map(code_of);
    event.put("rcode_id", ints(count, |row| code(row).map(|code| code.0)));
    event.put("rcode", texts(count, |row| code(row).map(|code| code.1)));
    let mut traffic = Struct::default();
    traffic.put("bytes", Arc::new(rows.long("bytes")?));
    event.put("traffic", traffic.nested(None)?);
    event.put("unmapped", rows.rest(&REST, schema)?.nested(None)?);
    Ok(event)
}

/// Number and name of an answer's code; what has none keeps its text.
fn code_of(text: &str) -> (i32, &str) {
    CODES.iter().find(|(code, ..)| *code == text).map_or((OTHER, text), |(_, id, name)| (*id, name))
}

/// The question; null where its name is no host name by OCSF's rule, as of `_ldap._tcp`.
fn query(rows: &Rows<'_>) -> Result<ArrayRef> {
    let name = rows.text("name")?;
    let name: StringArray = name.iter().map(|name| name.filter(|name| is_host_name(name))).collect();
    let there = name.nulls().cloned();
    let mut query = Struct::default();
    query.put("hostname", Arc::new(name));
    query.put("type", Arc::new(rows.text("type")?));
    query.put("packet_uid", Arc::new(rows.int("id")?));
    query.nested(there)
}

fn answers(rows: &Rows<'_>) -> Result<ArrayRef> {
    let list = rows.raw("answers").and_then(|list| list.as_list_opt::<i32>());
    let id = rows.int("id")?;
    let (mut texts_of, mut ids, mut lengths, mut there) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows.len() {
        let values = list.filter(|list| list.is_valid(row)).map(|list| list.value(row));
        let before = texts_of.len();
        if let Some(values) = values.as_ref().and_then(|values| values.as_string_opt::<i32>()) {
            texts_of.extend(values.iter().flatten().map(str::to_owned));
        }
        lengths.push(texts_of.len() - before);
        ids.extend(std::iter::repeat_n(id.is_valid(row).then(|| id.value(row)), texts_of.len() - before));
        there.push(values.is_some());
    }
    let mut answer = Struct::default();
    let count = texts_of.len();
    answer.put("rdata", Arc::new(StringArray::from(texts_of)));
    answer.put("packet_uid", ints(count, |at| ids[at]));
    lists(answer.nested(valid_if(count, |_| true))?, lengths, Some(there.into()))
}
