//! What every event has: what it is, when, where, and who says so.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, StringArray};

use crate::columns::{Result, Rows, Struct, at, ints, longs, number, texts, valid_if};

/// The version of the schema whose names, types and numbers are used.
pub const OCSF_VERSION: &str = "1.3.0";

/// Activity of what no other number fits; its name is then Ebbline's own.
pub(crate) const OTHER: i32 = 99;

/// A class of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// 1007: what processes do.
    ProcessActivity,
    /// 4001: connections and flows.
    NetworkActivity,
    /// 4003: names that were asked for.
    DnsActivity,
    /// 2004: what stands out.
    DetectionFinding,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::ProcessActivity, Self::NetworkActivity, Self::DnsActivity, Self::DetectionFinding];

    /// Its number.
    #[must_use]
    pub fn uid(self) -> i32 {
        match self {
            Self::ProcessActivity => 1007,
            Self::NetworkActivity => 4001,
            Self::DnsActivity => 4003,
            Self::DetectionFinding => 2004,
        }
    }

    /// Its name as that of a folder.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::ProcessActivity => "process_activity",
            Self::NetworkActivity => "network_activity",
            Self::DnsActivity => "dns_activity",
            Self::DetectionFinding => "detection_finding",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::ProcessActivity => "Process Activity",
            Self::NetworkActivity => "Network Activity",
            Self::DnsActivity => "DNS Activity",
            Self::DetectionFinding => "Detection Finding",
        }
    }

    fn category(self) -> (i32, &'static str) {
        match self {
            Self::ProcessActivity => (1, "System Activity"),
            Self::NetworkActivity | Self::DnsActivity => (4, "Network Activity"),
            Self::DetectionFinding => (2, "Findings"),
        }
    }

    /// Names of the numbers of activities.
    fn activity(self, id: i32) -> Option<&'static str> {
        let names: &[(i32, &str)] = match self {
            Self::ProcessActivity => &[(1, "Launch"), (2, "Terminate"), (3, "Open"), (5, "Set User ID")],
            Self::NetworkActivity => {
                &[(1, "Open"), (2, "Close"), (3, "Reset"), (4, "Fail"), (5, "Refuse"), (6, "Traffic"), (7, "Listen")]
            }
            Self::DnsActivity => &[(1, "Query"), (2, "Response")],
            Self::DetectionFinding => &[(1, "Create")],
        };
        names.iter().find(|(number, _)| *number == id).map(|(_, name)| *name)
    }
}

/// What the metadata of events say.
pub(crate) struct Source<'a> {
    /// Profiles that are used.
    pub(crate) profiles: &'a [&'a str],
    /// Which log the events were in.
    pub(crate) log_name: &'a str,
    /// The program that wrote it.
    pub(crate) log_provider: &'a str,
}

/// The attributes that say what an event is. Activity 99 has the name that `own` gives.
pub(crate) fn classify(
    to: &mut Struct,
    class: Class,
    rows: usize,
    activity: impl Fn(usize) -> i32,
    own: impl Fn(usize) -> String,
) {
    let name = |row| class.activity(activity(row)).map_or_else(|| own(row), str::to_owned);
    let type_name = |row| match class.activity(activity(row)) {
        Some(known) => format!("{}: {known}", class.name()),
        None => format!("{}: Other", class.name()),
    };
    let (category, category_name) = class.category();
    to.put("activity_id", ints(rows, |row| Some(activity(row))));
    to.put("activity_name", texts(rows, |row| Some(name(row))));
    to.put_all(rows, "category_uid", category);
    to.put_all(rows, "category_name", category_name);
    to.put_all(rows, "class_uid", class.uid());
    to.put_all(rows, "class_name", class.name());
    to.put("type_uid", longs(rows, |row| Some(i64::from(class.uid()) * 100 + i64::from(activity(row)))));
    to.put("type_name", texts(rows, |row| Some(type_name(row))));
}

/// Severity, with its name.
pub(crate) fn severity(to: &mut Struct, rows: usize, of: impl Fn(usize) -> i32) {
    let name = |row| match of(row) {
        1 => "Informational",
        2 => "Low",
        3 => "Medium",
        4 => "High",
        _ => "Critical",
    };
    to.put("severity_id", ints(rows, |row| Some(of(row))));
    to.put("severity", texts(rows, |row| Some(name(row))));
}

/// How it ended: whether it succeeded, if that is known, and what exactly was said.
pub(crate) fn status(
    to: &mut Struct,
    rows: usize,
    success: impl Fn(usize) -> Option<bool>,
    code: ArrayRef,
    detail: ArrayRef,
) {
    to.put("status_id", ints(rows, |row| success(row).map(|good| if good { 1 } else { 2 })));
    to.put("status", texts(rows, |row| success(row).map(|good| if good { "Success" } else { "Failure" })));
    to.put("status_code", code);
    to.put("status_detail", detail);
}

/// Milliseconds since 1970, as OCSF counts time.
pub(crate) fn millis(nanos: i64) -> i64 {
    nanos.div_euclid(1_000_000)
}

