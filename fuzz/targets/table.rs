//! Tables of other programs: the first byte says which format the name promises, the rest is the file.
#![no_main]

use std::path::{Path, PathBuf};
use store::{Form, StoreError, TableFile, Wanted};

const NAMES: [&str; 5] = ["x.jsonl", "x.csv", "x.tsv", "x.log", "x.jsonl.gz"];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, content)) = bytes.split_first() else { return };
    let path = folder().join(NAMES[usize::from(*first) % NAMES.len()]);
    std::fs::write(&path, content).expect("the folder can be written to");
    match read(&path, 3) {
        Ok(rows) => {
            assert!(rows.len() <= content.len() * 1032, "no more rows than packed bytes can hold");
            assert_eq!(read(&path, 65_536).expect("as before"), rows, "however it is cut into batches");
        }
        Err(error) => assert!(!error.to_string().contains('\n') && !error.to_string().contains("gave up"), "{error}"),
    }
});

/// A folder of this process.
fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ebbline-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    folder
}

/// Rows in words; their times are what they are, the rest as the columns say.
fn read(path: &Path, batch_rows: usize) -> Result<Vec<String>, StoreError> {
    let column = |name: &str, form, required| Wanted { column: name.to_owned(), form, required };
    let wanted = [
        column("t", Form::Time, true),
        column("a.b", Form::Text, false),
        column("c", Form::Words, false),
        column("d", Form::Time, false),
    ];
    let (file, mut rows) = (TableFile::open(path)?, Vec::new());
    for batch in file.batches(&wanted, batch_rows)? {
        let batch = batch?;
        assert_eq!(batch.num_columns(), wanted.len());
        rows.extend((0..batch.num_rows()).map(|row| format!("{:?}", batch.slice(row, 1).columns())));
    }
    Ok(rows)
}
