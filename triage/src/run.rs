//! From a folder of findings to a file of incidents.

use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use store::{ArchiveFile, Incident, IncidentLink, StoreError, incidents_path, read_incidents, write_incidents};

use crate::archive::Archive;
use crate::cells::Words;
use crate::error::TriageError;
use crate::gather::gather;
use crate::group::{Before, Group, group};
use crate::item::{Evidence, Map, Value};
use crate::join::{Link, Shared};
use crate::skeleton::Skeletons;
use crate::title::{Why, title};

const BATCH_ROWS: usize = 4096;

/// What to make incidents of.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The folder that was given to `score --out`, or the archive of an agent that scores.
    pub out: PathBuf,
    /// Where the rows are; the folder itself if none is named.
    pub archives: Vec<PathBuf>,
    /// Findings of this baseline alone.
    pub baseline: Option<String>,
}

impl Options {
    /// Where rows are looked for.
    #[must_use]
    pub fn archives(&self) -> &[PathBuf] {
        if self.archives.is_empty() { std::slice::from_ref(&self.out) } else { &self.archives }
    }

    /// Where the incidents are written.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        incidents_path(&self.out, self.baseline.as_deref())
    }
}

/// What became of the findings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Triaged {
    /// Findings that were grouped.
    pub findings: u64,
    /// Incidents that were written.
    pub incidents: u64,
    /// Files of rows that could not be read, with the reason.
    pub unread: Vec<(PathBuf, String)>,
}

/// Groups the findings of a folder and writes the incidents, in place of those before, which it extends.
///
/// # Errors
/// There are no findings, one of their files or the earlier incidents cannot be read, or nothing can be written. Rows that
/// cannot be read are no error: they are named, and what they would have said is not used.
pub fn triage(options: &Options) -> Result<Triaged, TriageError> {
    let found = Skeletons::read(&options.out, options.baseline.as_deref())?;
    let archive = Archive::open(options.archives())?;
    let (evidence, names) = gather(&found, &archive);
    let before = before(&options.path())?;
    let groups = group(&found.items, &evidence, &before);
    drop(before);
    let titles = titles(&found, &groups)?;
    let writer = Writer { found: &found, evidence: &evidence, names: &names };
    let incidents = groups.iter().zip(titles).map(|(group, title)| writer.incident(group, title));
    write_incidents(&options.out, options.baseline.as_deref(), incidents)?;
    let (findings, incidents) = (found.items.len() as u64, groups.len() as u64);
    Ok(Triaged { findings, incidents, unread: archive.unread() })
}

/// The incidents that were written last; none if there are none yet.
pub(crate) fn before(path: &Path) -> Result<Vec<Before>, StoreError> {
    let mut before = Vec::new();
    if !path.exists() {
        return Ok(before);
    }
    let number = |text: &String| u64::from_str_radix(text, 16).ok();
    read_incidents(path, |incident| {
        before.push(Before {
            name: number(&incident.id).unwrap_or_default(),
            anchor: incident.anchor,
            aliases: incident.aliases.iter().filter_map(number).collect(),
            findings: incident.findings.iter().filter_map(number).collect(),
        });
        true
    })?;
    Ok(before)
}

/// What each group is called, by its rarest finding.
pub(crate) fn titles(found: &Skeletons, groups: &[Group]) -> Result<Vec<Box<str>>, StoreError> {
    let wanted: Map<u64, u32> =
        groups.iter().zip(0..).map(|(group, at)| (found.items[group.rarest as usize].id, at)).collect();
    let mut titles: Vec<Box<str>> = vec![Box::default(); groups.len()];
    for (number, path) in found.files.iter().enumerate() {
        let file = ArchiveFile::open(path)?;
        for batch in file.batches(&["id", "title", "unit_kind", "unit_key", "reasons"], BATCH_ROWS)? {
            let batch = batch?;
            let text = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            let Some(((ids, rows), keys)) = text("id").zip(text("title")).zip(text("unit_key")) else { continue };
            let kinds = Words::of(&batch, "unit_kind");
            for row in 0..batch.num_rows() {
                let at = u64::from_str_radix(ids.value(row), 16).ok().and_then(|id| wanted.get(&id));
                let Some(at) = at.map(|at| *at as usize) else { continue };
                if found.sources[groups[at].rarest as usize] == number as u32 {
                    let unit = (kinds.at(row).unwrap_or_default(), keys.value(row));
                    titles[at] = title(&reasons(&batch, row), rows.value(row), unit).into();
                }
            }
        }
    }
    Ok(titles)
}

