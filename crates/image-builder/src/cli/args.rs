//! The command line: flags as values, and the help that teaches them.
//!
//! Knows nothing of what the flags lead to; the commands turn them into requests.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cli::drift::DriftArguments;
use crate::cli::env;
use crate::cli::secrets::Secret;
use crate::commands::check::CheckArguments;
use crate::commands::coverage::CoverageArguments;
use crate::commands::diff::DiffArguments;
use crate::commands::explain::ExplainArguments;
use crate::commands::graph::GraphArguments;
use crate::commands::inspect::InspectArguments;
use crate::commands::pin::PinArguments;
use crate::commands::promote::PromoteArguments;
use crate::commands::rebuild::RebuildArguments;
use crate::commands::rollback::RollbackArguments;
use crate::commands::stale::StaleArguments;
use crate::commands::verify::VerifyArguments;
use crate::image::build_spec::Travels;
use crate::report::run::plain::Detail;
use crate::tree::run_files::RunFiles;

/// What `--help` says at its end.
const AFTER_LONG_HELP: &str = "\
Examples:
  image-builder --dryrun -v              show what would be built from here, and why
  image-builder                          build it on the local Docker engine
  image-builder --push                   build it and push it to the repo
  image-builder plan --ref origin/main   what differs from another commit
  image-builder plan --format json --out plan.json
  image-builder build --plan plan.json   build exactly what was reviewed, or refuse
  image-builder build --all --push --repo registry.example.org/me/test
  image-builder --since-published --push  build what is missing in the registry, every night
  image-builder coverage --compat jupyter  which products carry the jupyter of this tree
  image-builder stale --plan --rebuild 7  what to build since bases moved in their registries
  image-builder promote --from registry.example.org/me/test --to registry.example.org/images sky:1.0
                                         publish what was tested, without building it again
  image-builder rollback sky:1.0         show the build before again
  image-builder explain science/nist     why it is in the plan, or is not
  image-builder graph --format svg --out layers.svg
  image-builder check --fix              what is wrong, and mend what needs no thought
  image-builder inspect rel/nist:1.0     what a published image was made from
  image-builder verify rel/nist:1.0      whether it is what this tree gives
  image-builder diff sci/nist:1.0-41-0a1b2c3 sci/nist:1.0 --from registry
  image-builder rebuild rel/nist:1.0     make it again, and say whether it came out the same

Exit codes:
  0    done, also when there was nothing to do
  1    a defect of this program
  2    usage, an unknown revision, or the source tree is refused
  3    a build failed
  4    a push failed
  5    the environment: git, engine, registry, disk
  6    conflict: another run holds the lock, a build tag exists with other content, a newer build
       is published
  7    what was asked does not hold: check, pin --check, diff --check, --forbid-drift, verify,
       coverage --strict, rebuild, inspect of an image without a trail
  130  interrupted (SIGINT; 143: terminated, 129: the terminal hung up). A run that was complete by
       then ends with 0
  Of several: interrupted, then 5, 6, 3, 4, 7.

Registries:
  Logins are those of `docker login`. Authorities and client certificates come from certs.d, and the
  names of insecure registries from daemon.json, below /etc/docker and ~/.config/docker (podman's:
  containers). SSL_CERT_FILE names a file that stands for the system's authorities.

Data goes to stdout, everything else to stderr.";

const AFTER_HELP: &str = "`--help` says more, with examples and exit codes.";

/// Plans and builds the layered images of a source tree.
///
/// A source tree has `science/` and `compat/` in a git repository. What changed since a commit decides what is
/// built: each changed science layer, every layer that stands on one, and the compat image of each product that
/// this touches. Without a subcommand, the plan is printed and built.
#[derive(Debug, Parser)]
#[command(
    name = "image-builder",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_long_help = AFTER_LONG_HELP,
    after_help = AFTER_HELP,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) build: BuildArguments,
}

