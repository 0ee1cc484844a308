//! What two kernel objects have in common that the kernel gets to see: programs, constants, relocations, maps.

use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SymbolIndex};
use std::collections::{BTreeMap, BTreeSet};

/// What of an object is compared, by a name to show.
type Parts = BTreeMap<String, Vec<u8>>;

/// Names of the parts that differ. Debug and type information may: it holds paths and compiler versions.
pub(crate) fn differences(committed: &[u8], built: &[u8]) -> Result<Vec<String>> {
    let (committed, built) = (parts(committed)?, parts(built)?);
    let names: BTreeSet<&String> = committed.keys().chain(built.keys()).collect();
    Ok(names.into_iter().filter(|name| committed.get(*name) != built.get(*name)).cloned().collect())
}

fn parts(bytes: &[u8]) -> Result<Parts> {
    let file = object::File::parse(bytes).context("kernel object: not an ELF file")?;
    let mut parts = Parts::new();
    for section in file.sections() {
        let name = section.name()?;
        let auxiliary = [".debug", ".BTF", ".rel", ".symtab", ".strtab", ".shstrtab", ".llvm"];
        if name.is_empty() || auxiliary.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        parts.insert(name.to_owned(), section.data()?.to_vec());
        let mut relocations = Vec::new();
        for (offset, relocation) in section.relocations() {
            let target = match relocation.target() {
                RelocationTarget::Symbol(index) => target(&file, index)?,
                other => format!("{other:?}"),
            };
            relocations.push(format!("{offset} {:?} {} {target}", relocation.flags(), relocation.addend()));
        }
        if !relocations.is_empty() {
            parts.insert(format!("relocations of {name}"), relocations.join("\n").into_bytes());
        }
    }
    for symbol in file.symbols().filter(|symbol| symbol.is_global() && !symbol.is_undefined()) {
        let place = place(&file, &symbol)?;
        parts.insert(format!("symbol {}", symbol.name()?), format!("{place} {}", symbol.size()).into_bytes());
    }
    Ok(parts)
}

/// A relocation's target: by name if it is public, else by place, as private names hold hashes.
fn target(file: &object::File<'_>, index: SymbolIndex) -> Result<String> {
    let symbol = file.symbol_by_index(index)?;
    if symbol.is_global() { Ok(symbol.name()?.to_owned()) } else { place(file, &symbol) }
}

fn place(file: &object::File<'_>, symbol: &object::Symbol<'_, '_>) -> Result<String> {
    let section = match symbol.section_index() {
        Some(index) => file.section_by_index(index)?.name()?.to_owned(),
        None => String::new(),
    };
    Ok(format!("{section}+{}", symbol.address()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed() -> Vec<u8> {
        std::fs::read(crate::shell::root().join("agent-ebpf/prebuilt/ebbline.bpf.o")).unwrap()
    }

    #[test]
    fn an_object_is_like_itself() {
        assert_eq!(differences(&committed(), &committed()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn one_changed_byte_is_named_by_its_section() {
        let committed = committed();
        for name in ["tp_btf/sched_process_exec", ".rodata", "maps", "license"] {
            let file = object::File::parse(&*committed).unwrap();
            let (start, len) = file.section_by_name(name).unwrap().file_range().unwrap();
            let mut changed = committed.clone();
            changed[(start + len / 2) as usize] ^= 1;
            assert_eq!(differences(&committed, &changed).unwrap(), [name]);
        }
    }
}
