//! A published image, reduced to the values that a plan needs.

use std::collections::BTreeMap;

/// A published image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The digest that the image's tag shows.
    pub digest: String,
    /// The labels of the image, including inherited ones.
    pub labels: BTreeMap<String, String>,
    /// Whether `labels` contains only the labels that a product inherited from this image: see
    /// [`super::below()`].
    pub is_inherited: bool,
    /// Whether the build tag that the labels name shows this image.
    pub build_tag: BuildTagShows,
}

/// The image at the build tag that an image's labels name. A client with push access can point a
/// moving tag to an image with the right labels and other layers; a build tag never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildTagShows {
    /// The same image.
    It,
    /// The labels name no build tag.
    Untold,
    /// Another image, or none.
    Other {
        /// The build tag.
        tag: String,
        /// The digest that the build tag shows.
        digest: Option<String>,
    },
}

impl Image {
    /// Returns as a sentence why the image is not the build that its labels name; `None` if nothing
    /// contradicts the labels.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        match &self.build_tag {
            BuildTagShows::It | BuildTagShows::Untold => None,
            BuildTagShows::Other { tag, digest: Some(digest) } => Some(format!(
                "its tag shows {}, but the build tag {tag} that its labels name shows {digest}: another client \
                 moved one of them",
                self.digest
            )),
            BuildTagShows::Other { tag, digest: None } => Some(format!(
                "the build tag {tag} that its labels name is not there, so nothing shows that it is that build"
            )),
        }
    }
}
