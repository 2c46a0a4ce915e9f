//! Runs the local registry: Debian's docker-registry on a free port of the loopback address,
//! without TLS.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::engine::State;
use crate::place;
use crate::process::{self, background, wait_until};

/// Starts the registry and waits until it answers.
pub(crate) fn start(state: &mut State) -> Result<()> {
    let dir = place::engine(&state.name);
    let port = free_port()?;
    state.registry = format!("127.0.0.1:{port}");
    let config = dir.join("registry.yml");
    process::write(&config, &configuration(&state.registry, &dir.join("registry").display().to_string()))?;
    let log = dir.join("registry.log");
    let service = background(Command::new("docker-registry").arg("serve").arg(&config), &log)?;
    state.service = Some(service.clone());
    state.save()?;
    let address = state.registry.parse().expect("an address and a port");
    let limit = Duration::from_millis(200);
    let answers = || std::net::TcpStream::connect_timeout(&address, limit).is_ok();
    if !wait_until(Duration::from_secs(20), || answers() || !service.lives()) || !service.lives() {
        bail!("the registry does not answer on {}{}", state.registry, process::tail(&log));
    }
    Ok(())
}

/// Returns a free port.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.port())
}

fn configuration(address: &str, dir: &str) -> String {
    // A JSON string is a valid YAML string, for any characters in the directory's name.
    let dir = serde_json::Value::from(dir);
    format!(
        "version: 0.1\nlog:\n  level: warn\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {dir}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n  relativeurls: true\n"
    )
}
