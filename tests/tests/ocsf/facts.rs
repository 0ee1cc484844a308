//! What the published schema requires, from `tests/data/ocsf-1.3.0.tsv`.

use std::collections::BTreeMap;

const DATA: &str = include_str!("../../data/ocsf-1.3.0.tsv");

/// An attribute of a class or object.
#[derive(Debug, Clone)]
pub(crate) struct Attribute {
    pub(crate) kind: Kind,
    pub(crate) is_list: bool,
    pub(crate) required: bool,
    /// The profile that brings it; it is there only if the event names that profile.
    pub(crate) profile: Option<String>,
    /// The numbers it may have, with their names; any if there are none.
    pub(crate) numbers: BTreeMap<i64, String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// A type such as `string_t`.
    Plain(String),
    Object(String),
}

/// Attributes by name, and of which at least one must be there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    pub(crate) attributes: BTreeMap<String, Attribute>,
    pub(crate) at_least_one: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Class {
    pub(crate) uid: i64,
    pub(crate) category: i64,
    pub(crate) category_name: String,
    pub(crate) caption: String,
    pub(crate) shape: Shape,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) classes: BTreeMap<String, Class>,
    pub(crate) objects: BTreeMap<String, Shape>,
}

impl Facts {
    pub(crate) fn read() -> Self {
        let mut facts = Self::default();
        let mut open = (true, String::new());
        for line in DATA.lines().filter(|line| !line.starts_with('#')) {
            let cells: Vec<&str> = line.split('\t').collect();
            match cells.as_slice() {
                ["class", name, uid, category, category_name, caption] => {
                    let class = Class {
                        uid: uid.parse().expect("a number"),
                        category: category.parse().expect("a number"),
                        category_name: (*category_name).to_owned(),
                        caption: (*caption).to_owned(),
                        shape: Shape::default(),
                    };
                    facts.classes.insert((*name).to_owned(), class);
                    open = (true, (*name).to_owned());
                }
                ["object", name, rest @ ..] => {
                    let some = rest.first().map_or(Vec::new(), |list| list.split('|').map(str::to_owned).collect());
                    facts.objects.insert((*name).to_owned(), Shape { at_least_one: some, ..Shape::default() });
                    open = (false, (*name).to_owned());
                }
                [name, kind, need, rest @ ..] => {
                    let shape = match &open {
                        (true, class) => &mut facts.classes.get_mut(class).expect("it was begun").shape,
                        (false, object) => facts.objects.get_mut(object).expect("it was begun"),
                    };
                    shape.attributes.insert((*name).to_owned(), attribute(kind, need, rest));
                }
                _ => panic!("a line of the facts has too few columns: {line}"),
            }
        }
        facts
    }
}

fn attribute(kind: &str, need: &str, rest: &[&str]) -> Attribute {
    let plain = kind.strip_suffix("[]").unwrap_or(kind);
    let numbers = rest.get(1).map_or("", |numbers| *numbers).split(';').filter(|number| !number.is_empty());
    let numbers = numbers.map(|number| number.split_once('=').expect("a number and a name"));
    Attribute {
        kind: match plain.strip_prefix("object:") {
            Some(object) => Kind::Object(object.to_owned()),
            None => Kind::Plain(plain.to_owned()),
        },
        is_list: plain != kind,
        required: need == "req",
        profile: rest.first().filter(|profile| !profile.is_empty()).map(|profile| (*profile).to_owned()),
        numbers: numbers.map(|(number, name)| (number.parse().expect("a number"), name.to_owned())).collect(),
    }
}
