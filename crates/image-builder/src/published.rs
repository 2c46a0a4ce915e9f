//! What the registry shows of the images that a tree names, for `--since-published`: asks, and has the planner decide.
//!
//! Nothing is pulled: one manifest for each image, and one configuration where the cache does not have it. Less does not tell:
//! registries show labels in configurations only, and of a product the science tag and the final one move by themselves.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use plan::ImageName;
use plan::label::oci;
use planner::config::{self, Config};
use planner::published::{self, Image, Published};
use planner::source::{self, Opened};
use planner::{Planned, Request};

use crate::exit::{Refused, Stop};
use crate::looking::block_on;
use crate::report::problems;
use crate::{asking, environment, output};

/// Plans what is missing in the registry.
pub(crate) fn plan(opened: &Opened, options: &source::Options, request: &Request) -> anyhow::Result<Planned> {
    let references = published::references(&opened.inputs, request).map_err(Refused)?;
    let images = read(references, &configuration(opened))?;
    let wanted = published::commits(&opened.inputs, request, &images);
    let commits = source::recorded(options, &opened.inputs.now, &wanted)?;
    Ok(published::plan(&opened.inputs, request, &Published { images, commits }).map_err(Refused)?)
}

/// The configuration of a tree.
pub(crate) fn configuration(opened: &Opened) -> Config {
    config::parse(opened.inputs.now.config.as_ref()).0
}

/// Nothing, unless somebody has to decide: then what, on stderr, and an error. A plan is shown before.
pub(crate) fn settled(planned: &Planned) -> Result<(), Stop> {
    let undecided = &planned.undecided;
    if undecided.is_empty() {
        return Ok(());
    }
    for image in undecided {
        output::tell(&format!(
            "  {}: {}\n",
            problems::message(&image.reference),
            problems::message(&image.why)
        ));
    }
    let what = match undecided.len() {
        1 => "of a published science image nobody can tell whether it is what the tree holds".to_owned(),
        count => {
            format!(
                "of {count} published science images nobody can tell whether they are what the tree holds"
            )
        }
    };
    Err(Stop::environment(format!("{what}; they are not planned by themselves")).help(
        "--adopt takes them as they are; --rebuild N builds them anew; --ignore DIR leaves a layer out; \
         a commit that a shallow clone lacks comes with git fetch --unshallow",
    ))
}

/// Which labels are kept.
struct Wanted {
    prefix: String,
}

impl Wanted {
    fn of(&self, labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
        let is_wanted =
            |key: &String| key.starts_with(&self.prefix) || key == oci::REVISION || key == oci::BASE_NAME;
        labels.into_iter().filter(|(key, _)| is_wanted(key)).collect()
    }
}

/// Reads what the registry shows for each of these moving tags: a manifest, and a configuration where the cache does not
/// have it. The first answer that says neither what is there nor that nothing is ends it.
pub(crate) fn read(
    references: BTreeSet<String>,
    config: &Config,
) -> anyhow::Result<BTreeMap<String, Option<Image>>> {
    if references.is_empty() {
        return Ok(BTreeMap::new());
    }
    let wanted = Wanted { prefix: format!("{}.", config.label_prefix) };
    let mut registry = asking::registry()?;
    if let Some(directory) = environment::cache_directory() {
        registry = registry.with_cache(directory.join("configs"));
    }
    let mut names = Vec::with_capacity(references.len());
    for reference in references {
        let name = ImageName::parse(&reference).map_err(|error| Stop::usage(error.to_string()))?;
        names.push((reference, name));
    }
    let ask = |(reference, name): (String, ImageName)| {
        let (registry, platform) = (registry.clone(), config.platform.clone());
        async move {
            let answer = registry.image(&name, &platform).await;
            (reference, answer)
        }
    };
    let mut images = BTreeMap::new();
    let take = |(reference, answer): (String, Result<Option<registry::Image>, registry::Error>)| {
        let image = answer.context("what is published cannot be told")?;
        let image = image.map(|image| Image { digest: image.digest, labels: wanted.of(image.labels) });
        images.insert(reference, image);
        Ok(())
    };
    block_on(asking::each(names, ask, take))?;
    Ok(images)
}
