//! Installs the programs that a private engine needs, with the machine's own package manager.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::engine::Kind;
use crate::process;

/// (program, Debian package).
const ALWAYS: [(&str, &str); 12] = [
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
    ("openssl", "openssl"),
];

/// Directory where dpkg writes each step that is not yet in its database.
const JOURNAL: &str = "/var/lib/dpkg/updates";

/// Installs missing packages. Called only as root.
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
    let quietly = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        process::read(&mut command)
    };
    // Another package manager may hold the lock for a while: wait instead of failing.
    let apt = |arguments: &[&str]| {
        quietly("apt-get", &[&["-q", "-o", "DPkg::Lock::Timeout=300"], arguments].concat())
    };
    // The start-up scripts of a package would start a second engine. Debian runs this file first,
    // and it forbids that.
    let guard = Guard::set()?;
    let repaired = if was_interrupted(Path::new(JOURNAL)) {
        println!("an earlier run of dpkg was interrupted: ending it with dpkg --configure -a");
        quietly("dpkg", &["--configure", "-a", "--force-confdef", "--force-confold"]).map(drop)
    } else {
        Ok(())
    };
    let result = repaired
        .and_then(|()| apt(&["update"]))
        .and_then(|_| apt(&[&["install", "-y", "--no-install-recommends"], missing.as_slice()].concat()));
    drop(guard);
    result.map(drop).context("cannot install packages")
}

/// Whether an earlier dpkg was interrupted, by a power cut or a killed session. Then its journal
/// has entries, whose names are digits, and apt refuses to work until dpkg has processed them.
fn was_interrupted(journal: &Path) -> bool {
    fs::read_dir(journal)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
}

/// Whether a program is on `PATH`, or where Debian installs podman's helpers.
fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin", "/usr/lib/podman"].map(Into::into);
    env::split_paths(&path).chain(more).any(|dir| dir.join(program).is_file())
}

/// Prevents Debian's maintainer scripts from starting services while it lives.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_with_numbered_entries_tells_an_interrupted_dpkg() -> Result<()> {
        let journal = tempfile::tempdir()?;
        assert!(!was_interrupted(journal.path()), "an empty journal is a finished dpkg");
        fs::write(journal.path().join("tmp.i"), "")?;
        assert!(!was_interrupted(journal.path()), "dpkg keeps an empty tmp.i there at rest");
        fs::write(journal.path().join("0000"), "")?;
        assert!(was_interrupted(journal.path()));
        assert!(!was_interrupted(&journal.path().join("absent")));
        Ok(())
    }
}
