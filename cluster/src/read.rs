//! Reading a table's files as a node of the engine's plans: rows that name files in, their rows out.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{BinaryArray, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc::channel;

use crate::tables::{Entry, Spec, read};

/// Batches of a file that may wait.
const AHEAD: usize = 2;

/// Reads the files that its input names, one after the other in each partition.
#[derive(Debug)]
pub(crate) struct ReadExec {
    input: Arc<dyn ExecutionPlan>,
    pub(crate) spec: Spec,
    pub(crate) projection: Option<Vec<usize>>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl ReadExec {
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, spec: Spec, projection: Option<Vec<usize>>) -> Result<Self> {
        let all = spec.schema()?;
        let schema = match &projection {
            Some(projection) => Arc::new(all.project(projection)?),
            None => all,
        };
        let (partitioning, equal) =
            (input.properties().partitioning.clone(), EquivalenceProperties::new(schema.clone()));
        let properties = PlanProperties::new(equal, partitioning, EmissionType::Incremental, Boundedness::Bounded);
        Ok(Self { input, spec, projection, schema, properties: Arc::new(properties) })
    }
}

impl DisplayAs for ReadExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadExec: {:?} {}", self.spec.kind, self.spec.table)
    }
}

impl ExecutionPlan for ReadExec {
    fn name(&self) -> &str {
        "ReadExec"
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
        let input = children.pop().ok_or_else(|| DataFusionError::Internal("reading has one input".into()))?;
        Ok(Arc::new(Self::new(input, self.spec.clone(), self.projection.clone())?))
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false] // files are dealt out already
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (spec, schema) = (self.spec.clone(), self.schema.clone());
        let input = self.input.execute(partition, context)?;
        let entries = input
            .map(|batch| entries(&batch?))
            .map_ok(|all| stream::iter(all.into_iter().map(Ok::<_, DataFusionError>)))
            .try_flatten();
        let rows = entries.map_ok(move |entry| rows(spec.clone(), schema.clone(), entry)).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows)))
    }
}

fn entries(batch: &RecordBatch) -> Result<Vec<Entry>> {
    let bytes = batch.columns().first().and_then(|column| column.as_any().downcast_ref::<BinaryArray>());
    let bytes = bytes.ok_or_else(|| DataFusionError::Internal("no files".into()))?;
    let entry = |bytes: Option<&[u8]>| postcard::from_bytes(bytes.unwrap_or_default());
    bytes.iter().map(entry).collect::<Result<_, _>>().map_err(|e| DataFusionError::External(e.into()))
}

/// The rows of a file, decoded by a thread of its own.
fn rows(spec: Spec, schema: SchemaRef, entry: Entry) -> impl futures::Stream<Item = Result<RecordBatch>> + Send {
    let (send, receive) = channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let done = read(&spec, &schema, &entry, &mut |batch| send.blocking_send(Ok(batch)).is_ok());
        if let Err(error) = done {
            let _ = send.blocking_send(Err(error)); // nobody listens: the query is over
        }
    });
    stream::unfold(receive, |mut receive| async move { receive.recv().await.map(|batch| (batch, receive)) })
}
