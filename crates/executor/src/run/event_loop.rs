//! The event loop of a run: connects the build states with engine, registry and events.
//!
//! Builds and pushes are futures that borrow from [`RunContext`]; dropping one ends it on the
//! engine. Only the loop changes the [`RunState`], which decides what starts next and how the end
//! of a build or push affects the others.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use plan::{BuildId, Context, Plan};
use registry::{Credential, Registry};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::build::drift::DriftCheck;
use crate::build::image_test::ImageTestRunner;
use crate::build::progress::ProgressEvent;
use crate::build::{self, BuildFailure, BuildJob, BuildUpdate, BuiltImage};
use crate::cleanup::{self, OwnedResources, Resource};
use crate::engine::Engine;
use crate::preflight::{Resolved, resume};
use crate::push::build_tag::{self, BuildTagPush, PushFailure};
use crate::push::image_size::{PushedSizes, RemoteSize};
use crate::push::moving_tag::{self, MovingTag, MovingTagTarget, Observed};
use crate::redact::Redactor;
use crate::run::build_state::{RunState, tag_of};
use crate::run::result::{self, BuildResult, FailedAt, Failure, Outcome, TestResult};
use crate::run::run_dir::{Log, RunDirectory};
use crate::run::tag_order::Push;
use crate::{Event, Options, Relation};

/// Data shared by all builds and pushes of a run.
pub(crate) struct RunContext<'a> {
    pub plan: &'a Plan,
    pub contexts: &'a BTreeMap<BuildId, Context>,
    pub options: &'a Options,
    /// As returned by [`crate::run::schedule::positions`].
    pub needs: &'a [Vec<usize>],
    pub engine: &'a Engine,
    pub registry: &'a Registry,
    pub prepared: &'a Resolved,
    pub record: &'a RunDirectory,
    pub history: &'a (dyn Fn(&str) -> Relation + Send + Sync),
    pub emit: &'a (dyn Fn(Event) + Send + Sync),
    pub redactor: &'a Redactor,
    pub clock: Instant,
    pub jobs: usize,
    /// Temporary resources on the engine.
    pub own: &'a OwnedResources,
    /// Compares packages.
    pub watch: &'a DriftCheck<'a>,
    /// Whether waiting for an engine that went away has failed: later builds and pushes do not wait
    /// again.
    pub engine_gone: AtomicBool,
}

impl RunContext<'_> {
    /// Waits for the engine, which may have been restarted since the last build.
    async fn engine_is_up(&self) -> Result<(), BuildFailure> {
        let gone = self.engine_gone.load(Ordering::Relaxed);
        let wait = if gone { Duration::ZERO } else { self.options.engine_wait };
        self.engine.wait_until_up(wait).await.map_err(|error| {
            self.engine_gone.store(true, Ordering::Relaxed);
            let waited = humantime::format_duration(self.options.engine_wait);
            BuildFailure {
                failure: Failure::Environment,
                message: format!("the engine is gone, and was waited for {waited}: {}", error.message),
            }
        })
    }
}

/// A finished task.
enum Finished {
    Build {
        build: usize,
        made: Result<BuiltImage, BuildFailure>,
        tests: Vec<TestResult>,
        failed_at: Option<FailedAt>,
        log_tail: Vec<String>,
        seconds: f64,
    },
    Push {
        push: Push,
        pushed: Result<String, PushFailure>,
        seen: RemoteSize,
        seconds: f64,
    },
    /// Finished work without a result.
    Aside,
}

type Tasks<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = Finished> + Send + 'a>>>;

