//! The build spec that is attached to an image, so that its definition is never lost: the generated
//! Dockerfile, the descriptors and Dockerfiles of the chain, the commit, and the exact images that
//! it was built on.
//!
//! Published data, in the label [`crate::label::spec`] (gzip, then base64) and as the one layer of
//! an OCI artifact of type [`ARTIFACT_TYPE`] that refers to the image. Field names are fixed; a new
//! field is a minor change of [`FORMAT_VERSION`]. Nothing in it comes from a clock or a host, and
//! it is not an input of the build.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::{BuildId, Kind, PlanFormatError, Revision};

/// The version that is written. Readers accept every minor version of the same major.
pub const FORMAT_VERSION: &str = "1.0";
/// Type of the artifact, and media type of its layer.
pub const ARTIFACT_TYPE: &str = "application/vnd.image-builder.spec.v1+json";

/// Path of the source tree's configuration among the files.
pub const CONFIG: &str = "image-builder.toml";

/// Everything needed to build an image again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: String,
    /// The build: `science/nist`, `rel/nist-basic:2.0`.
    pub id: BuildId,
    /// The kind of build.
    pub kind: Kind,
    /// The commit.
    pub revision: Revision,
    /// The number given to `--rebuild`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<u64>,
    /// `{repo}`.
    pub repo: String,
    /// `os/arch[/variant]`.
    pub platform: String,
    /// The inputs digest.
    pub inputs: String,
    /// The Dockerfile, before references are replaced by exact images.
    pub dockerfile: String,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// Exact images by the plan's names; in the artifact only, since the labels `.from` have them
    /// too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resolved: BTreeMap<String, String>,
    /// A source tree: the layer with its context or the layers of the compat stack with theirs,
    /// descriptor and Dockerfile of every layer below, and `image-builder.toml`. By path below the
    /// root.
    pub files: BTreeMap<String, SpecFile>,
}

/// One file of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecFile {
    /// As git writes it: `100644`, `100755`, or `120000` for a link.
    pub mode: String,
    /// Git's id of the contents; empty if git was not queried.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The contents; `None` if they are not included.
    #[serde(flatten)]
    pub contents: Option<Contents>,
}

/// Contents of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contents {
    /// UTF-8; for a link, its target.
    Text(String),
    /// Anything else, in base64.
    Base64(String),
}

impl Contents {
    /// The bytes of the file.
    ///
    /// # Errors
    /// When the text is not base64.
    pub fn bytes(&self) -> Result<Vec<u8>, base64::DecodeError> {
        match self {
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Base64(text) => STANDARD.decode(text),
        }
    }
}

impl Spec {
    /// Whether the contents of every file are included.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.files.values().all(|file| file.contents.is_some())
    }

    /// Drops the contents of all files except descriptors, Dockerfiles, ignore files and the
    /// configuration.
    #[must_use]
    pub fn definition(mut self) -> Self {
        for (path, file) in &mut self.files {
            if !is_definition(path) {
                file.contents = None;
            }
        }
        self
    }

    /// The document, on one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a spec holds only strings, numbers and lists")
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`PlanFormatError`]; the version is checked before the other fields.
    pub fn from_json(text: &[u8]) -> Result<Self, PlanFormatError> {
        #[derive(Deserialize)]
        struct Head {
            format_version: String,
        }
        let Head { format_version } = serde_json::from_slice(text)?;
        if format_version.split('.').next() != FORMAT_VERSION.split('.').next() {
            return Err(PlanFormatError::Version { found: format_version });
        }
        Ok(serde_json::from_slice(text)?)
    }
}

/// Whether a path is that of a descriptor, a Dockerfile, an ignore file or the configuration.
#[must_use]
pub fn is_definition(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(
        name,
        "sciserver-image.json" | "Dockerfile" | ".dockerignore" | "Dockerfile.dockerignore" | CONFIG
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_its_published_form_and_reads_back() {
        let file = |contents| SpecFile { mode: "100644".into(), id: "ab".into(), contents };
        let spec = Spec {
            format_version: FORMAT_VERSION.into(),
            id: BuildId("science/nist".into()),
            kind: Kind::Science,
            revision: Revision {
                commit: "f90dbd6".into(),
                count: Some(42),
                short: "f90dbd6".into(),
                dirty: None,
                shallow: false,
            },
            rebuild: None,
            repo: "r.example/x".into(),
            platform: "linux/amd64".into(),
            inputs: "v1:sha256:1".into(),
            dockerfile: "FROM scratch\n".into(),
            args: BTreeMap::new(),
            resolved: BTreeMap::new(),
            files: BTreeMap::from([
                ("science/nist/Dockerfile".into(), file(Some(Contents::Text("FROM scratch\n".into())))),
                ("science/nist/data".into(), file(Some(Contents::Base64("/w==".into())))),
            ]),
        };
        let json = spec.to_json();
        insta::assert_snapshot!(json, @r#"{"format_version":"1.0","id":"science/nist","kind":"science","revision":{"commit":"f90dbd6","count":42,"short":"f90dbd6","dirty":null,"shallow":false},"repo":"r.example/x","platform":"linux/amd64","inputs":"v1:sha256:1","dockerfile":"FROM scratch\n","args":{},"files":{"science/nist/Dockerfile":{"mode":"100644","id":"ab","text":"FROM scratch\n"},"science/nist/data":{"mode":"100644","id":"ab","base64":"/w=="}}}"#);
        assert_eq!(Spec::from_json(json.as_bytes()).unwrap(), spec);
        let definition = spec.clone().definition();
        assert!(spec.is_whole() && !definition.is_whole());
        assert_eq!(Spec::from_json(definition.to_json().as_bytes()).unwrap(), definition);
        let later = json.replace("\"1.0\"", "\"2.0\"");
        assert!(matches!(Spec::from_json(later.as_bytes()), Err(PlanFormatError::Version { .. })));
    }
}
