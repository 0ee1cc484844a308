//! Files of a lake: `CLASS/region=…/accountId=…/eventDay=YYYYMMDD/NAME.parquet`, each in order of time.

use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use sha2::{Digest, Sha256};
use store::{LakeFile, StoreError};

use crate::event::Class;

/// The partition that events go to, beside their day.
#[derive(Debug, Clone)]
pub struct Partition {
    region: String,
    account: String,
}

impl Partition {
    /// A region and an account, each of letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// Says what such a name may have in it.
    pub fn new(region: &str, account: &str) -> Result<Self, String> {
        for name in [region, account] {
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
                return Err(format!("{name:?}: use up to 64 letters, digits, - and _"));
            }
        }
        Ok(Self { region: region.to_owned(), account: account.to_owned() })
    }

    /// Where a file of a class and day lies.
    pub(crate) fn path(&self, class: Class, day: i64, name: &str) -> PathBuf {
        let day = store::day_text(day.saturating_mul(DAY_NS)).replace('-', "");
        let Self { region, account } = self;
        format!("{}/region={region}/accountId={account}/eventDay={day}/{name}.parquet", class.folder()).into()
    }
}

const DAY_NS: i64 = 86_400_000_000_000;

/// The UTC day of a time, counted from 1970.
pub(crate) fn day_of(time: i64) -> i64 {
    time.div_euclid(DAY_NS)
}

/// The name of what comes from a file: that of the file, and a digest of its path, so that no two files share it.
pub(crate) fn name_of(relative: &str) -> String {
    let leaf = relative.rsplit('/').next().unwrap_or(relative);
    let stem = leaf.strip_suffix(".parquet").or(leaf.strip_suffix(".pq")).unwrap_or(leaf);
    let plain: String =
        stem.chars().take(64).map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    format!("{plain}-{}", digest(&[relative]))
}

/// 16 hex digits that depend on all texts.
pub(crate) fn digest(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The files that one source becomes. They get their names together, when all are whole; dropped before, they leave nothing.
pub(crate) struct Parts<'a> {
    root: &'a Path,
    partition: &'a Partition,
    class: Class,
    name: String,
    files: Vec<LakeFile>,
    /// Day and last time of the file that is open.
    open: Option<(i64, i64)>,
}

impl<'a> Parts<'a> {
    pub(crate) fn new(root: &'a Path, partition: &'a Partition, class: Class, name: String) -> Self {
        Self { root, partition, class, name, files: Vec::new(), open: None }
    }

    /// Files so far.
    pub(crate) fn count(&self) -> usize {
        self.files.len()
    }

    /// Appends events of one day, from the first to the last time. What is earlier than the last one begins another file.
    pub(crate) fn write(
        &mut self,
        events: &RecordBatch,
        day: i64,
        (first, last): (i64, i64),
    ) -> Result<(), StoreError> {
        if self.open.is_none_or(|(open, until)| open != day || first < until) {
            self.close()?;
            let name = match self.files.len() {
                0 => self.name.clone(),
                n => format!("{}-{}", self.name, n + 1),
            };
            let path = self.partition.path(self.class, day, &name);
            self.files.push(LakeFile::create(self.root, &path, &events.schema())?);
        }
        self.open = Some((day, last));
        self.files.last_mut().map_or(Ok(()), |file| file.write(events))
    }

    fn close(&mut self) -> Result<(), StoreError> {
        match self.open.take() {
            Some(_) => self.files.last_mut().map_or(Ok(()), LakeFile::close),
            None => Ok(()),
        }
    }

    /// Completes all files; returns how many there are and their bytes.
    pub(crate) fn commit(mut self) -> Result<(u64, u64), StoreError> {
        self.close()?;
        let mut sum = (0, 0);
        for file in self.files {
            sum = (sum.0 + 1, sum.1 + file.commit()?);
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_partitions_of_security_lake() {
        let partition = Partition::new("eu-central-1", "123456789012").unwrap();
        let name = name_of("process/day=2026-11-21/host=web1/20261121T140000Z-000001.parquet");
        let path = partition.path(Class::ProcessActivity, 20_778, &name);
        let expected =
            "process_activity/region=eu-central-1/accountId=123456789012/eventDay=20261121/20261121T140000Z-000001-";
        assert!(path.to_str().unwrap().starts_with(expected), "{path:?}");
        assert_ne!(name, name_of("process/day=2026-11-21/host=web2/20261121T140000Z-000001.parquet"));
        for bad in ["", "a/b", "..", "a b"] {
            assert!(Partition::new(bad, "external").is_err(), "{bad}");
        }
    }
}
