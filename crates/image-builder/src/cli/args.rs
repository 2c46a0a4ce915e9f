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

/// Which source tree, compared with what.
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
    /// Compare with what the registry shows under the tree's names, instead of with a commit
    ///
    /// Planned is what is absent there (404), what was made from other inputs, and what stands on a
    /// parent that was published again since; so a job that failed goes on where it stopped, and
    /// after a good one there is nothing to do. Reads manifests and configurations, also with
    /// --dryrun; configurations are kept in the user's cache directory.
    #[arg(long, conflicts_with_all = ["reference", "include", "all"])]
    pub(crate) since_published: bool,
    /// Take published images as they are that do not tell what they were made from
    ///
    /// With --since-published. Without it such science images are told, and the exit code is 5;
    /// --rebuild N builds them.
    #[arg(long, requires = "since_published")]
    pub(crate) adopt: bool,
    /// Also see files that git neither tracks nor ignores
    #[arg(long)]
    pub(crate) untracked: bool,
    /// Also see these files or directories that git ignores
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) with_ignored: Vec<PathBuf>,
    /// Registry host and path under which images are named
    ///
    /// Goes before `repo` of image-builder.toml.
    #[arg(long, value_name = "REPO", env = "IMAGE_BUILDER_REPO", hide_env_values = true)]
    pub(crate) repo: Option<String>,
    /// Give up a product of the base of the comparison
    ///
    /// Without this, a product that is gone, that lost its compat, or whose new final layer does
    /// not stand on the old one is refused. To give it up for good, add it to `retired` in
    /// image-builder.toml.
    #[arg(long, value_name = "IMAGE:VERSION", num_args = 1..)]
    pub(crate) allow_orphan: Vec<String>,
    #[command(flatten)]
    pub(crate) frontends: FrontendArguments,
    /// The commit count of build tags, where a shallow clone does not know it
    #[arg(long, value_name = "N")]
    pub(crate) build_number: Option<u64>,
    /// Build again from nothing: -rN on every build tag, no cache, fresh bases
    ///
    /// A build tag never changes, so the same commit needs another one to be built again, for fresh
    /// packages for instance. N is a number that your CI counts. Implies --no-cache and --pull.
    #[arg(long, value_name = "N")]
    pub(crate) rebuild: Option<u64>,
}

/// How a plan is shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "How to show the plan")]
pub(crate) struct ShowArguments {
    /// Say more: intermediate builds and reasons; twice: the files as well
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// How the plan is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Also save the plan, as JSON, to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Who may read a Dockerfile. Shared by all that read a source tree.
#[derive(Debug, Args)]
pub(crate) struct FrontendArguments {
    /// Allow a `# syntax=` frontend beside docker/dockerfile:1
    ///
    /// In the environment, several are separated by commas.
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
    /// The named frontends; an empty environment variable counts as unset.
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
    /// Print the plan and touch nothing: no engine, no registry, no credential, no file
    ///
    /// But for what is asked for by name: --out writes a file, --since-published asks the registry.
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) dryrun: bool,
    /// Push what is built
    #[arg(long)]
    pub(crate) push: bool,
    /// Build the plan of this file, as `--out` saved it, or refuse
    ///
    /// The tree is planned again from what the file says it compared; unless the same plan comes
    /// out, the difference is shown and nothing is built. `-` reads it from stdin.
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
    /// Builds at a time [default: 4, or the engine's CPUs if fewer]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Stop all builds when one fails, not only those that stand on it
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// Which builder of the engine to use
    #[arg(long, value_enum, default_value_t = Builder::Auto)]
    pub(crate) builder: Builder,
    /// Take nothing from the engine's build cache
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Ask the registry for external bases even when they are on the engine
    #[arg(long)]
    pub(crate) pull: bool,
    /// Where a parent is taken from that the repo lacks
    #[arg(long, value_name = "REPO")]
    pub(crate) base_repo: Option<String>,
    /// Push although there are uncommitted changes; to another repo than the tree's own only
    #[arg(long)]
    pub(crate) allow_dirty: bool,
    /// Move a moving tag although what it shows, or a build tag beside it, may be newer
    #[arg(long)]
    pub(crate) allow_older: bool,
    /// Address of the engine, over DOCKER_HOST and docker contexts
    #[arg(long, short = 'H', value_name = "ADDRESS")]
    pub(crate) host: Option<String>,
    /// How long a build or push may be silent before it counts as failed
    #[arg(long, value_name = "TIME", default_value = "30m")]
    pub(crate) idle_timeout: humantime::Duration,
    /// How long one build, or one attempt of a push, may take in all, also when it is not silent
    #[arg(long, value_name = "TIME", default_value = "12h")]
    pub(crate) build_timeout: humantime::Duration,
    /// How long a push is tried again, where that may help
    ///
    /// After a status that passes (408, 429, 5xx), a lost connection, an answer that was cut off,
    /// or silence. The waits grow, and are at least those that the registry asks for. An attempt
    /// that moves on is not cut short.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub(crate) push_timeout: humantime::Duration,
    /// How long an engine that goes away during the run is waited for, before the next build or
    /// push
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) engine_wait: humantime::Duration,
    /// Wait for another run of this source tree, or into this repo from this machine [default:
    /// refuse]
    ///
    /// Without a time, as long as it takes.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_value = "0s",
        default_missing_value = "365days", hide_default_value = true)]
    pub(crate) wait: humantime::Duration,
    /// Take what an earlier run left on the engine instead of building it again
    ///
    /// An image counts when it has the build tag and was made from the same inputs and the same
    /// parents.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Leave out the tests that descriptors name
    #[arg(long)]
    pub(crate) skip_tests: bool,
    /// Build also on bases with ONBUILD instructions, which would run in the build
    #[arg(long)]
    pub(crate) allow_onbuild: bool,
    /// A secret that builds may mount and no image keeps: id=NAME[,src=FILE|,env=VARIABLE]
    ///
    /// For `RUN --mount=type=secret,id=NAME`, as docker has it; may be given several times. Without
    /// src and env, the variable NAME is read, or else the file NAME. Needs BuildKit.
    #[arg(long, value_name = "SECRET")]
    pub(crate) secret: Vec<Secret>,
    /// What of its definition travels with an image, in a label and, when it is pushed, in an
    /// artifact beside it
    #[arg(long, value_enum, default_value_t = SpecScope::Full)]
    pub(crate) spec: SpecScope,
    #[command(flatten)]
    pub(crate) drift: DriftArguments,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t = Progress::Auto)]
    pub(crate) progress: Progress,
    /// Print what builds print, as it comes; each line begins with the build's name
    ///
    /// Without this it goes to the log files alone, and the end of a failed build's log is shown.
    #[arg(long)]
    pub(crate) logs: bool,
}

impl RunArguments {
    /// How much of a run is reported.
    pub(crate) fn detail(&self, show: &ShowArguments) -> Detail {
        Detail { steps: show.verbose > 0, output: show.verbose > 1 || self.logs }
    }
}

/// `image-builder schema`
#[derive(Debug, Args)]
pub(crate) struct SchemaArguments {
    /// Of which kind of layer
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
    /// For people
    Text,
    /// The versioned document
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
    /// BuildKit where the engine has it
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
    /// One line for each thing that happens
    Plain,
    /// One event a line, as JSON, on stdout
    Json,
    /// Only what went wrong
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
