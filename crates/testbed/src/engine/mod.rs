//! A private Docker engine, which tests may kill, restart, and give a small disk. Needs root and
//! Debian's `docker.io`.
//!
//! It runs in its own mount and process namespaces, so its end removes every process and mount with
//! it; its bridge has no route out, and its cgroups have a name of their own. Containers therefore
//! reach the network only by `network: host`.

mod bridge;
mod look;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::mounts::{self, Mount};
use crate::process::{Service, signal, tail};
use crate::proxy::Upstream;
use bridge::Bridge;
pub use look::{Container, containers, images};

/// How a private engine is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes of the disk that images and containers lie on; a busybox takes 2 MB, the engine itself
    /// less than one. `None`: as much as there is.
    pub disk: Option<u64>,
    /// The registry at `127.0.0.1:port` that it asks for `docker.io/…`.
    pub mirror: Option<String>,
    /// Its insecure registries: `host:port`, or ranges.
    pub insecure: Vec<String>,
}

impl Default for Options {
    /// All of the disk, and the registry of `cargo xtask test`, which has a busybox.
    fn default() -> Self {
        let mirror = std::env::var("IMAGE_BUILDER_TEST_REGISTRY").ok();
        Self { disk: None, mirror, insecure: Vec::new() }
    }
}

/// A running engine, or one that was killed and keeps its data; removed completely when dropped.
#[derive(Debug)]
pub struct PrivateEngine {
    // In the order in which they go.
    service: Option<Service>,
    bridge: Bridge,
    cgroup: String,
    disk: Option<Mount>,
    mirror: Option<String>,
    insecure: Vec<String>,
    directory: TempDir,
}

impl PrivateEngine {
    /// Starts one without images, and waits until it answers.
    ///
    /// # Panics
    /// When it does not, with the end of its log.
    #[must_use]
    pub fn start(options: Options) -> Self {
        let bridge = Bridge::make();
        let cgroup = format!("testbed-{}", crate::process::unique());
        let directory = TempDir::new().expect("a temporary directory");
        let disk = options.disk.map(mounts::tmpfs);
        let Options { mirror, insecure, .. } = options;
        let mut engine = Self { service: None, bridge, cgroup, disk, mirror, insecure, directory };
        engine.run();
        engine
    }

    fn run(&mut self) {
        let at = |name: &str| self.directory.path().join(name);
        fs::write(at("daemon.json"), "{}").expect("a file");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "dockerd"]);
        command.args(["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]);
        let argument = |name: &str, path: &Path| format!("--{name}={}", path.display());
        command.arg(format!("--host={}", self.host())).arg(format!("--bridge={}", self.bridge.name()));
        command.arg(argument("data-root", &self.data())).arg(argument("exec-root", &at("run")));
        command.arg(argument("pidfile", &at("pid"))).arg(argument("config-file", &at("daemon.json")));
        command.arg(format!("--cgroup-parent=/{}", self.cgroup));
        if let Some(mirror) = &self.mirror {
            command.arg(format!("--registry-mirror=http://{mirror}"));
        }
        command.args(self.insecure.iter().map(|name| format!("--insecure-registry={name}")));
        let mut service = Service::start(&mut command, &self.log_file());
        let upstream = self.upstream();
        let answers = || {
            crate::http::ask(&upstream, "GET", "/_ping", &[], b"").is_ok_and(|answer| answer.status == 200)
        };
        service.wait_until_ready(Duration::from_secs(60), answers);
        self.service = Some(service);
    }

    /// `unix:///path`, for `DOCKER_HOST`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.directory.path().join("engine.sock").display())
    }

    /// Its socket, for a proxy.
    #[must_use]
    pub fn upstream(&self) -> Upstream {
        Upstream::parse(&self.host())
    }

    /// Where its images and containers lie.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        match &self.disk {
            Some(disk) => disk.path().to_owned(),
            None => self.directory.path().join("data"),
        }
    }

    /// Whether it runs.
    pub fn lives(&mut self) -> bool {
        self.service.as_mut().is_some_and(Service::lives)
    }

    /// Sends SIGKILL to the engine and all its processes. Returns when none of them runs any more;
    /// its data stays.
    pub fn kill(&mut self) {
        if let Some(mut service) = self.service.take() {
            // The first process of the namespace; with it the kernel ends all others before it is
            // reaped.
            child(service.id()).inspect(|id| signal(*id, Signal::KILL));
            if !service.ends(Duration::from_secs(20)) {
                service.kill();
            }
        }
        self.tidy();
    }

    /// Sends SIGKILL from another thread, such as a proxy's hook, and does not wait;
    /// [`PrivateEngine::kill`] must follow.
    pub fn killer(&self) -> impl Fn() + Send + Sync + 'static {
        let id = self.service.as_ref().and_then(|service| child(service.id()));
        move || {
            id.inspect(|id| signal(*id, Signal::KILL));
        }
    }

    /// Asks it to end, as a machine that is shut down; what it runs is stopped, each within its
    /// `StopTimeout`. Its data stays.
    pub fn stop(&mut self) {
        if let Some(service) = &mut self.service {
            child(service.id()).inspect(|id| signal(*id, Signal::TERM));
            service.ends(Duration::from_secs(20));
        }
        self.kill();
    }

    /// Kills it if it runs, and starts it again with the same data at the same socket.
    pub fn restart(&mut self) {
        self.kill();
        self.run();
    }

    /// The end of what it said.
    #[must_use]
    pub fn log(&self) -> String {
        tail(&self.log_file())
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Removes what a real machine keeps in memory file systems: process ids of ended processes,
    /// and sockets.
    fn tidy(&self) {
        for name in ["pid", "engine.sock"] {
            let _ = fs::remove_file(self.directory.path().join(name));
        }
        let _ = fs::remove_dir_all(self.directory.path().join("run"));
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            remove_cgroups(&hierarchy.path().join(&self.cgroup));
        }
        remove_cgroups(&Path::new("/sys/fs/cgroup").join(&self.cgroup));
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The process that `unshare` became the parent of.
fn child(parent: u32) -> Option<u32> {
    let listed = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    listed.split_whitespace().next()?.parse().ok()
}

/// Removes a cgroup and those below it, which have no processes any more.
fn remove_cgroups(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroups(&entry.path());
        }
    }
    let _ = fs::remove_dir(dir);
}
