//! A reader of the kernel's type information, just enough to find where members lie.
//!
//! The bytes are outside input: whatever they hold, the reader answers with an error at worst.

/// Why bytes are not type information, or hold no such member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// Not BTF, or cut short.
    #[error("not valid type information ({0})")]
    Malformed(&'static str),
    /// No such structure, member or enumerator.
    #[error("this kernel has no {0}")]
    Missing(String),
}

use BtfError::Malformed;

const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ARRAY: u32 = 3;
const POINTER: u32 = 2;
const ENUM: u32 = 6;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const TYPEDEF: u32 = 8;

/// Looking for one member, no more than so many are looked at: the largest structure has a few hundred, but structures
/// that hold each other unnamed would go on for ever.
const MAX_MEMBERS: u32 = 1 << 14;

/// The kernel's types.
pub struct Btf<'a> {
    strings: &'a [u8],
    /// Every type's bytes, by id; id 0 is `void`.
    types: Vec<&'a [u8]>,
}

struct Type<'a> {
    name: u32,
    kind: u32,
    len: usize,
    flag: bool,
    /// Size in bytes, or the type it refers to.
    size: u32,
    rest: &'a [u8],
}

/// What a path has reached: a type and the bytes from the start.
#[derive(Clone, Copy)]
struct Place {
    id: u32,
    offset: u32,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

impl<'a> Btf<'a> {
    /// Reads the headers of all types.
    ///
    /// # Errors
    /// [`BtfError::Malformed`] if the bytes are not little-endian BTF of version 1.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        if !bytes.starts_with(&[0x9f, 0xeb, 1]) {
            return Err(Malformed("no magic number"));
        }
        let field = |at| u32_at(bytes, at).map(|value| value as usize).ok_or(Malformed("short header"));
        let body = bytes.get(field(4)?..).ok_or(Malformed("short header"))?;
        let part = |at: usize, len: usize| {
            body.get(at..).and_then(|rest| rest.get(..len)).ok_or(Malformed("sections reach past the end"))
        };
        let strings = part(field(16)?, field(20)?)?;
        let mut rest = part(field(8)?, field(12)?)?;
        let mut types = vec![&[][..]];
        while !rest.is_empty() {
            let info = u32_at(rest, 4).ok_or(Malformed("a type is cut"))?;
            let len = 12 + extra(info).ok_or(Malformed("a type of unknown kind"))?;
            let (this, next) = rest.split_at_checked(len).ok_or(Malformed("a type is cut"))?;
            types.push(this);
            rest = next;
        }
        Ok(Self { strings, types })
    }

    fn get(&self, id: u32) -> Option<Type<'a>> {
        let bytes = *self.types.get(id as usize)?;
        let info = u32_at(bytes, 4)?;
        Some(Type {
            name: u32_at(bytes, 0)?,
            kind: info >> 24 & 0x1f,
            len: (info & 0xffff) as usize,
            flag: info >> 31 == 1,
            size: u32_at(bytes, 8)?,
            rest: &bytes[12..],
        })
    }

    fn name_is(&self, offset: u32, name: &str) -> bool {
        let text = self.strings.get(offset as usize..).unwrap_or_default();
        text.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }

    fn ids(&self) -> impl Iterator<Item = (u32, Type<'a>)> {
        (1..self.types.len() as u32).filter_map(|id| self.get(id).map(|found| (id, found)))
    }

    fn find(&self, kind: u32, name: &str) -> Option<(u32, Type<'a>)> {
        self.ids().find(|(_, found)| found.kind == kind && self.name_is(found.name, name))
    }

    /// The type behind names and qualifiers.
    fn strip(&self, mut id: u32) -> Option<(u32, Type<'a>)> {
        // Names of names are short chains; a longer one is a loop.
        for _ in 0..32 {
            let found = self.get(id)?;
            match found.kind {
                TYPEDEF..=11 | 18 => id = found.size,
                _ => return Some((id, found)),
            }
        }
        None
    }

    /// Offset in bytes of a member, as in `f_path.dentry`, `numbers[0].nr` or `pids[PIDTYPE_SID]`.
    ///
    /// # Errors
    /// [`BtfError::Missing`] if the structure, a member or an enumerator is not there.
    pub fn offset(&self, structure: &str, path: &str) -> Result<u32, BtfError> {
        let missing = || BtfError::Missing(format!("{structure}.{path}"));
        let (id, _) = self.find(STRUCT, structure).ok_or_else(missing)?;
        let mut place = Place { id, offset: 0 };
        for step in path.split('.') {
            let (name, index) = match step.strip_suffix(']').and_then(|step| step.split_once('[')) {
                Some((name, index)) => (name, Some(index)),
                None => (step, None),
            };
            place = self.member(place, name, 0, &mut { MAX_MEMBERS }).ok_or_else(missing)?;
            if let Some(index) = index {
                place = self.element(place, index).ok_or_else(missing)?;
            }
        }
        Ok(place.offset)
    }

    /// A member by name, in unnamed structures and unions too.
    fn member(&self, place: Place, name: &str, depth: u32, left: &mut u32) -> Option<Place> {
        let (_, within) = self.strip(place.id)?;
        if (within.kind != STRUCT && within.kind != UNION) || depth > 8 {
            return None;
        }
        for member in within.rest.chunks_exact(12).take(within.len) {
            *left = left.checked_sub(1)?;
            let (member_name, id, raw) = (u32_at(member, 0)?, u32_at(member, 4)?, u32_at(member, 8)?);
            let bits = if within.flag { raw & 0x00ff_ffff } else { raw };
            let here = Place { id, offset: place.offset.checked_add(bits / 8)? };
            if member_name != 0 && self.name_is(member_name, name) {
                return Some(here);
            }
            if (member_name == 0 || self.name_is(member_name, ""))
                && let Some(found) = self.member(here, name, depth + 1, left)
            {
                return Some(found);
            }
        }
        None
    }

    /// An element of an array, by number or enumerator.
    fn element(&self, place: Place, index: &str) -> Option<Place> {
        let (_, array) = self.strip(place.id)?;
        let id = (array.kind == ARRAY).then(|| u32_at(array.rest, 0))??;
        let (_, element) = self.strip(id)?;
        let size = match element.kind {
            POINTER => 8,
            _ => element.size,
        };
        let index = index.parse().ok().or_else(|| self.enumerator(index))?;
        Some(Place { id, offset: place.offset.checked_add(size.checked_mul(index)?)? })
    }

    /// The value of an enumerator, if the kernel has it.
    #[must_use]
    pub fn enumerator(&self, name: &str) -> Option<u32> {
        self.ids().filter(|(_, found)| found.kind == ENUM).find_map(|(_, found)| {
            let mut values = found.rest.chunks_exact(8).take(found.len);
            values.find(|value| u32_at(value, 0).is_some_and(|at| self.name_is(at, name))).and_then(|v| u32_at(v, 4))
        })
    }

    /// Whether the kernel has a function of its own by this name.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.find(FUNC, name).is_some()
    }

    /// Number of arguments of a tracepoint, if the kernel has it.
    #[must_use]
    pub fn tracepoint_arguments(&self, name: &str) -> Option<usize> {
        let (_, named) = self.find(TYPEDEF, &format!("btf_trace_{name}"))?;
        let (_, pointer) = self.strip(named.size)?;
        let (_, function) = self.strip(pointer.size)?;
        // The first is the tracepoint's private data.
        (pointer.kind == POINTER && function.kind == FUNC_PROTO).then(|| function.len.saturating_sub(1))
    }
}

