//! Who is who: the ids that one person or thing has in different tables (docs/contracts.md §5, "Entities").

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::encode::Codes;
use crate::keys::HashKey;
use crate::lens_text::{LensError, Text};
use crate::nearest::unknown;

/// Most ids of a mapping.
const MAX_IDS: usize = 1_000_000;
/// Most bytes of a name or an id.
const MAX_BYTES: usize = 256;
/// The sort of ids that a field holds if it does not say.
pub const DEFAULT_IDS: &str = "user";

/// Why a text is no mapping.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entities: {0}")]
pub struct EntitiesError(String);

impl From<LensError> for EntitiesError {
    fn from(error: LensError) -> Self {
        Self(match error {
            LensError::At { line, column, message } => format!("line {line}, column {column}: {message}"),
            LensError::Whole(why) | LensError::Digest(why) => why,
        })
    }
}

/// Names by sort of id and id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entities(BTreeMap<String, BTreeMap<String, String>>);

impl Entities {
    /// Reads a mapping from TOML: for each name the ids it has, by sort.
    ///
    /// # Errors
    /// No such form; an id that two have; more than 1,000,000 ids, or one longer than 256 bytes.
    pub fn parse(toml: &str) -> Result<Self, EntitiesError> {
        let text = Text::of(toml);
        let table = DeTable::parse(toml).map_err(|e| text.at(e.span().unwrap_or_default(), e.message()))?;
        let mut this = Self::default();
        for (key, value) in table.get_ref() {
            if key.get_ref() != "entity" {
                return Err(text.at(key.span(), unknown("key", key.get_ref(), &["entity"])).into());
            }
            for (name, sorts) in tables(&text, value, "[entity.NAME] with lists of ids below")? {
                for (sort, ids) in tables(&text, sorts, "a table of lists of ids")? {
                    this.add_all(&text, name.get_ref(), sort.get_ref(), ids)?;
                }
            }
        }
        Ok(this)
    }

    fn add_all(
        &mut self,
        text: &Text<'_>,
        name: &str,
        sort: &str,
        ids: &Spanned<DeValue<'_>>,
    ) -> Result<(), LensError> {
        let one = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
            DeValue::String(id) if !id.is_empty() && id.len() <= MAX_BYTES => Ok(id.to_string()),
            DeValue::String(_) => Err(text.at(value.span(), format!("an id has 1 to {MAX_BYTES} bytes"))),
            _ => Err(text.at(value.span(), "an id is a string, numbers too: \"1000\"")),
        };
        if name.is_empty() || name.len() > MAX_BYTES || sort.len() > MAX_BYTES {
            return Err(text.at(ids.span(), format!("a name has 1 to {MAX_BYTES} bytes")));
        }
        match ids.get_ref() {
            DeValue::Array(list) => list.iter().try_for_each(|id| self.add(text, (name, sort), one(id)?, id)),
            _ => self.add(text, (name, sort), one(ids)?, ids),
        }
    }

    fn add(
        &mut self,
        text: &Text<'_>,
        (name, sort): (&str, &str),
        id: String,
        at: &Spanned<DeValue<'_>>,
    ) -> Result<(), LensError> {
        if self.ids() >= MAX_IDS {
            return Err(text.at(at.span(), format!("more than {MAX_IDS} ids")));
        }
        let known = self.0.entry(sort.to_owned()).or_default().insert(id.to_lowercase(), name.to_owned());
        match known.filter(|known| known != name) {
            Some(known) => Err(text.at(at.span(), format!("{sort} {id:?} is of {known:?} already"))),
            None => Ok(()),
        }
    }

    /// The name of an id of some sort, as it is on a host: `ID@HOST` goes before `ID`. Letter case means nothing.
    pub fn name(&self, sort: &str, id: &str, host: Option<&str>) -> Option<&str> {
        let ids = self.0.get(sort)?;
        let id = id.to_lowercase();
        let there = host.and_then(|host| ids.get(&format!("{id}@{}", host.to_lowercase())));
        there.or_else(|| ids.get(&id)).map(String::as_str)
    }

    /// The same codes with names in the place of the ids that have one on the row's host.
    pub(crate) fn named(&self, sort: &str, ids: &Codes, host: &Codes, key: &HashKey) -> Codes {
        let mut known: HashMap<(u32, u32), u32, ahash::RandomState> = HashMap::default();
        let mut values: Vec<Option<String>> = Vec::new();
        let codes = ids.codes.iter().zip(&host.codes).enumerate().map(|(row, (id, at))| {
            *known.entry((*id, *at)).or_insert_with(|| {
                let name = |id| self.name(sort, id, host.value(row)).unwrap_or(id).to_owned();
                values.push(ids.value(row).map(name));
                (values.len() - 1) as u32
            })
        });
        let codes = codes.collect();
        let hashes = values.iter().map(|v| key.value(v.as_deref())).collect();
        Codes { codes, hashes: Arc::new(hashes), values: Arc::new(values) }
    }

    /// How many ids it has.
    pub fn ids(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// How many have a name.
    pub fn names(&self) -> usize {
        self.0.values().flat_map(BTreeMap::values).collect::<BTreeSet<_>>().len()
    }

    /// The sorts of ids, ascending.
    pub fn sorts(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// SHA-256 over every sort, id and name, each ended by a zero byte.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for (sort, ids) in &self.0 {
            for (id, name) in ids {
                for text in [sort, id, name] {
                    hash.update(text);
                    hash.update([0]);
                }
            }
        }
        hash.finalize().into()
    }
}

