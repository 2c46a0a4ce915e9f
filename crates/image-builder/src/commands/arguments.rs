//! The command line as a whole: subcommands, and the help that teaches them.

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
/// A source tree has `science/` and `compat/` in a git repository. What changed since a commit
/// decides what is built: each changed science layer, every layer that stands on one, and the
/// compat image of each product that this touches. Without a subcommand, the plan is printed and
/// built.
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
    /// Tell which published images are made from external ones that moved since; --plan follows
    /// them
    Stale(StaleArguments),
    /// Tell what differs inside two images: packages, settings, layers; nothing is run or pulled
    Diff(DiffArguments),
    /// Copy builds as they are from one repo to another, and move the tags there: test, look,
    /// promote
    Promote(Box<PromoteArguments>),
    /// Have the moving tags of a product show an earlier build again
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
        // Lines that are indented further continue the line above.
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
