//! The event loop of a run: connects the build states with engine, registry and events.
//!
//! Builds and pushes are futures that borrow what was settled before; dropping one ends it on the engine. The
//! loop alone touches the course, which decides what starts next and what an end means.

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

use crate::build::drift::Watch;
use crate::build::image_test::Trial;
use crate::build::progress::Heard;
use crate::build::{self, BuildFailure, Job, Made, Told};
use crate::cleanup::{self, Own, Thing};
use crate::engine::Engine;
use crate::preflight::{Prepared, resume};
use crate::push::build_tag::{self, BuildTagPush, PushFailure};
use crate::push::image_size::{Scales, Seen};
use crate::push::moving_tag::{self, MovingTag, Observed, Subject};
use crate::redact::Redactor;
use crate::run::build_state::{Course, tag_of};
use crate::run::result::{self, BuildResult, FailedAt, Failure, Outcome, TestResult};
use crate::run::run_dir::{Log, Record};
use crate::run::tag_order::Push;
use crate::{Event, Options, Relation};

/// All that a run's builds and pushes look at.
pub(crate) struct Surroundings<'a> {
    pub plan: &'a Plan,
    pub contexts: &'a BTreeMap<BuildId, Context>,
    pub options: &'a Options,
    /// As [`crate::run::schedule::positions`] gives them.
    pub needs: &'a [Vec<usize>],
    pub engine: &'a Engine,
    pub registry: &'a Registry,
    pub prepared: &'a Prepared,
    pub record: &'a Record,
    pub history: &'a (dyn Fn(&str) -> Relation + Send + Sync),
    pub speak: &'a (dyn Fn(Event) + Send + Sync),
    pub redactor: &'a Redactor,
    pub clock: Instant,
    pub jobs: usize,
    /// What is on the engine for the time being.
    pub own: &'a Own,
    /// On packages that move.
    pub watch: &'a Watch<'a>,
    /// Whether the engine went away and was waited for in vain: nothing else waits for it again.
    pub engine_gone: AtomicBool,
}

impl Surroundings<'_> {
    /// Waits for the engine, which may have been started anew since the last build.
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

/// A piece of work that came to its end.
enum Done {
    Build {
        build: usize,
        made: Result<Made, BuildFailure>,
        tests: Vec<TestResult>,
        failed_at: Option<FailedAt>,
        log_tail: Vec<String>,
        seconds: f64,
    },
    Push {
        push: Push,
        pushed: Result<String, PushFailure>,
        seen: Seen,
        seconds: f64,
    },
    /// Something that nobody waits for.
    Aside,
}

type Work<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send + 'a>>>;

/// Runs everything, and fills the results in. They are as long as the plan.
pub(crate) async fn work(around: &Surroundings<'_>, cancel: &CancellationToken, results: &mut [BuildResult]) {
    let mut course = Course::new(around.plan, around.needs, around.jobs, around.options.push, results);
    let at = || result::seconds(around.clock.elapsed());
    for (position, digest) in &around.prepared.reused {
        (around.speak)(course.reuse(*position, digest, at()));
    }
    let mut work: Work<'_> = FuturesUnordered::new();
    let mut scales = Scales::default();
    loop {
        while let Some(build) = course.next_build() {
            let stands = |parent: &usize| course.results[*parent].outcome == Outcome::Reused;
            let resume = around.options.resume && around.needs[build].iter().all(stands);
            course.results[build].log = Some(around.record.log_path(build, &around.plan.builds[build].id));
            work.push(Box::pin(do_build(around, build, resume)));
        }
        while let Some(push) = course.next_push() {
            let result = &course.results[push.build()];
            let (image_id, digest) = (result.image_id.clone(), result.digest.clone());
            work.push(Box::pin(do_push(around, push, image_id, digest)));
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
            Some(Done::Build { build, made, tests, failed_at, log_tail, seconds }) => {
                let failed = made.is_err();
                // A name that stays for now is taken away at the end of the run, or by the next one.
                if !matches!(&made, Err(failure) if failure.failure == Failure::Environment) {
                    work.push(Box::pin(take_name_away(around, build)));
                }
                course.results[build].tests = tests;
                course.results[build].moved = around.watch.take(build);
                course.results[build].failed_at = failed_at.filter(|_| failed);
                course.results[build].from = made_from(around, build);
                course.built(build, made, log_tail, seconds, at()).into_iter().for_each(around.speak);
                failed
            }
            Some(Done::Push { push, pushed, seen, seconds }) => {
                let failed = pushed.is_err();
                if let Some(compared) = scales.take(push.build(), seen) {
                    course.results[push.build()].compared = Some(compared);
                }
                (around.speak)(course.pushed(push, pushed, seconds));
                failed
            }
            Some(Done::Aside) => false,
            None => true,
        };
        if failed && (around.options.fail_fast || cancel.is_cancelled()) {
            // The engine ends what nobody listens to any more.
            work.clear();
            course.stop(at()).into_iter().for_each(around.speak);
            break;
        }
    }
    course.settle();
}