/// When: `time`, and from when to when if that is known, from nanoseconds.
pub(crate) fn when(to: &mut Struct, times: &Int64Array, since: impl Fn(usize) -> Option<i64>) {
    let rows = times.len();
    to.put("time", longs(rows, |row| number(times, row).map(millis)));
    to.put("start_time", longs(rows, |row| since(row).map(millis)));
    to.put("end_time", longs(rows, |row| since(row).and(number(times, row)).map(millis)));
    let length = |row| Some(millis(number(times, row)?) - millis(since(row)?));
    to.put("duration", longs(rows, length));
}

/// The metadata of events; `uid` and `code` are one for each.
pub(crate) fn metadata(source: &Source<'_>, times: &Int64Array, uid: ArrayRef, code: ArrayRef) -> Result<ArrayRef> {
    let rows = times.len();
    let mut product = Struct::default();
    product.put_all(rows, "name", "Ebbline");
    product.put_all(rows, "vendor_name", "Ebbline");
    product.put_all(rows, "version", env!("CARGO_PKG_VERSION"));
    let mut metadata = Struct::default();
    metadata.put_all(rows, "version", OCSF_VERSION);
    metadata.put("product", product.nested(None)?);
    let profiles: StringArray = (0..rows).flat_map(|_| source.profiles.iter().map(|profile| Some(*profile))).collect();
    let lengths = std::iter::repeat_n(source.profiles.len(), rows);
    metadata.put("profiles", crate::columns::lists(Arc::new(profiles), lengths, None)?);
    metadata.put("uid", uid);
    metadata.put("event_code", code);
    metadata.put_all(rows, "log_name", source.log_name);
    metadata.put_all(rows, "log_provider", source.log_provider);
    metadata.put("original_time", texts(rows, |row| number(times, row).map(store::rfc3339)));
    metadata.nested(None)
}

/// Ids of rows: the file, relative to its archive, and the row. Evidence of findings names them so, too.
pub(crate) fn row_id(relative: &str, row: u64) -> String {
    format!("{relative}#{row}")
}

/// The machine; null where it has no name. What is no host name by OCSF's rule is a name alone.
pub(crate) fn device(hosts: &StringArray, is_linux: bool) -> Result<ArrayRef> {
    let rows = hosts.len();
    let host = |row| at(hosts, row).filter(|host| !host.is_empty());
    let mut device = Struct::default();
    device.put("name", texts(rows, host));
    device.put("hostname", texts(rows, |row| host(row).filter(|host| is_host_name(host))));
    device.put_all(rows, "type_id", 0);
    device.put_all(rows, "type", "Unknown");
    if is_linux {
        let mut os = Struct::default();
        os.put_all(rows, "name", "Linux");
        os.put_all(rows, "type_id", 200);
        os.put_all(rows, "type", "Linux");
        device.put("os", os.nested(None)?);
    }
    device.nested(valid_if(rows, |row| host(row).is_some()))
}

/// Whether OCSF's type `hostname_t` takes a text: labels of letters, digits and inner hyphens.
pub(crate) fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.split('.').all(label)
}

/// A file by its path: name, path and what sort it is; with its SHA-256 where that is known.
pub(crate) fn file(paths: &StringArray, sha256: Option<&StringArray>) -> Result<ArrayRef> {
    let rows = paths.len();
    let in_memory = |row| at(paths, row).is_some_and(|path| path.starts_with("memfd:"));
    let name = |row| at(paths, row).map(|path| path.rsplit('/').next().filter(|leaf| !leaf.is_empty()).unwrap_or(path));
    let mut file = Struct::default();
    // A memory file is called what follows `memfd:`, slashes and all.
    file.put("name", texts(rows, |row| if in_memory(row) { at(paths, row) } else { name(row) }));
    file.put("path", texts(rows, |row| at(paths, row).filter(|_| !in_memory(row))));
    file.put("type_id", ints(rows, |row| at(paths, row).map(|_| if in_memory(row) { OTHER } else { 1 })));
    file.put(
        "type",
        texts(rows, |row| at(paths, row).map(|_| if in_memory(row) { "Memory File" } else { "Regular File" })),
    );
    if let Some(sha256) = sha256 {
        let mut hash = Struct::default();
        hash.put_all(rows, "algorithm_id", 3);
        hash.put_all(rows, "algorithm", "SHA-256");
        hash.put("value", Arc::new(sha256.clone()));
        file.put("hashes", crate::columns::of_one(&hash.nested(sha256.nulls().cloned())?)?);
    }
    file.nested(paths.nulls().cloned())
}

/// A user by number.
pub(crate) fn user(rows: &Rows<'_>, column: &str) -> Result<ArrayRef> {
    let uid = rows.text(column)?;
    let nulls = uid.nulls().cloned();
    let mut user = Struct::default();
    user.put("uid", Arc::new(uid));
    user.nested(nulls)
}

/// A container by id and name; null where there is none.
pub(crate) fn container(rows: &Rows<'_>) -> Result<ArrayRef> {
    let mut container = Struct::default();
    container.put("uid", Arc::new(rows.text("container_id")?));
    container.put("name", Arc::new(rows.text("container_name")?));
    container.nested_if_any(rows.len())
}
