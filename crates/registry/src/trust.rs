//! Whom registries are trusted by: authorities of one's own, client certificates, and registries that are named as insecure.
//!
//! Reads what docker and podman read, below directories such as `/etc` and `~/.config` that the caller names, and knows
//! nothing of the environment and of HTTP:
//! - `docker/certs.d/HOST:PORT` and `containers/certs.d/HOST:PORT`: `*.crt` are authorities beside the system's,
//!   `*.cert` with `*.key` a client certificate (Docker's manual, "Verify repository client with certificates";
//!   containers-certs.d(5));
//! - `docker/daemon.json`: `insecure-registries`, names with their port and ranges of addresses (dockerd's manual, "Insecure
//!   registries");
//! - `containers/registries.conf` and the directory `registries.conf.d`: `insecure = true` of whole registries
//!   (containers-registries.conf(5)).

use std::fs;
use std::io::ErrorKind as Io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use crate::error::{Error, ErrorKind};

/// Time-out for resolving a name whose addresses decide whether it is insecure.
const LOOKUP: Duration = Duration::from_secs(5);

/// How registries are trusted on this machine.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Directories that have one for each registry.
    certificates: Vec<PathBuf>,
    insecure: Vec<Insecure>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Insecure {
    /// `host` or `host:port`, to the letter.
    Name(String),
    /// All hosts with such an address, at every port.
    Range(IpNet),
}

/// The certificates in a registry's directories, as PEM.
#[derive(Clone, Default)]
pub(crate) struct Certificates {
    /// Authorities that are trusted beside the system's, with the files that they are from.
    pub(crate) authorities: Vec<(PathBuf, Vec<u8>)>,
    /// Our own certificate with its key, and the file that it is from.
    pub(crate) identity: Option<(PathBuf, Vec<u8>)>,
}

impl Trust {
    /// Reads what stands below directories such as `/etc`; where one answer is wanted, the first that has it gives it.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`]: a file of docker's or podman's that is not what these write.
    pub fn load(directories: &[PathBuf]) -> Result<Self, Error> {
        let certificates = directories
            .iter()
            .flat_map(|directory| ["docker", "containers"].map(|of| directory.join(of).join("certs.d")))
            .collect();
        let mut names = Vec::new();
        for directory in directories {
            let file = directory.join("docker/daemon.json");
            if let Some(text) = read(&file) {
                names.extend(daemon(&text).map_err(|why| broken(&file, &why))?);
            }
        }
        let main = directories.iter().map(|directory| directory.join("containers/registries.conf"));
        let main = main.filter(|file| file.is_file()).take(1);
        let more =
            directories.iter().flat_map(|directory| listed(&directory.join("containers/registries.conf.d")));
        for file in main.chain(more.filter(|file| file.extension().is_some_and(|end| end == "conf"))) {
            if let Some(text) = read(&file) {
                names.extend(registries(&text).map_err(|why| broken(&file, &why))?);
            }
        }
        Ok(Self { certificates, insecure: Vec::new() }.with_insecure(names))
    }

    /// The same with these registries as the insecure ones: `host`, `host:port`, or ranges such as
    /// `10.0.0.0/8`.
    #[must_use]
    pub fn with_insecure(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.insecure = names.into_iter().map(|name| Insecure::parse(&name)).collect();
        self
    }

    /// Whether a registry, `host` or `host:port`, is named as insecure. Asks for the addresses of
    /// its name where ranges are named and the name itself is not, as dockerd does.
    pub(crate) async fn is_insecure(&self, registry: &str) -> bool {
        if self.insecure.contains(&Insecure::Name(registry.to_owned())) {
            return true;
        }
        let ranges: Vec<&IpNet> = self
            .insecure
            .iter()
            .filter_map(|insecure| match insecure {
                Insecure::Range(range) => Some(range),
                Insecure::Name(_) => None,
            })
            .collect();
        if ranges.is_empty() {
            return false;
        }
        let within = |address: IpAddr| ranges.iter().any(|range| range.contains(&address));
        let host = without_port(registry);
        if let Ok(address) = host.parse() {
            return within(address);
        }
        match tokio::time::timeout(LOOKUP, tokio::net::lookup_host((host, 443))).await {
            Ok(Ok(mut addresses)) => addresses.any(|address| within(address.ip())),
            _ => false,
        }
    }

    /// The directories with certificates for a registry.
    pub(crate) fn places(&self, registry: &str) -> Vec<PathBuf> {
        self.certificates.iter().map(|directory| directory.join(registry)).collect()
    }

