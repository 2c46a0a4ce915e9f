//! Runs a Docker engine in its own mount and process namespaces, so that all of its processes and
//! mounts end with its outermost process.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::engine::base::Client;
use crate::engine::{State, network};
use crate::place;
use crate::process::{self, background, wait_until};

/// Starts `dockerd` of the machine or of another root, and waits until it answers.
pub(crate) fn start(state: &mut State, root: Option<&Path>) -> Result<()> {
    let network = network::make(state, true)?;
    let (dir, sockets) = (place::engine(&state.name), place::sockets(&state.name));
    let log = dir.join("engine.log");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    if let Some(root) = root {
        command.args(["sh", "-c", ENTER, "enter"]).arg(root).arg(&dir).arg(&sockets);
    }
    command.args([
        "dockerd",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
        "--ip-masq=false",
    ]);
    command.arg(format!("--host={}", state.host)).arg(format!("--bridge={}", network.bridge));
    command.arg(format!("--mtu={}", network.mtu));
    command.arg(format!("--registry-mirror=http://{}", state.registry));
    command.arg(format!("--data-root={}", dir.join("data").display()));
    command.arg(format!("--exec-root={}", sockets.join("exec").display()));
    command.arg(format!("--pidfile={}", sockets.join("engine.pid").display()));
    // An empty configuration, because the machine's own configuration is for the machine's own
    // engine.
    let config = dir.join("daemon.json");
    process::write(&config, "{}\n")?;
    command.arg(format!("--config-file={}", config.display()));
    let engine = background(&command, &log)?;
    state.engine = Some(engine.clone());
    state.save()?;
    let client = Client::new(state);
    if !wait_until(Duration::from_secs(60), || client.answers() || !engine.lives()) || !engine.lives() {
        bail!("dockerd does not answer{}", process::tail(&log));
    }
    Ok(())
}

/// Enters another root, with our directories mounted at the same paths. The mounts vanish with the
/// namespace.
const ENTER: &str = r#"set -eu
root=$1 data=$2 sockets=$3
shift 3
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
for dir in "$data" "$sockets"; do
    mkdir -p "$root$dir"
    mount --bind "$dir" "$root$dir"
done
cat /etc/resolv.conf > "$root/etc/resolv.conf"
cat /etc/hosts > "$root/etc/hosts"
exec chroot "$root" /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
"#;
