//! `image-builder diff`: reports how the contents of two images differ, on the engine or in
//! registries.
//!
//! Neither image is run, pulled or unpacked: their layers are read as streams.

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use executor::image_reader::{ImageSource, Reader};

use crate::cli::exit::{self, CliError};
use crate::cli::signals::block_on;
use crate::cli::{env, output};
use crate::image::locate::{From, ImageLocator, LookArguments};
use crate::report::image::diff as report;
use crate::report::image::diff::Document;

/// Time-out of a silent engine during an export: the engine prepares a layer before it sends the
/// first byte.
const IDLE: Duration = Duration::from_secs(300);

/// `image-builder diff`
#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    /// The first image: as docker names it, or sci/… or rel/… of the repo
    #[arg(value_name = "IMAGE_A")]
    a: String,
    /// The second image
    #[arg(value_name = "IMAGE_B")]
    b: String,
    #[command(flatten)]
    look: LookArguments,
    /// Output format
    #[arg(long, value_enum, default_value_t = DiffFormat::Text)]
    format: DiffFormat,
    /// Fail with exit code 7 if packages or settings differ; labels and layers may differ
    #[arg(long)]
    check: bool,
    /// Time-out for reading both images
    #[arg(long, value_name = "TIME", default_value = "30m")]
    read_timeout: humantime::Duration,
}

/// `--format` of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DiffFormat {
    /// Readable text
    Text,
    /// A versioned JSON document
    Json,
}

/// Compares two images.
pub(crate) fn run(arguments: &DiffArguments) -> anyhow::Result<u8> {
    let locator = ImageLocator::new(&arguments.look)?;
    let bound = arguments.read_timeout;
    let document = block_on(async {
        let compared = tokio::time::timeout(bound.into(), compare(&locator, &arguments.a, &arguments.b));
        compared.await.unwrap_or_else(|_| {
            let message = format!("{} and {} could not be read in {bound}", arguments.a, arguments.b);
            Err(CliError::environment(message)
                .help("give --read-timeout more than that if they are large")
                .into())
        })
    })?;
    let text = match arguments.format {
        DiffFormat::Text => report::text(&document, output::stdout_paint()),
        DiffFormat::Json => output::json(&document)?,
    };
    output::print_stdout(&text).context("cannot write to stdout")?;
    output::print_stderr(&report::read(&document));
    Ok(if arguments.check && !document.holds() { exit::DOES_NOT_HOLD } else { exit::DONE })
}

async fn compare(locator: &ImageLocator, a: &str, b: &str) -> anyhow::Result<Document> {
    let source = match locator.from {
        From::Auto => ImageSource::Auto,
        From::Engine => ImageSource::Engine,
        From::Registry => ImageSource::Registry,
    };
    let endpoint = env::endpoint(locator.host.as_deref(), &locator.docker_config)?;
    let platform = Some(locator.platform.clone());
    let reader = Reader::open(source, &endpoint, locator.registry.clone(), platform, IDLE).await?;
    let a = reader.find(&locator.name(a)?.to_string(), source).await?;
    let b = reader.find(&locator.name(b)?.to_string(), source).await?;
    let compared = reader.compare(&a, &b).await?;
    Ok(Document::new(&a, &b, &compared, reader.traffic()))
}
