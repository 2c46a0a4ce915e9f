//! Provides the base images: pulled from Docker Hub if it can be reached, otherwise made here. They
//! are kept as OCI image layouts between runs.
//!
//! Format: OCI image-spec 1.1, image layout with one manifest of one layer.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{place, process};

/// Increased when the contents change, so that older images are not reused.
const RECIPE: u32 = 2;
const OURS: &str = "org.opencontainers.image.description";

/// An image that a new registry must contain.
pub(crate) struct Base {
    /// Name below `docker.io/library/`.
    pub(crate) name: &'static str,
    /// Tag of the image.
    pub(crate) tag: String,
    make: fn(&Path) -> Result<String>,
}

/// Returns the base images of the shipped layers and the tests. Debian's tag is read from
/// `science/base`.
pub(crate) fn bases() -> Result<Vec<Base>> {
    let path = place::workspace().join("science/base/Dockerfile");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let tag = debian_tag(&text).with_context(|| format!("{} names no library/debian", path.display()))?;
    Ok(vec![
        Base { name: "busybox", tag: "1.35".to_owned(), make: make_busybox },
        Base { name: "debian", tag: tag.to_owned(), make: make_debian },
    ])
}

/// Copies a base image into the registry as `library/{name}:{tag}` and returns a sentence that says
/// where it comes from.
pub(crate) fn provide(base: &Base, registry: &str) -> Result<String> {
    let Base { name, tag, .. } = base;
    let layout = place::cache()?.join(format!("{name}-{tag}-{RECIPE}"));
    if !layout.join("index.json").exists() {
        obtain(base, &layout)?;
    }
    let source = format!("oci:{}:{tag}", layout.display());
    let target = format!("docker://{registry}/library/{name}:{tag}");
    process::read(Command::new("skopeo").args([
        "copy",
        "--quiet",
        "--dest-tls-verify=false",
        &source,
        &target,
    ]))?;
    let origin = fs::read_to_string(layout.join("origin")).unwrap_or_default();
    Ok(format!("docker.io/library/{name}:{tag}: {}", origin.trim()))
}

/// Fills a temporary layout and then moves it into place, so that a partial layout is never used.
fn obtain(base: &Base, layout: &Path) -> Result<()> {
    let scratch = tempfile::Builder::new().prefix("image-").tempdir_in(place::cache()?)?;
    let fresh = scratch.path().join("layout");
    let (name, tag) = (base.name, &base.tag);
    let source = format!("docker://docker.io/library/{name}:{tag}");
    let target = format!("oci:{}:{tag}", fresh.display());
    let pulled = process::read_within(
        Command::new("skopeo").args([
            "copy",
            "--quiet",
            "--command-timeout",
            "120s",
            "--retry-times",
            "0",
            &source,
            &target,
        ]),
        Duration::from_secs(150),
    );
    let origin = match pulled {
        Ok(_) => "from Docker Hub".to_owned(),
        Err(_) if process::interrupted() => anyhow::bail!("interrupted"),
        Err(_) => {
            eprintln!("  docker.io/library/{name}:{tag} cannot be pulled here; making a stand-in");
            let _ = fs::remove_dir_all(&fresh);
            let tar = scratch.path().join("root.tar");
            let origin = (base.make)(&tar)?;
            write_layout(&tar, &fresh, tag, &origin)?;
            origin
        }
    };
    process::write(&fresh.join("origin"), &origin)?;
    let _ = fs::remove_dir_all(layout);
    fs::rename(&fresh, layout).with_context(|| format!("cannot keep {}", layout.display()))
}

