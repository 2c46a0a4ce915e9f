//! Private engines: one engine and one registry with their own directories, sockets and bridge,
//! started and stopped by xtask.
//!
//! Each resource is written to a state file before it is started, so that `down` also removes
//! everything after a crash.

mod base;
mod docker;
mod network;
mod packages;
mod podman;
mod registry;
mod root;
mod state;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{image, place};
pub(crate) use base::Client;
pub(crate) use state::State;

/// The engines that the tests know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Docker Engine 20.10 of Debian 12, or what this machine has as `dockerd`.
    Debian,
    /// Docker Engine 26.1 of Debian 13, in a root of its own.
    Modern,
    /// podman's service, which has no `BuildKit`.
    Podman,
}

impl Kind {
    /// All kinds.
    pub(crate) const ALL: [Self; 3] = [Self::Debian, Self::Modern, Self::Podman];

    /// The name in flags, directories and `IMAGE_BUILDER_TEST_ENGINE`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Modern => "modern",
            Self::Podman => "podman",
        }
    }
}

/// An engine that is stopped when this value is dropped.
pub(crate) struct Session {
    kind: Kind,
    state: State,
    keep: bool,
}

impl Session {
    /// Starts a private, empty engine. Leftovers of an earlier run are stopped and removed first.
    pub(crate) fn start(kind: Kind) -> Result<Self> {
        down(kind)?;
        forget(kind)?;
        let state = up(kind)?;
        Ok(Self { kind, state, keep: false })
    }

    /// Returns the engine and registry that the test variables name, or `None` if they name none.
    /// They are used as they are and not stopped on drop.
    pub(crate) fn given(kind: Kind) -> Result<Option<Self>> {
        Ok(base::given(kind)?.map(|state| Self { kind, state, keep: true }))
    }

    /// The addresses of engine and registry.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Leaves the engine running.
    pub(crate) fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        match down(self.kind).and_then(|_| forget(self.kind)) {
            Ok(()) => println!("engine {}: down", self.kind.name()),
            Err(error) => eprintln!("engine {}: {error:#}", self.kind.name()),
        }
    }
}

/// Runs `engine up`.
pub(crate) fn command_up(kind: Kind) -> Result<()> {
    let state = match State::read(kind.name())? {
        Some(state) if state.is_up() => state,
        _ => {
            down(kind)?;
            up(kind)?
        }
    };
    println!("\nTo use it:\n{}", state.exports());
    println!("and when done: cargo xtask engine down --engine {}", kind.name());
    Ok(())
}

/// Runs `engine down`. If one engine cannot be stopped, the others are stopped nevertheless.
pub(crate) fn command_down(kind: Option<Kind>, purge: bool) -> Result<()> {
    let mut failed = Vec::new();
    for kind in kind.map_or(Kind::ALL.to_vec(), |kind| vec![kind]) {
        match down(kind) {
            Ok(was) => println!("engine {}: {}", kind.name(), if was { "down" } else { "was not up" }),
            Err(error) => {
                eprintln!("engine {}: {error:#}", kind.name());
                failed.push(kind.name());
                continue;
            }
        }
        let dir = place::engine(kind.name());
        if purge && dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
            println!("engine {}: {} removed", kind.name(), dir.display());
        }
    }
    if !failed.is_empty() {
        bail!("still up: {}", failed.join(", "));
    }
    Ok(())
}

/// Runs `engine status`.
pub(crate) fn command_status(kind: Option<Kind>) -> Result<()> {
    for kind in kind.map_or(Kind::ALL.to_vec(), |kind| vec![kind]) {
        match State::read(kind.name())? {
            Some(state) if state.is_up() => println!("engine {}: up\n{}", kind.name(), state.exports()),
            Some(_) => println!("engine {}: broken; cargo xtask engine down --engine {0}", kind.name()),
            None => println!("engine {}: down", kind.name()),
        }
    }
    Ok(())
}

fn up(kind: Kind) -> Result<State> {
    let start = Instant::now();
    if place::user()? != 0 {
        return base::reachable(kind);
    }
    packages::install(kind)?;
    let name = kind.name();
    fs::create_dir_all(place::engine(name))?;
    place::make_sockets(name)?;
    let mut state = State::new(name);
    let result = bring_up(kind, &mut state);
    if let Err(error) = result {
        // A partly started engine is removed. The first error is returned, as the more informative
        // one.
        if let Err(second) = down(kind) {
            eprintln!("engine {name}: {second:#}");
        }
        return Err(error.context(format!("engine {name} does not start")));
    }
    println!(
        "engine {name}: up in {:.1} s at {}, registry {}",
        start.elapsed().as_secs_f32(),
        state.host,
        state.registry
    );
    Ok(state)
}

fn bring_up(kind: Kind, state: &mut State) -> Result<()> {
    registry::start(state)?;
    match kind {
        Kind::Debian => docker::start(state, None)?,
        Kind::Modern => {
            let root = root::prepare(state)?;
            docker::start(state, Some(&root))?;
        }
        Kind::Podman => podman::start(state)?,
    }
    // Leftovers of an earlier run that crashed.
    Client::new(state).remove_containers();
    for base in image::bases()? {
        println!("  {}", image::provide(&base, &state.registry)?);
    }
    Ok(())
}

/// Removes the data of a stopped engine: images and the registry's contents. Its root and its logs
/// stay.
fn forget(kind: Kind) -> Result<()> {
    for part in ["data", "registry"] {
        let dir = place::engine(kind.name()).join(part);
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
    }
    Ok(())
}

/// Stops exactly the resources in the state file. Returns whether there was one.
fn down(kind: Kind) -> Result<bool> {
    let name = kind.name();
    let Some(state) = State::read(name)? else { return Ok(false) };
    let mut left = Vec::new();
    if let Some(engine) = &state.engine {
        Client::new(&state).remove_containers();
        // `unshare` does not forward signals, so dockerd below it gets the signal and stops its
        // containers; then both processes end.
        let below = engine.children();
        if !engine.end(below.first().unwrap_or(engine), Duration::from_secs(20)) {
            left.push(format!("process {}", engine.pid));
        }
    }
    if let Some(service) = &state.service
        && !service.end(service, Duration::from_secs(5))
    {
        left.push(format!("process {}", service.pid));
    }
    if let Some(network) = &state.network {
        left.extend(network::remove(network, name));
    }
    left.extend(root::unmount_below(&place::engine(name)));
    left.extend(root::unmount_below(&place::sockets(name)));
    if !left.is_empty() {
        bail!("could not end: {}", left.join(", "));
    }
    let _ = fs::remove_dir_all(place::sockets(name));
    State::remove(name)?;
    Ok(true)
}
