//! Decides which queries need a login with push access.

use std::collections::BTreeSet;

use plan::ImageName;

use crate::wire::Access;

/// Repositories that the caller is about to push to.
///
/// Look-ups there ask for a token with `pull,push`: of a repository that does not exist yet, Quay
/// and others answer a token for reading with 401 or 403, and one for writing with 404. Elsewhere a
/// token for reading is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Pushes {
    /// None: everything is only read.
    #[default]
    Nowhere,
    /// These, each as `registry/repository`.
    To(BTreeSet<String>),
    /// All below a repo, `registry/path` or a registry alone.
    Below(String),
}

impl Pushes {
    /// The repositories of full references, such as those of a plan's build tags.
    pub fn to<'a>(references: impl IntoIterator<Item = &'a str>) -> Self {
        let names = references.into_iter().filter_map(|reference| ImageName::parse(reference).ok());
        Self::To(names.map(|image| image.name()).collect())
    }

    pub(crate) fn access(&self, image: &ImageName) -> Access {
        let is_pushed = match self {
            Self::Nowhere => false,
            Self::To(repositories) => repositories.contains(&image.name()),
            Self::Below(repo) => {
                let name = image.name();
                let rest = name.strip_prefix(repo.trim_end_matches('/'));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        };
        if is_pushed { Access::Push } else { Access::Pull }
    }
}
