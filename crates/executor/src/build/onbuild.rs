//! Finds the `ONBUILD` triggers of base images. They run in this build and are in no file of the
//! source tree, so they are shown, and rejected by default.

use plan::Target;

use crate::build::base_image::StageBase;

/// Describes the ONBUILD triggers that a build would run, in one sentence. `all` are its base
/// images.
pub(crate) fn triggers(all: &[StageBase<'_>]) -> Option<String> {
    let mut told = Vec::new();
    for StageBase { reference, image, .. } in all {
        let name = match &reference.target {
            Target::Build { id } => id.0.as_str(),
            Target::Layer { reference, .. }
            | Target::Pinned { reference }
            | Target::External { reference } => reference,
            Target::Scratch => continue,
        };
        told.extend(sentence(name, &image.on_build).filter(|sentence| !told.contains(sentence)));
    }
    (!told.is_empty()).then(|| told.join("; "))
}

fn sentence(name: &str, triggers: &[String]) -> Option<String> {
    let told: Vec<String> = triggers.iter().map(|trigger| format!("`ONBUILD {trigger}`")).collect();
    let told = told.join(", ");
    (!triggers.is_empty()).then(|| {
        format!("{name}, which it stands on, holds instructions that would run in this build: {told}")
    })
}
