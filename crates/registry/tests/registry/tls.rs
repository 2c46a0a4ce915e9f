//! TLS and plain HTTP to registries on another machine, which `0.0.0.0` simulates: it reaches this
//! machine, and no client treats it as a loopback address.

use std::fs;
use std::path::Path;

use registry::{DockerConfig, ErrorKind, Options, Registry, Trust};
use tempfile::TempDir;

use crate::process::{OCI_IMAGE, Process};

/// A client that reads its settings below a directory, as others do below `/etc`.
fn client(etc: &Path) -> Registry {
    let trust = Trust::load(&[etc.to_owned()]).expect("good files");
    let config = DockerConfig::default().with_trust(trust);
    Registry::new(Options { config, ..Options::default() })
}

fn write(etc: &TempDir, file: &str, text: impl AsRef<[u8]>) {
    let path = etc.path().join(file);
    fs::create_dir_all(path.parent().expect("it has one")).expect("directories");
    fs::write(path, text).expect("a file");
}

#[tokio::test]
async fn a_certificate_has_to_be_known() {
    let (process, certificate) = Process::with_tls();
    let name = process.far_name("a:1");
    let etc = TempDir::new().expect("a directory");
    let error = client(etc.path()).resolve(&name).await.expect_err("unknown");
    assert_eq!(error.kind, ErrorKind::Connection);
    assert!(error.message.contains("certificate"), "{error}");
    let help = error.help.expect("what to do");
    let file = etc.path().join("docker/certs.d").join(&name.registry).join("ca.crt");
    assert!(help.contains("SSL_CERT_FILE") && help.contains(&file.display().to_string()), "{help}");

    let directory = format!("docker/certs.d/{}", name.registry);
    write(&etc, &format!("{directory}/ca.crt"), certificate);
    assert_eq!(client(etc.path()).resolve(&name).await, Ok(None));
    write(&etc, &format!("{directory}/b.crt"), "no PEM");
    let error = client(etc.path()).resolve(&name).await.expect_err("no certificate in it");
    assert!(error.message.contains("b.crt") && error.message.contains("PEM"), "{error}");
    assert_eq!(error.kind, ErrorKind::Credentials);
}

#[tokio::test]
async fn what_is_named_as_insecure_may_show_any_certificate_or_none() {
    let (secure, _) = Process::with_tls();
    let plain = Process::open();
    let (digest, _) = plain.push_image("a:1", OCI_IMAGE, "{}").await;
    for (process, expect) in [(&secure, None), (&plain, Some(digest))] {
        let name = process.far_name("a:1");
        for insecure in [name.registry.as_str(), "0.0.0.0/32"] {
            let etc = TempDir::new().expect("a directory");
            let daemon = serde_json::json!({"insecure-registries": [insecure]});
            write(&etc, "docker/daemon.json", daemon.to_string());
            let registry = client(etc.path());
            for _ in 0..2 {
                assert_eq!(registry.resolve(&name).await, Ok(expect.clone()), "{insecure}");
            }
        }
    }
    let etc = TempDir::new().expect("a directory");
    let error = client(etc.path()).resolve(&plain.far_name("a:1")).await.expect_err("no TLS");
    assert_eq!(error.kind, ErrorKind::Connection);
    assert!(error.help.as_deref().is_some_and(|help| help.contains("does not speak TLS")), "{error:?}");
}

#[tokio::test]
async fn a_loopback_address_may_speak_either() {
    let (secure, certificate) = Process::with_tls();
    let etc = TempDir::new().expect("a directory");
    let registry = client(etc.path());
    for _ in 0..2 {
        assert_eq!(registry.resolve(&secure.name("a:1")).await, Ok(None));
    }
    // With certificates in `certs.d` TLS is verified, and this certificate is for another address.
    write(&etc, &format!("docker/certs.d/{}/ca.crt", secure.address()), certificate);
    let error = client(etc.path()).resolve(&secure.name("a:1")).await.expect_err("another name");
    assert!(error.help.as_deref().is_some_and(|help| help.contains("other names")), "{error:?}");
}
