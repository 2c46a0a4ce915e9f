//! Builds one image: sends Dockerfile, labels and context to the engine, reports steps and output
//! lines, and returns the image's id.

pub(crate) mod base_image;
pub mod context;
pub(crate) mod dockerfile;
pub(crate) mod drift;
pub(crate) mod failure_location;
pub(crate) mod image_test;
pub(crate) mod labels;
pub(crate) mod onbuild;
pub(crate) mod output_buffer;
pub(crate) mod progress;
pub(crate) mod session;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bollard::auth::DockerCredentials;
use bollard::query_parameters::BuildImageOptionsBuilder;
use bytes::Bytes;
use futures_util::StreamExt;
use plan::{Build, Context, Plan, Role, Span};
use registry::Credential;

use crate::build::context::filesync::{self, Source};
use crate::build::context::{ContextError, ContextStream, Generated};
use crate::build::failure_location::StepNumbering;
use crate::build::labels::Timestamp;
use crate::build::progress::{Progress, ProgressEvent};
use crate::build::session::Session;
use crate::engine::platform;
use crate::engine::{
    Builder, Engine, EngineError, EngineErrorKind, Flavour, Shown, docker_credentials, is_full, login_key,
};
use crate::preflight::Resolved;
use crate::push::image_size::ImageSize;
use crate::run::options::Options;
use crate::run::result::{Comparison, FailedAt, Failure, TestResult, Within};

/// Interval of reports about sent context bytes.
const TICK: Duration = Duration::from_millis(500);

/// How many times an image is built if its base image changes during each build.
const TRIES: usize = 3;

/// An image that has both of its tags.
#[derive(Debug, Clone)]
pub(crate) struct BuiltImage {
    pub image_id: String,
    pub size: Option<u64>,
    /// Whether an earlier run made it.
    pub resumed: bool,
    /// Comparison with the image that the moving tag pointed to on the engine.
    pub compared: Option<Comparison>,
}

/// Why a build failed.
#[derive(Debug, Clone)]
pub(crate) struct BuildFailure {
    pub failure: Failure,
    pub message: String,
}

/// An update that a build reports while it runs.
#[derive(Debug)]
pub(crate) enum BuildUpdate {
    Progress(ProgressEvent),
    Sent(u64),
    /// A warning that does not stop the build.
    Notice(String),
    /// A test of the image starts: its command.
    TestStarted(String),
    TestFinished(TestResult),
    /// The instruction that failed; the error itself is reported at the end.
    FailedAt(FailedAt),
    /// The error, for the log; the build's result has the same text.
    Failed(String),
}

/// Everything that an image is built from.
pub(crate) struct BuildJob<'a> {
    pub plan: &'a Plan,
    pub build: &'a Build,
    pub context: &'a Context,
    pub options: &'a Options,
    pub prepared: &'a Resolved,
    pub engine: &'a Engine,
}

/// Builds one image under a temporary name and returns its id. `--build-timeout` covers pulling
/// base images, sending the context, and repeating the build if a base image changed.
pub(crate) async fn build(
    job: &BuildJob<'_>,
    name: &str,
    report: &mut (dyn FnMut(BuildUpdate) + Send),
) -> Result<String, BuildFailure> {
    let limit = job.options.build_timeout;
    // The engine aborts a build when its connection is closed.
    let time_limit = |_| Err(engine_failure(EngineError::time_limit("the build", limit)));
    tokio::time::timeout(limit, make(job, name, report)).await.unwrap_or_else(time_limit)
}