/// What else the command can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the plan and touch nothing, as `--dryrun` does
    Plan(PlanArguments),
    /// Plan and build, as without a subcommand
    Build(Box<BuildArguments>),
    /// Tell why a layer or product is in the plan, or is not
    Explain(ExplainArguments),
    /// Draw the layers and what stands on what
    Graph(GraphArguments),
    /// Tell everything that is wrong with the source tree, offline
    Check(CheckArguments),
    /// Write the digests that registries show for external images
    Pin(PinArguments),
    /// Tell what an image was made from: its trail, from the engine or straight from a registry
    Inspect(InspectArguments),
    /// Make an image again from what it tells of itself, and say whether it came out the same
    Rebuild(RebuildArguments),
    /// Hold the trail of images against this source tree and what is published
    Verify(VerifyArguments),
    /// Tell which products carry the compat stack of this tree, and since when the others do not
    Coverage(CoverageArguments),
    /// Tell which published images are made from external ones that moved since; --plan follows them
    Stale(StaleArguments),
    /// Tell what differs inside two images: packages, settings, layers; nothing is run or pulled
    Diff(DiffArguments),
    /// Copy builds as they are from one repo to another, and move the tags there: test, look, promote
    Promote(Box<PromoteArguments>),
    /// Have the moving tags of a product show an earlier build again
    Rollback(RollbackArguments),
    /// Print the JSON Schema of a descriptor
    Schema(SchemaArguments),
    /// Print a completion script for a shell
    Completions(CompletionsArguments),
}

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
    /// `A` compares commit A with the working tree, `A..B` two commits, `A...B` commit B with where it left A.
    /// An empty side is HEAD. Of a merge, HEAD^ is the first parent; in a repository's first commit everything
    /// is new.
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
    /// Planned is what is absent there (404), what was made from other inputs, and what stands on a parent that was
    /// published again since; so a job that failed goes on where it stopped, and after a good one there is nothing to do.
    /// Reads manifests and configurations, also with --dryrun; configurations are kept in the user's cache directory.
    #[arg(long, conflicts_with_all = ["reference", "include", "all"])]
    pub(crate) since_published: bool,
    /// Take published images as they are that do not tell what they were made from
    ///
    /// With --since-published. Without it such science images are told, and the exit code is 5; --rebuild N builds them.
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
    /// Without this, a product that is gone, that lost its compat, or whose new final layer does not stand on the
    /// old one is refused. To give it up for good, add it to `retired` in image-builder.toml.
    #[arg(long, value_name = "IMAGE:VERSION", num_args = 1..)]
    pub(crate) allow_orphan: Vec<String>,
    #[command(flatten)]
    pub(crate) frontends: FrontendArguments,
    /// The commit count of build tags, where a shallow clone does not know it
    #[arg(long, value_name = "N")]
    pub(crate) build_number: Option<u64>,
    /// Build again from nothing: -rN on every build tag, no cache, fresh bases
    ///
    /// A build tag never changes, so the same commit needs another one to be built again, for fresh packages for
    /// instance. N is a number that your CI counts. Implies --no-cache and --pull.
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
    /// The frontends that were named; what is empty in the environment counts as not given.
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
    /// The tree is planned again from what the file says it compared; unless the same plan comes out, the
    /// difference is shown and nothing is built. `-` reads it from stdin.
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
    /// After a status that passes (408, 429, 5xx), a lost connection, an answer that was cut off, or silence. The waits
    /// grow, and are at least those that the registry asks for. An attempt that moves on is not cut short.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub(crate) push_timeout: humantime::Duration,
    /// How long an engine that goes away during the run is waited for, before the next build or push
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) engine_wait: humantime::Duration,
    /// Wait for another run of this source tree, or into this repo from this machine [default: refuse]
    ///
    /// Without a time, as long as it takes.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_value = "0s",
        default_missing_value = "365days", hide_default_value = true)]
    pub(crate) wait: humantime::Duration,
    /// Take what an earlier run left on the engine instead of building it again
    ///
    /// An image counts when it has the build tag and was made from the same inputs and the same parents.
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
    /// For `RUN --mount=type=secret,id=NAME`, as docker has it; may be given several times. Without src and env, the
    /// variable NAME is read, or else the file NAME. Needs BuildKit.
    #[arg(long, value_name = "SECRET")]
    pub(crate) secret: Vec<Secret>,
    /// What of its definition travels with an image, in a label and, when it is pushed, in an artifact beside it
    #[arg(long, value_enum, default_value_t = Travels::Full)]
    pub(crate) spec: Travels,
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
    /// What is told of a run besides.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn every_example_of_the_help_can_be_run() {
        let (examples, _) = AFTER_LONG_HELP.split_once("\n\n").expect("they stand first");
        // What stands further in goes on with the line above.
        let commands: Vec<&str> = examples.lines().filter_map(|line| line.strip_prefix("  image-")).collect();
        assert!(commands.len() >= 15, "{commands:?}");
        for command in commands {
            let (command, _) = command.split_once("  ").unwrap_or((command, ""));
            let parsed = Arguments::try_parse_from(command.split_whitespace());
            assert!(parsed.is_ok(), "image-{command}: {}", parsed.expect_err("it is none"));
        }
    }

    #[test]
    fn flags_of_the_predecessor_keep_their_meaning() {
        let arguments = Arguments::parse_from([
            "image-builder",
            "-vv",
            "--ignore",
            "science/a",
            "science/b",
            "--repo",
            "localhost:5000/x",
            "--include",
            "science/c",
            "science/d",
            "--ref",
            "HEAD~2",
            "--root",
            "tree",
            "--untracked",
            "--push",
            "--dryrun",
        ]);
        assert!(arguments.command.is_none());
        let BuildArguments { tree, show, run, .. } = arguments.build;
        assert_eq!(show.verbose, 2);
        assert_eq!(tree.ignore, ["science/a", "science/b"]);
        assert_eq!(tree.include, ["science/c", "science/d"]);
        assert_eq!(tree.repo.as_deref(), Some("localhost:5000/x"));
        assert_eq!(tree.reference.as_deref(), Some("HEAD~2"));
        assert_eq!(tree.root, Some(PathBuf::from("tree")));
        assert!(tree.untracked && run.push && run.dryrun);
    }

    #[test]
    fn lists_may_be_given_in_pieces() {
        let arguments =
            Arguments::parse_from(["image-builder", "plan", "--ignore", "a", "-v", "--ignore", "b", "c"]);
        let Some(Command::Plan(plan)) = arguments.command else { panic!("a plan") };
        assert_eq!(plan.tree.ignore, ["a", "b", "c"]);
        assert_eq!(plan.show.verbose, 1);
    }

    #[test]
    fn both_spellings_of_dry_run_mean_the_same() {
        for flag in ["--dryrun", "--dry-run"] {
            assert!(Arguments::parse_from(["image-builder", flag]).build.run.dryrun, "{flag}");
        }
    }
}
