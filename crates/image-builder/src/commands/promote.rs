//! `image-builder promote`: copies builds from one repo to another, without building them again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use executor::Failure;
use executor::promote::{self, Copying, Event, Promotion, Route, Unit};
use indicatif::{ProgressBar, ProgressStyle};
use plan::Relation;
use planner::config::{self, Config};
use planner::{LayerGraph, Request, git};
use registry::{Pushes, Registry};

use crate::cli::args::{Format, Progress};
use crate::cli::exit::{self, CliError, InvalidTree};
use crate::cli::signals::{self, Signals};
use crate::cli::{env, escape, output};
use crate::registries::products;
use crate::report::registry::promote as report;
use crate::report::text::format::list;
use crate::report::text::problems;
use crate::tree::open;

/// Redraw interval of the live line while no event arrives.
const TICK: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Examples:
  image-builder promote --from registry.example.org/me/test --to registry.example.org/images sky:1.0 --dryrun
  image-builder promote --from registry.example.org/me/test --to registry.example.org/images sky:1.0
  image-builder promote --from registry.example.org/images --to mirror.example.net/images

Exit codes: 0 done, also when all was there · 2 usage · 4 a copy failed · 5 something is missing in the source, or a
registry does not answer · 6 a build tag exists with other content, or something newer is published · 130/143/129 interrupted.
What was copied stays: the same command again does only what is missing.";

/// `image-builder promote`
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct PromoteArguments {
    /// Products, or other images with their version [default: all products of the source tree]
    #[arg(value_name = "IMAGE:VERSION")]
    products: Vec<String>,
    /// The repo with the builds: a registry host with a path
    #[arg(long, value_name = "REPO")]
    from: String,
    /// The repo to copy to
    #[arg(long, value_name = "REPO")]
    to: String,
    /// Skip products missing in --from instead of failing
    #[arg(long)]
    present: bool,
    /// Show what would be done, and change nothing
    #[arg(long, visible_alias = "dry-run")]
    dryrun: bool,
    /// Update a moving tag even if a newer build may exist
    #[arg(long)]
    allow_older: bool,
    /// Retry transient failures of a request for this long
    ///
    /// Transient are the statuses 408, 429 and 5xx, and a lost connection. The waits increase, and
    /// are at least as long as the registry requests.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    push_timeout: humantime::Duration,
    #[command(flatten)]
    tree: NamesArguments,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Progress output
    #[arg(long, value_enum, default_value_t = Progress::Auto)]
    progress: Progress,
}

/// The source tree that names products. Shared with `rollback`.
#[derive(Debug, Args)]
pub(crate) struct NamesArguments {
    /// The source tree, which defines the layers of a product
    ///
    /// Default: the nearest one from the current directory upwards.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The platform whose labels are read, of an image for several [default: as in
    /// image-builder.toml, or linux/amd64]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
}

/// The names in a source tree.
pub(crate) struct Names {
    pub(crate) root: PathBuf,
    /// The root of the git repository that contains the tree.
    pub(crate) repository: PathBuf,
    pub(crate) config: Config,
    pub(crate) graph: LayerGraph,
    pub(crate) units: BTreeMap<String, Unit>,
    pub(crate) platform: String,
}

impl NamesArguments {
    /// Reads the tree on disk.
    pub(crate) fn read(&self) -> anyhow::Result<Names> {
        let start = open::start(self.root.as_deref())?;
        let on_disk = git::on_disk(&git::Options { start, ..git::Options::default() })?;
        let graph = planner::graph(&on_disk.tree, &Request::default()).map_err(InvalidTree)?;
        let config = config::parse(on_disk.tree.config.as_deref()).0;
        let given = env::given(self.platform.as_deref());
        Ok(Names {
            root: on_disk.root,
            repository: on_disk.repository,
            platform: given.unwrap_or_else(|| config.platform.clone()),
            units: products::units(&graph),
            graph,
            config,
        })
    }
}

/// Returns a function that reports how a commit relates to another one in the history of the source
/// tree.
pub(crate) fn history(root: &Path) -> impl Fn(&str, &str) -> Relation + Send + Sync + use<> {
    let root = root.to_owned();
    move |ours, other| git::relation(&root, ours, other)
}

/// Returns the client for commands that write to registries.
pub(crate) fn registry(push_timeout: Duration, tree: &Path) -> anyhow::Result<Registry> {
    let config = env::docker_config()?;
    let options = registry::Options { config, retry_for: push_timeout, ..registry::Options::default() };
    Ok(env::cached(Registry::new(options), tree))
}