async fn make(
    job: &BuildJob<'_>,
    name: &str,
    report: &mut (dyn FnMut(BuildUpdate) + Send),
) -> Result<String, BuildFailure> {
    let BuildJob { context, options, engine, .. } = job;
    if engine.flavour == Flavour::Podman
        && let Some((path, target)) = context::link_that_leaves(context)
    {
        let message = format!(
            "podman's service does not accept links out of the context, as {path} -> {target} does; \
             build it on a Docker engine"
        );
        return Err(BuildFailure { failure: Failure::Build, message });
    }
    let exact = exact(job);
    fetch(job, &exact, report).await.map_err(engine_failure)?;
    for _ in 0..TRIES {
        let all = base_image::inspect(job.plan, job.build, job.prepared, job.engine)
            .await
            .map_err(engine_failure)?;
        if let Some(triggers) = onbuild::triggers(&all) {
            if !options.allow_onbuild {
                let message = format!("{triggers} (--allow-onbuild builds on it all the same)");
                return Err(BuildFailure { failure: Failure::Build, message });
            }
            report(BuildUpdate::Notice(format!("{}: {triggers}", job.build.id)));
        }
        let base = base_image::base(job.plan, job.build, job.prepared, &all);
        let request = BuildRequest::new(job, name, &exact, base.as_ref())?;
        let image_id = request.send(job, Context::clone(context), report).await?;
        match base {
            Some(base) if !base.is_there(engine).await.map_err(engine_failure)? => {
                report(BuildUpdate::Notice(format!(
                    "{}: another client built {} on this engine meanwhile; building again on the new image",
                    job.build.id, base.layer
                )));
            }
            _ => return Ok(image_id),
        }
    }
    Err(BuildFailure {
        failure: Failure::Conflict,
        message: format!(
            "its base image changed during each of {TRIES} builds; \
             is another run using this engine?"
        ),
    })
}

/// Gives an image both of its tags. The earlier image on the engine is inspected for the
/// comparison, unless the image `is_pushed`: then it is compared with the registry.
pub(crate) async fn publish_locally(
    build: &Build,
    image_id: &str,
    engine: &Engine,
    is_pushed: bool,
) -> Result<BuiltImage, BuildFailure> {
    // For display only, so an error is ignored.
    let earlier = if is_pushed { None } else { engine.inspect(build.moving_tag()).await.ok() };
    for tag in build.tags.iter() {
        engine.tag(image_id, tag).await.map_err(engine_failure)?;
    }
    match engine.inspect(build.build_tag()).await.map_err(engine_failure)? {
        Some(local) => {
            let earlier = earlier.map(|earlier| earlier.as_ref().and_then(ImageSize::unpacked));
            let compared = earlier.zip(ImageSize::unpacked(&local));
            let compared = compared.map(|(earlier, new)| new.compare_with(earlier.as_ref(), Within::Engine));
            Ok(BuiltImage { image_id: local.id, size: local.size, resumed: false, compared })
        }
        None => Err(BuildFailure {
            failure: Failure::Environment,
            message: format!("the engine built {image_id} and does not have it"),
        }),
    }
}

/// Converts an engine's error to a build failure.
pub(crate) fn engine_failure(error: EngineError) -> BuildFailure {
    BuildFailure { failure: error.failure(Failure::Build), message: error.message }
}

/// A build request without its context.
struct BuildRequest {
    tag: String,
    dockerfile: String,
    mtime: i64,
    /// Labels sent in the request; for the classic builder, most labels are in the Dockerfile
    /// instead.
    labels: BTreeMap<String, String>,
    args: BTreeMap<String, String>,
    platform: Option<String>,
    no_cache: bool,
    credentials: HashMap<String, DockerCredentials>,
}

/// The exact image that replaces a reference in the Dockerfile.
struct ExactImage {
    span: Span,
    role: Role,
    name: String,
    /// The registry to fetch it from, if it is named by a digest.
    host: Option<String>,
    /// The requested platform, if known.
    platform: Option<String>,
}

/// The exact images for the references of the plan.
fn exact(job: &BuildJob<'_>) -> Vec<ExactImage> {
    let exact = |reference: &plan::Reference| {
        let name = job.prepared.exact(job.plan, reference, job.engine)?;
        let image = plan::ImageName::parse(&name).ok().filter(|image| image.digest.is_some());
        let host = image.map(|image| image.registry);
        let platform = platform::of(job.plan, job.build, reference, &job.engine.platform);
        Some(ExactImage { span: reference.span, role: reference.role, name, host, platform })
    };
    job.build.references.iter().filter_map(exact).collect()
}

