//! One build of a plan, with everything needed to carry it out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ImageTest, Origin, Reason, Tags};

/// The name of a build in its plan: a science layer's path (`science/nist`), or a product
/// (`rel/nist-basic:2.0`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BuildId(pub String);

impl std::fmt::Display for BuildId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The kind of image that a build creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The image of a science layer, `{repo}/sci/{target}`.
    Science,
    /// The compat image on top of a final layer, `{repo}/rel/{image}`.
    Compat,
}

/// One build of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Unique in the plan.
    pub id: BuildId,
    /// The kind of image.
    pub kind: Kind,
    /// The path of the layer: the science layer, or the compat layer at the top of the stack.
    pub layer: String,
    /// The product's name.
    pub image: String,
    /// The product's version.
    pub version: String,
    /// The target of the science layer; for compat, of the final layer that it is based on.
    pub target: String,
    /// Whether that science layer is the final one of `image:version`.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Every image that the Dockerfile needs, in the order of their spans.
    pub references: Vec<Reference>,
    /// Builds of this plan that must be done before, sorted.
    pub needs: Vec<BuildId>,
    /// Why it is in the plan; never empty.
    pub reasons: Vec<Reason>,
    /// Full references: the build tag first, the moving tag second.
    pub tags: Tags,
    /// Labels, without those that are known only at build time.
    pub labels: BTreeMap<String, String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// The files that are sent with the Dockerfile.
    pub context: BuildContext,
    /// Compat only: names of the layers of the stack, an include before what includes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compat_stack: Vec<String>,
    /// Compat only: files and settings that a later layer of the stack replaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadowed: Vec<Shadowed>,
    /// Tests that must succeed in the image before it is published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<ImageTest>,
    /// Ids of the secrets that its instructions mount, sorted. A plan never contains their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// The instructions of `dockerfile`, in order, and where each was written. Since format version
    /// 1.1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<Origin>,
    /// The Dockerfile's text, before references are replaced by exact images.
    pub dockerfile: String,
}

/// A summary of a build's context; the list of its files is [`crate::Context`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildContext {
    /// The inputs digest, `v1:sha256:…`.
    pub inputs: String,
    /// Directories below the source tree's root, in overlay order.
    pub sources: Vec<String>,
}

/// A file or setting of an earlier layer of a compat stack that a later one replaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shadowed {
    /// A path in the context (`file:etc/start.sh`), an instruction (`CMD`), an `ENV` key (`ENV
    /// PATH`) or a build argument (`arg:PORT`).
    pub what: String,
    /// The layer whose file or setting is replaced.
    pub from: String,
    /// The layer that replaces it.
    pub by: String,
}

/// An image that a Dockerfile needs, and where it is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Its role.
    pub role: Role,
    /// Position of the name in the build's `dockerfile`: that text is replaced.
    pub span: Span,
    /// The image that it names.
    #[serde(flatten)]
    pub target: Target,
}

/// A half-open range of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

/// The role of an image in a Dockerfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Base image of the last stage.
    Base,
    /// Base image of another stage.
    Stage,
    /// `COPY --from=`.
    Copy,
    /// `RUN --mount=…,from=`.
    Mount,
}

impl Role {
    /// Whether a stage uses the image as its base image, which runs the image's triggers.
    #[must_use]
    pub fn is_base_image(self) -> bool {
        matches!(self, Self::Base | Self::Stage)
    }
}

/// The target of a reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Target {
    /// An image that another build of this plan makes.
    Build {
        /// The build.
        id: BuildId,
    },
    /// A science layer of the tree (or of `published`) that this plan does not build.
    Layer {
        /// `{repo}/sci/{target}:{version}`, its moving tag.
        reference: String,
        /// The layer's target.
        target: String,
    },
    /// A science image by build tag or digest: not a dependency, but recorded as provenance.
    Pinned {
        /// The full reference.
        reference: String,
    },
    /// Any other image.
    External {
        /// The full reference, `docker.io/library/debian:12`.
        reference: String,
    },
    /// The empty image.
    Scratch,
}

impl Build {
    /// Returns the tag that never changes, as a full reference.
    #[must_use]
    pub fn build_tag(&self) -> &str {
        &self.tags.build
    }

    /// Returns the tag that points to the latest build, as a full reference.
    #[must_use]
    pub fn moving_tag(&self) -> &str {
        &self.tags.moving
    }
}