/// Runs all builds and pushes, and fills in `results`, which has one entry per build of the plan.
pub(crate) async fn work(ctx: &RunContext<'_>, cancel: &CancellationToken, results: &mut [BuildResult]) {
    let mut run_state = RunState::new(ctx.plan, ctx.needs, ctx.jobs, ctx.options.push, results);
    let at = || result::seconds(ctx.clock.elapsed());
    for (position, digest) in &ctx.prepared.reused {
        (ctx.emit)(run_state.reuse(*position, digest, at()));
    }
    let mut work: Tasks<'_> = FuturesUnordered::new();
    let mut pushed_sizes = PushedSizes::default();
    loop {
        while let Some(build) = run_state.next_build() {
            let stands = |parent: &usize| run_state.results[*parent].outcome == Outcome::Reused;
            let resume = ctx.options.resume && ctx.needs[build].iter().all(stands);
            run_state.results[build].log = Some(ctx.record.log_path(build, &ctx.plan.builds[build].id));
            work.push(Box::pin(do_build(ctx, build, resume)));
        }
        while let Some(push) = run_state.next_push() {
            let result = &run_state.results[push.build()];
            let (image_id, digest) = (result.image_id.clone(), result.digest.clone());
            work.push(Box::pin(do_push(ctx, push, image_id, digest)));
        }
        let done = tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            done = work.next() => match done {
                Some(done) => Some(done),
                None => break,
            },
        };
        let failed = match done {
            Some(Finished::Build { build, made, tests, failed_at, log_tail, seconds }) => {
                let failed = made.is_err();
                // If removing the temporary name fails, the end of the run or the next run removes
                // it.
                if !matches!(&made, Err(failure) if failure.failure == Failure::Environment) {
                    work.push(Box::pin(take_name_away(ctx, build)));
                }
                run_state.results[build].tests = tests;
                run_state.results[build].moved = ctx.watch.take(build);
                run_state.results[build].failed_at = failed_at.filter(|_| failed);
                run_state.results[build].from = made_from(ctx, build);
                run_state.built(build, made, log_tail, seconds, at()).into_iter().for_each(ctx.emit);
                failed
            }
            Some(Finished::Push { push, pushed, seen, seconds }) => {
                let failed = pushed.is_err();
                if let Some(compared) = pushed_sizes.take(push.build(), seen) {
                    run_state.results[push.build()].compared = Some(compared);
                }
                (ctx.emit)(run_state.pushed(push, pushed, seconds));
                failed
            }
            Some(Finished::Aside) => false,
            None => true,
        };
        if failed && (ctx.options.fail_fast || cancel.is_cancelled()) {
            // The engine aborts work when its connection is closed.
            work.clear();
            run_state.stop(at()).into_iter().for_each(ctx.emit);
            break;
        }
    }
    run_state.settle();
}

/// The plan's references of a build, as the exact images that it was built from.
fn made_from(ctx: &RunContext<'_>, build: usize) -> Vec<String> {
    let references = ctx.plan.builds[build].references.iter();
    references.filter_map(|reference| ctx.prepared.exact(ctx.plan, reference, ctx.engine)).collect()
}

/// Builds, tests and compares one image. `resume`: whether an image of an earlier run may be
/// reused.
async fn do_build(ctx: &RunContext<'_>, position: usize, resume: bool) -> Finished {
    let began = Instant::now();
    let planned = &ctx.plan.builds[position];
    (ctx.emit)(Event::BuildStarted {
        id: planned.id.clone(),
        kind: planned.kind,
        log: ctx.record.log_path(position, &planned.id),
        at: result::seconds(ctx.clock.elapsed()),
    });
    let no_log = |error: std::io::Error| BuildFailure {
        failure: Failure::Environment,
        message: format!("the build's log cannot be written: {error}"),
    };
    let (mut tests, mut failed_at) = (Vec::new(), None);
    let (made, log_tail) = match ctx.record.log(position, &planned.id) {
        Err(error) => (Err(no_log(error)), Vec::new()),
        Ok(mut log) => {
            let mut log_error = None;
            let mut report = |reported| {
                match &reported {
                    BuildUpdate::TestFinished(test) => tests.push(test.clone()),
                    BuildUpdate::FailedAt(place) => failed_at = Some(place.clone()),
                    _ => {}
                }
                if let Err(error) = report(ctx, &planned.id, &mut log, reported) {
                    log_error.get_or_insert(error);
                }
            };
            let made = make(ctx, position, resume, &mut report).await;
            if let Err(failure) = &made {
                ctx.redactor.learn(ctx.registry.secrets());
                report(BuildUpdate::Failed(failure.message.clone()));
            }
            let rest = log.flush().map(|lines| show(ctx, &planned.id, lines));
            let log_error = log_error.or(rest.err());
            let made = match (made, log_error) {
                (Ok(_), Some(error)) => Err(no_log(error)),
                (made, _) => made,
            };
            (made, log.tail())
        }
    };
    let seconds = result::seconds(began.elapsed());
    Finished::Build { build: position, made, tests, failed_at, log_tail, seconds }
}

