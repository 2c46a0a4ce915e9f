//! `ONBUILD`: instructions that an image holds for whoever builds on it. They run in that build and stand in no file of
//! the source tree, so they are shown, and by default refused.

use plan::{Role, Target};

use crate::build::Job;
use crate::engine::EngineError;

/// Whether an image in this role makes its triggers run.
pub(crate) fn is_stood_on(role: Role) -> bool {
    match role {
        Role::Base | Role::Stage => true,
        Role::Copy | Role::Mount => false,
    }
}

/// The triggers that a build would run, told in a sentence. Everything that it stands on is on the engine.
pub(crate) async fn triggers(job: &Job<'_>) -> Result<Option<String>, EngineError> {
    let mut told = Vec::new();
    for reference in job.build.references.iter().filter(|reference| is_stood_on(reference.role)) {
        let Some(exact) = job.prepared.exact(job.plan, reference, job.engine) else { continue };
        let Some(image) = job.engine.inspect(&exact).await? else { continue };
        let name = match &reference.target {
            Target::Build { id } => id.0.as_str(),
            Target::Layer { reference, .. }
            | Target::Pinned { reference }
            | Target::External { reference } => reference,
            Target::Scratch => continue,
        };
        told.extend(sentence(name, &image.on_build).filter(|sentence| !told.contains(sentence)));
    }
    Ok((!told.is_empty()).then(|| told.join("; ")))
}

fn sentence(name: &str, triggers: &[String]) -> Option<String> {
    let told: Vec<String> = triggers.iter().map(|trigger| format!("`ONBUILD {trigger}`")).collect();
    let told = told.join(", ");
    (!triggers.is_empty()).then(|| {
        format!("{name}, which it stands on, holds instructions that would run in this build: {told}")
    })
}
