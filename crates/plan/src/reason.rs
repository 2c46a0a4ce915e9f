//! Why a build is in a plan.

use serde::{Deserialize, Serialize};

use crate::BuildId;

/// One reason. A build lists all that apply, sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Reason {
    /// A flag asked for it.
    Forced {
        /// The flag as it would be typed, `--all` or `--include science/nist`.
        flag: String,
    },
    /// The layer's target does not exist in the state that the tree was compared with.
    NewLayer,
    /// Files of the layer changed.
    FileChanged {
        /// Below the source tree's root, sorted.
        paths: Vec<String>,
    },
    /// Fields of the layer's descriptor changed.
    DescriptorChanged {
        /// Their names, sorted.
        fields: Vec<String>,
    },
    /// The plan builds its base image, or an image that it copies from.
    ParentRebuilt {
        /// The build.
        via: BuildId,
    },
    /// Layers of its compat stack changed.
    CompatChanged {
        /// Names of the layers, sorted.
        layers: Vec<String>,
        /// Below the source tree's root, sorted.
        paths: Vec<String>,
    },
    /// The product's final layer is another one than before.
    FinalChanged {
        /// Target of the layer that was final; `None` for a product that is new.
        from: Option<String>,
        /// Target of the layer that is final now.
        to: String,
    },
    /// The registry has no image of its name (`--since-published`, as the next three).
    NotPublished {
        /// The moving tag as a full reference.
        reference: String,
    },
    /// Its moving tag points to an image whose labels name a build tag that points to another
    /// image, or that does not exist: somebody else moved one of the two. Since format version 1.3.
    TagMoved {
        /// The moving tag as a full reference.
        reference: String,
        /// The build tag that the labels name.
        build_tag: String,
        /// Digest that the build tag points to; `None` if there is no such tag.
        shows: Option<String>,
    },
    /// The published image was made from other inputs.
    InputsChanged {
        /// Its build tag, if recorded.
        published: Option<String>,
        /// Differences since the commit of that build: below the source tree's root, sorted. Empty
        /// if the history does not have that commit, or shows no difference.
        paths: Vec<String>,
        /// Fields of the descriptor that differ since then, sorted.
        fields: Vec<String>,
    },
    /// A layer that it needs was published again since it was built.
    ParentMoved {
        /// The layer's path; for one that only the registry has, its full reference.
        layer: String,
        /// Build tag that it was built on; `None` if not recorded.
        from: Option<String>,
        /// Build tag that the layer has now.
        to: String,
    },
    /// The tag of an external image that it was built from now points to another digest (`stale`).
    /// Since format version 1.2.
    BaseMoved {
        /// The full reference, `docker.io/library/debian:12`.
        image: String,
        /// Digest that the published image was made from.
        from: String,
        /// Digest that the tag points to.
        to: String,
    },
}
