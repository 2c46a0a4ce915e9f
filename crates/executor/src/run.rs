//! The loop that joins schedule, engine, registry and events.

use std::collections::BTreeMap;

use plan::{BuildId, Context, Plan};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::{Event, Options, Relation, RunError, RunResult};

/// Carries a plan out.
///
/// `history` tells how the commit that a moving tag shows (hex digits, possibly not all of them) relates to the
/// plan's. After `cancel` running builds and pushes are dropped, and the result says what was done until then.
///
/// # Errors
/// [`RunError`] for what stops the run as a whole. That one build or push failed is told in the result.
pub async fn run(
    plan: &Plan,
    contexts: &BTreeMap<BuildId, Context>,
    options: &Options,
    history: impl Fn(&str) -> Relation + Send + Sync,
    events: UnboundedSender<Event>,
    cancel: CancellationToken,
) -> Result<RunResult, RunError> {
    let _ = (plan, contexts, options, &history, events, cancel);
    Err(RunError::environment("not here yet"))
}
