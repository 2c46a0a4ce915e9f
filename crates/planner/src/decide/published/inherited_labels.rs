//! Reads the parts of a product's labels that describe its science image: the recorded digest, and
//! the inherited labels.
//!
//! The caller reads the tag of the science layer. That image is the base image of the product only
//! if one of its digests equals the recorded one. Both the digest of the manifest and the digest of
//! the configuration cover all labels.

use std::collections::BTreeMap;

use plan::ImageName;
use plan::label::{self, oci};

use crate::decide::published::image::{BuildTagShows, Image};
use crate::decide::published::provenance::{BuiltOn, ImageLabels, LabelOwner};

/// The science image that a product is based on, as described by the product's labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InheritedLabels {
    digest: String,
    labels: BTreeMap<String, String>,
}

impl InheritedLabels {
    /// Whether the recorded digest equals this digest, of a manifest or of a configuration.
    #[must_use]
    pub fn is(&self, digest: &str) -> bool {
        self.digest == digest
    }

    /// Converts to an image, after the registry has confirmed it. `digest` is the digest that its
    /// tag shows.
    #[must_use]
    pub fn shown_as(self, digest: String) -> Image {
        // The product's own build tag confirms the labels.
        Image { digest, labels: self.labels, is_inherited: true, build_tag: BuildTagShows::It }
    }
}

/// Returns the labels of the science image that a product's labels contain. `science` is the moving
/// tag of the product's final layer. Returns `None` if the labels record no digest, or another
/// layer or build.
///
/// A product that was built on a published image records the digest of that image. A product that
/// was built in the same run as its science image records the image's id on the engine, which is
/// the digest of its configuration. If an engine uses other ids, no image in a registry has that
/// digest, and the caller reads the science image itself.
///
/// Both digests cover the image's labels, and the registry confirms that the tag shows that image.
/// A product with false inherited labels is trusted only to decide that nothing is built.
#[must_use]
pub fn below(product: &Image, science: &str, prefix: &str) -> Option<InheritedLabels> {
    if product.doubt().is_some() {
        return None;
    }
    let trail = ImageLabels { prefix, labels: &product.labels };
    // Without this label, the label that names the base image may be inherited.
    trail.inputs(LabelOwner::Compat)?;
    let name = ImageName::parse(science).ok()?;
    let (target, version) = (name.repository.rsplit('/').next()?, name.tag.as_deref()?);
    if trail.base_target() != Some(target) {
        return None;
    }
    let digest = match product.labels.get(oci::BASE_DIGEST).filter(|digest| !digest.is_empty()) {
        Some(digest) => digest.clone(),
        None => trail.id_of(LabelOwner::Compat, target, version)?,
    };
    // The build tag is recorded by the product too. Compare the two, since an instruction of a
    // compat layer may have set another inherited label.
    let build_tag = trail.build_tag(LabelOwner::Science(target))?;
    if trail.recorded(LabelOwner::Compat, target, version) != Some(BuiltOn::Build(build_tag.to_owned())) {
        return None;
    }
    let own = label::of_science(prefix);
    let labels = product.labels.iter().filter(|(key, _)| key.starts_with(&own));
    Some(InheritedLabels {
        digest,
        labels: labels.map(|(key, value)| (key.clone(), value.clone())).collect(),
    })
}
