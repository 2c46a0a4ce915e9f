//! Entry point of a run: takes the locks, runs the preflight, drives the event loop and writes
//! `result.json`, also if the run failed.

pub(crate) mod build_state;
pub mod error;
pub mod event;
pub(crate) mod event_loop;
pub(crate) mod lock;
pub mod options;
pub mod result;
pub(crate) mod run_dir;
pub(crate) mod schedule;
pub(crate) mod tag_order;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use plan::{BuildId, Context, Plan};
use registry::{Pushes, Registry};
use tokio::signal::unix::SignalKind;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::build::drift::DriftCheck;
use crate::cleanup::run_marker::RunMarker;
use crate::cleanup::{self, OwnedResources, Removed};
use crate::engine::{Engine, Flavour};
use crate::preflight::{QUESTIONS, check, prepare, secrets};
use crate::redact::Redactor;
use crate::run::build_state::is_success;
use crate::run::event_loop::{RunContext, work};
use crate::run::result::seconds;
use crate::run::run_dir::RunDirectory;
use crate::run::schedule::positions;
use crate::{Event, Options, Relation, RunError, RunResult};

/// Default number of concurrent builds, if the engine has at least this many processors.
const DEFAULT_JOBS: usize = 4;

/// Time-out of one registry request; requests of the preflight are small.
const QUESTION: Duration = Duration::from_secs(30);

/// Carries out a plan.
///
/// `history` returns how the commit that a moving tag points to (hex digits, possibly abbreviated)
/// relates to the commit of the plan. When `cancel` fires, running builds and pushes are dropped,
/// and the result records what was done until then.
///
/// # Errors
/// [`RunError`] if the run stops as a whole before its first build. A failed build or push, or a
/// later cancellation, is recorded in the result instead.
pub async fn run(
    plan: &Plan,
    contexts: &BTreeMap<BuildId, Context>,
    options: &Options,
    history: impl Fn(&str) -> Relation + Send + Sync,
    events: UnboundedSender<Event>,
    cancel: CancellationToken,
) -> Result<RunResult, RunError> {
    check(plan)?;
    let needs = positions(plan).map_err(RunError::refused)?;
    if let Some(build) = plan.builds.iter().find(|build| !contexts.contains_key(&build.id)) {
        return Err(RunError::refused(format!("{} came without its context", build.id)));
    }
    let (started, clock) = (SystemTime::now(), Instant::now());
    let disk = |error: std::io::Error| run_dir::unwritable(&options.root, &error);
    let redactor = Redactor::new(options);
    let emit = |event| {
        // Events may have no receiver.
        let _ = events.send(redactor.event(event));
    };
    let _locks = tokio::select! {
        biased;
        locks = lock::take(&options.root, &plan.repo, options.lock_wait, &emit) => locks?,
        () = cancel.cancelled() => return Err(RunError::interrupted()),
    };
    // A write beyond the file size limit of this process (`ulimit -f`) raises SIGXFSZ, which would
    // kill the process. With a handler, the write returns an error instead.
    let _too_large = tokio::signal::unix::signal(SignalKind::from_raw(libc::SIGXFSZ)).map_err(disk)?;
    let record = RunDirectory::create(&options.root, started).map_err(disk)?;
    let mut result = blank(plan, options, &record.run, started);
    let own = OwnedResources::new(RunMarker::of_run(&record.run));

    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(RunError::interrupted()),
        prepared = set_up(plan, options, &record, &redactor, &emit) => prepared,
    };
    let error = match outcome {
        Ok(Some((engine, registry, prepared, jobs))) => {
            let watch = DriftCheck::new(options, plan, &prepared, &engine, &registry);
            let surroundings = RunContext {
                plan,
                contexts,
                options,
                needs: &needs,
                engine: &engine,
                registry: &registry,
                prepared: &prepared,
                record: &record,
                history: &history,
                emit: &emit,
                redactor: &redactor,
                clock,
                jobs,
                own: &own,
                watch: &watch,
                engine_gone: AtomicBool::new(false),
            };
            let sweep = async {
                // Listing thousands of images takes an engine some time, so cleanup runs beside the
                // builds. podman's list fails while images are being removed, so there the cleanup
                // ran before the first build.
                if engine.flavour == Flavour::Docker {
                    tokio::select! {
                        biased;
                        () = cancel.cancelled() => {}
                        removed = cleanup::earlier(&engine) => report_removed(removed, &emit),
                    }
                }
            };
            tokio::join!(work(&surroundings, &cancel, &mut result.builds), sweep);
            cleanup::own(&engine, &own).await;
            None
        }
        Ok(None) => None,
        Err(error) => Some(redactor.error(error)),
    };
    result.success = error.is_none() && is_success(&result.builds);
    result.error = error.as_ref().map(ToString::to_string);
    result.seconds = seconds(clock.elapsed());
    let result = redactor.result(result);
    record.write(&result).map_err(disk)?;
    emit(Event::RunFinished { result: result.clone(), path: record.result_path() });
    match error {
        Some(error) => Err(error.with_result(result)),
        None => Ok(result),
    }
}

