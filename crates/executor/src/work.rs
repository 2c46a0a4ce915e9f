//! The loop that joins schedule, pushes, engine and events.
//!
//! Builds and pushes are futures that borrow what was settled before; dropping one ends it on the engine. The
//! loop alone touches the schedule and the results.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use plan::{BuildId, Context, Plan};
use registry::{Credential, Registry};
use tokio_util::sync::CancellationToken;

use crate::build::{self, BuildFailure, Made, Told};
use crate::engine::Engine;
use crate::prepare::Prepared;
use crate::progress::Heard;
use crate::publish::{Publish, Push};
use crate::push::{self, PushFailure};
use crate::record::{Log, Record};
use crate::result::{self, BuildResult, Failure, Outcome};
use crate::schedule::{Ended, Schedule, State};
use crate::{Event, Options, Relation};

/// Pushes at a time.
const PUSHES: usize = 4;

/// All that a run's builds and pushes look at.
pub(crate) struct Surroundings<'a> {
    pub plan: &'a Plan,
    pub contexts: &'a BTreeMap<BuildId, Context>,
    pub options: &'a Options,
    /// As [`crate::schedule::positions`] gives them.
    pub needs: &'a [Vec<usize>],
    pub engine: &'a Engine,
    pub registry: &'a Registry,
    pub prepared: &'a Prepared,
    pub record: &'a Record,
    pub history: &'a (dyn Fn(&str) -> Relation + Send + Sync),
    pub speak: &'a (dyn Fn(Event) + Send + Sync),
    pub clock: Instant,
    pub jobs: usize,
}

/// A piece of work that came to its end.
enum Done {
    Build { build: usize, made: Result<Made, BuildFailure>, log_tail: Vec<String>, seconds: f64 },
    Push { push: Push, pushed: Result<String, PushFailure>, seconds: f64 },
}

type Work<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send + 'a>>>;

/// Runs everything, and fills the results in. They are as long as the plan.
pub(crate) async fn work(around: &Surroundings<'_>, cancel: &CancellationToken, results: &mut [BuildResult]) {
    let mut run = Run {
        around,
        schedule: Schedule::new(around.needs, around.jobs),
        publish: Publish::new(around.needs, PUSHES),
        results,
    };
    for (position, digest) in &around.prepared.reused {
        run.reuse(*position, digest);
    }
    let mut work: Work<'_> = FuturesUnordered::new();
    loop {
        while let Some(build) = run.schedule.start() {
            run.results[build].log = Some(around.record.log_path(build, &around.plan.builds[build].id));
            work.push(Box::pin(do_build(around, build)));
        }
        while let Some(push) = run.next_push() {
            let result = &run.results[push.build()];
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
            Some(Done::Build { build, made, log_tail, seconds }) => run.built(build, made, log_tail, seconds),
            Some(Done::Push { push, pushed, seconds }) => run.pushed(push, pushed, seconds),
            None => true,
        };
        if failed && (around.options.fail_fast || cancel.is_cancelled()) {
            // The engine ends what nobody listens to any more.
            work.clear();
            run.stop();
            break;
        }
    }
    run.settle();
}

struct Run<'a, 'r> {
    around: &'a Surroundings<'a>,
    schedule: Schedule,
    publish: Publish,
    results: &'r mut [BuildResult],
}

impl Run<'_, '_> {
    fn next_push(&mut self) -> Option<Push> {
        if self.around.options.push { self.publish.start() } else { None }
    }

    fn reuse(&mut self, build: usize, digest: &str) {
        self.schedule.reuse(build);
        self.publish.reused(build);
        let result = &mut self.results[build];
        let tag = self.around.plan.builds[build].build_tag().to_owned();
        result.outcome = Outcome::Reused;
        result.digest = Some(digest.to_owned());
        result.tags = vec![tag.clone()];
        result.pushed = vec![tag];
        self.finished(build, Outcome::Reused, 0.0, None, Vec::new());
    }