/// Reuses an existing image or builds one, after waiting for an engine that is restarting. An image
/// gets its tags only after its tests passed.
async fn make(
    ctx: &RunContext<'_>,
    position: usize,
    resume: bool,
    report: &mut (dyn FnMut(BuildUpdate) + Send),
) -> Result<BuiltImage, BuildFailure> {
    ctx.engine_is_up().await?;
    let (plan, options, prepared, engine) = (ctx.plan, ctx.options, ctx.prepared, ctx.engine);
    let build = &plan.builds[position];
    if resume
        && let Some(local) =
            resume::reusable(plan, build, prepared, engine).await.map_err(build::engine_failure)?
    {
        // The earlier run may have skipped the tests, or they may have changed.
        test(ctx, position, build.build_tag(), report).await?;
        ctx.watch.check(position, build.build_tag(), report).await?;
        let made = build::publish_locally(build, &local.id, engine, options.push).await?;
        return Ok(BuiltImage { resumed: true, ..made });
    }
    let unfinished = cleanup::unfinished(&ctx.own.mark, position);
    ctx.own.note(Resource::Name(unfinished.clone()));
    let job = BuildJob { plan, build, context: &ctx.contexts[&build.id], options, prepared, engine };
    let image_id = build::build(&job, &unfinished, report).await?;
    test(ctx, position, &unfinished, report).await?;
    ctx.watch.check(position, &unfinished, report).await?;
    build::publish_locally(build, &image_id, engine, options.push).await
}

/// Removes the temporary name that an image had until its tests passed. Descendants do not wait for
/// the removal.
async fn take_name_away(ctx: &RunContext<'_>, position: usize) -> Finished {
    let name = Resource::Name(cleanup::unfinished(&ctx.own.mark, position));
    if ctx.own.has(&name) {
        let _ = ctx.own.remove(ctx.engine, &name).await;
    }
    Finished::Aside
}

/// Runs an image's own tests, unless they are disabled.
async fn test(
    ctx: &RunContext<'_>,
    position: usize,
    image: &str,
    report: &mut (dyn FnMut(BuildUpdate) + Send),
) -> Result<(), BuildFailure> {
    if ctx.options.skip_tests {
        return Ok(());
    }
    let proxies = ctx.options.docker_config.proxies(&ctx.options.endpoint.host);
    let trial = ImageTestRunner {
        engine: ctx.engine,
        own: ctx.own,
        build: &ctx.plan.builds[position],
        position,
        proxies: proxies.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
    };
    trial.run(image, report).await
}

fn report(ctx: &RunContext<'_>, id: &BuildId, log: &mut Log, reported: BuildUpdate) -> std::io::Result<()> {
    // Flush first: our line must not be appended to a partial line of the builder.
    let own = |log: &mut Log, line: &str| {
        show(ctx, id, log.flush()?);
        log.line(line, &ctx.redactor.forms())?;
        log.flush().map(drop)
    };
    match reported {
        BuildUpdate::Sent(bytes) => (ctx.emit)(Event::ContextSent { id: id.clone(), bytes }),
        BuildUpdate::Progress(ProgressEvent::Line(line)) => {
            show(ctx, id, log.line(&line, &ctx.redactor.forms())?);
        }
        BuildUpdate::Failed(message) => {
            show(ctx, id, log.flush()?);
            log.note(&format!("failed: {message}"), &ctx.redactor.forms())?;
        }
        BuildUpdate::Progress(ProgressEvent::Step { name, cached }) => {
            let mark = if cached { " (cached)" } else { "" };
            own(log, &format!("=> {name}{mark}"))?;
            (ctx.emit)(Event::Step { id: id.clone(), name, cached });
        }
        BuildUpdate::Notice(message) => {
            own(log, &message)?;
            (ctx.emit)(Event::Notice { message });
        }
        BuildUpdate::TestStarted(test) => {
            own(log, &format!("=> test {test}"))?;
            (ctx.emit)(Event::TestStarted { id: id.clone(), test });
        }
        BuildUpdate::TestFinished(TestResult { test, passed, error, seconds, .. }) => {
            own(
                log,
                &match &error {
                    None => format!("=> passed in {seconds} s"),
                    Some(error) => format!("=> failed after {seconds} s: {error}"),
                },
            )?;
            (ctx.emit)(Event::TestFinished { id: id.clone(), test, passed, error, seconds });
        }
        BuildUpdate::FailedAt(FailedAt { file, line, .. }) => {
            let file = file.as_deref().unwrap_or("the generated Dockerfile");
            own(log, &format!("=> failed at {file}:{line}"))?;
        }
    }
    Ok(())
}

