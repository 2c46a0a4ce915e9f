//! The programs that a private engine needs, from the machine's own package manager.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::engine::Kind;
use crate::process;

/// (program, Debian package).
const ALWAYS: [(&str, &str); 11] = [
    ("docker", "docker.io"),
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("mmdebstrap", "mmdebstrap"),
    ("busybox", "busybox-static"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("git", "git"),
    ("strace", "strace"),
    ("faketime", "faketime"),
];

/// Installs what is missing. Only root gets here.
pub(crate) fn install(kind: Kind) -> Result<()> {
    let own: &[(&str, &str)] = match kind {
        Kind::Debian => &[("dockerd", "docker.io")],
        Kind::Modern => &[],
        Kind::Podman => &[("podman", "podman"), ("netavark", "netavark"), ("aardvark-dns", "aardvark-dns")],
    };
    let mut missing: Vec<_> = ALWAYS
        .iter()
        .chain(own)
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_there("apt-get") {
        bail!("install these first: {}", missing.join(", "));
    }
    println!("installing {}", missing.join(", "));
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-q").args(arguments);
        process::read(&mut command)
    };
    // A package's own start-up scripts would start a second engine; Debian asks this file first.
    let guard = Guard::set()?;
    let result = apt(&["update"])
        .and_then(|_| apt(&[&["install", "-y", "--no-install-recommends"], missing.as_slice()].concat()));
    drop(guard);
    result.map(drop).context("cannot install packages")
}

/// Whether a program is on the path, or where Debian keeps podman's own.
fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin", "/usr/lib/podman"].map(Into::into);
    env::split_paths(&path).chain(more).any(|dir| dir.join(program).is_file())
}

/// While it lives, Debian's maintainer scripts start no service.
struct Guard(Option<&'static Path>);

impl Guard {
    fn set() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = Path::new("/usr/sbin/policy-rc.d");
        if path.exists() {
            return Ok(Self(None));
        }
        process::write(path, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(Some(path)))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            let _ = fs::remove_file(path);
        }
    }
}
