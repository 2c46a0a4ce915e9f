//! Compares an image with the one that its moving tag pointed to before: its growth, and the layers
//! that both share.
//!
//! Pure. Uses data that pushes and builds read anyway, without extra requests.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::LocalImage;
use crate::run::result::{Comparison, Within};

/// The size and layers of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageSize {
    name: String,
    size: u64,
    layers: Vec<String>,
}

impl ImageSize {
    /// The compressed size, as stored in a registry.
    pub(crate) fn stored(image: &registry::Image) -> Self {
        Self {
            name: image.digest.clone(),
            size: image.layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add),
            layers: image.layers.iter().map(|layer| layer.digest.clone()).collect(),
        }
    }

    /// The unpacked size on the engine; `None` if the engine reports no size.
    pub(crate) fn unpacked(image: &LocalImage) -> Option<Self> {
        Some(Self { name: image.id.clone(), size: image.size?, layers: image.layers.clone() })
    }

    /// Compares with an earlier image.
    pub(crate) fn compare_with(&self, earlier: Option<&Self>, within: Within) -> Comparison {
        let known: BTreeSet<&String> = earlier.iter().flat_map(|earlier| &earlier.layers).collect();
        Comparison {
            within,
            earlier: earlier.map(|earlier| earlier.name.clone()),
            earlier_size: earlier.map(|earlier| earlier.size),
            size: self.size,
            layers: self.layers.len(),
            shared: self.layers.iter().filter(|layer| known.contains(layer)).count(),
        }
    }
}

/// The image sizes that a push read from the registry.
#[derive(Debug, Clone)]
pub(crate) enum RemoteSize {
    /// The image that was pushed.
    New(ImageSize),
    /// The image that the moving tag pointed to before.
    Earlier(Option<ImageSize>),
    /// The push did not get that far.
    Nothing,
}

/// The new images of a run's pushes, by build.
#[derive(Debug, Default)]
pub(crate) struct PushedSizes {
    new: BTreeMap<usize, ImageSize>,
}

impl PushedSizes {
    /// Records a result of a push. Returns the comparison once both images are known; the push of
    /// the build tag comes first.
    pub(crate) fn take(&mut self, build: usize, seen: RemoteSize) -> Option<Comparison> {
        match seen {
            RemoteSize::New(weight) => {
                self.new.insert(build, weight);
                None
            }
            RemoteSize::Earlier(earlier) => {
                Some(self.new.remove(&build)?.compare_with(earlier.as_ref(), Within::Registry))
            }
            RemoteSize::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(name: &str, size: u64, layers: &[&str]) -> ImageSize {
        ImageSize { name: name.into(), size, layers: layers.iter().map(|&layer| layer.into()).collect() }
    }

    #[test]
    fn an_image_is_held_against_what_was_shown_before() {
        let mut pushed_sizes = PushedSizes::default();
        let (old, new) = (weight("old", 10, &["a", "b"]), weight("new", 14, &["a", "c", "c"]));
        assert_eq!(pushed_sizes.take(0, RemoteSize::New(new.clone())), None);
        assert_eq!(pushed_sizes.take(1, RemoteSize::New(old.clone())), None);
        assert_eq!(pushed_sizes.take(0, RemoteSize::Nothing), None);
        let expect = Comparison {
            within: Within::Registry,
            earlier: Some("old".into()),
            earlier_size: Some(10),
            size: 14,
            layers: 3,
            shared: 1,
        };
        assert_eq!(pushed_sizes.take(0, RemoteSize::Earlier(Some(old))), Some(expect));
        let first = pushed_sizes.take(1, RemoteSize::Earlier(None)).unwrap();
        assert_eq!((first.earlier, first.earlier_size, first.shared), (None, None, 0));
        // A reused build has no new image.
        assert_eq!(pushed_sizes.take(2, RemoteSize::Earlier(Some(new))), None);
    }
}
