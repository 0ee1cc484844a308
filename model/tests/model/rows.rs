//! Small tables for tests.

use std::sync::Arc;

use arrow_array::builder::{FixedSizeBinaryBuilder, ListBuilder, StringBuilder, StringDictionaryBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, BooleanArray, Int32Array, RecordBatch, TimestampNanosecondArray, UInt8Array, UInt32Array};
use ebbline_model::testing::Rng;
use ebbline_model::{LearnError, RowSource};

/// ns in a day.
pub(crate) const DAY: i64 = 86_400_000_000_000;

/// One process event.
#[derive(Clone, Default)]
pub(crate) struct Row {
    pub(crate) time: i64,
    pub(crate) host: String,
    pub(crate) activity: String,
    pub(crate) root: Option<u8>,
    pub(crate) exe: Option<String>,
    pub(crate) parent_exe: Option<String>,
    pub(crate) args: Option<Vec<String>>,
    pub(crate) uid: u32,
}

fn dictionary<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    values.for_each(|v| builder.append_option(v));
    Arc::new(builder.finish())
}

/// The columns of the process table that its built-in lens reads.
pub(crate) fn process(rows: &[Row]) -> RecordBatch {
    let mut args = ListBuilder::new(StringBuilder::new());
    let mut keys = FixedSizeBinaryBuilder::new(16);
    for row in rows {
        args.append_option(row.args.as_ref().map(|a| a.iter().map(Some)));
        match row.root {
            Some(root) => keys.append_value([root; 16]).unwrap(),
            None => keys.append_null(),
        }
    }
    let nothing = || dictionary(rows.iter().map(|_| None));
    let exited = |row: &Row| row.activity == "exit";
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "time",
            Arc::new(TimestampNanosecondArray::from_iter_values(rows.iter().map(|r| r.time)).with_timezone("UTC")),
        ),
        ("host", dictionary(rows.iter().map(|r| Some(r.host.as_str())))),
        ("activity", dictionary(rows.iter().map(|r| Some(r.activity.as_str())))),
        ("root_key", Arc::new(keys.finish())),
        ("uid", Arc::new(UInt32Array::from_iter_values(rows.iter().map(|r| r.uid)))),
        ("exe", dictionary(rows.iter().map(|r| r.exe.as_deref()))),
        ("parent_exe", dictionary(rows.iter().map(|r| r.parent_exe.as_deref()))),
        ("root_exe", nothing()),
        ("script", nothing()),
        ("args", Arc::new(args.finish())),
        ("exe_unlinked", Arc::new(BooleanArray::from_iter(rows.iter().map(|_| Some(false))))),
        ("exit_code", Arc::new(Int32Array::from_iter(rows.iter().map(|r| exited(r).then_some(0))))),
        ("exit_signal", Arc::new(UInt8Array::from_iter(rows.iter().map(|r| exited(r).then_some(0))))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
}

/// Ordinary days of a few hosts.
pub(crate) fn ordinary(days: std::ops::Range<i64>, rows_a_day: usize, seed: u64) -> Vec<Row> {
    let mut rng = Rng(seed);
    let programs =
        ["/usr/bin/ls", "/usr/bin/cat", "/usr/bin/grep", "/usr/bin/python3", "/usr/sbin/cron", "/usr/bin/ssh"];
    let row = |rng: &mut Rng, day: i64| {
        let program = programs[rng.skewed(programs.len() as u32) as usize];
        let exec = rng.below(3) > 0;
        Row {
            time: day * DAY + rng.below(86_000) as i64 * 1_000_000_000,
            host: format!("web{}", rng.below(3)),
            activity: if exec { "exec" } else { "exit" }.to_owned(),
            root: (rng.below(20) > 0).then(|| rng.below(40) as u8),
            exe: Some(program.to_owned()),
            parent_exe: Some(programs[rng.skewed(3) as usize].to_owned()),
            args: exec.then(|| {
                vec![program.to_owned(), format!("--level={}", rng.below(4)), format!("/x/{}", rng.skewed(9))]
            }),
            uid: rng.skewed(4) * 1000,
        }
    };
    days.flat_map(|day| (0..rows_a_day).map(move |_| day)).map(|day| row(&mut rng, day)).collect()
}

/// Batches of the process table, held in memory.
pub(crate) struct Memory(pub(crate) Vec<RecordBatch>);

impl RowSource for Memory {
    fn tables(&self) -> Vec<String> {
        vec!["process".to_owned(), "of no lens".to_owned()]
    }

    fn for_each(
        &self,
        table: &str,
        f: &mut dyn FnMut(&RecordBatch) -> Result<(), LearnError>,
    ) -> Result<(), LearnError> {
        assert_eq!(table, "process");
        self.0.iter().try_for_each(f)
    }
}
