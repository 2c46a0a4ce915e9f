//! Reads from a product's labels what they record of its science image: its digest, and the labels
//! inherited from it.
//!
//! The caller reads the tag of the science layer itself. That image is the product's base only if
//! one of its digests is the one that the product records; either digest, of the manifest or of the
//! configuration, covers all labels.

use std::collections::BTreeMap;

use plan::ImageName;
use plan::label::{self, oci};

use crate::decide::published::image::{BuildTagShows, Image};
use crate::decide::published::provenance::{BuiltOn, ImageLabels, LabelOwner};

/// The science image that a product is based on, as far as its labels tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InheritedLabels {
    digest: String,
    labels: BTreeMap<String, String>,
}

impl InheritedLabels {
    /// Whether an image with this digest, or with a configuration of this digest, is that one.
    #[must_use]
    pub fn is(&self, digest: &str) -> bool {
        self.digest == digest
    }

    /// That image, after the registry confirmed it; `digest` is what its tag shows.
    #[must_use]
    pub fn shown_as(self, digest: String) -> Image {
        // The product's own build tag confirms its labels.
        Image { digest, labels: self.labels, is_inherited: true, build_tag: BuildTagShows::It }
    }
}

/// What a product's labels record of its science image. `science` is the moving tag of its final
/// layer. `None` if they record no digest, or another layer or build.
///
/// A product on a published image records that image's digest. A product that was built in the same
/// run as its science image records the image's id on the engine, which is the digest of its
/// configuration; if an engine's ids are different, no image in a registry has that digest, and the
/// science image itself is read.
///
/// Both digests cover the image's labels, and the registry shows whether the tag shows that very
/// image. A product with false inherited labels is trusted only as far as nothing is built because
/// of them.
#[must_use]
pub fn below(product: &Image, science: &str, prefix: &str) -> Option<InheritedLabels> {
    if product.doubt().is_some() {
        return None;
    }
    let trail = ImageLabels { prefix, labels: &product.labels };
    // Without this label, the label for the base may be inherited.
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
    // The one label that a product writes about it as well: an instruction of a compat layer may
    // have set another.
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
