//! `image-builder pin`: looks up the digests of external images in registries, and writes them into
//! the Dockerfiles.
//!
//! Writes nothing unless every required digest is known. `--check` writes nothing at all.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use clap::Args;
use plan::ImageName;
use planner::git;
use planner::pin::{self, ExternalImage};
use planner::tree::Tree;

use super::check::OnDiskArguments;
use crate::cli::exit::{self, InvalidTree};
use crate::cli::output;
use crate::cli::signals::block_on;
use crate::registries::queries;
use crate::report::registry::pin as report;
use crate::report::registry::pin::{Digests, State};
use crate::tree::rewrite::{self, Change};

/// `image-builder pin`
#[derive(Debug, Args)]
pub(crate) struct PinArguments {
    #[command(flatten)]
    tree: OnDiskArguments,
    /// Write nothing; fail if an image is not pinned, or if its tag shows another digest now
    #[arg(long)]
    check: bool,
    /// Also update images that are pinned already
    #[arg(long, conflicts_with = "check")]
    update: bool,
    /// Show the changes as a diff, and write nothing
    #[arg(long, visible_alias = "dry-run", conflicts_with = "check")]
    dryrun: bool,
}

/// Pins references, or checks that all are pinned.
pub(crate) fn run(arguments: &PinArguments) -> anyhow::Result<u8> {
    let git::OnDisk { root, repository, mut tree } = git::on_disk(&arguments.tree.options()?)?;
    let mut images = external_images(&tree, arguments)?;
    let files: BTreeSet<String> = images.iter().map(|image| image.file.clone()).collect();
    if rewrite::take_from_disk(&mut tree, &root, &files)? {
        images = external_images(&tree, arguments)?;
    }
    let digests = resolve(questions(&images, arguments))?;
    let states: Vec<(&ExternalImage, State)> =
        images.iter().map(|image| (image, report::state(image, &digests))).collect();
    if arguments.check {
        output::print_stdout(&report::checked(&states, output::stdout_paint()))
            .context("cannot write to stdout")?;
        let holds = states.iter().all(|(_, state)| state.holds());
        return Ok(if holds { exit::DONE } else { exit::DOES_NOT_HOLD });
    }
    let missing = report::missing(&states, output::stderr_paint());
    if !missing.is_empty() {
        output::print_stderr(&missing);
        return Ok(exit::DOES_NOT_HOLD);
    }
    let changes = changes(&tree, &states);
    if arguments.dryrun {
        output::print_stdout(&rewrite::diff(&changes, output::stdout_paint()))
            .context("cannot write to stdout")?;
    } else {
        rewrite::write(&root, &repository, &changes)?;
        output::print_stdout(&rewrite::list(&changes)).context("cannot write to stdout")?;
    }
    let left = report::left(&states, output::stderr_paint());
    output::print_stderr(&left);
    output::print_stderr(&report::written(&states, arguments.dryrun));
    Ok(if left.is_empty() { exit::DONE } else { exit::DOES_NOT_HOLD })
}

fn external_images(tree: &Tree, arguments: &PinArguments) -> Result<Vec<ExternalImage>, InvalidTree> {
    pin::external_images(tree, &arguments.tree.request()).map_err(InvalidTree)
}

/// Returns the tags to look up, each once.
fn questions(images: &[ExternalImage], arguments: &PinArguments) -> BTreeSet<ImageName> {
    let all = arguments.check || arguments.update;
    images
        .iter()
        .filter(|image| all || image.image.digest.is_none())
        .filter_map(ExternalImage::tagged)
        .collect()
}

/// Returns the changes of the files, one for each file.
fn changes(tree: &Tree, states: &[(&ExternalImage, State)]) -> Vec<Change> {
    let edits = states.iter().filter_map(|(image, state)| match state {
        State::Unpinned(digest) | State::Moved(digest) => Some((image.file.clone(), image.edit(digest)?)),
        _ => None,
    });
    let texts: BTreeMap<&str, &str> = crate::report::tree::findings::texts(tree);
    let change = |(file, edits): (String, Vec<planner::Edit>)| {
        rewrite::change(&file, texts.get(file.as_str()).copied().unwrap_or_default(), edits)
    };
    rewrite::by_file(edits).into_iter().map(change).collect()
}

/// Looks up the digests in the registries.
fn resolve(questions: BTreeSet<ImageName>) -> anyhow::Result<Digests> {
    if questions.is_empty() {
        return Ok(Digests::new());
    }
    let registry = queries::registry()?;
    let (digests, failed) = block_on(async { queries::digests(&registry, questions).await })?;
    queries::refuse(failed)?;
    Ok(digests)
}