/// The reasons of a finding, the strongest first.
fn reasons(batch: &RecordBatch, row: usize) -> Vec<Why<'_>> {
    let of = || {
        let list = batch.column_by_name("reasons")?.as_list_opt::<i32>()?;
        let (start, end) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
        let members = list.values().as_struct_opt()?;
        let text = |name: &str| members.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        let (children, contexts) = text("child").zip(text("context"))?;
        let seen = members.column_by_name("n")?.as_primitive_opt::<UInt32Type>()?;
        let one = |at| Why { child: children.value(at), context: contexts.value(at), seen: seen.value(at) };
        Some((start..end).map(one).collect())
    };
    of().unwrap_or_default()
}

pub(crate) struct Writer<'a> {
    pub(crate) found: &'a Skeletons,
    pub(crate) evidence: &'a Evidence,
    pub(crate) names: &'a Map<u64, String>,
}

impl Writer<'_> {
    pub(crate) fn incident(&self, group: &Group, title: Box<str>) -> Incident {
        let items = || group.items.iter().map(|at| &self.found.items[*at as usize]);
        let mut hosts: Vec<u32> = items().map(|item| item.host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let host = |number: u32| self.found.hosts[number as usize].clone();
        Incident {
            id: id_text(group.name),
            aliases: group.aliases.iter().map(|alias| id_text(*alias)).collect(),
            anchor: group.anchor,
            first: items().map(|item| item.time).min().unwrap_or_default(),
            last: items().map(|item| item.time).max().unwrap_or_default(),
            hosts: hosts.into_iter().map(host).filter(|host| !host.is_empty()).collect(),
            title: title.into(),
            bits: group.bits,
            log2_n: self.found.items[group.rarest as usize].log2_n,
            steps: group.steps,
            root_host: group.root.map(|root| host(root.host)),
            root_key: group.root.map(|root| root.tree.to_string()),
            findings: items().map(|item| format!("{:016x}", item.id)).collect(),
            links: group.links.iter().map(|link| self.link(link)).collect(),
        }
    }

    fn link(&self, link: &Link) -> IncidentLink {
        let id = |at: u32| format!("{:016x}", self.found.items[at as usize].id);
        let (kind, value) = self.in_words(link);
        IncidentLink {
            from: id(link.from),
            to: id(link.to),
            kind: kind.to_owned(),
            value,
            seen: link.seen,
            of: if link.seen == 0 { 0 } else { self.evidence.trees },
        }
    }

    fn in_words(&self, link: &Link) -> (&'static str, String) {
        let item = &self.found.items[link.from as usize];
        match link.shared {
            Shared::Before => ("before", "they were one incident before".to_owned()),
            Shared::Unit => {
                let subject = self.found.subjects.get(&item.subject);
                ("unit", subject.map_or_else(|| "the same process tree".to_owned(), Clone::clone))
            }
            Shared::Value(Value::Tree(tree)) => ("lineage", format!("processes below {}", tree.tgid())),
            Shared::Value(Value::User(uid)) => ("user", format!("user {uid}")),
            Shared::Value(Value::Name(hash)) => {
                ("name", self.names.get(&hash).cloned().unwrap_or_else(|| "a DNS name".to_owned()))
            }
            Shared::Value(Value::Destination { ip, port, .. }) => {
                let ip = std::net::Ipv6Addr::from(ip);
                let text = ip.to_ipv4_mapped().map_or_else(|| format!("[{ip}]:{port}"), |ip| format!("{ip}:{port}"));
                ("destination", text)
            }
        }
    }
}

/// An id in its written form.
fn id_text(name: u64) -> String {
    format!("{name:012x}")
}
