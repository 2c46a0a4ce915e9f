//! Finds the references to external images that `pin` gives a digest.
//!
//! Asks no registry: which digest a tag shows is handed in.

use plan::{ImageName, Role, Span};

use crate::diagnostics::finding::Findings;
use crate::tree::Tree;
use crate::tree::image_reference::Meaning;
use crate::tree::layers::Reader;
use crate::tree::model::TreeModel;
use crate::{Edit, Problem, Request, configuration};

/// An external image at the place where a Dockerfile names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalImage {
    /// The Dockerfile, below the source tree's root.
    pub file: String,
    /// Counted from 1.
    pub line: u32,
    /// Its role.
    pub role: Role,
    /// Bytes of the file's text.
    pub span: Span,
    /// The text in the file.
    pub typed: String,
    /// The same with variables substituted.
    pub text: String,
    /// The image that it names.
    pub image: ImageName,
}

impl ExternalImage {
    /// The tag that is followed: `None` for a digest without one.
    #[must_use]
    pub fn tagged(&self) -> Option<ImageName> {
        self.image.tag.as_ref()?;
        Some(ImageName { digest: None, ..self.image.clone() })
    }

    /// The reference with a digest, the tag still readable; where there was none, `latest`, which
    /// it meant.
    #[must_use]
    pub fn pinned(&self, digest: &str) -> String {
        let name = self.text.split_once('@').map_or(self.text.as_str(), |(name, _)| name);
        let is_bare = !self.image.has_tag && self.image.digest.is_none();
        format!("{name}{}@{digest}", if is_bare { ":latest" } else { "" })
    }

    /// The edit that writes that digest; `None` if the text contains variables, quotes or line
    /// ends.
    #[must_use]
    pub fn edit(&self, digest: &str) -> Option<Edit> {
        (self.typed == self.text).then(|| Edit { span: self.span, text: self.pinned(digest) })
    }
}

/// Every external image that a tree names, in the order of files and of their lines.
///
/// # Errors
/// What a plan would refuse, guidelines aside: in a Dockerfile that cannot be read, an image could be missed.
pub fn external_images(now: &Tree, request: &Request) -> Result<Vec<ExternalImage>, Vec<Problem>> {
    let mut findings = Findings::lenient();
    let (config, repo) = configuration(now, request, &mut findings);
    let side = Reader::new(&config, &request.allow_frontend).side(now, &mut findings);
    let survey = TreeModel::new(side, &config, &repo, &mut findings);
    let findings = findings.sorted();
    if !findings.problems.is_empty() {
        return Err(findings.problems);
    }
    let science = survey.side.science.iter().map(|layer| &layer.files).zip(&survey.science_needs);
    let compat = survey.side.compat.iter().map(|layer| &layer.files).zip(&survey.compat_needs);
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
