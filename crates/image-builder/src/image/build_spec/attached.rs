//! Finds the build spec of an image, in its label or among the artifacts that refer to the image,
//! and verifies it.
//!
//! Any client with push access to a repository can attach an artifact to an image there, and can
//! write the list of artifacts. So a spec counts only if it verifies against the image's own
//! labels, which its digest covers. Specs that cannot be read or do not verify are skipped; at most
//! [`MOST`] artifacts are read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plan::label::{self, oci};
use plan::spec::{ARTIFACT_TYPE, Spec};
use plan::{ImageName, Provenance};
use planner::Request;
use planner::build_spec::{Recorded, verify};
use registry::{ErrorKind, Registry};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::cli::exit::CliError;
use crate::image::build_spec;
use crate::image::locate::{ImageInfo, ImageLocator};
use crate::report::text::format::count;

/// Most artifacts of one image that are read.
const MOST: usize = 1000;
/// Size limits of the rounds in which artifacts are read, small ones first: hiding a spec behind
/// other artifacts costs as many bytes.
const SIZES: [usize; 3] = [256 << 10, 2 << 20, build_spec::LARGEST];
/// Artifacts that are read at a time.
const AT_ONCE: usize = 4;
/// Time limit for reading all artifacts.
const PATIENCE: Duration = Duration::from_secs(120);
/// Most reasons that are reported.
const REASONS: usize = 3;

/// A verified spec that was attached to an image.
#[derive(Debug)]
pub(crate) struct AttachedSpec {
    pub(crate) spec: Spec,
    /// `label` or `artifact`.
    pub(crate) by: &'static str,
    /// Why other attached texts are not the image's spec: some of the reasons, for people.
    pub(crate) refused: Vec<String>,
}

/// The build as recorded in the image's labels.
#[derive(Debug)]
struct Judge {
    inputs: String,
    repository: String,
    build_tag: String,
    commit: Option<String>,
    repo: Option<String>,
    /// Digests of the images that it was made from, by reference.
    images: BTreeMap<String, Option<String>>,
    base_digest: Option<String>,
    request: Request,
}

impl Judge {
    /// Returns `None` if the labels lack a value that a spec is verified with.
    fn new(seen: &ImageInfo, trail: &Provenance, request: &Request) -> Option<Self> {
        let top = trail.top();
        let label = |key: &str| seen.labels.get(key).filter(|value| !value.is_empty()).cloned();
        Some(Self {
            inputs: top.inputs.clone()?,
            repository: top.repository(),
            build_tag: top.version.clone()?,
            commit: label(oci::REVISION),
            repo: trail.repo.clone(),
            images: top.from.as_ref().map(|from| from.images.clone()).unwrap_or_default(),
            base_digest: label(oci::BASE_DIGEST),
            request: request.clone(),
        })
    }

    /// Verifies a spec, and reduces its exact images to those that the image's labels confirm.
    fn verified(&self, mut spec: Spec) -> Result<Spec, String> {
        let recorded = Recorded {
            inputs: &self.inputs,
            repository: &self.repository,
            build_tag: &self.build_tag,
            commit: self.commit.as_deref(),
        };
        verify(&spec, &recorded, &self.request)?;
        // The images of parents are looked up in that repo.
        if let Some(repo) = self.repo.as_ref().filter(|repo| **repo != spec.repo) {
            return Err(format!("the spec has the repo {:?}, and the image {repo:?}", spec.repo));
        }
        spec.resolved = std::mem::take(&mut spec.resolved)
            .into_iter()
            .filter_map(|(name, exact)| {
                let digest = ImageName::parse(&exact).ok()?.digest?;
                let of_image = self.images.get(&name).cloned().flatten();
                let is_told =
                    of_image.as_ref() == Some(&digest) || self.base_digest.as_ref() == Some(&digest);
                let exact = ImageName::parse(&name).ok().filter(|_| is_told)?.with_digest(&digest);
                Some((name, exact))
            })
            .collect();
        Ok(spec)
    }
}

