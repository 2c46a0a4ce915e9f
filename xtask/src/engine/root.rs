//! The root of the modern engine, Debian 13 with its Docker, created once and kept as a tar; and
//! unmounting below a directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::engine::State;
use crate::{image, place, process};

/// Unpacks the root, unless it exists.
pub(crate) fn prepare(state: &State) -> Result<PathBuf> {
    let root = place::engine(&state.name).join("root");
    if root.join("usr/sbin/dockerd").exists() {
        return Ok(root);
    }
    let tar = place::cache()?.join("modern-root.tar");
    if !tar.exists() {
        println!("  making a Debian 13 root with its docker.io");
        let fresh = tar.with_extension("new.tar");
        process::run(
            Command::new("mmdebstrap")
                .args([
                    "--quiet",
                    "--variant=apt",
                    "--components=main",
                    "--aptopt=Apt::Install-Recommends \"false\"",
                ])
                .args(["--include=docker.io,docker-buildx,iptables,ca-certificates,procps", "trixie"])
                .arg(&fresh)
                .args(image::mirrors("trixie")),
        )?;
        fs::rename(&fresh, &tar)?;
    }
    let fresh = root.with_extension("new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    process::read(Command::new("tar").args(["--numeric-owner", "-xpf"]).arg(&tar).arg("-C").arg(&fresh))?;
    fs::rename(&fresh, &root).with_context(|| format!("cannot make {}", root.display()))?;
    Ok(root)
}

/// Unmounts everything below a directory, deepest first. Returns the mounts that remain.
pub(crate) fn unmount_below(dir: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut mounts = below(&table, &dir.display().to_string());
    mounts.retain(|mount| !process::quiet(Command::new("umount").arg(mount)));
    mounts.into_iter().map(|mount| format!("mount {mount}")).collect()
}

fn below(table: &str, dir: &str) -> Vec<String> {
    let points =
        table.lines().filter_map(|line| line.split(' ').nth(1)).map(|point| point.replace("\\040", " "));
    let inside = points.filter(|point| point == dir || point.starts_with(&format!("{dir}/")));
    let mut found: Vec<_> = inside.collect();
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_below_the_directory_count_and_the_last_comes_first() {
        let table = "a /x/one t o 0 0\nb /x/one/two t o 0 0\nc /x/onerous t o 0 0\nd / t o 0 0\n";
        assert_eq!(below(table, "/x/one"), ["/x/one/two", "/x/one"]);
    }
}