/// Connects to engine and registry and resolves everything; `None` if there is nothing to build.
async fn set_up(
    plan: &Plan,
    options: &Options,
    record: &RunDirectory,
    redactor: &Redactor,
    emit: &(dyn Fn(Event) + Send + Sync),
) -> Result<Option<(Engine, Registry, crate::preflight::Resolved, usize)>, RunError> {
    if plan.builds.is_empty() {
        return Ok(None);
    }
    let engine = Engine::connect(&options.endpoint, options.builder, options.idle_timeout).await?;
    secrets::refuse_uncarried(&options.secrets, &engine)?;
    let registry = Registry::new(registry::Options {
        config: engine.trusting(&options.docker_config),
        timeout: options.idle_timeout.min(QUESTION),
        retry_for: options.push_timeout.min(QUESTIONS),
        ..registry::Options::default()
    })
    .pushing(if options.push {
        Pushes::to(plan.builds.iter().map(plan::Build::build_tag))
    } else {
        Pushes::Nowhere
    });
    let jobs = options
        .jobs
        .unwrap_or_else(|| engine.processors.map_or(DEFAULT_JOBS, |count| count.min(DEFAULT_JOBS)))
        .max(1);
    emit(Event::RunStarted {
        run: record.run.clone(),
        builds: plan.builds.iter().map(|build| build.id.clone()).collect(),
        jobs,
        engine: engine.name.clone(),
        builder: engine.builder.as_str().to_owned(),
    });
    if engine.flavour == Flavour::Podman {
        report_removed(cleanup::earlier(&engine).await, emit);
    }
    let prepared = prepare(plan, options, &engine, &registry, redactor).await;
    let untested = plan.builds.iter().filter(|build| !build.tests.is_empty()).count();
    if options.skip_tests && untested > 0 {
        emit(Event::Notice {
            message: format!("--skip-tests: {untested} images have tests that are not run"),
        });
    }
    let prepared = prepared?;
    for message in secrets::missing(plan, &options.secrets, &prepared) {
        emit(Event::Notice { message });
    }
    for (target, found) in &prepared.found {
        if let plan::Target::Layer { reference, .. }
        | plan::Target::Pinned { reference }
        | plan::Target::External { reference } = target
        {
            emit(Event::Resolved { reference: reference.clone(), exact: found.exact.clone() });
        }
    }
    Ok(Some((engine, registry, prepared, jobs)))
}

fn report_removed(removed: Removed, emit: &(dyn Fn(Event) + Send + Sync)) {
    if removed != Removed::default() {
        let Removed { containers, names } = removed;
        emit(Event::Notice {
            message: format!(
                "took away what runs that did not end left on the engine: {containers} containers of tests, \
                 {names} names of unfinished images"
            ),
        });
    }
}

/// The result of a run that has done nothing yet.
fn blank(plan: &Plan, options: &Options, run: &str, started: SystemTime) -> RunResult {
    RunResult {
        run: run.to_owned(),
        push: options.push,
        started: seconds(started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
        ..RunResult::not_started(plan)
    }
}
