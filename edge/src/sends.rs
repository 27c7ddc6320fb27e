//! Placeholder until the pipeline of sends is here.

use tokio_util::task::TaskTracker;

use crate::core_client::CoreClient;

pub(crate) struct SendPipeline;

impl SendPipeline {
    pub(crate) fn new(_core: &CoreClient, _in_process: bool, _tasks: &TaskTracker) -> Self {
        Self
    }
}