fn show(ctx: &RunContext<'_>, id: &BuildId, lines: Vec<String>) {
    lines.into_iter().for_each(|line| (ctx.emit)(Event::Output { id: id.clone(), line }));
}

async fn do_push(
    ctx: &RunContext<'_>,
    push: Push,
    image_id: Option<String>,
    digest: Option<String>,
) -> Finished {
    let began = Instant::now();
    let planned = &ctx.plan.builds[push.build()];
    let tag = tag_of(planned, push);
    (ctx.emit)(Event::PushStarted { id: planned.id.clone(), tag: tag.to_owned() });
    let reported = |error: &str, attempts, wait: Duration| {
        // The registry client may have fetched new tokens.
        ctx.redactor.learn(ctx.registry.secrets());
        let (id, tag) = (planned.id.clone(), tag.to_owned());
        (ctx.emit)(Event::PushRetried {
            id,
            tag,
            attempts,
            error: error.to_owned(),
            wait: wait.as_secs_f64(),
        });
    };
    // Each attempt begins by reading the registry, so whole attempts are retried instead of single
    // requests.
    let registry = &ctx.registry.without_retries();
    let bound = ctx.options.push_timeout;
    let (pushed, seen) = match push {
        Push::BuildTag(_) => {
            let host = plan::ImageName::parse(tag).map_or_else(|_| String::new(), |name| name.registry);
            let build_tag = BuildTagPush {
                build_tag: tag,
                image_id: image_id.as_deref().unwrap_or_default(),
                platform: &ctx.plan.platform,
                engine: ctx.engine,
                registry,
                idle: ctx.options.idle_timeout.min(bound),
                limit: ctx.options.build_timeout,
                login: ctx.prepared.logins.get(&host).unwrap_or(&Credential::Anonymous),
                config: &ctx.options.docker_config,
                renewed: OnceCell::new(),
                redactor: ctx.redactor,
                stored: OnceLock::new(),
            };
            let attempt = async |attempt| {
                ctx.engine_is_up().await.map_err(|gone| PushFailure::new(gone.failure, gone.message))?;
                build_tag.push(attempt).await
            };
            let pushed = build_tag::push_with_retries(bound, attempt, reported).await;
            (pushed, build_tag.stored.into_inner().map_or(RemoteSize::Nothing, RemoteSize::New))
        }
        Push::MovingTag(_) => {
            let moving = MovingTag {
                subject: MovingTagTarget::of(ctx.plan, planned),
                digest: digest.as_deref().unwrap_or_default(),
                current_parents: Some(moving_tag::current_parents(
                    &ctx.prepared.from(ctx.plan, planned),
                    &ctx.plan.revision.commit,
                )),
                history: ctx.history,
                allow_older: ctx.options.allow_older,
                registry,
                observed: Observed::default(),
            };
            let pushed = build_tag::push_with_retries(bound, |_| moving.push(), reported).await;
            (pushed, moving.observed.earlier.into_inner().map_or(RemoteSize::Nothing, RemoteSize::Earlier))
        }
    };
    if pushed.is_err() {
        ctx.redactor.learn(ctx.registry.secrets());
    }
    Finished::Push { push, pushed, seen, seconds: result::seconds(began.elapsed()) }
}
