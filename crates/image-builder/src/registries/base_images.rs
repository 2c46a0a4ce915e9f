//! Asks registries for the external base images of published layers; the planner decides what is stale.

use std::collections::{BTreeMap, BTreeSet};

use planner::git::Opened;
use planner::published::stale::{self, Bases, Layer, Stale};
use planner::published::{self as planned_from, Image, References};
use planner::{Planned, Request};

use crate::cli::exit::{Refused, Stop};
use crate::cli::signals::block_on;
use crate::registries::published;
use crate::registries::queries::{self, Failed};
use registry::Pushes;

/// Every layer that is made from such images, with what moved; and what could not be asked for.
pub(crate) fn layers(opened: &Opened, request: &Request) -> anyhow::Result<(Vec<Layer>, Failed)> {
    let stale = Stale::new(&opened.inputs, request).map_err(Refused)?;
    let (images, bases, failed) = read(opened, &stale, stale.references())?;
    Ok((stale.layers(&images, &bases), failed))
}

/// Plans what follows the moves.
pub(crate) fn plan(opened: &Opened, request: &Request) -> anyhow::Result<Planned> {
    let stale = Stale::new(&opened.inputs, request).map_err(Refused)?;
    let references = planned_from::references(&opened.inputs, request).map_err(Refused)?.images;
    let (images, bases, failed) = read(opened, &stale, references)?;
    queries::refuse(failed)?;
    let planned = stale.plan(&images, &bases).map_err(Refused)?;
    match stale::built_already(&planned.plan, &images).as_slice() {
        [] => Ok(planned),
        tags @ [first, ..] => Err(Stop::usage(match tags.len() {
            1 => format!("{first} is published already, and a build tag never changes"),
            all => format!("{all} build tags are published already and never change, {first} for one"),
        })
        .help("this commit was built before: give --rebuild N, a number that your CI counts, to plan and to build")
        .into()),
    }
}

type Images = BTreeMap<String, Option<Image>>;

fn read(
    opened: &Opened,
    stale: &Stale<'_>,
    references: BTreeSet<String>,
) -> anyhow::Result<(Images, Bases, Failed)> {
    let config = published::configuration(opened);
    let images = published::read(
        References { images: references, ..References::default() },
        &config,
        Pushes::Nowhere,
        &opened.repository,
    )?;
    let questions = stale.questions(&images);
    if questions.is_empty() {
        return Ok((images, Bases::new(), Failed::new()));
    }
    let registry = queries::registry()?;
    let (bases, failed) = block_on(queries::shown(&registry, questions))?;
    Ok((images, bases, failed))
}
