//! What a product tells of the science image that it stands on: its digest, and the labels that it has from it.
//!
//! Which digest the science layer's own tag shows is the caller's to ask. Only where it is the same is that image the one below
//! the product; a digest stands for all of an image, its labels too.

use plan::ImageName;
use plan::label::{self, oci};

use super::Image;
use super::trail::{BuiltOn, Of, Trail};

/// The science image that a product stands on, as far as breadcrumbs go. `science` is the moving tag of its final layer. Nothing
/// where the product does not tell a digest (one that was built in the same run as its science image has no digest to tell) or
/// tells of another layer or build.
#[must_use]
pub fn below(product: &Image, science: &str, prefix: &str) -> Option<Image> {
    let trail = Trail { prefix, labels: &product.labels };
    // What an image without this label tells of its base may be inherited.
    trail.inputs(Of::Compat)?;
    let digest = product.labels.get(oci::BASE_DIGEST).filter(|digest| !digest.is_empty())?;
    let name = ImageName::parse(science).ok()?;
    let target = name.repository.rsplit('/').next()?;
    if trail.base_target() != Some(target) {
        return None;
    }
    // The one label that a product writes about it as well: an instruction of a compat layer may have set another.
    let version = trail.build_tag(Of::Science(target))?;
    if trail.recorded(Of::Compat, target, name.tag.as_deref()?) != Some(BuiltOn::Build(version.to_owned())) {
        return None;
    }
    let own = label::of_science(prefix);
    let labels = product.labels.iter().filter(|(key, _)| key.starts_with(&own));
    Some(Image {
        digest: digest.clone(),
        labels: labels.map(|(key, value)| (key.clone(), value.clone())).collect(),
        is_inherited: true,
    })
}
