//! Which files depend on one another (docs/contracts.md §5).
//!
//! Some fields depend on the earlier rows of their (host, UTC hour). Where a lens has such fields, the files of one table,
//! host and hour are a part: they are learned and scored in the order of their paths, by one encoder, and parts are
//! independent of each other. Files whose path does not say host and hour are one part with all such files of their table.
//! Where no field does, each file is a part of its own.

use std::path::{Path, PathBuf};

/// The parts of a list of files, as their numbers; files are given by path relative to the archive, ascending, and by table.
pub(crate) fn parts<'a>(
    files: impl Iterator<Item = (&'a str, &'a str)>,
    is_stateful: impl Fn(&str) -> bool,
) -> Vec<Vec<usize>> {
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let mut known = std::collections::HashMap::new();
    for (number, (relative, table)) in files.enumerate() {
        if !is_stateful(table) {
            parts.push(vec![number]);
            continue;
        }
        let at = *known.entry((table, hour_of(relative))).or_insert(parts.len());
        match parts.get_mut(at) {
            Some(part) => part.push(number),
            None => parts.push(vec![number]),
        }
    }
    parts
}

/// The path up to the hour, if it is of the archive's layout: `process/day=2026-11-21/host=web1/20261121T14`.
fn hour_of(relative: &str) -> Option<&str> {
    let (folder, name) = relative.rsplit_once('/')?;
    let mut parts = folder.split('/');
    let placed = parts.next().is_some()
        && parts.next().is_some_and(|day| day.starts_with("day="))
        && parts.next().is_some_and(|host| host.starts_with("host="))
        && parts.next().is_none();
    let hour = name.get(..11)?.bytes().enumerate().all(|(at, b)| if at == 8 { b == b'T' } else { b.is_ascii_digit() });
    (placed && hour).then(|| &relative[..folder.len() + 12])
}

/// The path of its folder, if that is of the archive's layout: `process/day=2026-11-21/host=web1`.
pub(crate) fn day_of(relative: &str) -> Option<&str> {
    hour_of(relative).and_then(|hour| hour.rsplit_once('/')).map(|(folder, _)| folder)
}

/// The files that come before this one in its part, as they lie beside it.
pub(crate) fn before(path: &Path) -> Vec<PathBuf> {
    let Some((folder, name)) = path.parent().zip(path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    // A folder that is not of the layout tells no hour, whatever its files are called.
    let Some(relative) = layout_path(folder, name) else { return Vec::new() };
    let Some(hour) = hour_of(&relative).and_then(|hour| hour.rsplit('/').next()).map(str::to_owned) else {
        return Vec::new();
    };
    let Ok(listing) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = listing.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter(|n| n.starts_with(&hour) && n.ends_with(".parquet") && n.as_str() < name).collect();
    names.sort_unstable();
    names.into_iter().map(|name| folder.join(name)).collect()
}

/// `TABLE/day=…/host=…/NAME` of a file in this folder.
fn layout_path(folder: &Path, name: &str) -> Option<String> {
    let folder = std::path::absolute(folder).ok()?;
    let mut names = folder.iter().rev().map(|part| part.to_str());
    let (host, day, table) = (names.next()??, names.next()??, names.next()??);
    Some(format!("{table}/{day}/{host}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_an_hour_are_one_part_where_order_matters() {
        let of = |name: &str| format!("process/day=2026-11-21/host=web1/{name}.parquet");
        let names = ["20261121T140000Z-000001", "20261121T143000Z-000002", "20261121T150000Z-000003"];
        let mut files: Vec<(String, &str)> = names.iter().map(|name| (of(name), "process")).collect();
        files.push(("a/rows.parquet".to_owned(), "process"));
        files.push(("b.parquet".to_owned(), "process"));
        files.push((of(names[0]).replace("web1", "web2"), "process"));
        files.push((of(names[0]).replace("process", "dns"), "dns"));
        files.push((of(names[1]).replace("process", "dns"), "dns"));
        let all = || files.iter().map(|(relative, table)| (relative.as_str(), *table));
        let stateful = parts(all(), |table| table == "process");
        assert_eq!(stateful, [vec![0, 1], vec![2], vec![3, 4], vec![5], vec![6], vec![7]]);
        assert_eq!(parts(all(), |_| false), (0..8).map(|n| vec![n]).collect::<Vec<_>>());
    }

    #[test]
    fn only_the_layout_tells_hours() {
        assert_eq!(hour_of("t/day=1/host=h/20261121T140000Z-1.parquet"), Some("t/day=1/host=h/20261121T14"));
        for other in
            ["20261121T140000Z-1.parquet", "t/day=1/host=h/rows.parquet", "t/day=1/host=h/é", "t/h/20261121T14"]
        {
            assert_eq!(hour_of(other), None, "{other}");
        }
    }
}