/// Promotes the selected products.
pub(crate) fn run(arguments: &PromoteArguments) -> anyhow::Result<u8> {
    if arguments.format == Format::Json && arguments.progress == Progress::Json {
        return Err(CliError::usage("--format json and --progress json both want stdout").into());
    }
    let (from, to) = (repo("--from", &arguments.from)?, repo("--to", &arguments.to)?);
    if from == to {
        return Err(CliError::usage("--from and --to are the same repo").into());
    }
    let names = arguments.tree.read()?;
    let units = wanted(arguments, &names)?;
    let route = Route {
        from,
        to,
        platform: names.platform.clone(),
        label_prefix: names.config.label_prefix.clone(),
        allow_older: arguments.allow_older,
        only_present: arguments.present,
        push_timeout: arguments.push_timeout.into(),
    };
    signals::run(|signals| promote(arguments, &names, &units, &route, signals))
}

/// Checks the repo in a flag.
pub(crate) fn repo(flag: &str, text: &str) -> Result<String, CliError> {
    match config::check_repo(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(rule) => {
            Err(CliError::usage(format!("{flag} {text:?} is not a repo")).help(format!("give {rule}")))
        }
    }
}

/// Returns the units to promote, without held products.
fn wanted(arguments: &PromoteArguments, names: &Names) -> Result<Vec<Unit>, CliError> {
    let is_held = |product: &String| names.config.hold.contains(product);
    if arguments.products.is_empty() {
        let held: Vec<&String> = names.units.keys().filter(|product| is_held(product)).collect();
        if !held.is_empty() {
            let text = format!("left out, as image-builder.toml has it under `hold`: {}", list(&held));
            output::print_stderr(&problems::note(&text));
        }
        return Ok(names.units.values().filter(|unit| !is_held(&unit.product)).cloned().collect());
    }
    let mut units: BTreeMap<String, Unit> = BTreeMap::new();
    for product in &arguments.products {
        let unit = products::unit(&names.units, product)?;
        if is_held(product) {
            return Err(CliError::usage(format!(
                "{product} is under `hold` in image-builder.toml: nothing moves its tags"
            ))
            .help("take it from there first, if it is to move"));
        }
        units.insert(product.clone(), unit);
    }
    Ok(units.into_values().collect())
}

async fn promote(
    arguments: &PromoteArguments,
    names: &Names,
    units: &[Unit],
    route: &Route,
    signals: Signals,
) -> anyhow::Result<u8> {
    let registry = registry(route.push_timeout, &names.repository)?.pushing(Pushes::Below(route.to.clone()));
    let history = history(&names.root);
    let survey = async { Ok(promote::survey(&registry, units, route, &history).await?) };
    let mut promotion = signals.unless_stopped(survey).await?;
    show(arguments, &promotion)?;
    if let Some(stop) = in_the_way(&promotion).or_else(|| dirty(names, route, &promotion)) {
        tell_json(arguments, &promotion)?;
        return Err(stop.into());
    }
    if arguments.dryrun || promotion.is_done() {
        tell_json(arguments, &promotion)?;
        return Ok(exit::DONE);
    }
    let (began, streamed) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let (sender, events) = channel();
    let reporter =
        ProgressReporter::new(arguments.progress, report::Progress::new(&promotion), Arc::clone(&streamed));
    // A separate thread: a slow terminal or pipe must not delay the copies.
    let shown = thread::spawn(move || reporter.show(&events));
    let speak = move |event| {
        // Sending fails only if the view has ended; then further events have no reader.
        let _ = sender.send(event);
    };
    let ended =
        promote::carry_out(&mut promotion, route, &registry, &history, (&speak, &streamed), &signals.cancel)
            .await;
    drop(speak);
    let shown = tokio::task::spawn_blocking(move || shown.join());
    let written = tokio::select! {
        shown = shown => shown.ok().and_then(Result::ok).unwrap_or(Ok(())),
        () = signals.late() => Ok(()),
    };
    tell_json(arguments, &promotion)?;
    let code = code(&ended.failures, ended.interrupted.then(|| signals.code().unwrap_or(exit::INTERRUPTED)));
    if !matches!(arguments.progress, Progress::Json)
        && (code != exit::DONE || arguments.progress != Progress::Quiet)
    {
        let seconds = began.elapsed().as_secs_f64();
        output::print_stderr(&report::closing(&promotion, seconds, output::stderr_paint()));
    }
    if code == exit::DONE {
        written.context("cannot write to stdout")?;
    }
    Ok(code)
}

/// Prints the preview to stdout, unless data is printed there.
fn show(arguments: &PromoteArguments, promotion: &Promotion) -> anyhow::Result<()> {
    if arguments.format == Format::Json || arguments.progress == Progress::Json {
        output::print_stderr(&report::outlook(promotion, output::stderr_paint()));
        return Ok(());
    }
    output::print_stdout(&report::outlook(promotion, output::stdout_paint()))
        .context("cannot write to stdout")
}

