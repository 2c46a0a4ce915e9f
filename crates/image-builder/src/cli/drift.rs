//! The flags for package comparison: `--show-drift`, `--forbid-drift` and what they default to.

use std::time::Duration;

use clap::Args;
use executor::Drift;

/// Whether packages may move without the layer's files.
#[derive(Debug, Args)]
pub(crate) struct DriftArguments {
    /// Show the packages that moved since what each moving tag shows in the registry
    ///
    /// Both images are read for that, from the engine and the registry. --push with --rebuild shows
    /// them without being asked.
    #[arg(long)]
    show_drift: bool,
    /// Fail a science image, before anything of it is published, whose packages moved although
    /// nothing of its layer changed
    ///
    /// Exit code 7. What moved in the layer that it stands on is judged there; an external base is
    /// a part of what stands on it. Where the published image cannot be read, drift cannot be ruled
    /// out: the build fails with exit code 5.
    #[arg(long)]
    forbid_drift: bool,
    /// How long reading the packages of one image and of the published one may take, for
    /// --show-drift and --forbid-drift
    ///
    /// Beyond it, --show-drift goes on with a notice; --forbid-drift fails the build (exit code 5).
    #[arg(long, value_name = "TIME", default_value = "30m")]
    read_timeout: humantime::Duration,
}

impl DriftArguments {
    /// How long the packages of an image may take.
    pub(crate) fn read_timeout(&self) -> Duration {
        self.read_timeout.into()
    }

    /// The executor's option. A rebuild is made to get new packages, so package changes are
    /// reported when one is published.
    pub(crate) fn wanted(&self, publishes_rebuild: bool) -> Drift {
        match self {
            Self { forbid_drift: true, .. } => Drift::Forbid,
            Self { show_drift: true, .. } => Drift::Show,
            _ if publishes_rebuild => Drift::Show,
            _ => Drift::Ignore,
        }
    }
}
