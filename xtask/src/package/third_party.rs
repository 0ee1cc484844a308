//! The libraries that are linked into the programs, and their licences.

use super::said;
use crate::shell::command;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

/// Files that hold a licence begin like this.
const NAMES: &[&str] = &["license", "licence", "copying", "copyright", "notice", "unlicense"];

/// Every library with its licence, then each text once with the libraries that come with it.
pub(super) fn text(target: &str) -> Result<String> {
    let line = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target];
    let metadata: Value = serde_json::from_str(&said(&mut command(&line))?)?;
    let mut out = "Libraries that are linked into ebbline and ebbline-agent\n\n".to_owned();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, package) in linked(&metadata)? {
        let licence = package["license"].as_str().unwrap_or("see its text");
        let _ = writeln!(out, "{name}: {licence}");
        let manifest = package["manifest_path"].as_str().context("cargo metadata: manifest_path")?;
        for text in licences(Path::new(manifest).parent().context("a manifest without a folder")?)? {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    for (text, names) in texts {
        let _ = write!(out, "\n{}\n{}\n\n{}\n", "-".repeat(80), names.join(", "), text.trim_end());
    }
    Ok(out)
}

/// Packages of others that the two programs are made of, by name and version.
fn linked(metadata: &Value) -> Result<BTreeMap<String, &Value>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let id = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().context("cargo metadata: packages")?;
    let by_id: BTreeMap<String, &Value> = packages.iter().map(|package| (id(&package["id"]), package)).collect();
    let edges: BTreeMap<String, Vec<Value>> =
        list(&metadata["resolve"]["nodes"]).iter().map(|node| (id(&node["id"]), list(&node["deps"]))).collect();
    let program = |package: &&Value| ["ebbline-agent-user", "ebbline-cli"].iter().any(|name| package["name"] == *name);
    let mut open: Vec<String> = packages.iter().filter(program).map(|package| id(&package["id"])).collect();
    let mut seen = BTreeSet::new();
    while let Some(next) = open.pop() {
        if seen.insert(next.clone()) {
            let deps = edges.get(&next).into_iter().flatten();
            let linked = deps.filter(|dep| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()));
            open.extend(linked.map(|dep| id(&dep["pkg"])));
        }
    }
    let others = seen.iter().filter_map(|id| by_id.get(id)).filter(|package| !package["source"].is_null());
    let named = |package: &&Value| format!("{} {}", id(&package["name"]), id(&package["version"]));
    Ok(others.map(|package| (named(package), *package)).collect())
}

fn licences(folder: &Path) -> Result<Vec<String>> {
    let mut texts = BTreeMap::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if path.is_file() && NAMES.iter().any(|start| name.starts_with(start)) {
            texts.insert(name, String::from_utf8_lossy(&std::fs::read(&path)?).into_owned());
        }
    }
    Ok(texts.into_values().collect())
}
