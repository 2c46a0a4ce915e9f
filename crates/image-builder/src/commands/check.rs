//! `image-builder check`: reports all problems of a source tree, without an engine, a registry or a
//! commit.
//!
//! `--fix` applies the fixes that need no decision. The tree is then read and checked again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use plan::Revision;
use planner::config::{GUIDELINES, Level};
use planner::git::{self, Buildable, Comparison};
use planner::tree::{Base, Tree};
use planner::{Checked, Request, code};

use crate::cli::args::FrontendArguments;
use crate::cli::exit::{self, CliError};
use crate::cli::{env, escape, output};
use crate::report::tree::{code_quality, findings};
use crate::tree::open;
use crate::tree::rewrite::{self, Change};

/// The value of `--deny` for all warnings.
const ALL_WARNINGS: &str = "warnings";

/// `image-builder check`
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    tree: OnDiskArguments,
    /// Also report products that would be lost since a commit: A, A..B or A...B
    ///
    /// As for a plan: `A` compares with the working tree, `A..B` checks commit B. Without this, no
    /// commit is needed.
    #[arg(long = "ref", value_name = "REVISION", conflicts_with = "fix")]
    reference: Option<String>,
    /// Allow this product to be removed
    #[arg(long, value_name = "IMAGE:VERSION", num_args = 1.., requires = "reference")]
    allow_orphan: Vec<String>,
    /// Treat violations of these guidelines as errors, whatever image-builder.toml says; `warnings`
    /// for all warnings
    #[arg(long, value_name = "CODE", num_args = 1.., value_parser = guideline)]
    deny: Vec<String>,
    /// Add missing registry names, and quotes around versions
    ///
    /// Nothing else of a file changes. Lists the changes, then checks the tree again.
    #[arg(long)]
    fix: bool,
    /// With --fix: show the changes as a diff, and write nothing
    #[arg(long, visible_alias = "dry-run", requires = "fix")]
    dryrun: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = CheckFormat::Text)]
    format: CheckFormat,
    /// Write the findings to this file, and readable text to stdout
    #[arg(long, value_name = "FILE", conflicts_with = "dryrun")]
    out: Option<PathBuf>,
}

/// The source tree on disk.
#[derive(Debug, Args)]
pub(crate) struct OnDiskArguments {
    /// The source tree: a directory with science/ and compat/
    ///
    /// Default: the nearest one from the current directory upwards.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Include files that git neither tracks nor ignores
    #[arg(long)]
    untracked: bool,
    /// Registry host and path of the images' names
    ///
    /// Overrides `repo` of image-builder.toml.
    #[arg(long, value_name = "REPO", env = "IMAGE_BUILDER_REPO", hide_env_values = true)]
    repo: Option<String>,
    #[command(flatten)]
    frontends: FrontendArguments,
}

impl OnDiskArguments {
    /// The options for reading the tree.
    pub(crate) fn options(&self) -> anyhow::Result<git::Options> {
        let start = open::start(self.root.as_deref())?;
        Ok(git::Options { start, untracked: self.untracked, ..git::Options::default() })
    }

    /// The flags as a request to the planner.
    pub(crate) fn request(&self) -> Request {
        Request {
            repo: env::given(self.repo.as_deref()),
            allow_frontend: self.frontends.allowed(),
            ..Request::default()
        }
    }
}

/// `--format` of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CheckFormat {
    /// Readable text
    Text,
    /// A versioned JSON document
    Json,
    /// SARIF 2.1.0, for GitHub's code scanning
    Sarif,
    /// A GitLab code quality report
    Gitlab,
}

/// The tree that is checked.
struct CheckedTree {
    root: PathBuf,
    repository: PathBuf,
    tree: Tree,
    /// The base of the comparison, with `--ref`.
    since: Option<(Base, Revision)>,
}

impl CheckedTree {
    fn check(&self, arguments: &CheckArguments) -> Checked {
        let mut request = arguments.tree.request();
        request.allow_orphan.clone_from(&arguments.allow_orphan);
        let (base, revision) = self.since.as_ref().map(|(base, revision)| (base, revision)).unzip();
        let mut checked = planner::check(&self.tree, base, revision, &request);
        for finding in &mut checked.findings {
            let is_named = |word: &String| word == finding.problem.code || word == ALL_WARNINGS;
            if arguments.deny.iter().any(is_named) {
                finding.level = Level::Deny;
            }
        }
        checked
    }
}