/// Makes a Debian image from the machine's own package mirror, as small as the official image and
/// without apt's leftovers.
fn make_debian(tar: &Path) -> Result<String> {
    let mirror = mirrors("bookworm");
    let clean = "rm -rf \"$1\"/var/lib/apt/lists/* \"$1\"/var/cache/apt/*.bin \"$1\"/var/cache/apt/archives/*.deb \
                 \"$1\"/var/log/*.log \"$1\"/var/log/apt \"$1\"/var/cache/debconf/*-old \"$1\"/var/cache/ldconfig/*";
    // As in the official Debian images: start no services, keep no caches, fetch no translations.
    let settings = "printf '#!/bin/sh\\nexit 101\\n' > \"$1\"/usr/sbin/policy-rc.d; chmod 755 \"$1\"/usr/sbin/policy-rc.d; \
         printf 'DPkg::Post-Invoke { \"rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true\"; };\\n\
         Dir::Cache::pkgcache \"\";\\nDir::Cache::srcpkgcache \"\";\\nAcquire::Languages \"none\";\\n' \
         > \"$1\"/etc/apt/apt.conf.d/docker-clean";
    process::run(
        Command::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase", "--components=main"])
            .arg(format!("--customize-hook={settings}"))
            .arg(format!("--customize-hook={clean}"))
            .arg("bookworm")
            .arg(tar)
            .args(&mirror),
    )?;
    let version = process::read(Command::new("tar").arg("-xOf").arg(tar).arg("./etc/debian_version"))?;
    Ok(format!(
        "a stand-in of Debian {} made here by mmdebstrap, since Docker Hub could not be reached",
        version.trim()
    ))
}

/// Makes an image of one static binary and links to it.
fn make_busybox(tar: &Path) -> Result<String> {
    let script = r#"set -eu
        root=$(mktemp -d) && trap 'rm -rf "$root"' EXIT
        mkdir -p "$root/bin" "$root/etc" "$root/root" "$root/home" "$root/var"
        mkdir -m 1777 "$root/tmp"
        cp "$(command -v busybox)" "$root/bin/busybox"
        "$root/bin/busybox" --list | while read -r name; do
            [ "$name" = busybox ] || ln -s busybox "$root/bin/$name"
        done
        echo 'root:x:0:0:root:/root:/bin/sh' > "$root/etc/passwd"
        echo 'root:x:0:' > "$root/etc/group"
        chmod 755 "$root"
        tar --create --file="$1" --directory="$root" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 ."#;
    process::run(Command::new("sh").args(["-c", script, "busybox"]).arg(tar))?;
    let version = process::read(Command::new("sh").args(["-c", "busybox | head -n 1 | cut -d ' ' -f 2"]))?;
    Ok(format!(
        "a stand-in with Debian's static busybox {}, since Docker Hub could not be reached",
        version.trim()
    ))
}

fn write_layout(tar: &Path, layout: &Path, tag: &str, description: &str) -> Result<()> {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let plain = file_digest(tar)?;
    let packed = tar.with_extension("tar.gz");
    process::run(
        Command::new("sh").args(["-c", "gzip -n -6 < \"$1\" > \"$2\"", "gzip"]).arg(tar).arg(&packed),
    )?;
    let (layer, size) = (file_digest(&packed)?, fs::metadata(&packed)?.len());
    fs::rename(&packed, blobs.join(&layer))?;
    let architecture = process::read(Command::new("dpkg").arg("--print-architecture"))?;
    let config = json!({
        "architecture": architecture.trim(), "os": "linux", "created": "1970-01-01T00:00:00Z",
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": [if tar_has_bash(tar) { "bash" } else { "sh" }],
            "Labels": { OURS: description },
        },
        // podman counts the entries and rejects an image with more layers than entries.
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": description }],
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{plain}")] },
    });
    let (config, config_size) = write_blob(&blobs, &config)?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": format!("sha256:{layer}"), "size": size }],
    });
    let (manifest, manifest_size) = write_blob(&blobs, &manifest)?;
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": manifest_size,
            "annotations": { "org.opencontainers.image.ref.name": tag },
        }],
    });
    process::write(&layout.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}")?;
    process::write(&layout.join("index.json"), &index.to_string())
}

fn write_blob(blobs: &Path, value: &serde_json::Value) -> Result<(String, usize)> {
    let text = value.to_string();
    let digest = hex::encode(Sha256::digest(text.as_bytes()));
    process::write(&blobs.join(&digest), &text)?;
    Ok((format!("sha256:{digest}"), text.len()))
}

/// Returns the lines of apt's sources for a suite, from the machine's own mirrors if it has any.
pub(crate) fn mirrors(suite: &str) -> Vec<String> {
    let read = |name: &str| fs::read_to_string(format!("/etc/apt/{name}")).unwrap_or_default();
    mirror(&format!("{}\n{}", read("sources.list"), read("sources.list.d/debian.sources")), suite)
}

