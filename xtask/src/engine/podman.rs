//! Runs podman's service. It has no daemon, so storage, settings and network are passed separately.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::engine::base::Client;
use crate::engine::{State, network};
use crate::place;
use crate::process::{self, background, wait_until};

/// Starts `podman system service` and waits until it answers.
pub(crate) fn start(state: &mut State) -> Result<()> {
    let network = network::make(state, false)?;
    let (dir, sockets) = (place::engine(&state.name), place::sockets(&state.name));
    let networks = dir.join("networks");
    process::write(&networks.join("podman.json"), &bridge(&network))?;
    let registries = dir.join("registries.conf");
    process::write(&registries, &mirrors(&state.registry))?;
    let containers = dir.join("containers.conf");
    process::write(&containers, &settings(&networks.display().to_string(), &sockets.display().to_string()))?;
    let storage = dir.join("storage.conf");
    process::write(
        &storage,
        &stores(&dir.join("data").display().to_string(), &sockets.join("run").display().to_string()),
    )?;
    let log = dir.join("engine.log");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", ENTER, "podman"]);
    command.arg("--root").arg(dir.join("data")).arg("--runroot").arg(sockets.join("run"));
    command.arg("--tmpdir").arg(sockets.join("tmp")).arg("--network-config-dir").arg(&networks);
    command.args([
        "--events-backend=file",
        "--cgroup-manager=cgroupfs",
        "system",
        "service",
        "--time=0",
        &state.host,
    ]);
    command.env("CONTAINERS_REGISTRIES_CONF", &registries).env("CONTAINERS_CONF", &containers);
    command.env("CONTAINERS_STORAGE_CONF", &storage);
    let engine = background(&command, &log)?;
    state.engine = Some(engine.clone());
    state.save()?;
    let client = Client::new(state);
    if !wait_until(Duration::from_secs(60), || client.answers() || !engine.lives()) || !engine.lives() {
        bail!("podman's service does not answer{}", process::tail(&log));
    }
    Ok(())
}

/// Gives podman a private directory for its network namespaces, which vanishes with it.
const ENTER: &str = "mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && exec podman \"$@\"";

fn mirrors(registry: &str) -> String {
    format!(
        "unqualified-search-registries = [\"docker.io\"]\nshort-name-mode = \"permissive\"\n\n\
         [[registry]]\nlocation = \"{registry}\"\ninsecure = true\n\n\
         [[registry]]\nprefix = \"docker.io\"\nlocation = \"docker.io\"\n\n\
         [[registry.mirror]]\nlocation = \"{registry}\"\ninsecure = true\n"
    )
}

fn stores(data: &str, run: &str) -> String {
    let (data, run) = (serde_json::Value::from(data), serde_json::Value::from(run));
    format!("[storage]\ndriver = \"overlay\"\ngraphroot = {data}\nrunroot = {run}\n")
}

fn settings(networks: &str, sockets: &str) -> String {
    let (networks, sockets) =
        (serde_json::Value::from(networks), serde_json::Value::from(format!("{sockets}/tmp")));
    format!(
        "[containers]\nlog_driver = \"k8s-file\"\n[engine]\ntmp_dir = {sockets}\n\
         [network]\nnetwork_backend = \"netavark\"\nnetwork_config_dir = {networks}\n"
    )
}

fn bridge(network: &network::Network) -> String {
    let prefix = &network.prefix;
    serde_json::json!({
        "name": "podman", "id": "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9",
        "driver": "bridge", "network_interface": network.bridge, "created": "2026-01-01T00:00:00Z",
        "subnets": [{ "subnet": format!("{prefix}.0/24"), "gateway": format!("{prefix}.1") }],
        "ipv6_enabled": false, "internal": false, "dns_enabled": false,
        "ipam_options": { "driver": "host-local" }, "options": { "mtu": network.mtu },
    })
    .to_string()
}