type Entries<'a, 'b> = Vec<(&'b Spanned<std::borrow::Cow<'a, str>>, &'b Spanned<DeValue<'a>>)>;

fn tables<'a, 'b>(
    text: &Text<'_>,
    value: &'b Spanned<DeValue<'a>>,
    wanted: &str,
) -> Result<Entries<'a, 'b>, LensError> {
    match value.get_ref() {
        DeValue::Table(table) => Ok(table.iter().collect()),
        other => Err(text.at(value.span(), format!("this is to be {wanted}, not {}", other.type_str()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: &str = "[entity.ada]\nuser = [\"1000@web1\", \"Ada\", 'CORP\\ada']\nmail = \"ada@example.com\"\n[entity.\"build bot\"]\nuser = [\"1000\"]\n";

    #[test]
    fn ids_have_names() {
        let who = Entities::parse(WHO).unwrap();
        assert_eq!((who.ids(), who.names(), who.sorts().collect::<Vec<_>>()), (5, 2, vec!["mail", "user"]));
        assert_eq!(who.name("user", "1000", Some("WEB1")), Some("ada"));
        assert_eq!(who.name("user", "1000", Some("web2")), Some("build bot"));
        assert_eq!(who.name("user", "corp\\ADA", None), Some("ada"));
        assert_eq!(who.name("mail", "ada", None), None, "each sort has ids of its own");
        assert_eq!(who.name("mail", "ada@example.com", Some("web1")), Some("ada"));
    }

    #[test]
    fn mistakes_are_placed() {
        let wrong = |toml: &str| Entities::parse(toml).unwrap_err().to_string();
        assert_eq!(
            wrong("[entty.ada]\n"),
            r#"entities: line 1, column 2: no key "entty"; did you mean "entity"? There are entity"#
        );
        assert_eq!(
            wrong("[entity.a]\nuser = [1]\n"),
            r#"entities: line 2, column 9: an id is a string, numbers too: "1000""#
        );
        let twice = format!("{WHO}mail = [\"ADA@example.com\"]\n");
        assert_eq!(wrong(&twice), r#"entities: line 6, column 9: mail "ADA@example.com" is of "ada" already"#);
        assert!(wrong("entity = 3").contains("this is to be [entity.NAME]"));
        assert!(wrong("[entity.a]\nuser = [\"\"]\n").contains("1 to 256 bytes"));
    }

    #[test]
    fn the_digest_is_of_the_meaning() {
        let same = WHO.replace("\"Ada\", ", "\"aDA\",   ");
        assert_eq!(Entities::parse(WHO).unwrap().digest(), Entities::parse(&same).unwrap().digest());
        let other = WHO.replace("\"1000\"", "\"1001\"");
        assert_ne!(Entities::parse(WHO).unwrap().digest(), Entities::parse(&other).unwrap().digest());
    }
}
