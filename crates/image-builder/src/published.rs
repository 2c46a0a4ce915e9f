//! What the registry shows of the images that a tree names, for `--since-published`: asks, and has the planner decide.
//!
//! Nothing is pulled: one manifest for each image, and one configuration where the cache does not have it. Less does not tell:
//! registries show labels in configurations only, and of a product the science tag and the final one move by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use plan::ImageName;
use plan::label::oci;
use planner::published::{self, Image, Published};
use planner::source::{self, Opened};
use planner::{Planned, Request};
use registry::Registry;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::environment;
use crate::exit::{Refused, Stop};
use crate::output;
use crate::report::problems;

/// Images that are asked for at a time.
const AT_ONCE: usize = 16;
/// How long a registry is asked again, where that may help.
const PATIENCE: Duration = Duration::from_secs(60);

/// Plans what is missing in the registry.
pub(crate) fn plan(opened: &Opened, options: &source::Options, request: &Request) -> anyhow::Result<Planned> {
    let references = published::references(&opened.inputs, request).map_err(Refused)?;
    let (config, _) = planner::config::parse(opened.inputs.now.config.as_ref());
    let labels = Wanted { prefix: format!("{}.", config.label_prefix) };
    let images = read(references, &config.platform, &labels)?;
    let wanted = published::commits(&opened.inputs, request, &images);
    let commits = source::recorded(options, &opened.inputs.now, &wanted)?;
    Ok(published::plan(&opened.inputs, request, &Published { images, commits }).map_err(Refused)?)
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

fn read(
    references: BTreeSet<String>,
    platform: &str,
    wanted: &Wanted,
) -> anyhow::Result<BTreeMap<String, Option<Image>>> {
    if references.is_empty() {
        return Ok(BTreeMap::new());
    }
    let config = environment::docker_config()?;
    let options = registry::Options { config, retry_for: PATIENCE, ..registry::Options::default() };
    let mut registry = Registry::new(options)?;
    if let Some(directory) = environment::cache_directory() {
        registry = registry.with_cache(directory.join("configs"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that ask the registry")?;
    let images = runtime.block_on(ask(registry, references, platform, wanted));
    runtime.shutdown_background();
    images
}

/// Asks for all of them. The first answer that says neither what is there nor that nothing is ends it.
async fn ask(
    registry: Registry,
    references: BTreeSet<String>,
    platform: &str,
    wanted: &Wanted,
) -> anyhow::Result<BTreeMap<String, Option<Image>>> {
    let free = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for reference in references {
        let name = ImageName::parse(&reference).map_err(|error| Stop::usage(error.to_string()))?;
        let (registry, free, platform) = (registry.clone(), Arc::clone(&free), platform.to_owned());
        tasks.spawn(async move {
            let _turn = free.acquire_owned().await;
            let answer = registry.image(&name, &platform).await;
            (reference, answer)
        });
    }
    let mut images = BTreeMap::new();
    while let Some(done) = tasks.join_next().await {
        let (reference, answer) = done.context("a question to the registry ended without an answer")?;
        let image = answer.context("what is published cannot be told")?;
        let image = image.map(|image| Image { digest: image.digest, labels: wanted.of(image.labels) });
        images.insert(reference, image);
    }
    Ok(images)
}
