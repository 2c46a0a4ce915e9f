//! `image-builder inspect`: shows the provenance of an image, from the engine or a registry,
//! without pulling it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use plan::{ImageName, Provenance};
use planner::Request;

use crate::cli::exit::{self, CliError};
use crate::cli::output;
use crate::cli::signals::block_on;
use crate::image::build_spec::attached;
use crate::image::locate::{FoundIn, ImageInfo, ImageLocator, LookArguments};
use crate::report::image::inspect::Inspection;
use crate::report::image::{inspect as report, spec as report_spec};

/// Time-out for reading the labels of external base images.
const BASES: Duration = Duration::from_secs(15);

/// Most external base images whose labels are read.
const MOST_BASES: usize = 4;

/// `image-builder inspect`
#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// An image: as docker names it, or sci/… or rel/… of the repo
    #[arg(value_name = "REF")]
    reference: String,
    #[command(flatten)]
    look: LookArguments,
    /// Print the build spec attached to the image: Dockerfile, descriptors of the chain, commit,
    /// exact base images
    #[arg(long)]
    spec: bool,
    /// Show every label with its author
    #[arg(short, long)]
    verbose: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = InspectFormat::Text)]
    format: InspectFormat,
}

/// `--format` of an inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum InspectFormat {
    /// Readable text
    Text,
    /// A versioned JSON document
    Json,
}

/// Inspects one image.
pub(crate) fn run(arguments: &InspectArguments) -> anyhow::Result<u8> {
    let locator = ImageLocator::new(&arguments.look)?;
    if arguments.spec {
        return spec(arguments, &locator);
    }
    let inspection = block_on(inspect(&locator, &arguments.reference))?;
    let text = match arguments.format {
        InspectFormat::Text => report::text(&inspection, arguments.verbose, output::stdout_paint()),
        InspectFormat::Json => output::json(&inspection)?,
    };
    output::print_stdout(&text).context("cannot write to stdout")?;
    Ok(if inspection.trail.is_some() { exit::DONE } else { exit::DOES_NOT_HOLD })
}

/// Prints the build spec that is attached to the image.
fn spec(arguments: &InspectArguments, locator: &ImageLocator) -> anyhow::Result<u8> {
    let found = block_on(async {
        let seen = locator.look(&arguments.reference).await?;
        match Provenance::read(&seen.labels, Some(&locator.config.label_prefix)) {
            Some(trail) => attached::find(locator, &seen, &trail, &Request::default()).await,
            None => Ok(None),
        }
    })?;
    let Some(found) = found else {
        let message = format!("no build spec travelled with {}", arguments.reference);
        return Err(CliError::does_not_hold(message).into());
    };
    let text = match arguments.format {
        InspectFormat::Text => report_spec::text(&found, output::stdout_paint()),
        InspectFormat::Json => output::json(&found.spec)?,
    };
    output::print_stdout(&text).context("cannot write to stdout")?;
    Ok(exit::DONE)
}

async fn inspect(locator: &ImageLocator, text: &str) -> anyhow::Result<Inspection> {
    let seen = locator.look(text).await?;
    let trail = Provenance::read(&seen.labels, Some(&locator.config.label_prefix));
    let bases = match &trail {
        Some(trail) if report::has_other_labels(trail, &seen.labels) => bases(locator, trail, &seen).await,
        _ => BTreeMap::new(),
    };
    Ok(Inspection::new(seen, trail.as_ref(), &bases))
}

/// Reads the labels of the external images in the provenance, as far as they can be read.
async fn bases(
    locator: &ImageLocator,
    trail: &Provenance,
    seen: &ImageInfo,
) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let ask = async {
        for (reference, digest) in report::bases(trail).into_iter().take(MOST_BASES) {
            let Ok(mut name) = ImageName::parse(reference) else { continue };
            name.digest = digest.map(str::to_owned).or(name.digest);
            let shown = match seen.place {
                FoundIn::Registry => locator.in_registry(&name).await,
                FoundIn::Engine => locator.on_engine(&name).await,
            };
            if let Ok(Some(base)) = shown {
                found.insert(reference.to_owned(), base.labels);
            }
        }
    };
    let _ = tokio::time::timeout(BASES, ask).await;
    found
}
