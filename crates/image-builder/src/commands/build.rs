//! `image-builder build`, and `image-builder` alone: makes a plan, shows it, and carries it out.
//!
//! A plan is made and shown without an engine; [`carry_out`] then calls the executor.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use executor::{BuilderChoice, Event, Options, RunErrorKind, RunResult};
use plan::{ComparedWith, FORMAT_VERSION, Plan};
use planner::Planned;
use planner::git::{self, Buildable, Comparison, OpenedTree};
use planner::tree::Base;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::plan as planned_text;
use crate::cli::args::{BuildArguments, Builder, Format, Progress, Purpose, TreeArguments};
use crate::cli::exit::{self, CliError};
use crate::cli::signals::{self, Signals};
use crate::cli::{env, output, secrets};
use crate::image::build_spec;
use crate::registries::published;
use crate::report;
use crate::report::run::progress::ProgressReporter;
use crate::report::run::{package_changes, summary};
use crate::report::text::format::{Paint, list, short_commit};
use crate::report::text::problems;
use crate::tree::open::{self, Baseline};
use crate::tree::{committed_bytes, json_difference};

/// Most uncommitted files or differences that are named.
const NAMED: usize = 10;
/// Interval of checks for builds that have been silent for long.
const TICK: Duration = Duration::from_secs(1);
/// Time-out for asking the engine again which registries it trusts.
const QUICK: Duration = Duration::from_secs(10);

/// Plans; then, unless it is a dry run, builds.
pub(crate) fn run(arguments: &BuildArguments) -> anyhow::Result<u8> {
    if arguments.show.format == Format::Json && arguments.run.progress == Progress::Json {
        return Err(CliError::usage("--format json and --progress json both want stdout")
            .help("save the plan with --out FILE instead")
            .into());
    }
    let purpose = Purpose::of(&arguments.run);
    let (opened, planned) = match &arguments.run.plan {
        None => open::planned(&arguments.tree, open::baseline(&arguments.tree)?, purpose)?,
        Some(file) => plan_of_file(&arguments.tree, file, purpose)?,
    };
    show(&planned.plan, arguments, &opened)?;
    published::settled(&planned)?;
    if arguments.run.dryrun {
        if arguments.run.push
            && let Err(stop) = refuse_dirty_push(arguments, &opened, &planned.plan)
        {
            output::print_stderr(&problems::note(&format!(
                "without --dryrun this is refused, exit code 2: {stop}"
            )));
        }
        return Ok(exit::DONE);
    }
    refuse_unbuildable(&opened, &planned.plan)?;
    if arguments.run.push {
        refuse_dirty_push(arguments, &opened, &planned.plan)?;
    }
    let reports = arguments.files.of(&planned.plan, arguments.run.push, Some(&opened.repository));
    if planned.plan.builds.is_empty() {
        reports.nothing()?;
        return Ok(exit::DONE);
    }
    reports.begin()?;
    carry_out(arguments, &opened, &planned).inspect_err(|error| {
        // The cause was already reported; a second error for the unwritten file would hide it.
        let _ = reports.fail(&format!("{error:#}"));
    })
}

/// Prints the plan to stdout, unless events are printed there.
fn show(plan: &Plan, arguments: &BuildArguments, opened: &OpenedTree) -> anyhow::Result<()> {
    if arguments.run.dryrun || arguments.run.progress != Progress::Json {
        return planned_text::show(plan, &arguments.show, &opened.repository);
    }
    planned_text::warn(plan);
    output::print_stderr(&report::tree::plan::text(plan, arguments.show.verbose, output::stderr_paint()));
    planned_text::save(plan, &arguments.show, &opened.repository)
}

/// Repeats the comparison of a plan file, and refuses unless the same plan results.
fn plan_of_file(
    tree: &TreeArguments,
    file: &Path,
    purpose: Purpose,
) -> anyhow::Result<(OpenedTree, Planned)> {
    let mut wanted = open::read(file)?;
    // Another minor version has the same meaning in the fields that this program knows, and an
    // older one had fewer fields.
    FORMAT_VERSION.clone_into(&mut wanted.format_version);
    let knows_origins = wanted.builds.iter().any(|build| !build.origins.is_empty());
    let baseline = match (&tree.reference, tree.since_published) {
        (None, false) => baseline_of_plan(&wanted)?,
        _ => open::baseline(tree)?,
    };
    let (opened, planned) = open::planned(tree, baseline, purpose)?;
    if !knows_origins {
        for (build, own) in wanted.builds.iter_mut().zip(&planned.plan.builds) {
            build.origins.clone_from(&own.origins);
        }
    }
    if planned.plan == wanted {
        return Ok((opened, planned));
    }
    let value = |plan: &Plan| serde_json::to_value(plan).context("a plan is JSON");
    let mut found = json_difference::differences(&value(&wanted)?, &value(&planned.plan)?);
    let more = found.len().saturating_sub(NAMED);
    found.truncate(NAMED);
    if more > 0 {
        found.push(format!("and {more} more"));
    }
    Err(CliError::usage(format!("the source tree and the flags give another plan than {}", file.display()))
        .list(found)
        .help(match flags_of(&wanted, &planned.plan) {
            flags if flags.is_empty() => {
                "give the flags that the plan was made with, at the commit that it was made for; or plan again".to_owned()
            }
            flags => format!("the plan was made with {}: give that here too, or plan again", flags.join(" ")),
        })
        .into())
}

