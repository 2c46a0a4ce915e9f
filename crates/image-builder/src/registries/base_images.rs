//! Reads the external base images of published layers from registries; the planner decides which
//! layers are stale.

use std::collections::{BTreeMap, BTreeSet};

use planner::git::OpenedTree;
use planner::published::stale::{self, Bases, Layer, Stale};
use planner::published::{self as planned_from, Image, References};
use planner::{Planned, Request};

use crate::cli::exit::{CliError, InvalidTree};
use crate::cli::signals::block_on;
use crate::registries::published;
use crate::registries::queries::{self, QueryErrors};
use registry::Pushes;

/// Returns every layer with external base images and its state, and the failed queries.
pub(crate) fn layers(opened: &OpenedTree, request: &Request) -> anyhow::Result<(Vec<Layer>, QueryErrors)> {
    let stale = Stale::new(&opened.inputs, request).map_err(InvalidTree)?;
    let (images, bases, failed) = read(opened, &stale, stale.references())?;
    Ok((stale.layers(&images, &bases), failed))
}

/// Plans the rebuild of layers whose base images moved.
pub(crate) fn plan(opened: &OpenedTree, request: &Request) -> anyhow::Result<Planned> {
    let stale = Stale::new(&opened.inputs, request).map_err(InvalidTree)?;
    let references = planned_from::references(&opened.inputs, request).map_err(InvalidTree)?.images;
    let (images, bases, failed) = read(opened, &stale, references)?;
    queries::refuse(failed)?;
    let planned = stale.plan(&images, &bases).map_err(InvalidTree)?;
    match stale::built_already(&planned.plan, &images).as_slice() {
        [] => Ok(planned),
        tags @ [first, ..] => Err(CliError::usage(match tags.len() {
            1 => format!("{first} is published already, and a build tag never changes"),
            all => format!("{all} build tags are published already and never change, {first} for one"),
        })
        .help("this commit was built before: give --rebuild N, a number that your CI counts, to plan and to build")
        .into()),
    }
}

type Images = BTreeMap<String, Option<Image>>;

fn read(
    opened: &OpenedTree,
    stale: &Stale<'_>,
    references: BTreeSet<String>,
) -> anyhow::Result<(Images, Bases, QueryErrors)> {
    let config = published::configuration(opened);
    let images = published::read(
        References { images: references, ..References::default() },
        &config,
        Pushes::Nowhere,
        &opened.repository,
    )?;
    let questions = stale.questions(&images);
    if questions.is_empty() {
        return Ok((images, Bases::new(), QueryErrors::new()));
    }
    let registry = queries::registry()?;
    let (bases, failed) = block_on(queries::shown(&registry, questions))?;
    Ok((images, bases, failed))
}
