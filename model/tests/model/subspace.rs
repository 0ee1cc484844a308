//! Random subspace views: drawn from the lens digest, and only where they are asked for.

use std::collections::BTreeSet;

use ebbline_model::{Lens, builtin};

fn lens(views: usize, fields: usize) -> Result<Lens, String> {
    let mut toml = format!("table = \"t\"\ntime = \"time\"\n[subspace]\nviews = {views}\n[fields]\n");
    toml.push_str("k = { column = \"k\", kind = \"key\" }\n");
    (0..fields).for_each(|f| toml.push_str(&format!("f{f:03} = {{ column = \"c{f}\", kind = \"id\" }}\n")));
    toml.push_str("[[views]]\nname = \"v\"\nchild = [\"f000\"]\ncontext = []\n");
    Lens::parse(&toml).map_err(|e| e.to_string())
}

#[test]
fn the_built_in_lenses_keep_their_digests() {
    let hex = |lens: &Lens| lens.digest().iter().take(4).map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(builtin::all().iter().map(hex).collect::<Vec<_>>(), DIGESTS);
    assert!(builtin::all().iter().all(|lens| lens.random_views() == 0 && !lens.is_stateful() && lens.tick_ns() == 0));
    assert_eq!(
        builtin::process().teacher().map(|(number, unit)| (number, unit.kind.as_str())),
        Some((0, "process_tree"))
    );
}

const DIGESTS: [&str; 3] = ["96496c03", "f5de1b9e", "adf218a1"];

#[test]
fn each_takes_two_to_eight_fields_and_no_two_the_same() {
    let lens = lens(256, 12).unwrap();
    assert_eq!((lens.views().len(), lens.random_views()), (257, 256));
    let random = &lens.views()[1..];
    let sets: BTreeSet<&Vec<usize>> = random.iter().map(|view| &view.child).collect();
    assert_eq!(sets.len(), 256);
    let widths: BTreeSet<usize> = random.iter().map(|view| view.child.len()).collect();
    assert_eq!(widths, (2..=8).collect());
    let key = lens.fields().iter().position(|f| f.name == "k").unwrap();
    for (i, view) in random.iter().enumerate() {
        assert!(view.child.is_sorted() && !view.child.contains(&key));
        assert_eq!(view.contexts, [Vec::<usize>::new()]);
        let names: Vec<&str> = view.child.iter().map(|f| lens.fields()[*f].name.as_str()).collect();
        assert_eq!(view.name, format!("random {}: {}", i + 1, names.join(", ")));
    }
    assert_eq!(lens, self::lens(256, 12).unwrap());
    assert_ne!(lens.views()[1..9], self::lens(255, 12).unwrap().views()[1..9], "they follow from the digest");
    assert_eq!(self::lens(0, 12).unwrap().views().len(), 1);
}

#[test]
fn too_many_are_an_error_with_its_place() {
    assert_eq!(lens(257, 12).unwrap_err(), "lens: line 4, column 9: more than 256 random views");
    assert_eq!(lens(11, 4).unwrap().views().len(), 12, "all there are");
    assert!(lens(12, 4).unwrap_err().ends_with("more than the 11 ways to take 2 to 8 of the fields that are no keys"));
    assert!(lens(1, 1).unwrap_err().contains("more than the 0 ways"));
    let toml = lens(1, 4).unwrap().source().replace("\"v\"", "\"random 1: f000\"");
    assert!(Lens::parse(&toml).unwrap_err().to_string().contains("such names are those of the random views"));
}

#[test]
fn learning_names_its_tick_and_teacher() {
    let unit = "[[units]]\nkind = \"u\"\nkey = [\"k\"]\nwindow = \"1h\"\n[[units]]\nkind = \"w\"\nkey = [\"k\"]\nwindow = \"1h\"\n";
    let plain = lens(0, 3).unwrap().source().to_owned() + unit;
    let with = |learning: &str| Lens::parse(&format!("{plain}[learning]\n{learning}\n"));
    let given = with("tick = \"60s\"\nteacher = \"w\"").unwrap();
    let teacher = |lens: &Lens| lens.teacher().map(|(number, unit)| (number, unit.kind.clone()));
    assert_eq!((given.tick_ns(), teacher(&given)), (60_000_000_000, Some((1, "w".to_owned()))));
    let silent = with("").unwrap();
    assert_eq!((silent.tick_ns(), teacher(&silent)), (0, Some((0, "u".to_owned()))));
    assert_eq!(silent.digest(), Lens::parse(&plain).unwrap().digest());
    assert_ne!(silent.digest(), given.digest());
    assert!(with("teacher = \"x\"").unwrap_err().to_string().contains("no unit of kind \"x\""));
    assert!(with("tick = \"60\"").unwrap_err().to_string().contains("not a duration"));
}

#[test]
fn the_example_of_the_documents_is_a_lens() {
    let lens = Lens::parse(include_str!("../../../docs/examples/lens.toml")).unwrap();
    assert_eq!((lens.table(), lens.views().len(), lens.tick_ns()), ("process", 38, 60_000_000_000));
    assert!(lens.is_stateful());
}
