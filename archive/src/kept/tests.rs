use super::*;
use proptest::prelude::*;
use scorer_gpu::{AdapterKind, Size};

fn about() -> About {
    let (name, backend, driver) = ("a card".to_owned(), "vulkan".to_owned(), "1.0".to_owned());
    About {
        adapter: AdapterInfo { name, kind: AdapterKind::Hardware, backend, driver },
        processor: "a processor".to_owned(),
        threads: 2,
        size: Size { table_bytes: 1 << 20, views: 9 },
    }
}

fn measured() -> Measured {
    // Halves, which are read as they are written to the last bit.
    let figures = |rate: f64| {
        let one = |rows| BatchFigure { rows, rows_per_s: Spread::of_rates(rows, &[rate, rate * 0.5]).unwrap() };
        [256, 1024].map(one).to_vec()
    };
    Measured { cpu: figures(0.5), gpu: figures(0.25) }
}

fn at(path: Option<PathBuf>) -> Kept {
    Kept { path, holds: false }
}

/// A file of figures in a folder that is not there yet.
fn kept() -> (tempfile::TempDir, PathBuf, Kept) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ebbline/backend.json");
    let kept = at(Some(path.clone()));
    (folder, path, kept)
}

#[test]
fn what_is_kept_is_recalled_until_something_changes() {
    let (_folder, path, mut kept) = kept();
    assert_eq!((kept.recall(&about()), kept.holds()), (None, None));
    kept.keep(&about(), &measured()).unwrap();
    assert_eq!((kept.holds(), at(Some(path.clone())).holds()), (Some(path.as_path()), None));
    let mut again = at(Some(path.clone()));
    assert!(again.recall(&about()).is_some() && again.holds().is_some());
    let recalled = kept.recall(&about()).unwrap();
    assert_eq!((recalled.measured, recalled.when.len()), (measured(), 10));
    let changes: [fn(&mut About); 7] = [
        |about| about.adapter.name.push('2'),
        |about| about.adapter.driver.push('1'),
        |about| about.adapter.backend.push('2'),
        |about| about.processor.push('2'),
        |about| about.threads += 1,
        |about| about.size.table_bytes *= 2,
        |about| about.size.views += 1,
    ];
    for change in changes {
        let mut other = about();
        change(&mut other);
        assert_eq!(kept.recall(&other), None, "{other:?}");
        kept.keep(&other, &measured()).unwrap();
        assert!(kept.recall(&other).is_some() && kept.recall(&about()).is_some());
    }
    kept.keep(&about(), &measured()).unwrap();
    assert_eq!(kept.load().unwrap().len(), 8, "the same is kept once");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(env!("CARGO_PKG_VERSION"), "0.0.0")).unwrap();
    assert_eq!(kept.recall(&about()), None, "of another version");
    kept.keep(&about(), &measured()).unwrap();
    assert_eq!(kept.load().unwrap().len(), 1, "others of that version are gone");
}

#[test]
fn whatever_is_damaged_is_as_if_it_were_not_there() {
    let (_folder, path, mut kept) = kept();
    kept.keep(&about(), &measured()).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    let damage = [
        String::new(),
        "null".to_owned(),
        good[..good.len() / 2].to_owned(),
        good.replacen(&format!("\"format\": {FORMAT}"), "\"format\": 1", 1),
        good.replacen("\"rows\": 256", "\"rows\": 2048", 1),
        good.replacen("\"median\": ", "\"median\": -", 1),
        format!("{good}{}", " ".repeat(BYTES as usize)),
    ];
    for text in damage {
        fs::write(&path, &text).unwrap();
        assert_eq!(kept.recall(&about()), None, "{text:.40}");
        kept.keep(&about(), &measured()).unwrap();
        assert!(kept.recall(&about()).is_some());
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(kept.recall(&about()), None);
    assert!(kept.keep(&about(), &measured()).unwrap_err().contains("backend.json"));
}

#[test]
fn where_it_cannot_be_written_is_said() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let mut kept = at(Some(folder.path().join("file/ebbline/backend.json")));
    assert!(kept.keep(&about(), &measured()).unwrap_err().contains("file/ebbline"));
    assert_eq!(kept.holds(), None);
    assert_eq!(at(None).recall(&about()), None);
    assert!(at(None).keep(&about(), &measured()).unwrap_err().contains("HOME"));
}

#[test]
fn it_does_not_grow_without_bound() {
    let (folder, path, mut kept) = kept();
    for views in 0..ENTRIES + 10 {
        let about = About { size: Size { views, ..about().size }, ..about() };
        kept.keep(&about, &measured()).unwrap();
    }
    let entries = kept.load().unwrap();
    assert_eq!((entries.len(), entries[0].views), (ENTRIES, 10), "the oldest go");
    assert!(fs::metadata(&path).unwrap().len() < BYTES / 4);
    assert_eq!(fs::read_dir(folder.path().join("ebbline")).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn users_have_their_own_place() {
    let of = |cache: &str, home: &str| {
        let path = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
        kept_in(path(cache), path(home)).map(|path| path.display().to_string())
    };
    assert_eq!(of("/cache", "/home/a").as_deref(), Some("/cache/ebbline/backend.json"));
    assert_eq!(of("", "/home/a").as_deref(), Some("/home/a/.cache/ebbline/backend.json"));
    assert_eq!(of("relative", "/home/a").as_deref(), Some("/home/a/.cache/ebbline/backend.json"));
    assert_eq!((of("", ""), of("", "here")), (None, None));
    let live = BackendWish::live(Choice::Auto, None).kept_in_results(Path::new("/out"));
    assert_eq!(live.kept, Some("/out/.backend.json".into()));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0usize..2000, flip in any::<u8>()) {
        let (_folder, path, mut kept) = kept();
        kept.keep(&about(), &measured()).unwrap();
        let mut text = fs::read(&path).unwrap();
        let at = at % text.len();
        text[at] ^= flip;
        for text in [text, bytes] {
            fs::write(&path, text).unwrap();
            if let Some(recalled) = kept.recall(&about()) {
                // Halves, which are read as they are written to the last bit.
    let figures = [recalled.measured.cpu, recalled.measured.gpu].concat();
                prop_assert!(figures.iter().all(|figure| figure.rows > 0 && figure.rows_per_s.median > 0.0));
            }
        }
    }
}