/// Checks the tree and prints the findings.
pub(crate) fn run(arguments: &CheckArguments) -> anyhow::Result<u8> {
    let mut judged = read(arguments)?;
    let mut checked = judged.check(arguments);
    if arguments.fix {
        let changes = fixes(&mut judged, &mut checked, arguments)?;
        if arguments.dryrun {
            output::print_stdout(&rewrite::diff(&changes, output::stdout_paint()))
                .context("cannot write to stdout")?;
            return Ok(exit::DONE);
        }
        rewrite::write(&judged.root, &judged.repository, &changes)?;
        output::print_stderr(&rewrite::list(&changes));
        if !changes.is_empty() {
            judged = read(arguments)?;
            checked = judged.check(arguments);
        }
    }
    tell(arguments, &judged, &checked)?;
    let is_refused = checked.findings.iter().any(|finding| finding.level == Level::Deny);
    Ok(if is_refused { exit::DOES_NOT_HOLD } else { exit::DONE })
}

fn read(arguments: &CheckArguments) -> anyhow::Result<CheckedTree> {
    let mut options = arguments.tree.options()?;
    let Some(text) = &arguments.reference else {
        let git::OnDisk { root, repository, tree } = git::on_disk(&options)?;
        return Ok(CheckedTree { root, repository, tree, since: None });
    };
    options.comparison = Comparison::parse(text)?;
    let opened = git::open(&options)?;
    debug_assert!(opened.buildable == Buildable::WorkingTree || !arguments.fix, "clap keeps these apart");
    let inputs = opened.inputs;
    let since = Some((inputs.base, inputs.revision));
    Ok(CheckedTree { root: opened.root, repository: opened.repository, tree: inputs.now, since })
}

/// Returns the changes of `--fix`. Checks the tree again if git has other line ends than the disk.
fn fixes(
    judged: &mut CheckedTree,
    checked: &mut Checked,
    arguments: &CheckArguments,
) -> anyhow::Result<Vec<Change>> {
    let fixable = |checked: &Checked| -> Vec<(String, planner::Edit)> {
        let fixable = checked.findings.iter().filter_map(|finding| {
            Some((finding.problem.file.clone()?, planner::Edit::clone(finding.problem.fix.as_ref()?)))
        });
        fixable.collect()
    };
    let files: BTreeSet<String> = fixable(checked).into_iter().map(|(file, _)| file).collect();
    if rewrite::take_from_disk(&mut judged.tree, &judged.root, &files)? {
        *checked = judged.check(arguments);
    }
    let texts = findings::texts(&judged.tree);
    let edits = rewrite::by_file(fixable(checked));
    let change = |(file, edits): (String, Vec<planner::Edit>)| {
        let text = texts.get(file.as_str()).copied().unwrap_or_default();
        rewrite::change(&file, text, edits)
    };
    Ok(edits.into_iter().filter(|(file, _)| files.contains(file)).map(change).collect())
}

fn tell(arguments: &CheckArguments, judged: &CheckedTree, checked: &Checked) -> anyhow::Result<()> {
    let texts = findings::texts(&judged.tree);
    let below = below(&judged.repository, &judged.root);
    let text = |format, paint| match format {
        CheckFormat::Text => findings::text(checked, &texts, paint),
        CheckFormat::Json => findings::json(checked),
        CheckFormat::Sarif => code_quality::sarif(checked, &below),
        CheckFormat::Gitlab => code_quality::gitlab(checked, &below),
    };
    if let Some(path) = &arguments.out {
        let text = text(arguments.format, crate::report::text::format::Paint::Plain);
        output::save(path, Some(&judged.repository), &text)?;
    }
    let shown = if arguments.out.is_some() { CheckFormat::Text } else { arguments.format };
    output::print_stdout(&text(shown, output::stdout_paint())).context("cannot write to stdout")
}

/// Returns the path of a source tree in its repository: empty, or ending in `/`.
fn below(repository: &Path, root: &Path) -> String {
    match root.strip_prefix(repository).ok().and_then(Path::to_str) {
        Some(below) if !below.is_empty() => format!("{below}/"),
        _ => String::new(),
    }
}

/// Parses a code that can be denied: any code that is a warning unless configured.
fn guideline(text: &str) -> Result<String, CliError> {
    let known = GUIDELINES.iter().any(|(code, _)| *code == text) || code::summary(text).is_some();
    if known || text == ALL_WARNINGS {
        return Ok(text.to_owned());
    }
    let text = escape::escape(text);
    let stop = CliError::usage(format!("there is no code {text}"));
    Err(match code::closest(&text) {
        Some(closest) => CliError::usage(format!("there is no code {text}; did you mean {closest}?")),
        None => stop,
    })
}
