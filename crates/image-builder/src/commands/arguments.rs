//! The command line as a whole: the subcommands, and the help text about them.

use clap::{Parser, Subcommand};

use crate::cli::args::{BuildArguments, CompletionsArguments, PlanArguments, SchemaArguments};
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

/// The end of `--help`.
const AFTER_LONG_HELP: &str = "\
Examples:
  image-builder --dryrun -v              show what would be built, and why
  image-builder                          build on the local Docker engine
  image-builder --push                   build and push to the repo
  image-builder plan --ref origin/main   compare with another commit
  image-builder plan --format json --out plan.json
  image-builder build --plan plan.json   build exactly what was reviewed, or refuse
  image-builder build --all --push --repo registry.example.org/me/test
  image-builder --since-published --push  build what is missing in the registry, every night
  image-builder coverage --compat jupyter  which products carry the current jupyter
  image-builder stale --plan --rebuild 7  plan rebuilds on external bases that moved
  image-builder promote --from registry.example.org/me/test --to registry.example.org/images sky:1.0
                                         publish tested builds, without rebuilding
  image-builder rollback sky:1.0         go back to the previous build
  image-builder explain science/nist     why it is in the plan, or is not
  image-builder graph --format svg --out layers.svg
  image-builder check --fix              report problems, and fix the simple ones
  image-builder inspect rel/nist:1.0     show the provenance of a published image
  image-builder verify rel/nist:1.0      check it against this tree
  image-builder diff sci/nist:1.0-41-0a1b2c3 sci/nist:1.0 --from registry
  image-builder rebuild rel/nist:1.0     build it again, and compare the result

Exit codes:
  0    success, also if there was nothing to do
  1    a bug in this program
  2    usage, an unknown revision, or the source tree is refused
  3    a build failed
  4    a push failed
  5    the environment: git, engine, registry, disk
  6    conflict: another run holds the lock, a build tag exists with other content, a newer build
       is published
  7    a check failed: check, pin --check, diff --check, --forbid-drift, verify, coverage --strict,
       rebuild, inspect of an image without provenance
  130  interrupted (SIGINT; 143: SIGTERM, 129: SIGHUP). A run that was complete by then ends with 0
  With several failures: interrupted, then 5, 6, 3, 4, 7.

Registries:
  Logins are those of `docker login`. CA and client certificates come from certs.d, and the names of
  insecure registries from daemon.json, below /etc/docker and ~/.config/docker (podman's:
  containers). SSL_CERT_FILE names a file that replaces the system's CA certificates.

Data goes to stdout, everything else to stderr.";

const AFTER_HELP: &str = "`--help` shows more, with examples and exit codes.";

/// Plans and builds the layered images of a source tree.
///
/// A source tree has `science/` and `compat/` in a git repository. Changes since a commit decide
/// what is built: each changed science layer, every layer based on one, and the compat image of
/// each affected product. Without a subcommand, the plan is printed and built.
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

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the plan and change nothing, as `--dryrun` does
    Plan(PlanArguments),
    /// Plan and build, as without a subcommand
    Build(Box<BuildArguments>),
    /// Explain why a layer or product is in the plan, or is not
    Explain(ExplainArguments),
    /// Draw the layers and their dependencies
    Graph(GraphArguments),
    /// Report all problems of the source tree, offline
    Check(CheckArguments),
    /// Write the digests of external images into Dockerfiles
    Pin(PinArguments),
    /// Show the provenance of an image, from the engine or a registry
    Inspect(InspectArguments),
    /// Build an image again from its recorded provenance, and compare the result
    Rebuild(RebuildArguments),
    /// Check the provenance of images against this source tree and the registry
    Verify(VerifyArguments),
    /// Show which products carry the current compat stack, and since when others are outdated
    Coverage(CoverageArguments),
    /// Show published images whose external base images moved; --plan plans their rebuild
    Stale(StaleArguments),
    /// Compare the contents of two images: packages, settings, layers; without running or pulling
    /// them
    Diff(DiffArguments),
    /// Copy tested builds unchanged from one repo to another, and update the moving tags there
    Promote(Box<PromoteArguments>),
    /// Point the moving tags of a product to an earlier build
    Rollback(RollbackArguments),
    /// Print the JSON Schema of a descriptor
    Schema(SchemaArguments),
    /// Print a completion script for a shell
    Completions(CompletionsArguments),
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn every_example_of_the_help_can_be_run() {
        let (examples, _) = AFTER_LONG_HELP.split_once("\n\n").expect("they stand first");
        // Lines with deeper indentation continue the line above.
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
