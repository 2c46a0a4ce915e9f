//! Finds the `ONBUILD` triggers of base images. They run in this build but are in no file of the
//! source tree, so they are reported, and rejected by default.

use plan::Target;

use crate::build::base_image::StageBase;

/// Describes the `ONBUILD` triggers that a build would run, in one sentence. `all` are the base
/// images of its stages.
pub(crate) fn triggers(all: &[StageBase<'_>]) -> Option<String> {
    let mut reported = Vec::new();
    for StageBase { reference, image, .. } in all {
        let name = match &reference.target {
            Target::Build { id } => id.0.as_str(),
            Target::Layer { reference, .. }
            | Target::Pinned { reference }
            | Target::External { reference } => reference,
            Target::Scratch => continue,
        };
        reported.extend(sentence(name, &image.on_build).filter(|sentence| !reported.contains(sentence)));
    }
    (!reported.is_empty()).then(|| reported.join("; "))
}

fn sentence(name: &str, triggers: &[String]) -> Option<String> {
    let reported: Vec<String> = triggers.iter().map(|trigger| format!("`ONBUILD {trigger}`")).collect();
    let reported = reported.join(", ");
    (!triggers.is_empty())
        .then(|| format!("{name}, its base image, has instructions that would run in this build: {reported}"))
}
