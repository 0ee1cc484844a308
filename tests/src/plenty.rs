//! Findings in plenty, over an archive that has their rows.

use std::collections::BTreeMap;
use std::path::Path;

use arrow_array::cast::AsArray;
use store::{ArchiveFile, Finding, FindingReason, FindingRow, discover, finding_id, write_findings};

const HOUR: i64 = 3_600_000_000_000;
/// The baseline that they are said to come from.
pub const BASELINE: &str = "0123456789abcdef";
/// Findings of one file.
const A_FILE: usize = 50_000;
/// Rows of one.
const ROWS: usize = 6;
/// Hours in which each tree has a finding, one after the other.
const HOURS: i64 = 3;

/// Writes a generated archive to `DIR/archive` and at most `number` findings to `DIR/scored`, one for each process tree and
/// hour of three, with rows that are there. Returns how many.
///
/// # Panics
/// When something cannot be written.
pub fn write_plenty(dir: &Path, number: usize, hosts: u32, days: u32) -> usize {
    let archive = dir.join("archive");
    let trees = number.div_ceil(HOURS as usize);
    // A tree has some twelve rows.
    crate::write_archive(&archive, workload::columns::archive(9, trees as u64 * 13, hosts, days));
    let mut findings: BTreeMap<[u8; 16], Finding> = BTreeMap::new();
    for source in discover(&[&archive]).expect("it was written") {
        let file = ArchiveFile::open(&source.path).expect("it was written");
        let (table, host) = (file.table().expect("a table").to_owned(), host_of(&source.relative));
        let mut row = 0;
        for batch in file.batches(&["time", "root_key"], 65_536).expect("its columns") {
            let batch = batch.expect("a batch");
            let times = batch.column(0).as_primitive::<arrow_array::types::TimestampNanosecondType>();
            let keys = batch.column(1).as_fixed_size_binary();
            for (time, key) in times.values().iter().zip(keys.iter()) {
                let key: Option<[u8; 16]> = key.and_then(|key| key.try_into().ok());
                if let Some(key) = key.filter(|key| findings.contains_key(key) || findings.len() < trees) {
                    let finding = findings.entry(key).or_insert_with(|| begun(key, &host, *time));
                    if finding.rows.len() < ROWS {
                        let file = source.relative.clone();
                        finding.rows.push(FindingRow { file, row, table: table.clone(), bits: 9.5 });
                    }
                }
                row += 1;
            }
        }
    }
    let mut written = 0;
    for (hour, all) in (0..HOURS).zip(std::iter::repeat(findings)) {
        let later: Vec<Finding> = all.into_values().map(|finding| hours_later(finding, hour)).collect();
        for (at, some) in later.chunks(A_FILE).enumerate() {
            let name = format!("score-{hour}-{at}");
            write_findings(&dir.join("scored"), BASELINE, &name, some, Some(5.0)).expect("written");
        }
        written += later.len();
    }
    written
}

fn host_of(relative: &str) -> String {
    relative.split('/').find_map(|part| part.strip_prefix("host=")).unwrap_or_default().to_owned()
}

/// The same tree in another hour.
fn hours_later(finding: Finding, hours: i64) -> Finding {
    let (window, time) = (finding.window + hours * HOUR, finding.time + hours * HOUR);
    Finding { id: finding_id(BASELINE, "process_tree", &finding.unit_key, window), window, time, ..finding }
}

fn begun(key: [u8; 16], host: &str, time: i64) -> Finding {
    let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let window = time.div_euclid(HOUR) * HOUR;
    let bits = 12.0 + f32::from(key[15] % 40) / 8.0;
    let reason = |view: &str, child: &str| FindingReason {
        view: view.to_owned(),
        child: child.to_owned(),
        context: "parent_exe=/usr/sbin/nginx, user=33".to_owned(),
        scope: "host".to_owned(),
        n: 0,
        total: 41_220,
        distinct: 312,
        bits: 11.5,
    };
    Finding {
        id: finding_id(BASELINE, "process_tree", &text, window),
        host: host.to_owned(),
        unit_kind: "process_tree".to_owned(),
        unit_key: text,
        window,
        time,
        title: "/usr/bin/curl http://10.0.0.7:4444/ started under /usr/sbin/nginx below /usr/sbin/nginx".to_owned(),
        bits: bits * 4.0,
        log2_n: bits,
        reasons: vec![
            reason("exe given parent", "exe=/usr/bin/curl"),
            reason("parent given exe", "parent_exe=/usr/sbin/nginx"),
            reason("arguments given exe", "arguments=http://<ip>:<n>/"),
            reason("remote port given exe", "protocol=tcp, remote_port=4444"),
        ],
        rows: Vec::new(),
        action: None,
    }
}
