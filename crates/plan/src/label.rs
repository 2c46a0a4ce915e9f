//! The keys of the labels that an image carries.
//!
//! Labels are inherited from layer to layer, so the top image has the provenance of all of them.
//! The keys under `org.opencontainers.image.` are those of the OCI image specification
//! ("Pre-Defined Annotation Keys").

/// `{prefix}.science.{target}.{field}`.
#[must_use]
pub fn science(prefix: &str, target: &str, field: Field) -> String {
    format!("{prefix}.science.{target}.{}", field.as_str())
}

/// The prefix of the keys of all science layers: `{prefix}.science.`.
#[must_use]
pub fn of_science(prefix: &str) -> String {
    format!("{prefix}.science.")
}

/// `{prefix}.compat.{field}`.
#[must_use]
pub fn compat(prefix: &str, field: Field) -> String {
    format!("{prefix}.compat.{}", field.as_str())
}

/// `{prefix}.spec`: the build spec that is attached to the image, see [`crate::spec`]. Each build
/// overwrites it, so that it is never inherited.
#[must_use]
pub fn spec(prefix: &str) -> String {
    format!("{prefix}.spec")
}

/// The last part of a provenance label's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Build tag; for compat `{image}:{build tag}`.
    Version,
    /// Unix time in seconds, a fraction allowed. Known at build time.
    BuildTime,
    /// The inputs digest, `v1:sha256:…`.
    Inputs,
    /// Every image that it was made from, as JSON. Known at build time.
    From,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Version, Self::BuildTime, Self::Inputs, Self::From];

    /// As written in the key.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::BuildTime => "buildtime",
            Self::Inputs => "inputs",
            Self::From => "from",
        }
    }
}

/// Keys of the OCI image specification that every build sets, empty when unknown, so that values of
/// a base image are never inherited.
pub mod oci {
    /// When it was built, RFC 3339. Known at build time.
    pub const CREATED: &str = "org.opencontainers.image.created";
    /// The commit that it was built from.
    pub const REVISION: &str = "org.opencontainers.image.revision";
    /// The public address of the repository.
    pub const SOURCE: &str = "org.opencontainers.image.source";
    /// The build tag.
    pub const VERSION: &str = "org.opencontainers.image.version";
    /// `image version` for people.
    pub const TITLE: &str = "org.opencontainers.image.title";
    /// From the descriptor.
    pub const DESCRIPTION: &str = "org.opencontainers.image.description";
    /// From the descriptor.
    pub const AUTHORS: &str = "org.opencontainers.image.authors";
    /// From the descriptor.
    pub const URL: &str = "org.opencontainers.image.url";
    /// From the descriptor.
    pub const DOCUMENTATION: &str = "org.opencontainers.image.documentation";
    /// From the descriptor.
    pub const LICENSES: &str = "org.opencontainers.image.licenses";
    /// The moving tag as a full reference.
    pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
    /// Reference of the last stage's base image.
    pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
    /// Digest of that image, if it has one. Known at build time.
    pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

    /// All of them.
    pub const ALL: [&str; 13] = [
        CREATED,
        REVISION,
        SOURCE,
        VERSION,
        TITLE,
        DESCRIPTION,
        AUTHORS,
        URL,
        DOCUMENTATION,
        LICENSES,
        REF_NAME,
        BASE_NAME,
        BASE_DIGEST,
    ];
}