/// Returns the flags that a plan was made with and that this run lacks, as far as the plan records
/// them.
fn flags_of(wanted: &Plan, given: &Plan) -> Vec<String> {
    let mut flags = Vec::new();
    if wanted.compared_with != given.compared_with {
        match wanted.compared_with {
            ComparedWith::All => flags.push("--all".to_owned()),
            ComparedWith::Include => flags.push("--include (and the same layers)".to_owned()),
            ComparedWith::Published => flags.push("--since-published".to_owned()),
            ComparedWith::Commit(_) | ComparedWith::Empty | ComparedWith::Bases => {}
        }
    }
    if wanted.repo != given.repo {
        flags.push(format!("--repo {}", wanted.repo));
    }
    let rebuild =
        |plan: &Plan| plan::BuildTag::parse(plan::tag_of(plan.builds.first()?.build_tag())?)?.rebuild;
    if let Some(number) = rebuild(wanted).filter(|number| rebuild(given) != Some(*number)) {
        flags.push(format!("--rebuild {number}"));
    }
    flags
}

/// Returns the comparison of a plan as a new request.
fn baseline_of_plan(plan: &Plan) -> anyhow::Result<Baseline> {
    let base = match &plan.compared_with {
        ComparedWith::Commit(commit) => commit,
        // `--all` and `--include` have to be given again: a plan file selects nothing.
        ComparedWith::Empty | ComparedWith::All | ComparedWith::Include => {
            return Ok(Baseline::History(Comparison::default()));
        }
        // A change in the registry since then is reported like any other difference.
        ComparedWith::Published => return Ok(Baseline::Published),
        ComparedWith::Bases => return Ok(Baseline::Bases),
    };
    let text = match &plan.revision.dirty {
        Some(_) => base.clone(),
        None => format!("{base}..{}", plan.revision.commit),
    };
    Ok(Baseline::History(Comparison::parse(&text)?))
}

/// Refuses plans that can be shown but not built.
fn refuse_unbuildable(opened: &OpenedTree, plan: &Plan) -> Result<(), CliError> {
    match &opened.buildable {
        Buildable::WorkingTree | Buildable::Head => {}
        Buildable::Unasked => {
            return Err(CliError::usage("this plan was made with --dryrun and cannot be built")
                .help("run it without --dryrun"));
        }
        Buildable::HeadUnderChanges => {
            return Err(CliError::usage(format!(
                "HEAD is to be built, but the files on disk differ from it: {}",
                named(&opened.uncommitted)
            ))
            .help("commit or put away the changes, or compare with the working tree: --ref A"));
        }
        Buildable::OtherCommit { commit } => {
            return Err(CliError::usage(format!(
                "commit {} can be planned but not built: it is not checked out",
                short_commit(commit)
            ))
            .help(format!("git checkout {}, and run again", short_commit(commit))));
        }
    }
    if plan.revision.count.is_none() {
        return Err(CliError::environment("the commit count is unknown in this shallow clone, and tags are named after it")
            .help("fetch the whole history (git fetch --unshallow; in GitLab CI GIT_DEPTH: 0), or give --build-number N"));
    }
    Ok(())
}

/// Uncommitted files are not pushed to the shared repo.
fn refuse_dirty_push(arguments: &BuildArguments, opened: &OpenedTree, plan: &Plan) -> Result<(), CliError> {
    if plan.revision.dirty.is_none() {
        return Ok(());
    }
    if !arguments.run.allow_dirty {
        return Err(CliError::usage(format!(
            "--push with changes that are in no commit: {}",
            named(&opened.uncommitted)
        ))
        .help("commit them, or push to a repo of your own: --allow-dirty --repo HOST/PATH"));
    }
    if is_own_repo(opened, &plan.repo) {
        return Err(CliError::usage(format!(
            "--push with changes that are in no commit, to {}, which is the tree's own repo",
            plan.repo
        ))
        .help("push to a repo of your own: --repo HOST/PATH"));
    }
    Ok(())
}