/// Finds the spec of an image: in its label, and if that is missing or incomplete, among the
/// artifacts that refer to the image.
///
/// # Errors
/// Errors of registries, and an error if there are specs but none verifies.
pub(crate) async fn find(
    locator: &ImageLocator,
    seen: &ImageInfo,
    trail: &Provenance,
    request: &Request,
) -> anyhow::Result<Option<AttachedSpec>> {
    let Some(judge) = Judge::new(seen, trail, request).map(Arc::new) else { return Ok(None) };
    let mut refused = Vec::new();
    let text = seen.labels.get(&label::spec(&trail.prefix)).filter(|text| !text.is_empty());
    let labelled = text.map(|text| {
        build_spec::decode(text).map_err(|error| format!("{error:#}")).and_then(|spec| judge.verified(spec))
    });
    let labelled = match labelled {
        Some(Ok(spec)) => Some(AttachedSpec { spec, by: "label", refused: Vec::new() }),
        Some(Err(why)) => {
            refused.push(format!("label: {why}"));
            None
        }
        None => None,
    };
    if let (Some(digest), false) =
        (&seen.digest, labelled.as_ref().is_some_and(|found| found.spec.is_whole()))
    {
        let image = ImageName { tag: None, digest: Some(digest.clone()), ..seen.name.clone() };
        match among_artifacts(&locator.registry, &image, &judge, &mut refused).await {
            Ok(Some(spec)) if labelled.is_none() || spec.is_whole() => {
                return Ok(Some(AttachedSpec { spec, by: "artifact", refused: shortened(refused) }));
            }
            Ok(_) => {}
            Err(error) if labelled.is_none() && error.kind != ErrorKind::Connection => {
                return Err(error.into());
            }
            Err(_) => {}
        }
    }
    if labelled.is_none() && !refused.is_empty() {
        let message = format!(
            "{} refers to {}, and none is its build spec",
            count(refused.len(), "label or artifact"),
            seen.name
        );
        return Err(not_trusted(message, shortened(refused)).into());
    }
    Ok(labelled.map(|found| AttachedSpec { refused: shortened(refused), ..found }))
}

/// Returns the error for texts that are not the spec of the image to which they are attached.
pub(crate) fn not_trusted(message: String, refused: Vec<String>) -> CliError {
    CliError::does_not_hold(message).list(refused).help(
        "anybody who may push there can attach such a text: do not trust it. In a clone of its source tree, \
         `image-builder rebuild REF` needs nothing but the commit",
    )
}

/// Shortens the list of reasons to [`REASONS`] and the number of the others.
fn shortened(mut refused: Vec<String>) -> Vec<String> {
    let all = refused.len();
    refused.truncate(REASONS);
    if all > REASONS {
        refused.push(format!("and {} more", all - REASONS));
    }
    refused
}

/// The result of reading an artifact.
enum Read {
    Spec(Box<Spec>),
    /// Not a spec of this image, and the reason.
    Other(String),
    /// Missing, unreadable or too large.
    Failed(String),
}

/// Returns the first complete spec that verifies, else any that does. Adds the others to `refused`.
async fn among_artifacts(
    registry: &Registry,
    image: &ImageName,
    judge: &Arc<Judge>,
    refused: &mut Vec<String>,
) -> Result<Option<Spec>, registry::Error> {
    let mut left: Vec<String> = Vec::new();
    for found in registry.referrers(image, ARTIFACT_TYPE).await? {
        if left.len() < MOST && !left.contains(&found.digest) {
            left.push(found.digest);
        }
    }
    let (mut partial, over) = (None, Instant::now() + PATIENCE);
    for limit in SIZES {
        let (mut tasks, mut failed) = (JoinSet::new(), Vec::new());
        let mut waiting = std::mem::take(&mut left).into_iter();
        loop {
            while tasks.len() < AT_ONCE
                && let Some(digest) = waiting.next()
            {
                let (registry, image, judge) = (registry.clone(), image.clone(), Arc::clone(judge));
                tasks.spawn(async move {
                    let read = read(&registry, &image, &digest, limit, &judge).await;
                    (digest, read)
                });
            }
            let Ok(Some(done)) = timeout_at(over, tasks.join_next()).await else { break };
            match done {
                Ok((_, Read::Spec(spec))) if spec.is_whole() => return Ok(Some(*spec)),
                Ok((_, Read::Spec(spec))) => partial = partial.or(Some(*spec)),
                Ok((digest, Read::Other(why))) => refused.push(format!("{digest}: {why}")),
                Ok((digest, Read::Failed(why))) => failed.push((digest, why)),
                Err(_) => {}
            }
        }
        if limit == build_spec::LARGEST || Instant::now() >= over {
            refused.extend(failed.into_iter().map(|(digest, why)| format!("{digest}: {why}")));
            break;
        }
        left = failed.into_iter().map(|(digest, _)| digest).collect();
    }
    Ok(partial)
}

async fn read(registry: &Registry, image: &ImageName, digest: &str, limit: usize, judge: &Judge) -> Read {
    let json = match registry.artifact(image, digest, limit).await {
        Ok(Some(json)) => json,
        Ok(None) => return Read::Failed("it is not there".to_owned()),
        Err(error) => return Read::Failed(error.message),
    };
    let spec = Spec::from_json(&json).map_err(|error| error.to_string());
    match spec.and_then(|spec| judge.verified(spec)) {
        Ok(spec) => Read::Spec(Box::new(spec)),
        Err(why) => Read::Other(why),
    }
}
