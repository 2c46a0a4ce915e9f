//! `image-builder pin`: asks the registries which digest the tags of external images show, and writes it behind them.
//!
//! Nothing is written unless every digest that is needed is known. `--check` writes nothing at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use plan::ImageName;
use planner::pin::{self, ExternalImage};
use planner::source;
use planner::tree::Tree;
use registry::Registry;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::check::OnDiskArguments;
use crate::exit::{Refused, Stop};
use crate::report::pin::{self as report, Digests, State};
use crate::rewrite::{self, Change};
use crate::{environment, exit, output};

/// Questions at a time.
const AT_ONCE: usize = 16;

/// `image-builder pin`
#[derive(Debug, Args)]
pub(crate) struct PinArguments {
    #[command(flatten)]
    tree: OnDiskArguments,
    /// Write nothing; fail when an image is not pinned, or its tag shows another digest by now
    #[arg(long)]
    check: bool,
    /// Also ask about images that are pinned already, and write what their tags show now
    #[arg(long, conflicts_with = "check")]
    update: bool,
    /// Show what would be written, as a diff, and write nothing
    #[arg(long, visible_alias = "dry-run", conflicts_with = "check")]
    dryrun: bool,
}

/// Pins, or checks that all is pinned.
pub(crate) fn run(arguments: &PinArguments) -> anyhow::Result<u8> {
    let source::OnDisk { root, mut tree, .. } = source::on_disk(&arguments.tree.options()?)?;
    let mut images = external_images(&tree, arguments)?;
    let files: BTreeSet<String> = images.iter().map(|image| image.file.clone()).collect();
    if rewrite::take_from_disk(&mut tree, &root, &files)? {
        images = external_images(&tree, arguments)?;
    }
    let digests = resolve(questions(&images, arguments))?;
    let states: Vec<(&ExternalImage, State)> =
        images.iter().map(|image| (image, report::state(image, &digests))).collect();
    if arguments.check {
        output::data(&report::checked(&states, output::stdout_paint())).context("cannot write to stdout")?;
        let holds = states.iter().all(|(_, state)| state.holds());
        return Ok(if holds { exit::DONE } else { exit::DOES_NOT_HOLD });
    }
    let missing = report::missing(&states, output::stderr_paint());
    if !missing.is_empty() {
        output::tell(&missing);
        return Ok(exit::DOES_NOT_HOLD);
    }
    let changes = changes(&tree, &states);
    if arguments.dryrun {
        output::data(&rewrite::diff(&changes, output::stdout_paint())).context("cannot write to stdout")?;
    } else {
        rewrite::write(&root, &changes)?;
        output::data(&rewrite::list(&changes)).context("cannot write to stdout")?;
    }
    let left = report::left(&states, output::stderr_paint());
    output::tell(&left);
    output::tell(&report::written(&states, arguments.dryrun));
    Ok(if left.is_empty() { exit::DONE } else { exit::DOES_NOT_HOLD })
}

fn external_images(tree: &Tree, arguments: &PinArguments) -> Result<Vec<ExternalImage>, Refused> {
    pin::external_images(tree, &arguments.tree.request()).map_err(Refused)
}

/// Which tags are asked about, each once.
fn questions(images: &[ExternalImage], arguments: &PinArguments) -> BTreeSet<ImageName> {
    let all = arguments.check || arguments.update;
    images
        .iter()
        .filter(|image| all || image.image.digest.is_none())
        .filter_map(ExternalImage::tagged)
        .collect()
}

/// Changes of the files, one for each.
fn changes(tree: &Tree, states: &[(&ExternalImage, State)]) -> Vec<Change> {
    let edits = states.iter().filter_map(|(image, state)| match state {
        State::Unpinned(digest) | State::Moved(digest) => Some((image.file.clone(), image.edit(digest)?)),
        _ => None,
    });
    let texts: BTreeMap<&str, &str> = crate::report::findings::texts(tree);
    let change = |(file, edits): (String, Vec<planner::Edit>)| {
        rewrite::change(&file, texts.get(file.as_str()).copied().unwrap_or_default(), edits)
    };
    rewrite::by_file(edits).into_iter().map(change).collect()
}

/// Asks the registries, with the credentials that a build has.
fn resolve(questions: BTreeSet<ImageName>) -> anyhow::Result<Digests> {
    if questions.is_empty() {
        return Ok(Digests::new());
    }
    let options = registry::Options {
        config: environment::docker_config()?,
        retry_for: std::time::Duration::from_secs(60),
        ..registry::Options::default()
    };
    let registry = Registry::new(options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that ask registries")?;
    let digests = runtime.block_on(ask(registry, questions));
    runtime.shutdown_background();
    digests
}

async fn ask(registry: Registry, questions: BTreeSet<ImageName>) -> anyhow::Result<Digests> {
    let free = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for image in questions {
        let (registry, free) = (registry.clone(), Arc::clone(&free));
        tasks.spawn(async move {
            let _turn = free.acquire_owned().await;
            let answer = registry.resolve(&image).await;
            (image, answer)
        });
    }
    let (mut digests, mut failed) = (Digests::new(), BTreeMap::new());
    while let Some(done) = tasks.join_next().await {
        let (image, answer) = done.context("a question to a registry ended without an answer")?;
        match answer {
            Ok(digest) => {
                digests.insert(image.to_string(), digest);
            }
            Err(error) => {
                failed.insert(image.to_string(), error);
            }
        }
    }
    let mut failed = failed.into_values();
    let Some(first) = failed.next() else { return Ok(digests) };
    // Often one registry is away, and one cause is behind them all.
    let more = failed.len();
    let error = anyhow::Error::new(first);
    Err(match more {
        0 => error,
        more => error.context(Stop::environment(format!("{} images could not be asked for", more + 1))),
    })
}