/// Pulls the base images, so that their configuration is known before the build runs. Builders
/// support fewer login methods than a pull; so an image that needs a login is pulled first, and the
/// builder finds it by its digest.
async fn fetch(
    job: &BuildJob<'_>,
    exact: &[ExactImage],
    report: &mut (dyn FnMut(BuildUpdate) + Send),
) -> Result<(), EngineError> {
    let BuildJob { options, prepared, engine, plan, .. } = *job;
    for ExactImage { name, host, role, platform, .. } in exact {
        let Some(host) = host else { continue };
        let login = prepared.logins.get(host).unwrap_or(&Credential::Anonymous);
        if !role.is_base_image() && *login == Credential::Anonymous {
            continue;
        }
        let wanted = platform.as_deref().unwrap_or(&plan.platform);
        let foreign = wanted != engine.platform;
        let mut local = engine.inspect(name).await?;
        if !local.as_ref().is_some_and(|local| !foreign || platform::serves(&local.platform, wanted)) {
            report(BuildUpdate::Progress(ProgressEvent::Step {
                name: format!("fetch {name}"),
                cached: false,
            }));
            let platform = foreign.then_some(wanted);
            if let Err(error) = engine.pull(name, login, platform, options.idle_timeout).await {
                let is_lacking = is_for_others(&error.message);
                return Err(if is_lacking { lacking(name, wanted, &error.message) } else { error });
            }
            local = engine.inspect(name).await?;
        }
        if let (Some(local), true) = (local, platform.is_some())
            && !platform::serves(&local.platform, wanted)
        {
            // An engine reports one platform of a multi-platform image; its registry lists all of
            // them.
            let image = plan::ImageName::parse(name)
                .map_err(|error| EngineError::new(EngineErrorKind::Failed, error.to_string()))?;
            let shown = engine.shown(&image, login, options.idle_timeout, options.build_timeout).await;
            let serves = |shown: Shown| shown.platforms.iter().any(|has| platform::serves(has, wanted));
            if !shown.is_ok_and(serves) {
                return Err(lacking(name, wanted, &format!("it is for {}", local.platform)));
            }
        }
    }
    Ok(())
}

/// Whether an engine's error says that an image exists for other platforms only.
fn is_for_others(message: &str) -> bool {
    message.contains("does not match the specified platform") || message.contains("no matching manifest for")
}

fn lacking(name: &str, wanted: &str, why: &str) -> EngineError {
    let (message, help) = platform::lacking(name, wanted, why);
    EngineError::new(EngineErrorKind::Platform, format!("{message}; {help}"))
}

impl BuildRequest {
    fn new(
        job: &BuildJob<'_>,
        name: &str,
        exact: &[ExactImage],
        without_digest: Option<&base_image::BaseImage>,
    ) -> Result<Self, BuildFailure> {
        let BuildJob { plan, build, options, prepared, engine, .. } = *job;
        let moment = options
            .source_date_epoch
            .map_or_else(|| Timestamp::from_clock(SystemTime::now()), Timestamp::from_epoch);
        let mut from = prepared.from(plan, build);
        if let Some(base_image::BaseImage { layer, id, .. }) = without_digest {
            from.note_id(layer.clone(), id.clone());
        }
        let base = labels::KnownBase { name: prepared.base_name(build), digest: prepared.base_digest(build) };
        let labels = labels::complete(build, &plan.label_prefix, &from, base, moment);
        let replacements: Vec<_> = exact.iter().map(|exact| (exact.span, exact.name.clone())).collect();
        let text = dockerfile::replace(&build.dockerfile, &replacements)
            .map_err(|message| BuildFailure { failure: Failure::Build, message })?;
        let (dockerfile, labels) = match engine.builder {
            Builder::BuildKit => (text, labels),
            Builder::Classic => labels::append_line(&text, &labels),
        };
        let mut args = options.docker_config.proxies(&options.endpoint.host);
        args.extend(build.args.clone());
        // If a platform is given explicitly, even its own, the classic builder looks up all images
        // of that name again.
        let foreign = plan.platform != engine.platform;
        let credentials = prepared.logins.iter().filter_map(|(host, credential)| {
            Some((login_key(host).to_owned(), docker_credentials(credential, host)?))
        });
        Ok(Self {
            tag: name.to_owned(),
            dockerfile,
            mtime: options.source_date_epoch.unwrap_or(context::CONSTANT_TIME),
            labels,
            args,
            platform: (foreign || engine.builder == Builder::BuildKit).then(|| plan.platform.clone()),
            no_cache: options.no_cache,
            credentials: credentials.collect(),
        })
    }