/// Whether a repo is the tree's own, under any of its names: as configured now, or at the base of
/// the comparison, since the configuration may be the uncommitted file.
fn is_own_repo(opened: &OpenedTree, repo: &str) -> bool {
    let base = match &opened.inputs.base {
        Base::Commit { tree, .. } => Some(tree),
        Base::Empty => None,
    };
    [Some(&opened.inputs.now), base].into_iter().flatten().any(|tree| {
        let (config, _) = planner::config::parse(tree.config.as_deref());
        config.aliases.iter().chain([&config.repo]).any(|own| own.eq_ignore_ascii_case(repo))
    })
}

fn named(files: &[String]) -> String {
    match files.len().checked_sub(NAMED) {
        None | Some(0) => list(files),
        Some(more) => format!("{} and {more} more", list(&files[..NAMED])),
    }
}

/// Passes the plan to the executor, shows the progress, and returns the exit code.
fn carry_out(arguments: &BuildArguments, opened: &OpenedTree, planned: &Planned) -> anyhow::Result<u8> {
    let options = options(arguments, opened, planned)?;
    let mut planned = planned.clone();
    let (tree, request) = (&opened.inputs.now, open::request(&arguments.tree));
    build_spec::label(&mut planned.plan, tree, &request, arguments.run.spec);
    let source = open::options(&arguments.tree, Comparison::default())?;
    signals::run(|signals| async {
        // Only after the signal handlers are installed, so that the directory is removed after a
        // signal.
        let _staged = committed_bytes::stage(&source, tree, &mut planned.contexts)?;
        run_and_show(arguments, opened, &planned, &options, signals).await
    })
}

/// Returns the configuration with the trust in registries that the run had. The engine decides it,
/// except for registries on this machine.
async fn trusting(options: &Options, repo: &str) -> registry::DockerConfig {
    let asks = options.push && !registry::is_loopback(repo.split('/').next().unwrap_or_default());
    match asks {
        false => options.docker_config.clone(),
        true => {
            executor::image_reader::lookup::trusting(&options.endpoint, &options.docker_config, QUICK).await
        }
    }
}

async fn run_and_show(
    arguments: &BuildArguments,
    opened: &OpenedTree,
    planned: &Planned,
    options: &Options,
    signals: Signals,
) -> anyhow::Result<u8> {
    let reporter = ProgressReporter::choose(
        arguments.run.progress,
        arguments.run.detail(&arguments.show),
        &planned.plan,
    );
    let (sender, events) = unbounded_channel();
    // A separate thread: a slow terminal or pipe must not delay the builds.
    let handle = Handle::current();
    let shown = thread::spawn(move || show_events(reporter, events, &handle));
    let history = |commit: &str| git::relation(&opened.root, &planned.plan.revision.commit, commit);
    let ended =
        executor::run(&planned.plan, &planned.contexts, options, history, sender, signals.cancel.clone())
            .await;
    // First of all, because a second signal can cut off everything below, and the run's files must
    // not be lost then.
    let reports = arguments.files.of(&planned.plan, arguments.run.push, Some(&opened.repository));
    let kept = match &ended {
        Ok(result) => reports.end(result),
        Err(error) => match error.result() {
            Some(result) => reports.end(result),
            None => reports.fail(&error.to_string()),
        },
    };
    let shown = tokio::task::spawn_blocking(move || shown.join());
    let shown = tokio::select! {
        shown = shown => shown
            .context("the view of the run stopped")?
            .map_err(|_| anyhow::anyhow!("the view of the run stopped"))?,
        // After a signal, do not wait for a reader that accepts nothing.
        () = signals.late() => Shown::nothing(),
    };
    let file = shown.result_path.as_deref();
    let told = |result: &RunResult| summarise(arguments.run.progress, result, &planned.plan, file);
    let code = match ended {
        Ok(result) => {
            told(&result);
            attach_specs(arguments, opened, planned, options, &result, &signals).await;
            match signals.code() {
                Some(code) if !result.success => code,
                _ => exit::of_result(&result),
            }
        }
        Err(error) => {
            if let Some(result) = error.result() {
                told(result);
            }
            let interrupted = match error.kind() {
                RunErrorKind::Interrupted => Some(signals.code().unwrap_or(exit::INTERRUPTED)),
                _ => signals.code(),
            };
            let error = anyhow::Error::new(error);
            let code = interrupted.unwrap_or_else(|| exit::of_error(&error));
            output::print_stderr(&exit::text(&error, output::stderr_paint()));
            code
        }
    };
    if let Err(error) = kept {
        if code == exit::DONE {
            return Err(error);
        }
        output::print_stderr(&exit::text(&error, output::stderr_paint()));
    }
    match shown.written {
        Err(error) if code == exit::DONE => Err(error).context("cannot write to stdout"),
        _ => Ok(code),
    }
}

