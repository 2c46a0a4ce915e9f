//! State file of a running engine: everything needed to use it and to stop exactly it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::engine::network::Network;
use crate::place;
use crate::process::{self, Process};

/// An engine and its registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// `debian`, `modern` or `podman`.
    pub(crate) name: String,
    /// `DOCKER_HOST` of the engine.
    pub(crate) host: String,
    /// Host and port of the registry.
    pub(crate) registry: String,
    /// The outermost process of the engine.
    pub(crate) engine: Option<Process>,
    /// The registry's process.
    pub(crate) service: Option<Process>,
    /// The engine's bridge and rules.
    pub(crate) network: Option<Network>,
}

impl State {
    /// Creates the state of an engine of which nothing is up yet.
    pub(crate) fn new(name: &str) -> Self {
        let host = format!("unix://{}", place::sockets(name).join("engine.sock").display());
        Self {
            name: name.to_owned(),
            host,
            registry: String::new(),
            engine: None,
            service: None,
            network: None,
        }
    }

    /// Reads the state that the last `up` wrote, unless `down` removed it.
    pub(crate) fn read(name: &str) -> Result<Option<Self>> {
        let path = path(name);
        let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
        serde_json::from_str(&text).map(Some).with_context(|| format!("{} is broken", path.display()))
    }

    /// Saves the state; called after each resource that came up. Writes a new file and renames it,
    /// because a torn file would lose track of processes.
    pub(crate) fn save(&self) -> Result<()> {
        let path = path(&self.name);
        let fresh = path.with_extension("new");
        process::write(&fresh, &serde_json::to_string_pretty(self)?)?;
        fs::rename(&fresh, &path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Removes the state file.
    pub(crate) fn remove(name: &str) -> Result<()> {
        fs::remove_file(path(name)).context("cannot remove the state file")
    }

    /// Whether both engine and registry run.
    pub(crate) fn is_up(&self) -> bool {
        [&self.engine, &self.service].iter().all(|part| part.as_ref().is_some_and(Process::lives))
    }

    /// Returns the environment variables for tests and people.
    pub(crate) fn environment(&self) -> [(&'static str, &str); 3] {
        [
            ("IMAGE_BUILDER_TEST_HOST", &self.host),
            ("IMAGE_BUILDER_TEST_REGISTRY", &self.registry),
            ("IMAGE_BUILDER_TEST_ENGINE", &self.name),
        ]
    }

    /// Returns the environment variables as shell text, with the docker client's own variable.
    pub(crate) fn exports(&self) -> String {
        let docker = format!("    export DOCKER_HOST={} DOCKER_API_VERSION=1.41\n", self.host);
        let ours = self.environment().map(|(name, value)| format!("    export {name}={value}\n"));
        format!("{docker}{}", ours.concat())
    }
}

fn path(name: &str) -> PathBuf {
    place::engine(name).join("state.json")
}
