//! The environment of a modelled run: a registry with atomic requests, engines, and other clients
//! that share them.

use std::collections::BTreeMap;

use super::checks::{Act, By, Step};
use super::story::{Deed, How};

/// An image, with fake digests of its configuration and manifest.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// Its id on the engine.
    pub id: String,
    /// Its digest in a registry.
    pub digest: String,
    pub labels: BTreeMap<String, String>,
    /// Digests of its base images.
    pub parents: Vec<String>,
    /// The commit that it was built from; `None` if another client made it.
    pub commit: Option<usize>,
}

impl Image {
    /// The image as the registry client would return it.
    pub(crate) fn as_seen(&self) -> registry::Image {
        registry::Image {
            digest: self.digest.clone(),
            manifest_digest: self.digest.clone(),
            config_digest: self.id.clone(),
            platform: "linux/amd64".to_owned(),
            created: None,
            labels: self.labels.clone(),
            env: Vec::new(),
            layers: Vec::new(),
            diff_ids: Vec::new(),
        }
    }
}

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A retry may help.
    Passing,
    /// The registry rejects the request permanently.
    Final,
}

/// Which build tags a registry allows to be overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// All, as in most registries.
    Open,
    /// None: a put of another manifest under an existing build tag is rejected.
    Immutable,
}

/// The registry, the engines, and the trace.
#[derive(Debug, Clone)]
pub(crate) struct Outside {
    pub tags: BTreeMap<String, String>,
    /// Every image ever built, by digest.
    pub images: BTreeMap<String, Image>,
    /// For each engine, its images by tag.
    pub engines: Vec<BTreeMap<String, String>>,
    pub steps: Vec<Step>,
    pub injected: usize,
    policy: Policy,
}

impl Outside {
    pub(crate) fn new(engines: usize, policy: Policy) -> Self {
        Self {
            tags: BTreeMap::new(),
            images: BTreeMap::new(),
            engines: vec![BTreeMap::new(); engines],
            steps: Vec::new(),
            injected: 0,
            policy,
        }
    }

    pub(crate) fn note(&mut self, by: By, act: Act) {
        self.steps.push(Step { by, act });
    }

    /// Creates an image that is on no engine yet.
    pub(crate) fn make(
        &mut self,
        labels: BTreeMap<String, String>,
        parents: Vec<String>,
        commit: Option<usize>,
    ) -> Image {
        let number = self.images.len();
        let (id, digest) = (format!("sha256:config{number}"), format!("sha256:manifest{number}"));
        let image = Image { id, digest: digest.clone(), labels, parents, commit };
        self.images.insert(digest, image.clone());
        image
    }

    /// Reads a tag; `first` is a read before the first build.
    pub(crate) fn look(
        &mut self,
        by: By,
        tag: &str,
        first: bool,
        fault: Option<How>,
    ) -> Result<Option<registry::Image>, Trouble> {
        self.fails(fault)?;
        let shown = self.tags.get(tag).cloned();
        let image = shown.as_ref().map(|digest| self.images[digest].as_seen());
        let tag = tag.to_owned();
        self.note(by, if first { Act::LookedFirst { tag, shown } } else { Act::Looked { tag, shown } });
        Ok(image)
    }

    /// Puts a manifest under a tag.
    pub(crate) fn put(&mut self, by: By, tag: &str, digest: &str, fault: Option<How>) -> Result<(), Trouble> {
        match fault {
            Some(How::Before | How::Refused) => return self.fails(fault),
            Some(How::NotHeld) => {
                self.injected += 1;
                return Ok(());
            }
            Some(How::After) | None => {}
        }
        let taken = self.tags.get(tag).is_some_and(|old| old != digest);
        if self.policy == Policy::Immutable && taken && is_build_tag(tag) {
            return Err(Trouble::Final);
        }
        self.tags.insert(tag.to_owned(), digest.to_owned());
        self.note(by, Act::Put { tag: tag.to_owned(), digest: digest.to_owned() });
        self.fails(fault)
    }

    fn fails(&mut self, fault: Option<How>) -> Result<(), Trouble> {
        let Some(how) = fault else { return Ok(()) };
        self.injected += 1;
        Err(if how == How::Refused { Trouble::Final } else { Trouble::Passing })
    }

    /// Changes a tag on behalf of another client.
    pub(crate) fn person(&mut self, tag: &str, deed: Deed) {
        match deed {
            Deed::Overwrite => {
                let alien = self.make(BTreeMap::new(), Vec::new(), None);
                self.tags.insert(tag.to_owned(), alien.digest.clone());
                self.note(By::Person, Act::Put { tag: tag.to_owned(), digest: alien.digest });
            }
            Deed::Delete => {
                self.tags.remove(tag);
                self.note(By::Person, Act::Deleted { tag: tag.to_owned() });
            }
        }
    }
}

/// Whether a full reference ends in a build tag.
pub(crate) fn is_build_tag(reference: &str) -> bool {
    reference.rsplit_once(':').is_some_and(|(_, tag)| plan::BuildTag::parse(tag).is_some())
}
