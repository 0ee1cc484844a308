//! The step as a node of the engine's plans: rows that name parts in, rows of their reports out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use archive::PartTask;
use datafusion::arrow::array::{Array, BinaryArray, RecordBatch, UInt32Array, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};

use crate::runs::Runs;
use crate::work::Run;

/// Reports are sent in pieces of this size: messages between processes are limited.
const PIECE: usize = 1 << 20;

/// Scores the parts that its input names. Which part it is stands in the row: an engine may deal rows out as it likes.
#[derive(Debug)]
pub(crate) struct StepExec {
    pub(crate) input: Arc<dyn ExecutionPlan>,
    pub(crate) run: Arc<Run>,
    /// Nothing where plans are only passed on.
    runs: Option<Arc<Runs>>,
    properties: Arc<PlanProperties>,
}

impl StepExec {
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, run: Arc<Run>, runs: Option<Arc<Runs>>) -> Self {
        let partitioning = input.properties().partitioning.clone();
        let equal = EquivalenceProperties::new(report_schema());
        let properties = PlanProperties::new(equal, partitioning, EmissionType::Incremental, Boundedness::Bounded);
        Self { input, run, runs, properties: Arc::new(properties) }
    }

    /// A plan for some parts, one after the other.
    pub(crate) fn plan(run: &Arc<Run>, tasks: &[PartTask]) -> Result<Arc<dyn ExecutionPlan>> {
        let bytes = tasks.iter().map(postcard::to_stdvec).collect::<Result<Vec<_>, _>>();
        let bytes = bytes.map_err(|e| DataFusionError::External(e.into()))?;
        let schema = Arc::new(Schema::new(vec![Field::new("task", DataType::Binary, false)]));
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(BinaryArray::from_iter_values(bytes))])?;
        let tasks = MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None)?;
        Ok(Arc::new(Self::new(tasks, run.clone(), None)))
    }
}

/// A report in pieces: of which part, which piece of how many, and its bytes.
fn report_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("part", DataType::UInt64, false),
        Field::new("piece", DataType::UInt32, false),
        Field::new("pieces", DataType::UInt32, false),
        Field::new("bytes", DataType::Binary, false),
    ]))
}

impl DisplayAs for StepExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StepExec: run={}", self.run.id)
    }
}

impl ExecutionPlan for StepExec {
    fn name(&self) -> &str {
        "StepExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| internal("the step has one input"))?;
        Ok(Arc::new(Self::new(input, self.run.clone(), self.runs.clone())))
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let runs = self.runs.clone().ok_or_else(|| internal("the step runs on executors alone"))?;
        let (run, input) = (self.run.clone(), self.input.execute(partition, context)?);
        let tasks =
            input.map(|batch| tasks(&batch?)).map_ok(|tasks| stream::iter(tasks.into_iter().map(Ok))).try_flatten();
        let reports = tasks.and_then(move |task| {
            let (runs, run) = (runs.clone(), run.clone());
            async move {
                let number = task.number;
                let answer = runs.ask(&run, task).await.map_err(|_| retried("the executor could not begin"))?;
                pieces(number, &answer.map_err(retried)?)
            }
        });
        let rows = reports.map_ok(|pieces| stream::iter(pieces.into_iter().map(Ok))).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(report_schema(), rows)))
    }
}

fn internal(why: &str) -> DataFusionError {
    DataFusionError::Internal(why.to_owned())
}

/// The engine tries again what failed at its root by input or output, and nothing else.
fn retried(why: impl Into<String>) -> DataFusionError {
    DataFusionError::IoError(std::io::Error::other(why.into()))
}

fn tasks(batch: &RecordBatch) -> Result<Vec<PartTask>> {
    let bytes = batch.column_by_name("task").and_then(|column| column.as_any().downcast_ref::<BinaryArray>());
    let bytes = bytes.ok_or_else(|| internal("no tasks"))?;
    let task = |bytes: Option<&[u8]>| postcard::from_bytes(bytes.unwrap_or_default());
    bytes.iter().map(task).collect::<Result<_, _>>().map_err(|e| DataFusionError::External(e.into()))
}

fn pieces(part: u64, bytes: &[u8]) -> Result<Vec<RecordBatch>> {
    let count = u32::try_from(bytes.len().div_ceil(PIECE)).map_err(|e| DataFusionError::External(e.into()))?;
    let piece = |(number, bytes): (u32, &[u8])| {
        let (number, count) = (UInt32Array::from(vec![number]), UInt32Array::from(vec![count]));
        let (part, bytes) = (UInt64Array::from(vec![part]), BinaryArray::from_vec(vec![bytes]));
        let columns: Vec<Arc<dyn Array>> = vec![Arc::new(part), Arc::new(number), Arc::new(count), Arc::new(bytes)];
        Ok(RecordBatch::try_new(report_schema(), columns)?)
    };
    (0..).zip(bytes.chunks(PIECE)).map(piece).collect()
}

/// The reports that arrived in pieces, in whatever order; one of which a piece is missing is left out.
pub(crate) fn reports(batches: &[RecordBatch]) -> Option<Vec<(u64, Vec<u8>)>> {
    let mut parts: BTreeMap<u64, (u32, BTreeMap<u32, &[u8]>)> = BTreeMap::new();
    for batch in batches {
        let [part, piece, pieces, bytes] = batch.columns() else { return None };
        let part = part.as_any().downcast_ref::<UInt64Array>()?;
        let number = |column: &'_ Arc<dyn Array>, row| Some(column.as_any().downcast_ref::<UInt32Array>()?.value(row));
        let bytes = bytes.as_any().downcast_ref::<BinaryArray>()?;
        for row in 0..batch.num_rows() {
            let of_part = parts.entry(part.value(row)).or_default();
            of_part.0 = number(pieces, row)?;
            of_part.1.insert(number(piece, row)?, bytes.value(row));
        }
    }
    let whole = |(part, (pieces, found)): (u64, (u32, BTreeMap<u32, &[u8]>))| {
        let is_whole = found.keys().copied().eq(0..pieces);
        is_whole.then(|| (part, found.into_values().flatten().copied().collect()))
    };
    Some(parts.into_iter().filter_map(whole).collect())
}