    /// Takes a build's end in; returns whether it failed.
    fn built(
        &mut self,
        build: usize,
        made: Result<Made, BuildFailure>,
        log_tail: Vec<String>,
        seconds: f64,
    ) -> bool {
        let around = self.around;
        let planned = &around.plan.builds[build];
        let result = &mut self.results[build];
        result.seconds = seconds;
        result.from = planned
            .references
            .iter()
            .filter_map(|reference| around.prepared.exact(around.plan, reference, around.engine))
            .collect();
        match made {
            Ok(made) => {
                result.outcome = Outcome::Built;
                result.image_id = Some(made.image_id);
                result.size = made.size;
                result.tags = planned.tags.clone();
                self.schedule.finish(build, Ended::Built);
                self.publish.built(build);
                self.finished(build, Outcome::Built, seconds, None, Vec::new());
                false
            }
            Err(failure) => {
                result.outcome = Outcome::Failed;
                result.failure = Some(failure.failure);
                result.error = Some(failure.message.clone());
                let skipped = self.schedule.finish(build, Ended::Failed);
                self.finished(build, Outcome::Failed, seconds, Some(failure.message), log_tail);
                for descendant in skipped {
                    let why = format!("{} failed", planned.id);
                    let result = &mut self.results[descendant];
                    result.outcome = Outcome::Skipped;
                    result.error = Some(why.clone());
                    self.finished(descendant, Outcome::Skipped, 0.0, Some(why), Vec::new());
                }
                let reason = format!("{} was not built", planned.id);
                self.give_pushes_up(build, &reason, None);
                true
            }
        }
    }

    /// Takes a push's end in; returns whether it failed.
    fn pushed(&mut self, push: Push, pushed: Result<String, PushFailure>, seconds: f64) -> bool {
        let build = push.build();
        let planned = &self.around.plan.builds[build];
        let (id, tag) = (planned.id.clone(), tag_of(planned, push).to_owned());
        match pushed {
            Ok(digest) => {
                self.publish.verified(push);
                let result = &mut self.results[build];
                result.digest = Some(digest.clone());
                for tags in [&mut result.pushed, &mut result.tags] {
                    if !tags.contains(&tag) {
                        tags.push(tag.clone());
                    }
                }
                (self.around.speak)(Event::Pushed { id, tag, digest, seconds });
                false
            }
            Err(failure) => {
                let result = &mut self.results[build];
                result.outcome = Outcome::PushFailed;
                result.failure = Some(failure.failure);
                result.error = Some(failure.message.clone());
                (self.around.speak)(Event::PushFailed { id: id.clone(), tag, error: failure.message });
                self.give_pushes_up(build, &format!("the push of {id} failed"), Some(failure.failure));
                true
            }
        }
    }

    /// Nothing of a build and its descendants is pushed any more. `failure` is that of the push that caused it.
    fn give_pushes_up(&mut self, build: usize, reason: &str, failure: Option<Failure>) {
        for descendant in self.publish.give_up(build) {
            let result = &mut self.results[descendant];
            if result.error.is_none() {
                result.error = Some(format!("not pushed: {reason}"));
                result.failure = failure;
            }
        }
    }

    /// Nothing starts any more, and what ran was dropped.
    fn stop(&mut self) {
        let running: Vec<usize> =
            (0..self.results.len()).filter(|build| self.schedule.state(*build) == State::Running).collect();
        for build in &running {
            self.schedule.finish(*build, Ended::Cancelled);
        }
        for build in running.into_iter().chain(self.schedule.stop()) {
            self.results[build].outcome = Outcome::Cancelled;
            self.finished(build, Outcome::Cancelled, 0.0, None, Vec::new());
        }
    }

    /// Judges what is built by whether it was to be pushed, and was.
    fn settle(&mut self) {
        if !self.around.options.push {
            return;
        }
        for build in 0..self.results.len() {
            let there = matches!(self.schedule.state(build), State::Built | State::Reused);
            if there && !self.publish.is_done(build) {
                let result = &mut self.results[build];
                result.outcome =
                    if result.error.is_some() { Outcome::PushFailed } else { Outcome::Cancelled };
            }
        }
    }

    fn finished(
        &self,
        build: usize,
        outcome: Outcome,
        seconds: f64,
        error: Option<String>,
        log_tail: Vec<String>,
    ) {
        (self.around.speak)(Event::BuildFinished {
            id: self.around.plan.builds[build].id.clone(),
            outcome,
            seconds,
            error,
            log_tail,
            at: result::seconds(self.around.clock.elapsed()),
        });
    }
}