/// Bytes behind the 12 of a type's head, by its kind and number of members.
fn extra(info: u32) -> Option<usize> {
    let len = (info & 0xffff) as usize;
    Some(match info >> 24 & 0x1f {
        0 | POINTER | 7..=12 | 16 | 18 => 0,
        1 | 14 | 17 => 4,
        ARRAY => 12,
        STRUCT | UNION | 15 | 19 => 12 * len,
        ENUM | FUNC_PROTO => 8 * len,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct s { int a; struct { char *p[3]; }; }`, `enum { ZERO, TWO = 2 }` and `f`.
    fn sample() -> Vec<u8> {
        let strings = b"\0int\0s\0a\0p\0ZERO\0TWO\0f\0";
        let at = |name: &str| strings.windows(name.len() + 2).position(|w| w[1..=name.len()] == *name.as_bytes());
        let name = |text: &str| at(text).unwrap() as u32 + 1;
        let words: Vec<u32> = [
            vec![name("int"), 1 << 24, 4, 32],                           // 1 int
            vec![0, 2 << 24, 1],                                         // 2 pointer
            vec![0, 3 << 24, 0, 2, 1, 3],                                // 3 array of 3 pointers
            vec![0, 4 << 24 | 1, 24, name("p"), 3, 0],                   // 4 struct { p }
            vec![name("s"), 4 << 24 | 2, 32, name("a"), 1, 0, 0, 4, 64], // 5 struct s
            vec![0, 6 << 24 | 2, 4, name("ZERO"), 0, name("TWO"), 2],    // 6 enum
            vec![name("f"), 12 << 24, 0],                                // 7 function
        ]
        .concat();
        let types: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for field in [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(&types);
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn members_elements_and_enumerators_are_found() {
        let bytes = sample();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.offset("s", "a"), Ok(0));
        assert_eq!(btf.offset("s", "p[1]"), Ok(16));
        assert_eq!(btf.offset("s", "p[TWO]"), Ok(24));
        assert_eq!(btf.enumerator("TWO"), Some(2));
        assert_eq!(["f", "s"].map(|name| btf.has_function(name)), [true, false]);
        for path in ["b", "p[NONE]", "a[0]", "a.b", "p[99999999999]"] {
            assert_eq!(btf.offset("s", path), Err(BtfError::Missing(format!("s.{path}"))));
        }
    }

    #[test]
    fn structures_in_themselves_end() {
        // A structure of 1000 unnamed members, all of them itself.
        let types = [vec![1, 4 << 24 | 1000, 8], [0, 1, 0].repeat(1000)].concat();
        let strings = b"\0s\0";
        let head = [24, 0, 4 * types.len() as u32, 4 * types.len() as u32, strings.len() as u32];
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        bytes.extend(head.into_iter().chain(types).flat_map(u32::to_le_bytes));
        bytes.extend(strings);
        assert!(Btf::parse(&bytes).unwrap().offset("s", "a").is_err());
    }

    #[test]
    fn damage_is_an_error_not_a_panic() {
        let bytes = sample();
        for cut in 0..bytes.len() {
            if let Ok(btf) = Btf::parse(&bytes[..cut]) {
                let _ = btf.offset("s", "p[TWO]");
            }
            let mut bytes = bytes.clone();
            for value in [0, 0x7f, 0xff] {
                bytes[cut] = value;
                if let Ok(btf) = Btf::parse(&bytes) {
                    let _ = (btf.offset("s", "p[TWO]"), btf.tracepoint_arguments("x"));
                }
            }
        }
    }
}
