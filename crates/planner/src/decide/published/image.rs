//! A published image, as far as a plan needs it.

use std::collections::BTreeMap;

/// A published image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The digest that its tag shows.
    pub digest: String,
    /// Its labels, the inherited ones too.
    pub labels: BTreeMap<String, String>,
    /// Whether these are only what a product has from it: [`super::below()`].
    pub is_inherited: bool,
    /// Whether this image is the build that its labels name.
    pub build_tag: BuildTagShows,
}

/// What the build tag named by an image's labels shows. Any client with push access can point a
/// moving tag to an image with the right labels and other layers; a build tag never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildTagShows {
    /// This image.
    It,
    /// The labels name no build tag.
    Untold,
    /// Another image, or nothing.
    Other {
        /// The build tag.
        tag: String,
        /// The digest that it shows.
        digest: Option<String>,
    },
}

impl Image {
    /// Why it is not the build that its labels name, as a sentence; `None` if nothing contradicts.
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