/// Attaches build specs to the pushed images. The run is complete by then: a signal ends only this.
async fn attach_specs(
    arguments: &BuildArguments,
    opened: &OpenedTree,
    planned: &Planned,
    options: &Options,
    result: &RunResult,
    signals: &Signals,
) {
    if signals.code().is_some() || !options.push {
        return;
    }
    let request = open::request(&arguments.tree);
    let attach = async {
        let config = trusting(options, &planned.plan.repo).await;
        build_spec::attach(
            &config,
            &planned.plan,
            (&opened.inputs.now, &request),
            result,
            arguments.run.spec,
        )
        .await;
    };
    tokio::select! {
        () = attach => {}
        () = signals.cancel.cancelled() => {
            let pushed = if result.success { "all that was planned is built and pushed; " } else { "" };
            output::print_stderr(&problems::note(&format!(
                "{pushed}attaching build specs was interrupted, and the next run attaches those that are missing"
            )));
        }
    }
}

/// State that remains after all events were shown.
struct Shown {
    /// Where `result.json` is.
    result_path: Option<String>,
    /// The result of writing to stdout.
    written: std::io::Result<()>,
}

impl Shown {
    fn nothing() -> Self {
        Self { result_path: None, written: Ok(()) }
    }
}

fn show_events(
    mut reporter: ProgressReporter,
    mut events: UnboundedReceiver<Event>,
    runtime: &Handle,
) -> Shown {
    let mut shown = Shown::nothing();
    loop {
        // The timer of the runtime serves this thread too.
        let next = runtime.block_on(async { tokio::time::timeout(TICK, events.recv()).await });
        let event = match next {
            Ok(Some(event)) => event,
            Ok(None) => break,
            Err(_) => {
                reporter.tick();
                continue;
            }
        };
        if let Event::RunFinished { path, .. } = &event {
            shown.result_path = Some(path.clone());
        }
        let written = reporter.event(&event);
        if shown.written.is_ok() {
            shown.written = written;
        }
    }
    shown
}

fn summarise(progress: Progress, result: &RunResult, plan: &Plan, file: Option<&str>) {
    let wanted = match progress {
        Progress::Auto | Progress::Tty | Progress::Plain => true,
        Progress::Quiet => !result.success,
        Progress::Json => false,
    };
    if wanted {
        let paint: Paint = output::stderr_paint();
        output::print_stderr(&package_changes::text(result, paint));
        output::print_stderr(&format!("\n{}", summary::text(result, plan, file, paint)));
    }
}

/// Converts flags and environment to the executor's options.
fn options(arguments: &BuildArguments, opened: &OpenedTree, planned: &Planned) -> anyhow::Result<Options> {
    let run = &arguments.run;
    let fresh = arguments.tree.rebuild.is_some();
    let docker_config = env::docker_config()?;
    let endpoint = env::endpoint(run.host.as_deref(), &docker_config)?;
    Ok(Options {
        push: run.push,
        jobs: run.jobs.map(usize::from),
        builder: match run.builder {
            Builder::Auto => BuilderChoice::Auto,
            Builder::Buildkit => BuilderChoice::BuildKit,
            Builder::Classic => BuilderChoice::Classic,
        },
        no_cache: run.no_cache || fresh,
        // A plan that exists because a base image moved must not be built on an old copy of that
        // image.
        pull: run.pull || fresh || planned.plan.compared_with == ComparedWith::Bases,
        fail_fast: run.fail_fast,
        base_repo: env::given(run.base_repo.as_deref()).or_else(|| planned.config.base_repo.clone()),
        allow_older: run.allow_older,
        root: opened.root.clone(),
        endpoint,
        docker_config,
        source_date_epoch: env::source_date_epoch()?,
        idle_timeout: Duration::from(run.idle_timeout),
        build_timeout: Duration::from(run.build_timeout),
        push_timeout: Duration::from(run.push_timeout),
        engine_wait: Duration::from(run.engine_wait),
        lock_wait: Duration::from(run.wait),
        resume: run.resume,
        skip_tests: run.skip_tests,
        allow_onbuild: run.allow_onbuild,
        secrets: secrets::read(&run.secret)?,
        drift: run.drift.wanted(run.push && fresh),
        read_timeout: run.drift.read_timeout(),
    })
}