/// The plan's references of a build, as exact as it was built from.
fn made_from(around: &Surroundings<'_>, build: usize) -> Vec<String> {
    let references = around.plan.builds[build].references.iter();
    references.filter_map(|reference| around.prepared.exact(around.plan, reference, around.engine)).collect()
}

/// `resume`: whether what an earlier run left may be taken.
async fn do_build(around: &Surroundings<'_>, position: usize, resume: bool) -> Done {
    let began = Instant::now();
    let planned = &around.plan.builds[position];
    (around.speak)(Event::BuildStarted {
        id: planned.id.clone(),
        kind: planned.kind,
        log: around.record.log_path(position, &planned.id),
        at: result::seconds(around.clock.elapsed()),
    });
    let no_log = |error: std::io::Error| BuildFailure {
        failure: Failure::Environment,
        message: format!("the build's log cannot be written: {error}"),
    };
    let (mut tests, mut failed_at) = (Vec::new(), None);
    let (made, log_tail) = match around.record.log(position, &planned.id) {
        Err(error) => (Err(no_log(error)), Vec::new()),
        Ok(mut log) => {
            let mut log_error = None;
            let mut tell = |told| {
                match &told {
                    Told::TestFinished(test) => tests.push(test.clone()),
                    Told::FailedAt(place) => failed_at = Some(place.clone()),
                    _ => {}
                }
                if let Err(error) = tell(around, &planned.id, &mut log, told) {
                    log_error.get_or_insert(error);
                }
            };
            let made = make(around, position, resume, &mut tell).await;
            if let Err(failure) = &made {
                around.redactor.learn(around.registry.secrets());
                tell(Told::Failed(failure.message.clone()));
            }
            let rest = log.flush().map(|lines| show(around, &planned.id, lines));
            let log_error = log_error.or(rest.err());
            let made = match (made, log_error) {
                (Ok(_), Some(error)) => Err(no_log(error)),
                (made, _) => made,
            };
            (made, log.tail())
        }
    };
    let seconds = result::seconds(began.elapsed());
    Done::Build { build: position, made, tests, failed_at, log_tail, seconds }
}

/// Takes what stands already, or builds; first of all the engine has to be there, which may have been started anew.
/// Only an image whose tests have passed gets its tags.
async fn make(
    around: &Surroundings<'_>,
    position: usize,
    resume: bool,
    tell: &mut (dyn FnMut(Told) + Send),
) -> Result<Made, BuildFailure> {
    around.engine_is_up().await?;
    let (plan, options, prepared, engine) = (around.plan, around.options, around.prepared, around.engine);
    let build = &plan.builds[position];
    if resume
        && let Some(local) =
            resume::standing(plan, build, prepared, engine).await.map_err(build::engine_failure)?
    {
        // That run may have left the tests out, and they can be other ones now.
        test(around, position, build.build_tag(), tell).await?;
        around.watch.check(position, build.build_tag(), tell).await?;
        let made = build::publish_locally(build, &local.id, engine, options.push).await?;
        return Ok(Made { resumed: true, ..made });
    }
    let unfinished = cleanup::unfinished(&around.own.mark, position);
    around.own.note(Thing::Name(unfinished.clone()));
    let job = Job { plan, build, context: &around.contexts[&build.id], options, prepared, engine };
    let image_id = build::build(&job, &unfinished, tell).await?;
    test(around, position, &unfinished, tell).await?;
    around.watch.check(position, &unfinished, tell).await?;
    build::publish_locally(build, &image_id, engine, options.push).await
}

/// The name that a build's image had until its tests had passed. What stands on the image does not wait for that.
async fn take_name_away(around: &Surroundings<'_>, position: usize) -> Done {
    let name = Thing::Name(cleanup::unfinished(&around.own.mark, position));
    if around.own.has(&name) {
        let _ = around.own.remove(around.engine, &name).await;
    }
    Done::Aside
}

/// Runs an image's own tests, unless they are not wanted.
async fn test(
    around: &Surroundings<'_>,
    position: usize,
    image: &str,
    tell: &mut (dyn FnMut(Told) + Send),
) -> Result<(), BuildFailure> {
    if around.options.skip_tests {
        return Ok(());
    }
    let proxies = around.options.docker_config.proxies(&around.options.endpoint.host);
    let trial = Trial {
        engine: around.engine,
        own: around.own,
        build: &around.plan.builds[position],
        position,
        proxies: proxies.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
    };
    trial.run(image, tell).await
}

