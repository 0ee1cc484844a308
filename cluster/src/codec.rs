//! How nodes and tables of ours travel in plans: a mark and what they are; everything else as the engine does it.

use std::sync::Arc;

use ballista_core::serde::{BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, Result, TableReference};
use datafusion::datasource::file_format::FileFormatFactory;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use serde::{Deserialize, Serialize};

use crate::node::StepExec;
use crate::read::ReadExec;
use crate::runs::Runs;
use crate::tables::Table;

/// Marks change with the form of what follows.
const STEP: &[u8] = b"ebbline step 1\n";
const READ: &[u8] = b"ebbline read 1\n";
const TABLE: &[u8] = b"ebbline table 1\n";

/// Reads and writes plans with the step; with `runs` the plans that it reads can be executed.
#[derive(Debug, Default)]
pub(crate) struct Codec {
    engine: BallistaPhysicalExtensionCodec,
    runs: Option<Arc<Runs>>,
}

impl Codec {
    pub(crate) fn of_executor(runs: Arc<Runs>) -> Self {
        Self { runs: Some(runs), ..Self::default() }
    }
}

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = || inputs.first().cloned().ok_or_else(|| DataFusionError::Internal("a node without input".into()));
        if let Some(run) = bytes.strip_prefix(STEP) {
            return Ok(Arc::new(StepExec::new(input()?, Arc::new(from_bytes(run)?), self.runs.clone())));
        }
        if let Some(read) = bytes.strip_prefix(READ) {
            let (spec, projection) = from_bytes(read)?;
            return Ok(Arc::new(ReadExec::new(input()?, spec, projection)?));
        }
        self.engine.try_decode(bytes, inputs, context, converter)
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        if let Some(step) = node.downcast_ref::<StepExec>() {
            return to_bytes(STEP, &*step.run, bytes);
        }
        if let Some(read) = node.downcast_ref::<ReadExec>() {
            return to_bytes(READ, &(&read.spec, &read.projection), bytes);
        }
        self.engine.try_encode(node, bytes, converter)
    }
}

fn from_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    postcard::from_bytes(bytes).map_err(|error| DataFusionError::External(error.into()))
}

fn to_bytes<T: Serialize>(mark: &[u8], what: &T, bytes: &mut Vec<u8>) -> Result<()> {
    bytes.extend_from_slice(mark);
    bytes.extend(postcard::to_stdvec(what).map_err(|error| DataFusionError::External(error.into()))?);
    Ok(())
}

/// Reads and writes plans of SQL over [`Table`]s.
#[derive(Debug, Default)]
pub(crate) struct TableCodec(BallistaLogicalExtensionCodec);

impl LogicalExtensionCodec for TableCodec {
    fn try_decode(&self, bytes: &[u8], inputs: &[LogicalPlan], context: &TaskContext) -> Result<Extension> {
        self.0.try_decode(bytes, inputs, context)
    }

    fn try_encode(&self, node: &Extension, bytes: &mut Vec<u8>) -> Result<()> {
        self.0.try_encode(node, bytes)
    }

    fn try_decode_table_provider(
        &self,
        bytes: &[u8],
        name: &TableReference,
        schema: SchemaRef,
        context: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        match bytes.strip_prefix(TABLE) {
            Some(table) => Ok(Arc::new(from_bytes::<Table>(table)?)),
            None => self.0.try_decode_table_provider(bytes, name, schema, context),
        }
    }

    fn try_encode_table_provider(
        &self,
        name: &TableReference,
        table: Arc<dyn TableProvider>,
        bytes: &mut Vec<u8>,
    ) -> Result<()> {
        match table.downcast_ref::<Table>() {
            Some(table) => to_bytes(TABLE, table, bytes),
            None => self.0.try_encode_table_provider(name, table, bytes),
        }
    }

    fn try_decode_file_format(&self, bytes: &[u8], context: &TaskContext) -> Result<Arc<dyn FileFormatFactory>> {
        self.0.try_decode_file_format(bytes, context)
    }

    fn try_encode_file_format(&self, bytes: &mut Vec<u8>, format: Arc<dyn FileFormatFactory>) -> Result<()> {
        self.0.try_encode_file_format(bytes, format)
    }
}