fn tag_of(build: &plan::Build, push: Push) -> &str {
    match push {
        Push::BuildTag(_) => build.build_tag(),
        Push::MovingTag(_) => build.moving_tag(),
    }
}

async fn do_build(around: &Surroundings<'_>, position: usize) -> Done {
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
    let (made, log_tail) = match around.record.log(position, &planned.id, &secrets(around)) {
        Err(error) => (Err(no_log(error)), Vec::new()),
        Ok(mut log) => {
            let mut log_error = None;
            let mut tell = |told| {
                if let Err(error) = tell(around, &planned.id, &mut log, told) {
                    log_error.get_or_insert(error);
                }
            };
            let context = &around.contexts[&planned.id];
            let made = build::build(
                around.plan,
                planned,
                context,
                around.options,
                around.prepared,
                around.engine,
                &mut tell,
            )
            .await;
            if let Err(failure) = &made {
                tell(Told::Heard(Heard::Line(format!("failed: {}", failure.message))));
            }
            let made = match (made, log_error) {
                (Ok(_), Some(error)) => Err(no_log(error)),
                (Err(failure), _) => {
                    Err(BuildFailure { message: log.without_secrets(&failure.message), ..failure })
                }
                (made, None) => made,
            };
            (made, log.tail())
        }
    };
    Done::Build { build: position, made, log_tail, seconds: result::seconds(began.elapsed()) }
}

fn tell(around: &Surroundings<'_>, id: &BuildId, log: &mut Log, told: Told) -> std::io::Result<()> {
    let id = id.clone();
    let event = match told {
        Told::Sent(bytes) => Event::ContextSent { id, bytes },
        Told::Heard(Heard::Line(line)) => Event::Output { id, line: log.line(&line)? },
        Told::Heard(Heard::Step { name, cached }) => {
            let mark = if cached { " (cached)" } else { "" };
            log.line(&format!("=> {name}{mark}"))?;
            Event::Step { id, name, cached }
        }
    };
    (around.speak)(event);
    Ok(())
}

/// What must not show in a log: credentials, and the logins in proxies' addresses.
fn secrets(around: &Surroundings<'_>) -> Vec<String> {
    let proxies = around.options.docker_config.proxies(&around.options.endpoint.host);
    let in_address = proxies.values().filter_map(|address| {
        let (userinfo, _) = address.rsplit_once('@')?;
        let userinfo = userinfo.rsplit_once('/').map_or(userinfo, |(_, userinfo)| userinfo);
        Some(userinfo.split_once(':').map_or(userinfo, |(_, password)| password).to_owned())
    });
    let logins = around.prepared.logins.values().flat_map(Credential::secrets);
    logins.chain(in_address).filter(|secret| secret.len() >= 4).collect()
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
    let pushed = match push {
        Push::BuildTag(_) => {
            let image_id = image_id.unwrap_or_default();
            let host = plan::ImageName::parse(tag).map_or_else(|_| String::new(), |name| name.registry);
            let credential = around.prepared.logins.get(&host).unwrap_or(&Credential::Anonymous);
            let (engine, registry) = (around.engine, around.registry);
            let (platform, idle) = (&around.plan.platform, around.options.idle_timeout);
            push::retry(|| push::push_build_tag(tag, &image_id, platform, engine, registry, credential, idle))
                .await
        }
        Push::MovingTag(_) => {
            let digest = digest.unwrap_or_default();
            push::retry(|| move_tag(around, planned, &digest)).await
        }
    };
    Done::Push { push, pushed, seconds: result::seconds(began.elapsed()) }
}

async fn move_tag(
    around: &Surroundings<'_>,
    build: &plan::Build,
    digest: &str,
) -> Result<String, PushFailure> {
    let shown = push::look_at_moving_tag(around.plan, build, around.registry).await?;
    let commit = shown.as_ref().and_then(|shown| shown.commit.as_deref());
    let relation = commit.map_or(Relation::Unknown, around.history);
    let allow_older = around.options.allow_older;
    push::push_moving_tag(build, digest, shown, relation, allow_older, around.registry).await?;
    Ok(digest.to_owned())
}
