//! Finds the references to external images to which `pin` adds a digest.
//!
//! Does not query a registry: the caller passes the digests of tags.

use plan::{ImageName, Role, Span};

use crate::diagnostics::finding::Findings;
use crate::tree::Tree;
use crate::tree::image_reference::Meaning;
use crate::tree::layers::Reader;
use crate::tree::model::TreeModel;
use crate::{Edit, Problem, Request, configuration};

/// An external image, at the position where a Dockerfile references it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalImage {
    /// The Dockerfile, below the source tree's root.
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
    /// The role of the image.
    pub role: Role,
    /// The byte range in the file's text.
    pub span: Span,
    /// The text in the file.
    pub typed: String,
    /// The text with variables expanded.
    pub text: String,
    /// The parsed image name.
    pub image: ImageName,
}

impl ExternalImage {
    /// Returns the image by its tag; `None` for a digest without a tag.
    #[must_use]
    pub fn tagged(&self) -> Option<ImageName> {
        self.image.tag.as_ref()?;
        Some(ImageName { digest: None, ..self.image.clone() })
    }

    /// Returns the reference with a digest. The tag stays readable; a reference without tag and
    /// digest gets its implicit tag `latest`.
    #[must_use]
    pub fn pinned(&self, digest: &str) -> String {
        let name = self.text.split_once('@').map_or(self.text.as_str(), |(name, _)| name);
        let is_bare = !self.image.has_tag && self.image.digest.is_none();
        format!("{name}{}@{digest}", if is_bare { ":latest" } else { "" })
    }

    /// Returns the edit that inserts the digest; `None` if the text contains variables, quotes or
    /// line ends.
    #[must_use]
    pub fn edit(&self, digest: &str) -> Option<Edit> {
        (self.typed == self.text).then(|| Edit { span: self.span, text: self.pinned(digest) })
    }
}

/// Returns every external image that a tree references, in the order of files and lines.
///
/// # Errors
/// Returns the problems that a plan would report, except for guidelines: an image could be missed
/// in an unreadable Dockerfile.
pub fn external_images(now: &Tree, request: &Request) -> Result<Vec<ExternalImage>, Vec<Problem>> {
    let mut findings = Findings::lenient();
    let (config, repo) = configuration(now, request, &mut findings);
    let side = Reader::new(&config, &request.allow_frontend).side(now, &mut findings);
    let model = TreeModel::new(side, &config, &repo, &mut findings);
    let findings = findings.sorted();
    if !findings.problems.is_empty() {
        return Err(findings.problems);
    }
    let science = model.side.science.iter().map(|layer| &layer.files).zip(&model.science_needs);
    let compat = model.side.compat.iter().map(|layer| &layer.files).zip(&model.compat_needs);
    let mut images = Vec::new();
    for (files, needs) in compat.chain(science) {
        let Some(file) = &files.dockerfile else { continue };
        for need in needs {
            // A reference that may be meant as a layer of the tree is not pinned: `check` reports
            // it.
            let (Meaning::External { is_like_ours: false, .. }, Ok(image)) =
                (&need.meaning, ImageName::parse(&need.text))
            else {
                continue;
            };
            let typed = file.text.get(need.span.start..need.span.end).unwrap_or_default();
            images.push(ExternalImage {
                file: file.path.clone(),
                line: need.line,
                role: need.role,
                span: need.span,
                typed: typed.to_owned(),
                text: need.text.clone(),
                image,
            });
        }
    }
    Ok(images)
}
