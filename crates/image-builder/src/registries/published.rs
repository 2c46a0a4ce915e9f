//! Reads the images that a tree names from the registry, for `--since-published`; the planner
//! decides which builds are missing.
//!
//! Nothing is pulled. For each image: one manifest, one HEAD for the build tag that its labels
//! name, and one configuration unless it is cached or a product's labels already have its content.
//! Fewer requests are not enough: registries show labels in configurations only, and the science
//! tag and the final tag of a product are updated independently.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use plan::ImageName;
use plan::label::oci;
use planner::config::{self, Config};
use planner::git::{self, OpenedTree};
use planner::published::{self, BuildTagShows, Image, Published, References};
use planner::{Planned, Request};
use registry::{Pushes, Registry, Shown};

use crate::cli::args::Purpose;
use crate::cli::exit::{CliError, InvalidTree};
use crate::cli::signals::block_on;
use crate::cli::{env, output};
use crate::registries::queries;
use crate::report::text::problems;

/// Plans images that are missing in the registry.
pub(crate) fn plan(
    opened: &OpenedTree,
    options: &git::Options,
    request: &Request,
    purpose: Purpose,
) -> anyhow::Result<Planned> {
    let references = published::references(&opened.inputs, request).map_err(InvalidTree)?;
    let config = configuration(opened);
    let pushes = match purpose {
        Purpose::Push | Purpose::LookAtPush => {
            Pushes::Below(request.repo.clone().unwrap_or_else(|| config.repo.clone()))
        }
        Purpose::Look | Purpose::Build => Pushes::Nowhere,
    };
    let mut images = read(references, &config, pushes.clone(), &opened.repository)?;
    let mut further = published::further(&opened.inputs, request, &images);
    if !further.images.is_empty() {
        images.extend(read(
            References { images: further.images, ..References::default() },
            &config,
            pushes,
            &opened.repository,
        )?);
        further = published::further(&opened.inputs, request, &images);
    }
    let commits = git::recorded(options, &opened.inputs.now, &further.commits)?;
    Ok(published::plan(&opened.inputs, request, &Published { images, commits }).map_err(InvalidTree)?)
}

/// Returns the configuration of a tree.
pub(crate) fn configuration(opened: &OpenedTree) -> Config {
    config::parse(opened.inputs.now.config.as_deref()).0
}

/// Fails if an image needs a decision, after listing these images on stderr. The caller shows the
/// plan first.
pub(crate) fn settled(planned: &Planned) -> Result<(), CliError> {
    let undecided = &planned.undecided;
    if undecided.is_empty() {
        return Ok(());
    }
    for image in undecided {
        output::print_stderr(&format!(
            "  {}: {}\n",
            problems::message(&image.reference),
            problems::message(&image.why)
        ));
    }
    let what = match undecided.len() {
        1 => "cannot determine whether a published science image matches the tree".to_owned(),
        count => {
            format!("of {count} published science images: cannot determine whether they match the tree")
        }
    };
    Err(CliError::environment(format!("{what}; they are not planned by themselves")).help(
        "--adopt accepts them unchanged; --rebuild N rebuilds them; --ignore DIR leaves a layer out; \
         a commit that a shallow clone lacks comes with git fetch --unshallow",
    ))
}

/// Reads the image of each moving tag: a manifest, and a configuration unless it is cached. If a
/// product's labels record everything about its science image, that image's manifest shows whether
/// it is still the same. The first response that shows neither presence nor absence is an error.
pub(crate) fn read(
    references: References,
    config: &Config,
    pushes: Pushes,
    tree: &Path,
) -> anyhow::Result<BTreeMap<String, Option<Image>>> {
    if references.images.is_empty() {
        return Ok(BTreeMap::new());
    }
    let registry = env::cached(queries::registry()?.pushing(pushes), tree);
    let reader = Arc::new(Reader {
        registry,
        platform: config.platform.clone(),
        prefix: config.label_prefix.clone(),
        kept: format!("{}.", config.label_prefix),
    });
    let mut images = BTreeMap::new();
    let take = |answers: Result<Vec<(String, Option<Image>)>, registry::Error>| {
        images.extend(answers.context("cannot determine what is published")?);
        Ok(())
    };
    let ask = |questions: Vec<Question>| Arc::clone(&reader).ask(questions);
    block_on(queries::each_of(in_order(references)?, Vec::len, ask, take))?;
    Ok(images)
}

/// A requested image: its full reference, as text and parsed.
type Question = (String, ImageName);

/// Returns groups of queries that are sent one after the other: a product and its science image,
/// any other image by itself.
fn in_order(references: References) -> anyhow::Result<Vec<Vec<Question>>> {
    let References { images, finals } = references;
    let below: BTreeSet<&String> = finals.values().collect();
    let mut questions = Vec::with_capacity(images.len());
    for reference in images.iter().filter(|reference| !below.contains(reference)) {
        let together = std::iter::once(reference).chain(finals.get(reference));
        let named = together.map(|reference| Ok((reference.clone(), ImageName::parse(reference)?)));
        let named: Result<Vec<Question>, plan::ImageNameError> = named.collect();
        questions.push(named.map_err(|error| CliError::usage(error.to_string()))?);
    }
    Ok(questions)
}

/// Reads published images.
struct Reader {
    registry: Registry,
    platform: String,
    prefix: String,
    /// The prefix of our labels' keys, with its dot.
    kept: String,
}

impl Reader {
    async fn ask(
        self: Arc<Self>,
        questions: Vec<Question>,
    ) -> Result<Vec<(String, Option<Image>)>, registry::Error> {
        let mut answers: Vec<(String, Option<Image>)> = Vec::with_capacity(questions.len());
        for (reference, name) in questions {
            let above = answers.last().and_then(|(_, image)| image.as_ref());
            let below = above.and_then(|above| published::below(above, &reference, &self.prefix));
            let is_known = |digest: &str| below.as_ref().is_some_and(|below| below.is(digest));
            let image = match self.registry.image_unless(&name, &self.platform, is_known).await? {
                None => None,
                Some(Shown::Known(digest)) => below.map(|below| below.shown_as(digest)),
                Some(Shown::Image(image)) => {
                    let build_tag = self.build_tag(&name, &image.digest, &image.labels).await?;
                    let labels = self.wanted(image.labels);
                    Some(Image { digest: image.digest, labels, is_inherited: false, build_tag })
                }
            };
            answers.push((reference, image));
        }
        Ok(answers)
    }

    /// Reads, by a HEAD, the digest of the build tag that an image's labels name: a moving tag may
    /// have been pointed to another image with the right labels.
    async fn build_tag(
        &self,
        moving: &ImageName,
        digest: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<BuildTagShows, registry::Error> {
        let Some(name) = published::named_build(moving, labels, &self.prefix) else {
            return Ok(BuildTagShows::Untold);
        };
        let shown = self.registry.resolve(&name).await?;
        let tag = name.tag.unwrap_or_default();
        Ok(match shown {
            Some(shown) if shown == digest => BuildTagShows::It,
            digest => BuildTagShows::Other { tag, digest },
        })
    }

    /// Returns the labels that are needed.
    fn wanted(&self, labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
        let others = [oci::REVISION, oci::BASE_NAME, oci::BASE_DIGEST];
        let is_wanted = |key: &String| key.starts_with(&self.kept) || others.contains(&key.as_str());
        labels.into_iter().filter(|(key, _)| is_wanted(key)).collect()
    }
}