    /// Whether there is such a directory.
    pub(crate) fn has_certificates(&self, registry: &str) -> bool {
        self.places(registry).iter().any(|place| place.is_dir())
    }

    /// What lies there: all authorities, and the first certificate of our own.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`]: a file that cannot be read, a certificate without its key, a key without its certificate.
    pub(crate) fn certificates(&self, registry: &str) -> Result<Certificates, Error> {
        let mut found = Certificates::default();
        for file in self.places(registry).iter().flat_map(|place| listed(place)) {
            let beside = |end: &str| {
                let other = file.with_extension(end);
                match other.is_file() {
                    true => Ok(other),
                    false => Err(Error::new(
                        ErrorKind::Credentials,
                        format!("{} is there without {}", file.display(), other.display()),
                    )
                    .help("a client certificate is two files, NAME.cert and NAME.key; authorities are named NAME.crt")),
                }
            };
            match file.extension().and_then(|end| end.to_str()) {
                Some("crt") => found.authorities.push((file.clone(), bytes(&file)?)),
                Some("cert") if found.identity.is_none() => {
                    let key = beside("key")?;
                    let pem = [bytes(&file)?, b"\n".to_vec(), bytes(&key)?].concat();
                    found.identity = Some((file, pem));
                }
                Some("key") => drop(beside("cert")?),
                _ => {}
            }
        }
        Ok(found)
    }
}

impl Insecure {
    /// As dockerd parses it: without a scheme; an address range is no name.
    fn parse(text: &str) -> Self {
        let name = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
        match name.parse() {
            Ok(range) => Self::Range(range),
            Err(_) => Self::Name(name.trim_end_matches('/').to_owned()),
        }
    }
}

/// `host` of `host:port`, without the brackets of an IPv6 address.
fn without_port(registry: &str) -> &str {
    match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => registry.split(':').next().unwrap_or(registry),
    }
}

/// Whether a host, with or without a port, is this machine.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let name = without_port(host);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `insecure-registries` of a `daemon.json`.
fn daemon(text: &str) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Daemon {
        #[serde(default, rename = "insecure-registries")]
        insecure: Vec<String>,
    }
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let daemon: Daemon = serde_json::from_str(text).map_err(|why| why.to_string())?;
    Ok(daemon.insecure)
}

/// The registries of a `registries.conf` that are insecure as a whole; those of which only a part
/// is, are left out.
fn registries(text: &str) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        registry: Vec<Registry>,
    }
    #[derive(Deserialize)]
    struct Registry {
        location: Option<String>,
        prefix: Option<String>,
        #[serde(default)]
        insecure: bool,
    }
    let file: File = toml::from_str(text).map_err(|why| why.message().to_owned())?;
    let named = file.registry.into_iter().filter(|registry| registry.insecure).filter_map(|registry| {
        let location = registry.location.or(registry.prefix)?;
        (!location.contains(['/', '*'])).then_some(location)
    });
    Ok(named.collect())
}

/// A settings file; none that cannot be read is ours to complain of.
fn read(file: &Path) -> Option<String> {
    fs::read_to_string(file).ok()
}