fn tell(around: &Surroundings<'_>, id: &BuildId, log: &mut Log, told: Told) -> std::io::Result<()> {
    // What the builder prints goes on behind it, and begins anew.
    let own = |log: &mut Log, line: &str| {
        show(around, id, log.flush()?);
        log.line(line, &around.redactor.forms())?;
        log.flush().map(drop)
    };
    match told {
        Told::Sent(bytes) => (around.speak)(Event::ContextSent { id: id.clone(), bytes }),
        Told::Heard(Heard::Line(line)) => show(around, id, log.line(&line, &around.redactor.forms())?),
        Told::Failed(message) => {
            show(around, id, log.flush()?);
            log.note(&format!("failed: {message}"), &around.redactor.forms())?;
        }
        Told::Heard(Heard::Step { name, cached }) => {
            let mark = if cached { " (cached)" } else { "" };
            own(log, &format!("=> {name}{mark}"))?;
            (around.speak)(Event::Step { id: id.clone(), name, cached });
        }
        Told::Notice(message) => {
            own(log, &message)?;
            (around.speak)(Event::Notice { message });
        }
        Told::TestStarted(test) => {
            own(log, &format!("=> test {test}"))?;
            (around.speak)(Event::TestStarted { id: id.clone(), test });
        }
        Told::TestFinished(TestResult { test, passed, error, seconds, .. }) => {
            own(
                log,
                &match &error {
                    None => format!("=> passed in {seconds} s"),
                    Some(error) => format!("=> failed after {seconds} s: {error}"),
                },
            )?;
            (around.speak)(Event::TestFinished { id: id.clone(), test, passed, error, seconds });
        }
        Told::FailedAt(FailedAt { file, line, .. }) => {
            let file = file.as_deref().unwrap_or("the generated Dockerfile");
            own(log, &format!("=> failed at {file}:{line}"))?;
        }
    }
    Ok(())
}

fn show(around: &Surroundings<'_>, id: &BuildId, lines: Vec<String>) {
    lines.into_iter().for_each(|line| (around.speak)(Event::Output { id: id.clone(), line }));
}

async fn do_push(
    around: &Surroundings<'_>,
    push: Push,
    image_id: Option<String>,
    digest: Option<String>,
) -> Done {
    let began = Instant::now();
    let planned = &around.plan.builds[push.build()];
    let tag = tag_of(planned, push);
    (around.speak)(Event::PushStarted { id: planned.id.clone(), tag: tag.to_owned() });
    let told = |error: &str, attempts, wait: Duration| {
        // Tokens are new from time to time.
        around.redactor.learn(around.registry.secrets());
        let (id, tag) = (planned.id.clone(), tag.to_owned());
        (around.speak)(Event::PushRetried {
            id,
            tag,
            attempts,
            error: error.to_owned(),
            wait: wait.as_secs_f64(),
        });
    };
    // Each attempt begins with a look of its own, so the whole attempt is made again and not its requests.
    let registry = &around.registry.without_retries();
    let bound = around.options.push_timeout;
    let (pushed, seen) = match push {
        Push::BuildTag(_) => {
            let host = plan::ImageName::parse(tag).map_or_else(|_| String::new(), |name| name.registry);
            let build_tag = BuildTagPush {
                build_tag: tag,
                image_id: image_id.as_deref().unwrap_or_default(),
                platform: &around.plan.platform,
                engine: around.engine,
                registry,
                idle: around.options.idle_timeout.min(bound),
                limit: around.options.build_timeout,
                login: around.prepared.logins.get(&host).unwrap_or(&Credential::Anonymous),
                config: &around.options.docker_config,
                renewed: OnceCell::new(),
                redactor: around.redactor,
                stored: OnceLock::new(),
            };
            let attempt = async |attempt| {
                around.engine_is_up().await.map_err(|gone| PushFailure::new(gone.failure, gone.message))?;
                build_tag.push(attempt).await
            };
            let pushed = build_tag::persist(bound, attempt, told).await;
            (pushed, build_tag.stored.into_inner().map_or(Seen::Nothing, Seen::New))
        }
        Push::MovingTag(_) => {
            let moving = MovingTag {
                subject: Subject::of(around.plan, planned),
                digest: digest.as_deref().unwrap_or_default(),
                current_parents: Some(moving_tag::current_parents(
                    &around.prepared.from(around.plan, planned),
                    &around.plan.revision.commit,
                )),
                history: around.history,
                allow_older: around.options.allow_older,
                registry,
                observed: Observed::default(),
            };
            let pushed = build_tag::persist(bound, |_| moving.push(), told).await;
            (pushed, moving.observed.earlier.into_inner().map_or(Seen::Nothing, Seen::Earlier))
        }
    };
    if pushed.is_err() {
        around.redactor.learn(around.registry.secrets());
    }
    Done::Push { push, pushed, seen, seconds: result::seconds(began.elapsed()) }
}