    /// `Some` if the engine gave the image its name, which it does only at the end of a successful
    /// build.
    async fn named(&self, engine: &Engine, progress: &Progress) -> Option<()> {
        let found = engine.inspect(&self.tag).await.ok()??;
        (Some(found.id.as_str()) == progress.image_id()).then_some(())
    }

    async fn send(
        &self,
        job: &BuildJob<'_>,
        context: Context,
        report: &mut (dyn FnMut(BuildUpdate) + Send),
    ) -> Result<String, BuildFailure> {
        let (engine, run) = (job.engine, job.options);
        let map = |pairs: &BTreeMap<String, String>| pairs.clone().into_iter().collect::<HashMap<_, _>>();
        let mut options = BuildImageOptionsBuilder::default()
            .t(&self.tag)
            .nocache(self.no_cache)
            .rm(true)
            .forcerm(true)
            .buildargs(&map(&self.args))
            .labels(&map(&self.labels))
            .platform(self.platform.as_deref().unwrap_or_default());
        let (sent, supply, credentials, body) = match engine.builder {
            Builder::BuildKit => {
                let source = Source::new(context, self.dockerfile.clone(), self.mtime);
                let (sent, source) = (Arc::clone(&source.sent), Arc::new(source));
                // The session stays open until the build is over.
                let opened =
                    session::open(&engine.way, &run.secrets, self.credentials.clone(), Arc::clone(&source));
                let session = opened.await.map_err(engine_failure)?;
                options =
                    options.session(&session.id).remote("client-session").dockerfile(filesync::DOCKERFILE);
                (sent, ContextSource::Fetched(session, source), None, bollard::body_full(Bytes::new()))
            }
            Builder::Classic => {
                let dockerfile = Generated::new(self.dockerfile.clone(), &context);
                options = options.dockerfile(&dockerfile.path);
                let ContextStream { mut chunks, sent, end } =
                    context::stream(context, dockerfile, self.mtime);
                let body = futures_util::stream::poll_fn(move |cx| chunks.poll_recv(cx));
                let credentials = Some(self.credentials.clone());
                (sent, ContextSource::Tar(end), credentials, bollard::body_try_stream(body))
            }
        };
        let answers = engine.long.build_image(options.build(), credentials, Some(body));
        let mut progress = Progress::default();
        let ended = listen(answers, &sent, run.idle_timeout, &mut progress, report).await;
        let ended = match ended {
            Err(error) if error.kind == EngineErrorKind::Truncated => {
                self.named(engine, &progress).await.ok_or(error)
            }
            ended => ended,
        };
        report(BuildUpdate::Sent(sent.load(Ordering::Relaxed)));
        for heard in progress.rest() {
            report(BuildUpdate::Progress(heard));
        }
        if let Err(error) = &ended {
            let numbers = match engine.builder {
                Builder::BuildKit => StepNumbering::Layers,
                Builder::Classic => StepNumbering::Instructions,
            };
            let place = failure_location::place(job.build, numbers, progress.failing(), &error.message);
            place.into_iter().for_each(|place| report(BuildUpdate::FailedAt(place)));
        }
        // The responses were dropped, and with them the request body: the context has ended, or
        // ends now.
        supply.end().await?;
        image(ended, &progress)
    }
}

/// How a builder receives its context.
enum ContextSource {
    Tar(tokio::task::JoinHandle<Result<(), ContextError>>),
    Fetched(Session, Arc<Source>),
}

impl ContextSource {
    /// Returns the error that prevented sending the context, unless the engine closed the stream
    /// itself.
    async fn end(self) -> Result<(), BuildFailure> {
        let environment = |message| BuildFailure { failure: Failure::Environment, message };
        let failure = match self {
            Self::Tar(end) => end.await.map_err(|panic| environment(panic.to_string()))?.err(),
            Self::Fetched(session, source) => {
                drop(session);
                source.failure()
            }
        };
        match failure {
            None | Some(ContextError::Closed) => Ok(()),
            Some(error @ (ContextError::Changed { .. } | ContextError::Path { .. })) => {
                Err(BuildFailure { failure: Failure::Build, message: error.to_string() })
            }
            Some(error @ ContextError::Read { .. }) => Err(environment(error.to_string())),
        }
    }
}

