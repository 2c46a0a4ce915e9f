//! Decides whether an image that an earlier run left on the engine is the planned build.
//!
//! Labels record inputs and parents by name. A name can be built twice, so an image counts only if
//! it also contains its parent's current layers, and was built on the parent's current image if it
//! records an id.

use plan::{Build, Plan, Role, Target};

use crate::engine::{Engine, EngineError, LocalImage};
use crate::preflight::Resolved;
use crate::preflight::reuse::{self, BuildTagState};

/// Finds a build on the engine; `None` if it must be built. Everything that it needs must exist
/// already.
pub(crate) async fn reusable(
    plan: &Plan,
    build: &Build,
    prepared: &Resolved,
    engine: &Engine,
) -> Result<Option<LocalImage>, EngineError> {
    let Some(image) = engine.inspect(build.build_tag()).await? else { return Ok(None) };
    let from = prepared.from(plan, build);
    let mut reported = reuse::from(build, &plan.label_prefix, &image.labels);
    let ids = std::mem::take(&mut reported.ids);
    if reuse::judge(build, &plan.label_prefix, &image.labels, &from.layers) != BuildTagState::Reuse
        || reported != from
    {
        return Ok(None);
    }
    for reference in &build.references {
        let Target::Build { .. } = &reference.target else { continue };
        let parent = match (reference.role, prepared.exact(plan, reference, engine)) {
            (Role::Base, Some(exact)) => engine.inspect(&exact).await?,
            // `COPY --from` leaves no layers that could be compared.
            _ => None,
        };
        // Images built before parent ids were recorded can only be compared by layers.
        let is_it = |parent: &LocalImage| ids.values().all(|id| *id == parent.id);
        if !parent.is_some_and(|parent| is_based_on(&image.layers, &parent.layers) && is_it(&parent)) {
            return Ok(None);
        }
    }
    Ok(Some(image))
}

fn is_based_on(image: &[String], parent: &[String]) -> bool {
    !parent.is_empty() && image.starts_with(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_stands_on_the_layers_that_it_begins_with() {
        let layers = |text: &str| text.split_terminator(' ').map(str::to_owned).collect::<Vec<_>>();
        for (image, parent, expect) in [
            ("a b c", "a b", true),
            ("a b", "a b", true),
            ("a b", "b", false),
            ("a", "a b", false),
            ("a", "", false),
        ] {
            assert_eq!(is_based_on(&layers(image), &layers(parent)), expect, "{image} on {parent}");
        }
    }
}
