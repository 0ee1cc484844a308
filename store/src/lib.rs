//! The journal, Parquet writing and reading, and the room that both take: layout, tables, sidecars, findings, incidents,
//! manifest.
//!
//! Every file is written under a temporary name, made durable and renamed when whole, so a reader sees either all of
//! a file or none of it. Names and schemas are those of `docs/contracts.md` §2–§4.

mod discover;
mod error;
mod findings;
mod guard;
mod incidents;
mod input;
mod journal;
mod lake;
mod layout;
mod manifest;
#[cfg(feature = "remote")]
mod object;
mod orphan;
mod properties;
mod ranges;
mod read;
mod sidecar;
mod space;
mod table;
#[cfg(feature = "remote")]
mod target;
#[cfg(feature = "remote")]
mod upload;
mod whole;
mod writer;

pub use discover::{PassedOver, Search, Source, discover, discover_tables};
pub use error::{Lost, StoreError, WriteError};
pub use findings::{
    Finding, FindingReason, FindingRow, StoredFindings, each_finding, expected_per_day, finding_id,
    findings_by_baseline, findings_files, findings_schema, read_all_findings, read_findings, write_findings,
};
pub use incidents::{
    Incident, IncidentLink, incident_id, incidents_path, incidents_schema, read_incidents, write_incidents,
};
pub use journal::{Closed, Journal, JournalOptions, Part, Recovered, Replayed, journals_of_others, read_segment};
pub use lake::{LAKE_ROW_GROUP_BYTES, LakeFile};
pub use layout::{
    day_text, file_name, from_rfc3339, hour_of, is_folder_of, live_name, rfc3339, stamp, table_folder, time_text,
    utc_now,
};
pub use manifest::{HostState, InputDone, InputSkipped, Manifest, Run, Unlisted};
pub use orphan::{remove_leftovers, remove_tagged, remove_unfinished_sidecar};
pub use read::{ArchiveFile, Batches, Bounds, DEFAULT_BATCH_ROWS};
pub use sidecar::{SidecarRow, SidecarWriter, read_sidecar, sidecar_path, sidecar_schema};
pub use space::{Limits, Removed, RowsByKind, tidy};
pub use table::{Form, Format, TableBatches, TableFile, Wanted};
#[cfg(feature = "remote")]
pub use target::shown as shown_url;
#[cfg(feature = "remote")]
pub use upload::{UploadOptions, UploadStatus, Uploaded, Uploader};
pub use whole::{check_whole, ensure_folder, file_sha256, tag_temporaries, try_folder, write_whole};
pub use writer::{Finished, Placed, TableWriter, WriterOptions};

/// Footer key of the schema version.
pub const META_SCHEMA_VERSION: &str = "ebbline.schema_version";
/// Footer key of the table name.
pub const META_TABLE: &str = "ebbline.table";
/// Footer key of the host name.
pub const META_HOST: &str = "ebbline.host";
/// Footer key of the boot id.
pub const META_BOOT_ID: &str = "ebbline.boot_id";
/// Footer key of the baseline id (sidecars and findings).
pub const META_BASELINE: &str = "ebbline.baseline";
/// Footer key: false findings a day that are expected.
pub const META_EXPECTED: &str = "ebbline.expected_per_day";
/// Footer key of which rows were taken, if not all were (sidecars).
pub const META_FILTER: &str = "ebbline.filter";
/// Footer key of [`Source::digest`] of the scored file (sidecars).
pub const META_SOURCE_DIGEST: &str = "ebbline.source_digest";

/// Footer key of the journal segment that a file was made from.
pub const META_JOURNAL: &str = "ebbline.journal";
/// Footer key of the rows by activity, a JSON object; by table where the rows have no activity.
pub const META_ROWS: &str = "ebbline.rows";

/// Bits from their stored form, units of 1/1024; exact below 2^24.
#[must_use]
pub fn bits_f32(q10: u32) -> f32 {
    q10 as f32 / 1024.0
}
