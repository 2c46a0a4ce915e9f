//! The docker client that we compare with: a client that builds with BuildKit, its engine, and the
//! cleanup.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::engine::{Kind, Session, State};
use crate::{place, process};

/// The last version of the docker client with built-in BuildKit; later ones need the plugin buildx.
const BY_ITSELF: u32 = 20;

/// Time-out of one step of the cleanup.
const CLEANING: Duration = Duration::from_secs(120);

/// An engine with its registry, and a docker client for it.
pub(crate) struct Docker {
    session: Session,
    client: PathBuf,
    buildkit: bool,
    home: TempDir,
}

impl Docker {
    /// Uses an engine that is up.
    pub(crate) fn new(session: Session) -> Result<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let clients: Vec<_> =
            env::split_paths(&path).map(|dir| dir.join("docker")).filter(|file| file.is_file()).collect();
        let found = clients.iter().find(|client| has_buildkit(client));
        let client = found.or(clients.first()).context("there is no docker client")?.clone();
        let home = tempfile::Builder::new().prefix("image-builder-bench-home-").tempdir()?;
        Ok(Self { session, client, buildkit: found.is_some(), home })
    }

    /// The addresses of engine and registry.
    pub(crate) fn state(&self) -> &State {
        self.session.state()
    }

    /// The prefix of all image names of the benchmark.
    pub(crate) fn repo(&self) -> String {
        format!("{}/image-builder-bench", self.state().registry)
    }

    /// Returns the docker client without the user's settings.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.client);
        self.surround(&mut command);
        command.env("DOCKER_BUILDKIT", if self.buildkit { "1" } else { "0" });
        command
    }

    /// `docker build` of a directory.
    pub(crate) fn build(&self, directory: &Path, name: &str) -> Command {
        let mut command = self.command();
        command.args(["build", "--quiet", "--tag"]).arg(self.name(name)).arg(directory);
        command
    }

    /// Returns `docker build` of the directories in a list file, below this directory, with `jobs`
    /// builds at a time: xargs, as in a shell.
    pub(crate) fn build_at_once(&self, directory: &Path, list: &Path, jobs: usize) -> Command {
        let build = self.build(&directory.join("{}"), "{}");
        let mut command = Command::new("xargs");
        command.arg("--arg-file").arg(list).args(["-P", &jobs.to_string(), "-I", "{}"]);
        command.arg(build.get_program()).args(build.get_args());
        for (name, value) in build.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// The full name of an image of this side.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}/docker/{name}", self.repo())
    }

    /// Returns `docker buildx bake`, if the root of the modern engine has it.
    pub(crate) fn bake(&self) -> Option<Command> {
        let root = place::engine(&self.state().name).join("root");
        let plugin = root.join("usr/libexec/docker/cli-plugins/docker-buildx");
        let plugin =
            if plugin.is_file() { plugin } else { root.join("usr/lib/docker/cli-plugins/docker-buildx") };
        if !plugin.is_file() {
            return None;
        }
        // The plugin needs the C library of its own root, which can be newer than ours.
        let mut command = Command::new(root.join("lib64/ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(root.join("usr/lib/x86_64-linux-gnu")).arg(plugin).arg("bake");
        self.surround(&mut command);
        Some(command)
    }

    /// Sets engine and home directory, the same for both sides.
    pub(crate) fn surround(&self, command: &mut Command) {
        command.env("DOCKER_HOST", &self.state().host).env_remove("DOCKER_CONTEXT");
        command.env("DOCKER_API_VERSION", "1.41").env("HOME", self.home.path());
        command.env("DOCKER_CONFIG", self.home.path()).env("XDG_CACHE_HOME", self.home.path().join("cache"));
    }

    /// Returns the versions of client and engine and the kind of builder, for the page.
    pub(crate) fn describe(&self) -> Result<String> {
        let format = "client {{.Client.Version}}, engine {{.Server.Version}}";
        let versions = process::read(self.command().args(["version", "--format", format]))?;
        let builder =
            if self.buildkit { "BuildKit" } else { "the classic builder, as the client has no buildx" };
        Ok(format!("Docker {}; docker build uses {builder}", versions.trim()))
    }

    /// Removes the images of the benchmark, also after an interruption. Other images stay.
    fn clean(&self) -> Result<()> {
        let mut list = self.command();
        list.args(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]);
        let listed = process::ask(&mut list, CLEANING).context("the engine does not list its images")?;
        let ours: Vec<&str> = listed.lines().filter(|name| name.starts_with(&self.repo())).collect();
        for names in ours.chunks(50) {
            let mut remove = self.command();
            remove.args(["image", "rm", "--force"]).args(names);
            process::ask(&mut remove, CLEANING).context("the engine does not remove them")?;
        }
        Ok(())
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if let Err(error) = self.clean() {
            eprintln!("images of the benchmark are left: {error:#}");
        }
    }
}

fn has_buildkit(client: &Path) -> bool {
    let by_itself = process::read(Command::new(client).arg("--version")).is_ok_and(|text| {
        let version =
            text.split_whitespace().nth(2).and_then(|version| version.split('.').next()?.parse().ok());
        version.is_some_and(|major: u32| major <= BY_ITSELF)
    });
    by_itself || process::quiet(Command::new(client).args(["buildx", "version"]))
}

/// Starts a private engine that has `docker-buildx`.
pub(crate) fn start_modern() -> Result<Docker> {
    Docker::new(Session::start(Kind::Modern)?)
}

/// Returns the engine that the test variables name, or starts a private one.
pub(crate) fn start(kind: Kind) -> Result<Docker> {
    if kind == Kind::Podman {
        bail!("builds are compared on Docker's engines");
    }
    Docker::new(Session::given(kind)?.map_or_else(|| Session::start(kind), Ok)?)
}
