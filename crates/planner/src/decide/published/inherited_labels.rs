//! Reads from a product's labels what they say about its science image: its digest, and the labels inherited
//! from it.
//!
//! What the science layer's own tag shows is the caller's to ask. Only where one of its digests is the one that the product tells
//! is that image the one below the product: whether a manifest's or a configuration's, it stands for all of the labels.

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

    /// That image, once the registry showed that it is; `digest` is what its tag shows.
    #[must_use]
    pub fn shown_as(self, digest: String) -> Image {
        // The product's own build tag vouches for what it tells.
        Image { digest, labels: self.labels, is_inherited: true, build_tag: BuildTagShows::It }
    }
}

/// What a product tells of the science image below it. `science` is the moving tag of its final layer. Nothing where it tells no
/// digest, or tells of another layer or build.
///
/// One that was built on a published image tells the digest of that. One that was built in the same run as its science image tells
/// the id of that on the engine, which is the digest of its configuration; where an engine's ids are others, no image in a
/// registry has that digest, and the image itself is asked.
///
/// Neither says more than whoever wrote the product's labels could say anyway: both name one image by a hash of its labels, and
/// the registry shows whether the tag shows that very one. A product that lies about what it inherited from it is believed
/// with either, as far as that leads to nothing being built.
#[must_use]
pub fn below(product: &Image, science: &str, prefix: &str) -> Option<InheritedLabels> {
    if product.doubt().is_some() {
        return None;
    }
    let trail = ImageLabels { prefix, labels: &product.labels };
    // What an image without this label tells of its base may be inherited.
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
    // The one label that a product writes about it as well: an instruction of a compat layer may have set another.
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
