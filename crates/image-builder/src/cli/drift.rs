//! The flags for comparing packages: `--show-drift`, `--forbid-drift` and their defaults.

use std::time::Duration;

use clap::Args;
use executor::Drift;

/// Whether packages may move without the layer's files.
#[derive(Debug, Args)]
pub(crate) struct DriftArguments {
    /// Show package changes since the image of each moving tag in the registry
    ///
    /// Both images are read for this, from the engine and the registry. --push with --rebuild shows
    /// them without this flag.
    #[arg(long)]
    show_drift: bool,
    /// Fail a science image, before it is published, if its packages changed although its layer did
    /// not
    ///
    /// Exit code 7. Changes that come from the parent layer are judged there; an external base
    /// image belongs to the layer that is based on it. If the published image cannot be read, drift
    /// cannot be excluded: the build fails with exit code 5.
    #[arg(long)]
    forbid_drift: bool,
    /// Time-out for reading the packages of one image and of the published one, for --show-drift
    /// and --forbid-drift
    ///
    /// After it, --show-drift continues with a notice; --forbid-drift fails the build (exit code
    /// 5).
    #[arg(long, value_name = "TIME", default_value = "30m")]
    read_timeout: humantime::Duration,
}

impl DriftArguments {
    /// Time-out for reading the packages of an image.
    pub(crate) fn read_timeout(&self) -> Duration {
        self.read_timeout.into()
    }

    /// Converts the flags to the executor's option. A rebuild is made to get new packages, so
    /// package changes are reported when a rebuild is published.
    pub(crate) fn wanted(&self, publishes_rebuild: bool) -> Drift {
        match self {
            Self { forbid_drift: true, .. } => Drift::Forbid,
            Self { show_drift: true, .. } => Drift::Show,
            _ if publishes_rebuild => Drift::Show,
            _ => Drift::Ignore,
        }
    }
}