/// The files of a directory by name; none where it is not there, or not ours to read.
fn listed(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn bytes(file: &Path) -> Result<Vec<u8>, Error> {
    fs::read(file).map_err(|error| {
        let failed = Error::new(ErrorKind::Credentials, format!("cannot read {}: {error}", file.display()));
        match error.kind() {
            Io::PermissionDenied => failed.help("make it readable for who runs this"),
            _ => failed,
        }
    })
}

fn broken(file: &Path, why: &str) -> Error {
    Error::new(ErrorKind::Credentials, format!("{} cannot be read: {why}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().expect("it has one")).expect("directories");
        fs::write(path, text).expect("a file");
    }

    #[test]
    fn this_machine_is_known() {
        for near in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.8.9.1", "[::1]:5000", "[::1]"] {
            assert!(is_loopback(near), "{near}");
        }
        for far in [
            "r.example",
            "localhost.example:5000",
            "10.0.0.1:5000",
            "[fe80::1]:5000",
            "127.0.0.1.example",
            "",
        ] {
            assert!(!is_loopback(far), "{far}");
        }
    }

    #[tokio::test]
    async fn insecure_is_what_docker_and_podman_are_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let (user, system) = (directory.path().join("user"), directory.path().join("etc"));
        write(
            &system,
            "docker/daemon.json",
            r#"{"debug": true, "insecure-registries":
            ["r.example:5000", "http://schemed.example", "10.1.0.0/16", "fd00::/8", "127.0.0.0/8"]}"#,
        );
        write(&user, "docker/daemon.json", r#"{"insecure-registries": ["mine.example"]}"#);
        write(
            &system,
            "containers/registries.conf",
            "[[registry]]\nlocation = \"hidden.example\"\ninsecure = true\n",
        );
        write(
            &user,
            "containers/registries.conf",
            "unqualified-search-registries = [\"docker.io\"]\n\
             [[registry]]\nlocation = \"pod.example:5000\"\ninsecure = true\n\
             [[registry]]\nprefix = \"prefix.example\"\ninsecure = true\n\
             [[registry]]\nlocation = \"part.example/team\"\ninsecure = true\n\
             [[registry]]\nlocation = \"good.example\"\n",
        );
        write(
            &system,
            "containers/registries.conf.d/10.conf",
            "[[registry]]\nlocation = \"ten.example\"\ninsecure = true\n",
        );
        write(&system, "containers/registries.conf.d/README", "no TOML");
        let trust = Trust::load(&[user, system]).expect("good files");
        for (registry, expect) in [
            ("r.example:5000", true),
            ("r.example", false),
            ("schemed.example", true),
            ("mine.example", true),
            ("10.1.2.3:5000", true),
            ("10.2.2.3:5000", false),
            ("[fd00::1]:5000", true),
            ("[fe80::1]", false),
            ("localhost:5000", true),
            ("pod.example:5000", true),
            ("prefix.example", true),
            ("part.example", false),
            ("good.example", false),
            ("ten.example", true),
            ("hidden.example", false),
        ] {
            // No name below .example is ever known, so nothing depends on a network.
            assert_eq!(trust.is_insecure(registry).await, expect, "{registry}");
        }
        let engine = trust.with_insecure(["other.example".to_owned()]);
        assert!(engine.is_insecure("other.example").await && !engine.is_insecure("mine.example").await);
    }

    #[test]
    fn certificates_lie_where_docker_looks_for_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let (user, system) = (directory.path().join("user"), directory.path().join("etc"));
        let trust = Trust::load(&[user.clone(), system.clone()]).expect("nothing there");
        let name = "r.example:5000";
        assert!(!trust.has_certificates(name));
        assert!(trust.certificates(name).expect("none").authorities.is_empty());
        write(&system, "docker/certs.d/r.example:5000/b.crt", "B");
        write(&system, "docker/certs.d/r.example:5000/a.crt", "A");
        write(&system, "docker/certs.d/r.example:5000/readme.txt", "no certificate");
        write(&system, "docker/certs.d/r.example:5000/client.cert", "system");
        write(&system, "docker/certs.d/r.example:5000/client.key", "key");
        write(&system, "docker/certs.d/r.example/c.crt", "another one");
        write(&user, "containers/certs.d/r.example:5000/u.crt", "U");
        write(&user, "containers/certs.d/r.example:5000/me.cert", "mine");
        write(&user, "containers/certs.d/r.example:5000/me.key", "my key");
        let found = trust.certificates(name).expect("all of them");
        let texts: Vec<&[u8]> = found.authorities.iter().map(|(_, pem)| pem.as_slice()).collect();
        assert_eq!(texts, [b"U", b"A", b"B"]);
        assert_eq!(found.identity.expect("a pair").1, b"mine\nmy key");
        assert!(trust.has_certificates(name) && !trust.has_certificates("r.example:5001"));
        for (lonely, missing) in [("lone.cert", "lone.key"), ("lone.key", "lone.cert")] {
            let registry = format!("{lonely}.example");
            write(&system, &format!("docker/certs.d/{registry}/{lonely}"), "x");
            let error = trust.certificates(&registry).err().expect("half a pair");
            assert!(error.message.ends_with(missing), "{error}");
            assert_eq!(error.kind, ErrorKind::Credentials);
        }
    }

    #[test]
    fn a_broken_file_is_named_and_an_absent_one_is_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let etc = [directory.path().to_owned()];
        assert!(Trust::load(&etc).expect("nothing there").insecure.is_empty());
        for (file, good, bad) in [
            ("docker/daemon.json", "", "{\"insecure-registries\": 7}"),
            ("docker/daemon.json", "{}", "{"),
            ("containers/registries.conf", "", "[[registry"),
            ("containers/registries.conf", "[registries.search]\nregistries = []\n", "registry = 7\n"),
        ] {
            write(directory.path(), file, bad);
            let error = Trust::load(&etc).expect_err(bad);
            assert!(error.message.contains(file) && error.kind == ErrorKind::Credentials, "{error}");
            write(directory.path(), file, good);
            assert!(Trust::load(&etc).is_ok(), "{good}");
        }
    }
}
