//! The docker client, and the engine to use when we may not start one.

use std::env;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::engine::{Kind, State};
use crate::process;

/// Calls the `docker` command for one engine.
pub(crate) struct Client {
    host: String,
}

impl Client {
    /// Creates a client for the engine of `state`.
    pub(crate) fn new(state: &State) -> Self {
        Self { host: state.host.clone() }
    }

    /// Returns `docker` for this engine. 1.41 is the newest API version that all three engines
    /// support.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", &self.host).env("DOCKER_API_VERSION", "1.41").env_remove("DOCKER_CONTEXT");
        command
    }

    /// Removes every container, which is correct only on a private engine. Without this, podman
    /// leaves iptables rules of running containers behind.
    pub(crate) fn remove_containers(&self) {
        let mut list = self.command();
        let Ok(ids) = process::read_within(list.args(["ps", "--all", "--quiet"]), Duration::from_secs(10))
        else {
            return;
        };
        if !ids.trim().is_empty() {
            let mut remove = self.command();
            remove.args(["rm", "--force", "--volumes"]).args(ids.split_whitespace());
            process::ask(&mut remove, Duration::from_secs(60));
        }
    }

    /// Whether the engine answers.
    pub(crate) fn answers(&self) -> bool {
        process::quiet(self.command().args(["version", "--format", "{{.Server.Version}}"]))
    }
}

/// Returns the engine and the registry that the test variables name, or `None` if they are not set.
pub(crate) fn given(kind: Kind) -> Result<Option<State>> {
    let names = ["IMAGE_BUILDER_TEST_HOST", "IMAGE_BUILDER_TEST_REGISTRY"];
    let [Some(host), Some(registry)] =
        names.map(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    else {
        return Ok(None);
    };
    let state = State { host, registry, ..State::new(kind.name()) };
    if !Client::new(&state).answers() {
        bail!("no engine answers at {}, which {} names", state.host, names[0]);
    }
    println!("using the engine at {} and the registry {} as they are", state.host, state.registry);
    Ok(Some(state))
}

/// Returns an engine and a registry that already run: those that the test variables name, or the
/// engine of `DOCKER_HOST`.
pub(crate) fn reachable(kind: Kind) -> Result<State> {
    let help = "private engines need root: run `cargo xtask` as root, or name a running engine and a registry that it may push to \
                by DOCKER_HOST (or IMAGE_BUILDER_TEST_HOST) and IMAGE_BUILDER_TEST_REGISTRY";
    let named = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let Some(registry) = named("IMAGE_BUILDER_TEST_REGISTRY") else { bail!("{help}") };
    let mut state = State::new(kind.name());
    state.host = named("IMAGE_BUILDER_TEST_HOST")
        .or_else(|| named("DOCKER_HOST"))
        .unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    state.registry = registry;
    if !Client::new(&state).answers() {
        bail!("no engine answers at {}; {help}", state.host);
    }
    println!("not root: using the engine at {} and the registry {} as they are", state.host, state.registry);
    Ok(state)
}