/// Returns the image id of a response that ended without an error.
fn image(ended: Result<(), EngineError>, progress: &Progress) -> Result<String, BuildFailure> {
    ended.map_err(engine_failure)?;
    progress.image_id().map(str::to_owned).ok_or_else(|| BuildFailure {
        failure: Failure::Environment,
        message: "the engine's answer ended before it had an image".to_owned(),
    })
}

/// Reads messages until the last one; fails if neither messages nor context bytes move for `idle`.
async fn listen(
    answers: impl futures_util::Stream<Item = Result<bollard::models::BuildInfo, bollard::errors::Error>>,
    sent: &AtomicU64,
    idle: Duration,
    progress: &mut Progress,
    report: &mut (dyn FnMut(BuildUpdate) + Send),
) -> Result<(), EngineError> {
    let mut answers = std::pin::pin!(answers);
    let mut tick = tokio::time::interval(TICK.min(idle));
    let mut last_sent = 0;
    let mut last_moved = Instant::now();
    let mut last = LastLines::default();
    loop {
        tokio::select! {
            answer = answers.next() => {
                let Some(answer) = answer else { return Ok(()) };
                last_moved = Instant::now();
                // Report this first: the next message may be a step that runs long after its
                // context arrived.
                let now = sent.load(Ordering::Relaxed);
                if now != last_sent {
                    last_sent = now;
                    report(BuildUpdate::Sent(now));
                }
                let mut info = answer.map_err(|error| last.explain(error.into()))?;
                if let Some(error) = info.error_detail.take() {
                    let message = error.message.unwrap_or_else(|| "the engine gave no reason".to_owned());
                    return Err(last.explain(EngineError::reported(EngineErrorKind::Failed, &message)));
                }
                for heard in progress.parse(info) {
                    last.parse(&heard);
                    report(BuildUpdate::Progress(heard));
                }
            }
            _ = tick.tick() => {
                let now = sent.load(Ordering::Relaxed);
                if now != last_sent {
                    last_sent = now;
                    last_moved = Instant::now();
                    report(BuildUpdate::Sent(now));
                } else if last_moved.elapsed() > idle {
                    return Err(EngineError::silent(idle));
                }
            }
        }
    }
}

/// The last output lines of a build's commands: when a command finds the disk full, the engine
/// reports only that it failed.
#[derive(Debug, Default)]
struct LastLines {
    /// Number of lines since one that reported a full disk.
    since_full: Option<usize>,
}

impl LastLines {
    /// A full disk explains an error only within this many lines.
    const COUNT: usize = 20;

    fn parse(&mut self, heard: &ProgressEvent) {
        if let ProgressEvent::Line(line) = heard {
            self.since_full = if is_full(line) { Some(0) } else { self.since_full.map(|lines| lines + 1) };
        }
    }

    fn explain(&self, error: EngineError) -> EngineError {
        match error.kind {
            EngineErrorKind::Failed if self.since_full.is_some_and(|lines| lines < Self::COUNT) => {
                EngineError::full(&error.message)
            }
            _ => error,
        }
    }
}

/// Sends an empty context to an engine and parses its response as that of a build.
///
/// # Errors
/// The failure, if the response contains no image.
#[cfg(feature = "fuzzing")]
pub(crate) async fn answer(
    engine: &bollard::Docker,
    reported: &mut Vec<ProgressEvent>,
) -> Result<String, BuildFailure> {
    let options = BuildImageOptionsBuilder::default().t("x").build();
    let context = bollard::body_full(bytes::Bytes::new());
    let answers = engine.build_image(options, None, Some(context));
    let mut progress = Progress::default();
    let mut report = |one| {
        if let BuildUpdate::Progress(heard) = one {
            reported.push(heard);
        }
    };
    let ended =
        listen(answers, &AtomicU64::new(0), Duration::from_secs(60), &mut progress, &mut report).await;
    reported.extend(progress.rest());
    image(ended, &progress)
}
