//! Flags that several subcommands share, as values.
//!
//! The commands turn them into requests.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::drift::DriftArguments;
use crate::cli::env;
use crate::cli::secrets::Secret;
use crate::image::build_spec::SpecScope;
use crate::report::run::plain::Detail;
use crate::tree::run_files::RunFiles;

/// The source tree and the base of the comparison.
#[derive(Debug, Args)]
#[command(next_help_heading = "What to plan")]
pub(crate) struct TreeArguments {
    /// The source tree: a directory with science/ and compat/
    ///
    /// Default: the nearest one from the current directory upwards.
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// What to compare: A, A..B or A...B [default: HEAD^]
    ///
    /// `A` compares commit A with the working tree, `A..B` two commits, `A...B` commit B with where
    /// it left A. An empty side is HEAD. Of a merge, HEAD^ is the first parent; in a repository's
    /// first commit everything is new.
    #[arg(long = "ref", value_name = "REVISION")]
    pub(crate) reference: Option<String>,
    /// Treat these layers as unchanged
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub(crate) ignore: Vec<String>,
    /// Treat exactly these layers as changed, and no others
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with = "all")]
    pub(crate) include: Vec<String>,
    /// Treat every layer as changed
    #[arg(long)]
    pub(crate) all: bool,
    /// Compare with the images in the registry instead of with a commit
    ///
    /// Plans images that are missing there (404), that were made from other inputs, and that are
    /// based on a parent that was published again since. A job that failed is thus completed by the
    /// next one, and after a successful one there is nothing to do. Reads manifests and
    /// configurations, also with --dryrun; configurations are cached in the user's cache directory.
    #[arg(long, conflicts_with_all = ["reference", "include", "all"])]
    pub(crate) since_published: bool,
    /// Accept published images that have no recorded inputs
    ///
    /// With --since-published. Without this, such science images are listed and the exit code is 5;
    /// --rebuild N builds them.
    #[arg(long, requires = "since_published")]
    pub(crate) adopt: bool,
    /// Include files that git neither tracks nor ignores
    #[arg(long)]
    pub(crate) untracked: bool,
    /// Include these files or directories that git ignores
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) with_ignored: Vec<PathBuf>,
    /// Registry host and path of the images' names
    ///
    /// Overrides `repo` of image-builder.toml.
    #[arg(long, value_name = "REPO", env = "IMAGE_BUILDER_REPO", hide_env_values = true)]
    pub(crate) repo: Option<String>,
    /// Allow this product to be removed
    ///
    /// Without this, a product that is gone, that lost its compat, or whose new final layer does
    /// not descend from the old one is refused. To remove it permanently, add it to `retired` in
    /// image-builder.toml.
    #[arg(long, value_name = "IMAGE:VERSION", num_args = 1..)]
    pub(crate) allow_orphan: Vec<String>,
    #[command(flatten)]
    pub(crate) frontends: FrontendArguments,
    /// The commit count for build tags, if a shallow clone does not have it
    #[arg(long, value_name = "N")]
    pub(crate) build_number: Option<u64>,
    /// Rebuild without a cache and with fresh base images: -rN on every build tag
    ///
    /// A build tag never changes, so a rebuild of the same commit, for instance for fresh packages,
    /// needs another one. N is a number that your CI counts. Implies --no-cache and --pull.
    #[arg(long, value_name = "N")]
    pub(crate) rebuild: Option<u64>,
}

/// How a plan is shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "How to show the plan")]
pub(crate) struct ShowArguments {
    /// Show intermediate builds and reasons; twice: also the files
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Also write the plan to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// The allowed frontends of Dockerfiles. Shared by all commands that read a source tree.
#[derive(Debug, Args)]
pub(crate) struct FrontendArguments {
    /// Allow a `# syntax=` frontend besides docker/dockerfile:1
    ///
    /// In the environment variable, separate several by commas.
    #[arg(
        long,
        value_name = "IMAGE",
        env = "IMAGE_BUILDER_ALLOW_FRONTEND",
        hide_env_values = true,
        value_delimiter = ','
    )]
    allow_frontend: Vec<String>,
}

impl FrontendArguments {
    /// Returns the named frontends; an empty environment variable counts as unset.
    pub(crate) fn allowed(&self) -> Vec<String> {
        self.allow_frontend.iter().filter_map(|name| env::given(Some(name.trim()))).collect()
    }
}

/// `image-builder plan`
#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) tree: TreeArguments,
    #[command(flatten)]
    pub(crate) show: ShowArguments,
}

/// `image-builder build`, and `image-builder` alone.
#[derive(Debug, Args)]
pub(crate) struct BuildArguments {
    #[command(flatten)]
    pub(crate) tree: TreeArguments,
    #[command(flatten)]
    pub(crate) show: ShowArguments,
    #[command(flatten)]
    pub(crate) run: RunArguments,
    #[command(flatten)]
    pub(crate) files: RunFiles,
}