fn tar_has_bash(tar: &Path) -> bool {
    process::quiet(Command::new("tar").arg("-tf").arg(tar).arg("./bin/bash"))
        || process::quiet(Command::new("tar").arg("-tf").arg(tar).arg("./usr/bin/bash"))
}

fn file_digest(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(hex::encode(hasher.finalize()))
}

fn debian_tag(dockerfile: &str) -> Option<&str> {
    let (_, rest) = dockerfile.split_once("library/debian:")?;
    Some(
        &rest
            [..rest.find(|c: char| c != '.' && c != '-' && !c.is_ascii_alphanumeric()).unwrap_or(rest.len())],
    )
}

/// Returns the mirrors in the machine's own apt sources for a suite, its updates and its security
/// updates; otherwise those of Debian.
fn mirror(sources: &str, suite: &str) -> Vec<String> {
    let mut own = Vec::new();
    let mut uri = "";
    for line in sources.lines().map(str::trim) {
        if let Some(value) = line.strip_prefix("URIs:") {
            uri = value.trim();
        } else if let Some(suites) = line.strip_prefix("Suites:") {
            own.extend(suites.split_whitespace().map(|suite| (uri.to_owned(), suite.to_owned())));
        } else if let Some(rest) = line.strip_prefix("deb ") {
            let words: Vec<_> =
                rest.split_whitespace().filter(|word| !word.contains(['[', ']', '='])).collect();
            if let [uri, suite, ..] = words[..] {
                own.push((uri.to_owned(), suite.to_owned()));
            }
        }
    }
    own.retain(|(uri, name)| uri.contains("debian") && !name.ends_with("backports"));
    // A mirror of one release also has the next one: only the suite name differs.
    for (_, name) in &mut own {
        *name = name.split_once('-').map_or(suite.to_owned(), |(_, rest)| format!("{suite}-{rest}"));
    }
    own.dedup();
    if !own.iter().any(|(_, name)| name == suite) {
        let main = "http://deb.debian.org/debian".to_owned();
        let security = "http://deb.debian.org/debian-security".to_owned();
        own = vec![(main.clone(), suite.to_owned()), (main, format!("{suite}-updates"))];
        own.push((security, format!("{suite}-security")));
    }
    own.into_iter().map(|(uri, suite)| format!("deb {uri} {suite} main")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_read_from_the_dockerfile() {
        assert_eq!(debian_tag("FROM docker.io/library/debian:12.9-slim\nRUN x"), Some("12.9-slim"));
        assert_eq!(debian_tag("FROM scratch"), None);
    }

    #[test]
    fn the_machines_own_mirror_is_used() {
        let check = |text: &str| mirror(text, "bookworm");
        assert_eq!(
            check("Types: deb\nURIs: http://m.test/debian\nSuites: bookworm bookworm-backports\n"),
            ["deb http://m.test/debian bookworm main"]
        );
        let updates = "deb http://m.test/debian trixie main\ndeb http://m.test/debian trixie-updates main";
        assert_eq!(check(updates)[1], "deb http://m.test/debian bookworm-updates main");
        assert_eq!(
            check("deb [a=b] http://m.test/debian bookworm main"),
            ["deb http://m.test/debian bookworm main"]
        );
        let updates = "deb http://m.test/debian trixie main\ndeb http://m.test/debian trixie-updates main";
        assert_eq!(check(updates)[1], "deb http://m.test/debian bookworm-updates main");
        assert_eq!(check("deb http://m.test/ubuntu noble main").len(), 3);
    }

    #[test]
    fn a_layout_holds_what_its_digests_say() {
        let dir = tempfile::tempdir().unwrap();
        let (tar, layout) = (dir.path().join("root.tar"), dir.path().join("layout"));
        fs::write(dir.path().join("hello"), "hello").unwrap();
        process::run(Command::new("tar").arg("-C").arg(dir.path()).arg("-cf").arg(&tar).arg("hello"))
            .unwrap();
        write_layout(&tar, &layout, "1", "a test").unwrap();
        for blob in fs::read_dir(layout.join("blobs/sha256")).unwrap() {
            let path = blob.unwrap().path();
            assert_eq!(file_digest(&path).unwrap(), path.file_name().unwrap().to_str().unwrap());
        }
    }
}
