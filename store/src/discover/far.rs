//! Sources in a store: as on a file system, with folders made of the names of objects.

use std::path::Path;
use std::sync::Arc;

use object_store::path::Path as ObjectPath;

use super::{DEPTH, Search, Source, glob, is_hidden, is_id, may_hold_results};
use crate::error::StoreError;
use crate::object::{Folder, Object, Place};

impl Search<'_> {
    /// One source in a store: an object, a folder, or a pattern (`*` and `[…]`; `?` means something else in a URL).
    pub(super) fn far(&self, url: &str, files: &mut Vec<Source>) -> Result<(), StoreError> {
        let start = url.find("://").map_or(0, |at| at + 3);
        let sign = url[start..].find(['*', '[']).map(|at| start + at);
        let Some(folder_end) = sign.map(|at| url[..at].rfind('/').unwrap_or(at)) else {
            return self.named(url, files);
        };
        let place = Place::open(&url[..folder_end], self.settings)?;
        let mut parts: Vec<&str> = url[folder_end..].split('/').filter(|part| !part.is_empty()).collect();
        // All below a folder is the folder.
        while parts.last() == Some(&"**") {
            parts.pop();
        }
        let before = files.len();
        self.matching(&place, &place.prefix().clone(), &parts, files)?;
        match files.len() == before {
            true => Err(StoreError::NoMatch(crate::shown_url(url))),
            false => Ok(()),
        }
    }

    fn named(&self, url: &str, files: &mut Vec<Source>) -> Result<(), StoreError> {
        let place = Place::open(url, self.settings)?;
        let at = place.prefix().clone();
        let names_object = !url.ends_with('/') && !at.as_ref().is_empty();
        if let Some(object) = names_object.then(|| place.object(&at)).transpose()?.flatten() {
            files.push(located(object, &parent(&at)));
            return Ok(());
        }
        let before = files.len();
        self.below(&place, &at, DEPTH, &at, files)?;
        // Stores have no empty folders.
        match files.len() == before && place.list(&at)?.is_empty() {
            true => Err(StoreError::Missing(crate::shown_url(url).into())),
            false => Ok(()),
        }
    }

    /// What matches the rest of a pattern below a folder.
    fn matching(
        &self,
        place: &Arc<Place>,
        folder: &ObjectPath,
        parts: &[&str],
        files: &mut Vec<Source>,
    ) -> Result<(), StoreError> {
        let Some((part, rest)) = parts.split_first() else { return self.below(place, folder, DEPTH, folder, files) };
        if *part == "**" {
            self.matching(place, folder, rest, files)?;
        }
        let Folder { folders, files: objects } = place.list(folder)?;
        for below in folders {
            match (*part, name(&below)) {
                ("**", _) if is_hidden(Path::new(below.as_ref())) || below.parts().count() > DEPTH => {}
                ("**", _) => self.matching(place, &below, parts, files)?,
                (part, name) if glob::matches(part, &name) => self.matching(place, &below, rest, files)?,
                _ => {}
            }
        }
        let fits = |object: &Object| rest.is_empty() && *part != "**" && glob::matches(part, &name(object.at()));
        files.extend(objects.into_iter().filter(fits).map(|object| located(object, folder)));
        Ok(())
    }

    /// The files in and below a folder.
    fn below(
        &self,
        place: &Arc<Place>,
        folder: &ObjectPath,
        depth: usize,
        root: &ObjectPath,
        files: &mut Vec<Source>,
    ) -> Result<(), StoreError> {
        let Folder { folders, files: objects } = place.list(folder)?;
        let hidden = |at: &ObjectPath| is_hidden(Path::new(at.as_ref()));
        let results = folders.iter().any(|below| may_hold_results(Path::new(below.as_ref())));
        for below in folders.into_iter().filter(|below| depth > 0 && !hidden(below)) {
            let path = Path::new(below.as_ref());
            if self.enters(path) && !(may_hold_results(path) && place.list(&below)?.is_results()) {
                self.below(place, &below, depth - 1, root, files)?;
            }
        }
        let is_manifest = |object: &Object| results && name(object.at()) == "manifest.json";
        let wanted = |object: &Object| {
            let path = Path::new(object.at().as_ref());
            !hidden(object.at()) && self.takes(path) && !is_manifest(object)
        };
        files.extend(objects.into_iter().filter(wanted).map(|object| located(object, root)));
        Ok(())
    }
}

impl Folder {
    fn is_empty(&self) -> bool {
        self.folders.is_empty() && self.files.is_empty()
    }

    fn is_results(&self) -> bool {
        self.files.is_empty() && self.folders.iter().all(|folder| is_id(name(folder).as_ref()))
    }
}

fn name(at: &ObjectPath) -> String {
    at.filename().unwrap_or_default().to_owned()
}

fn parent(at: &ObjectPath) -> ObjectPath {
    let parts: Vec<_> = at.parts().collect();
    ObjectPath::from_iter(parts[..parts.len().saturating_sub(1)].iter().cloned())
}

/// As on a file system: from the table on when the names follow the archive's layout, else relative to the source. Names in
/// a store are never `.` or `..` (its own paths are parsed so).
fn located(object: Object, root: &ObjectPath) -> Source {
    let at = object.at().as_ref().to_owned();
    let parts: Vec<&str> = at.split('/').collect();
    let relative = match parts.as_slice() {
        [.., table, day, host, name] if day.starts_with("day=") && host.starts_with("host=") => {
            [table, day, host, name].map(|part| (*part).to_owned()).join("/")
        }
        _ => at.strip_prefix(root.as_ref()).unwrap_or(&at).trim_start_matches('/').to_owned(),
    };
    Source { path: object.path(), relative, object: Some(Arc::new(object)) }
}
