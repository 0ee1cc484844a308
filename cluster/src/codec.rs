//! How the step travels in plans: a mark and the run; everything else as the engine does it.

use std::sync::Arc;

use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};

use crate::node::StepExec;
use crate::runs::Runs;

/// Changes with the form of what follows.
const MARK: &[u8] = b"ebbline step 1\n";

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
        let Some(run) = bytes.strip_prefix(MARK) else {
            return self.engine.try_decode(bytes, inputs, context, converter);
        };
        let run = postcard::from_bytes(run).map_err(|e| DataFusionError::External(e.into()))?;
        let input = inputs.first().ok_or_else(|| DataFusionError::Internal("the step has one input".into()))?;
        Ok(Arc::new(StepExec::new(input.clone(), Arc::new(run), self.runs.clone())))
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let Some(step) = node.downcast_ref::<StepExec>() else {
            return self.engine.try_encode(node, bytes, converter);
        };
        bytes.extend_from_slice(MARK);
        bytes.extend(postcard::to_stdvec(&*step.run).map_err(|e| DataFusionError::External(e.into()))?);
        Ok(())
    }
}