/// How a plan is carried out.
#[derive(Debug, Args)]
#[command(next_help_heading = "How to build")]
pub(crate) struct RunArguments {
    /// Print the plan and change nothing: no engine, no registry, no credential, no file
    ///
    /// Exceptions have flags of their own: --out writes a file, --since-published reads from the
    /// registry.
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) dryrun: bool,
    /// Push the images
    #[arg(long)]
    pub(crate) push: bool,
    /// Build the plan in this file, as written by `--out`, or refuse
    ///
    /// The tree is planned again with the comparison in the file; if the plans differ, the
    /// difference is shown and nothing is built. `-` reads from stdin.
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
    /// Concurrent builds [default: 4, or the engine's CPUs if fewer]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Stop all builds when one fails, not only its dependents
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// Which builder of the engine to use
    #[arg(long, value_enum, default_value_t = Builder::Auto)]
    pub(crate) builder: Builder,
    /// Do not use the engine's build cache
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Look up external base images in the registry even if the engine has them
    #[arg(long)]
    pub(crate) pull: bool,
    /// Fallback repository for parent images that are missing in the repo
    #[arg(long, value_name = "REPO")]
    pub(crate) base_repo: Option<String>,
    /// Push in spite of uncommitted changes; only to another repo than the tree's own
    #[arg(long)]
    pub(crate) allow_dirty: bool,
    /// Update a moving tag even if a newer build may exist
    #[arg(long)]
    pub(crate) allow_older: bool,
    /// Address of the engine; overrides DOCKER_HOST and docker contexts
    #[arg(long, short = 'H', value_name = "ADDRESS")]
    pub(crate) host: Option<String>,
    /// Time-out of a silent build or push
    #[arg(long, value_name = "TIME", default_value = "30m")]
    pub(crate) idle_timeout: humantime::Duration,
    /// Time-out of one build, or of one attempt of a push, even if it is not silent
    #[arg(long, value_name = "TIME", default_value = "12h")]
    pub(crate) build_timeout: humantime::Duration,
    /// Retry transient push failures for this long
    ///
    /// Transient are the statuses 408, 429 and 5xx, a lost connection, a truncated response, and a
    /// time-out. The waits increase, and are at least as long as the registry requests. An attempt
    /// that makes progress is not cut short.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub(crate) push_timeout: humantime::Duration,
    /// Wait this long for an engine that goes away during the run, before the next build or push
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) engine_wait: humantime::Duration,
    /// Wait for another run in this source tree, or into this repo from this machine [default:
    /// refuse]
    ///
    /// Without a time, as long as it takes.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_value = "0s",
        default_missing_value = "365days", hide_default_value = true)]
    pub(crate) wait: humantime::Duration,
    /// Reuse images that an earlier run left on the engine
    ///
    /// An image is reused if it has the build tag and was made from the same inputs and the same
    /// parents.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Skip the tests of images
    #[arg(long)]
    pub(crate) skip_tests: bool,
    /// Allow base images with ONBUILD instructions, which run in the build
    #[arg(long)]
    pub(crate) allow_onbuild: bool,
    /// A secret that builds may mount and that no image keeps: id=NAME[,src=FILE|,env=VARIABLE]
    ///
    /// For `RUN --mount=type=secret,id=NAME`, as in docker; may be repeated. Without src and env,
    /// the value comes from the variable NAME, or else from the file NAME. Needs BuildKit.
    #[arg(long, value_name = "SECRET")]
    pub(crate) secret: Vec<Secret>,
    /// The build spec to attach to an image: in a label and, if it is pushed, in an artifact beside
    /// it
    #[arg(long, value_enum, default_value_t = SpecScope::Full)]
    pub(crate) spec: SpecScope,
    #[command(flatten)]
    pub(crate) drift: DriftArguments,
    /// Progress output
    #[arg(long, value_enum, default_value_t = Progress::Auto)]
    pub(crate) progress: Progress,
    /// Print the output of builds as it arrives; each line begins with the build's name
    ///
    /// Without this, output goes to the log files only, and the end of a failed build's log is
    /// shown.
    #[arg(long)]
    pub(crate) logs: bool,
}

impl RunArguments {
    /// Returns the additional lines that are printed during a run.
    pub(crate) fn detail(&self, show: &ShowArguments) -> Detail {
        Detail { steps: show.verbose > 0, output: show.verbose > 1 || self.logs }
    }
}

/// `image-builder schema`
#[derive(Debug, Args)]
pub(crate) struct SchemaArguments {
    /// The kind of layer
    #[arg(value_enum, default_value_t = SchemaKind::Science)]
    pub(crate) kind: SchemaKind,
}

/// `image-builder completions`
#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// `--format` of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Readable text
    Text,
    /// A versioned JSON document
    Json,
}

/// Which descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaKind {
    /// science/…/sciserver-image.json
    Science,
    /// compat/…/sciserver-image.json
    Compat,
}

/// `--builder`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Builder {
    /// BuildKit if the engine has it
    Auto,
    /// BuildKit, or fail
    Buildkit,
    /// The classic builder
    Classic,
}

/// `--progress`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// tty on a terminal, plain elsewhere
    Auto,
    /// One live line for each running build
    Tty,
    /// One line for each event
    Plain,
    /// Events as JSON, one a line, on stdout
    Json,
    /// Failures only
    Quiet,
}

/// The purpose of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be shown.
    Look,
    /// To be shown, before it is pushed.
    LookAtPush,
    /// To be carried out.
    Build,
    /// To be carried out and pushed.
    Push,
}

impl Purpose {
    /// The purpose by `--dryrun` and `--push`.
    pub(crate) fn of(run: &RunArguments) -> Self {
        match (run.dryrun, run.push) {
            (true, false) => Self::Look,
            (true, true) => Self::LookAtPush,
            (false, false) => Self::Build,
            (false, true) => Self::Push,
        }
    }
}
