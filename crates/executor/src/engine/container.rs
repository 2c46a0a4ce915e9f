//! Creates, runs and removes the containers of image tests.
//!
//! Every container has a label and a name by which a later run can find it.

use std::collections::HashMap;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, UploadToContainerOptionsBuilder, WaitContainerOptions,
};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};

use crate::cleanup::run_marker::RunMarker;
use crate::engine::{Engine, EngineError, EngineErrorKind};

/// The label of all our containers. Its value is the run marker.
pub(crate) const LABEL: &str = "image-builder.run";

/// Prefix of the names of our containers, followed by the run marker. An image can set a label but
/// not a name, so a container that has both is ours.
const NAME: &str = "image-builder-test-";

/// Memory limit of a container in bytes, including swap.
pub(crate) const MEMORY: i64 = 4 << 30;

/// Maximum number of processes and threads in a container.
const PROCESSES: i64 = 1024;

/// The settings of a container.
pub(crate) struct ContainerSpec<'a> {
    pub image: &'a str,
    pub mark: &'a RunMarker,
    /// Unique among the containers of a run.
    pub number: &'a str,
    /// The program and its arguments; replaces the image's entrypoint and command.
    pub command: &'a [String],
    pub network: bool,
    pub user: Option<&'a str>,
    /// `NAME=value`
    pub environment: Vec<String>,
}

impl ContainerSpec<'_> {
    /// The name of the container.
    pub(crate) fn name(&self) -> String {
        format!("{NAME}{}-{}", self.mark, self.number)
    }
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContainerExit {
    pub code: i64,
    /// Whether a process in it was killed because the memory limit was reached.
    pub out_of_memory: bool,
}

/// A container that a run of this program created.
#[derive(Debug, Clone)]
pub(crate) struct LabelledContainer {
    pub id: String,
    pub mark: RunMarker,
    /// Unix time by the engine's clock.
    pub created: i64,
}

impl Engine {
    /// Creates a container and returns its id.
    pub(crate) async fn create(&self, wanted: &ContainerSpec<'_>) -> Result<String, EngineError> {
        let words = |text: &[&str]| Some(text.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let (program, arguments) = wanted.command.split_first().ok_or_else(|| {
            EngineError::new(EngineErrorKind::Failed, "a test without a program cannot be run")
        })?;
        let host = HostConfig {
            network_mode: (!wanted.network).then(|| "none".to_owned()),
            memory: Some(MEMORY),
            memory_swap: Some(MEMORY),
            pids_limit: Some(PROCESSES),
            cap_drop: words(&["ALL"]),
            security_opt: words(&["no-new-privileges"]),
            // Output is streamed to us; a log would also fill the engine's disk.
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..HostConfig::default()
        };
        let body = ContainerCreateBody {
            image: Some(wanted.image.to_owned()),
            // podman treats an empty entrypoint as unset.
            entrypoint: Some(vec![program.clone()]),
            cmd: Some(arguments.to_vec()),
            user: wanted.user.map(str::to_owned),
            env: Some(wanted.environment.clone()),
            labels: Some(HashMap::from([(LABEL.to_owned(), wanted.mark.to_string())])),
            healthcheck: Some(HealthConfig { test: words(&["NONE"]), ..HealthConfig::default() }),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(&wanted.name()).build();
        Ok(self.ask(self.quick.create_container(Some(options), body)).await?.id)
    }

    /// Copies an executable file into the root directory of a container that is not running yet.
    pub(crate) async fn put(&self, container: &str, name: &str, text: &str) -> Result<(), EngineError> {
        let unwritable = |error: std::io::Error| EngineError::new(EngineErrorKind::Failed, error.to_string());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(text.len() as u64);
        header.set_mtime(0);
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_data(&mut header, name, text.as_bytes()).map_err(unwritable)?;
        let archive = archive.into_inner().map_err(unwritable)?;
        let options = UploadToContainerOptionsBuilder::default().path("/").build();
        let body = bollard::body_full(archive.into());
        self.ask(self.quick.upload_to_container(container, Some(options), body)).await
    }

    /// Attaches to a container's output, before it is started.
    pub(crate) async fn attach(
        &self,
        container: &str,
    ) -> Result<BoxStream<'static, Result<LogOutput, EngineError>>, EngineError> {
        let options = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true).build();
        let attached = self.ask(self.quick.attach_container(container, Some(options))).await?;
        Ok(attached.output.map_err(EngineError::from).boxed())
    }

    /// Starts a container.
    pub(crate) async fn start(&self, container: &str) -> Result<(), EngineError> {
        self.ask(self.quick.start_container(container, None)).await
    }

    /// Waits until a started container has ended.
    pub(crate) async fn wait(&self, container: &str) -> Result<ContainerExit, EngineError> {
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let mut answers = std::pin::pin!(self.long.wait_container(container, Some(options)));
        match answers.next().await {
            // A code other than 0 is returned as an error.
            Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) => {}
            Some(Err(error)) => return Err(error.into()),
            None => {
                let message = "the engine's answer ended before the container did";
                return Err(EngineError::new(EngineErrorKind::ConnectionLost, message));
            }
        }
        let state = self.ask(self.quick.inspect_container(container, None)).await?.state.unwrap_or_default();
        Ok(ContainerExit {
            code: state.exit_code.unwrap_or(-1),
            out_of_memory: state.oom_killed.unwrap_or_default(),
        })
    }

    /// Stops and removes a container, by id or name, with its anonymous volumes.
    pub(crate) async fn remove_container(&self, container: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        self.ask(self.quick.remove_container(container, Some(options))).await
    }

    /// The containers of all runs of this program.
    pub(crate) async fn our_containers(&self) -> Result<Vec<LabelledContainer>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), vec![LABEL.to_owned()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let containers = self.ask(self.quick.list_containers(Some(options))).await?;
        let ours = containers.into_iter().filter_map(|container| {
            let label = container.labels?.remove(LABEL)?;
            let name = format!("{NAME}{label}-");
            let named = container.names?.iter().any(|known| known.trim_start_matches('/').starts_with(&name));
            let (id, mark) = (container.id?, RunMarker::parse(&label)?);
            named.then_some(LabelledContainer { id, mark, created: container.created.unwrap_or(i64::MAX) })
        });
        Ok(ours.collect())
    }

    /// The engine's clock, in seconds since 1970.
    pub(crate) async fn time(&self) -> Result<Option<i64>, EngineError> {
        let reported = self.ask(self.quick.info()).await?.system_time;
        let time = reported.and_then(|text| chrono::DateTime::parse_from_rfc3339(&text).ok());
        Ok(time.map(|time| time.timestamp()))
    }
}

/// The age of an object by the engine's clock.
pub(crate) fn age(now: Option<i64>, created: i64) -> Option<Duration> {
    u64::try_from(now?.checked_sub(created)?).ok().map(Duration::from_secs)
}
