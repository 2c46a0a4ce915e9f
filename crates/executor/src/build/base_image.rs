//! Verifies a build's base images: records the id of each one before the build, and checks
//! afterwards that its name still resolves to that id.
//!
//! A build refers to an image by name, and another client of the engine may retag that name during
//! the build. If the name resolves to the same id before and after, the build is assumed to have
//! used that image; a tag moved away and back in between is not detected.

use plan::{Build, Plan, Reference, Role};

use crate::engine::{Engine, EngineError, LocalImage};
use crate::preflight::Resolved;

/// A base image of one of the build's stages.
pub(crate) struct StageBase<'a> {
    pub reference: &'a Reference,
    /// The text in the Dockerfile.
    exact: String,
    pub image: LocalImage,
}

/// The base image of the last stage, if it is a layer without a digest.
pub(crate) struct BaseImage {
    /// `target:version`
    pub layer: String,
    pub id: String,
    exact: String,
}

/// Inspects all base images of a build that are on the engine.
pub(crate) async fn inspect<'a>(
    plan: &Plan,
    build: &'a Build,
    prepared: &Resolved,
    engine: &Engine,
) -> Result<Vec<StageBase<'a>>, EngineError> {
    let mut all = Vec::new();
    for reference in build.references.iter().filter(|reference| reference.role.is_base_image()) {
        let Some(exact) = prepared.exact(plan, reference, engine) else { continue };
        let Some(image) = engine.inspect(&exact).await? else { continue };
        all.push(StageBase { reference, exact, image });
    }
    Ok(all)
}

/// The base image whose id a label records.
pub(crate) fn base(
    plan: &Plan,
    build: &Build,
    prepared: &Resolved,
    all: &[StageBase<'_>],
) -> Option<BaseImage> {
    let layer = prepared.base_without_digest(plan, build)?;
    let StageBase { exact, image, .. } = all.iter().find(|one| one.reference.role == Role::Base)?;
    Some(BaseImage { layer, id: image.id.clone(), exact: exact.clone() })
}

impl BaseImage {
    /// Whether its name still resolves to the same id.
    pub(crate) async fn is_there(&self, engine: &Engine) -> Result<bool, EngineError> {
        Ok(engine.inspect(&self.exact).await?.is_some_and(|image| image.id == self.id))
    }
}
