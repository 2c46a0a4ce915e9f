//! Opens a source tree and makes a plan by the flags. Shared by every subcommand that plans.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use plan::Plan;
use planner::git::{self, Comparison, OpenedTree};
use planner::{Planned, Request, Selection};

use crate::cli::args::{Purpose, TreeArguments};
use crate::cli::env;
use crate::cli::exit::{CliError, InvalidTree};
use crate::registries::{base_images, published};

/// The side that the tree is compared with.
#[derive(Debug, Clone)]
pub(crate) enum Baseline {
    /// A comparison within git's history.
    History(Comparison),
    /// The published images.
    Published,
    /// The external base images in registries.
    Bases,
}

/// Returns the comparison that the flags select.
pub(crate) fn baseline(arguments: &TreeArguments) -> anyhow::Result<Baseline> {
    if arguments.since_published {
        return Ok(Baseline::Published);
    }
    comparison(arguments).map(Baseline::History)
}

/// Reads the source tree and makes a plan.
pub(crate) fn planned(
    arguments: &TreeArguments,
    baseline: Baseline,
    purpose: Purpose,
) -> anyhow::Result<(OpenedTree, Planned)> {
    match baseline {
        Baseline::History(comparison) => {
            let dry_run = matches!(purpose, Purpose::Look | Purpose::LookAtPush);
            let options = git::Options { dry_run, ..options(arguments, comparison)? };
            let opened = git::open(&options)?;
            let planned = plan(arguments, &opened)?;
            Ok((opened, planned))
        }
        Baseline::Bases => {
            let opened = open(arguments, Comparison::parse("HEAD")?)?;
            let planned = base_images::plan(&opened, &request_in(arguments, &opened))?;
            Ok((opened, planned))
        }
        Baseline::Published => {
            // Any existing base is sufficient.
            let options = options(arguments, Comparison::parse("HEAD")?)?;
            let opened = git::open(&options)?;
            let planned = published::plan(&opened, &options, &request(arguments), purpose)?;
            Ok((opened, planned))
        }
    }
}

/// Reads the source tree that the flags name.
pub(crate) fn open(arguments: &TreeArguments, comparison: Comparison) -> anyhow::Result<OpenedTree> {
    Ok(git::open(&options(arguments, comparison)?)?)
}

/// Returns the options for reading the tree.
pub(crate) fn options(arguments: &TreeArguments, comparison: Comparison) -> anyhow::Result<git::Options> {
    Ok(git::Options {
        start: start(arguments.root.as_deref())?,
        comparison,
        untracked: arguments.untracked,
        with_ignored: arguments.with_ignored.clone(),
        build_number: arguments.build_number,
        dry_run: false,
    })
}

/// Returns the source tree's location: `--root`, or the current directory.
pub(crate) fn start(root: Option<&Path>) -> anyhow::Result<PathBuf> {
    match root {
        Some(root) => Ok(root.to_owned()),
        None => std::env::current_dir().context("cannot determine the current directory"),
    }
}

/// Returns the git repository that contains the current directory, for commands that need no source
/// tree.
pub(crate) fn repository() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let found = here.ancestors().find(|directory| directory.join(".git").symlink_metadata().is_ok());
    found.map(Path::to_owned)
}

/// Makes a plan for a tree.
pub(crate) fn plan(arguments: &TreeArguments, opened: &OpenedTree) -> anyhow::Result<Planned> {
    Ok(planner::plan(&opened.inputs, &request_in(arguments, opened)).map_err(InvalidTree)?)
}

/// The largest plan that is read.
const LARGEST_PLAN: u64 = 64 << 20;

/// Reads a plan that `--out` saved; `-` is stdin.
pub(crate) fn read(file: &Path) -> anyhow::Result<Plan> {
    let file = if file == Path::new("-") { Path::new("/dev/stdin") } else { file };
    let bytes = env::read_file(file, LARGEST_PLAN)?;
    let text = String::from_utf8(bytes).map_err(|_| {
        CliError::usage(format!("{} is not a plan: it is not UTF-8", file.display()))
            .help("save one with --out FILE")
    })?;
    Plan::from_json(&text).with_context(|| format!("{}", file.display()))
}

/// Returns the comparison of `--ref`, or the default.
pub(crate) fn comparison(arguments: &TreeArguments) -> anyhow::Result<Comparison> {
    Ok(match &arguments.reference {
        Some(text) => Comparison::parse(text)?,
        None => Comparison::default(),
    })
}

/// As [`request`], with the directories of `--include` and `--ignore` relative to the source tree's
/// root. The flags may have absolute paths, or paths relative to the current directory.
fn request_in(arguments: &TreeArguments, opened: &OpenedTree) -> Request {
    let mut request = request(arguments);
    let below_root = |directory: &mut String| {
        let is_layer = |path: &str| opened.inputs.now.layers.iter().any(|layer| layer.path == path);
        if is_layer(directory.trim_start_matches("./").trim_end_matches('/')) {
            return;
        }
        // Joining an absolute path to another path returns the absolute path.
        let here = std::env::current_dir().ok().and_then(|here| here.join(&*directory).canonicalize().ok());
        let below = here.as_deref().and_then(|here| here.strip_prefix(&opened.root).ok()?.to_str());
        if let Some(path) = below.filter(|path| is_layer(path)) {
            *directory = path.to_owned();
        }
    };
    request.ignore.iter_mut().for_each(below_root);
    if let Selection::Include(directories) = &mut request.selection {
        directories.iter_mut().for_each(below_root);
    }
    request
}

/// Converts the flags to a request to the planner.
pub(crate) fn request(arguments: &TreeArguments) -> Request {
    let selection = if arguments.all {
        Selection::All
    } else if arguments.include.is_empty() {
        Selection::Changed
    } else {
        Selection::Include(arguments.include.clone())
    };
    Request {
        selection,
        ignore: arguments.ignore.clone(),
        repo: env::given(arguments.repo.as_deref()),
        allow_orphan: arguments.allow_orphan.clone(),
        allow_frontend: arguments.frontends.allowed(),
        rebuild: arguments.rebuild,
        adopt: arguments.adopt,
    }
}