fn tell_json(arguments: &PromoteArguments, promotion: &Promotion) -> anyhow::Result<()> {
    if arguments.format == Format::Json {
        output::print_stdout(&output::json(promotion)?).context("cannot write to stdout")?;
    }
    Ok(())
}

/// Returns all obstacles as one error.
fn in_the_way(promotion: &Promotion) -> Option<CliError> {
    for text in promotion.missing.iter().chain(&promotion.conflicts) {
        output::print_stderr(&format!("  {}\n", problems::message(text)));
    }
    if !promotion.missing.is_empty() {
        let message = format!("not all that is to be promoted is in {}; nothing was done", promotion.from);
        return Some(CliError::environment(message).help(
            "build and push what is missing, or name the products that are to be promoted; --present leaves out what is not there",
        ));
    }
    if !promotion.conflicts.is_empty() {
        let message = format!("{} has something else or newer; nothing was done", promotion.to);
        return Some(CliError::conflict(message).help(
            "a build tag never changes: build again with --rebuild N, and promote that; for moving tags see --allow-older, \
             and fetch the whole history (git fetch --unshallow) where commits are not known",
        ));
    }
    None
}

/// Uncommitted configuration must not decide what is published in a shared repo.
fn dirty(names: &Names, route: &Route, promotion: &Promotion) -> Option<CliError> {
    let own = names.config.aliases.iter().chain([&names.config.repo]);
    if !own.into_iter().any(|own| own.eq_ignore_ascii_case(&route.to)) {
        return None;
    }
    let dirty: Vec<&str> = promotion
        .images
        .iter()
        .filter(|item| item.state == Copying::ToCopy && item.is_dirty())
        .map(|item| item.build_tag.as_str())
        .collect();
    (!dirty.is_empty()).then(|| {
        CliError::usage(format!("{} was built with changes that are in no commit", list(&dirty)))
            .help(format!("commit them and build again: {} is the tree's own repo", route.to))
    })
}

/// Returns the exit code of failures; for several, the one that is first in the specification's
/// list.
pub(crate) fn code(failures: &[Failure], interrupted: Option<u8>) -> u8 {
    let order = [(Failure::Environment, exit::ENVIRONMENT), (Failure::Conflict, exit::CONFLICT)];
    let found = order.into_iter().find(|(failure, _)| failures.contains(failure)).map(|(_, code)| code);
    interrupted.or(found).unwrap_or(if failures.is_empty() { exit::DONE } else { exit::PUSH })
}

/// The view of a promotion's progress.
struct ProgressReporter {
    progress: Progress,
    live: Option<ProgressBar>,
    state: report::Progress,
    streamed: Arc<AtomicU64>,
    began: Instant,
}

impl ProgressReporter {
    fn new(progress: Progress, state: report::Progress, streamed: Arc<AtomicU64>) -> Self {
        let wants_live = matches!(progress, Progress::Auto | Progress::Tty);
        let live = (wants_live && output::stderr_is_live()).then(|| {
            let style =
                ProgressStyle::with_template("{spinner} {wide_msg}").expect("the template is well formed");
            ProgressBar::new_spinner().with_style(style)
        });
        Self { progress, live, state, streamed, began: Instant::now() }
    }

    /// Shows events until the channel closes.
    fn show(mut self, events: &Receiver<Event>) -> std::io::Result<()> {
        let mut written = Ok(());
        loop {
            match events.recv_timeout(TICK) {
                Ok(event) => {
                    let done = self.event(&event);
                    written = written.and(done);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if let Some(live) = &self.live {
                let bytes = self.streamed.load(Ordering::Relaxed);
                live.set_message(self.state.line(bytes, self.began.elapsed().as_secs_f64()));
                live.tick();
            }
        }
        if let Some(live) = &self.live {
            live.finish_and_clear();
        }
        written
    }

    fn event(&mut self, event: &Event) -> std::io::Result<()> {
        self.state.event(event);
        match self.progress {
            Progress::Json => {
                let json = serde_json::to_string(event).expect("an event holds only strings and numbers");
                return output::print_stdout(&format!("{}\n", escape::escape_json(&json)));
            }
            Progress::Quiet if !report::is_failure(event) => {}
            _ => {
                let text = report::lines(event, output::stderr_paint());
                match &self.live {
                    Some(live) => live.suspend(|| output::print_stderr(&text)),
                    None => output::print_stderr(&text),
                }
            }
        }
        Ok(())
    }
}
