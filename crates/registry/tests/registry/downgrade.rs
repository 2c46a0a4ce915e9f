//! A registry that speaks TLS and leads on to plain HTTP: nothing follows, with a secret or
//! without.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use registry::{DockerConfig, Error, ErrorKind, Layer, Options, Registry, Trust};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::process::{certificate, sha256};
use crate::scripted::{Reply, Server};

/// Answers over TLS; `answer` gets the first line of a request and gives status and headers.
fn start(directory: &Path, answer: impl Fn(SocketAddr, &str) -> String + Send + 'static) -> SocketAddr {
    let chain = CertificateDer::from_pem_file(directory.join("certificate.pem")).expect("PEM");
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).expect("PEM");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows them")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("they fit");
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a good configuration");
            let mut stream = StreamOwned::new(connection, stream);
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0]);
            }
            let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
            let answer = answer(address, &line);
            let _ = write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    address
}

/// A client that trusts the server, and has these credentials.
fn client(directory: &Path, address: SocketAddr, entry: &serde_json::Value) -> Registry {
    let place = directory.join(format!("docker/certs.d/{address}"));
    std::fs::create_dir_all(&place).expect("directories");
    std::fs::copy(directory.join("certificate.pem"), place.join("ca.crt")).expect("a copy");
    let trust = Trust::load(&[directory.to_owned()]).expect("good files");
    let json = serde_json::json!({"auths": {address.to_string(): entry}}).to_string();
    let config = DockerConfig::parse(&json).expect("good").with_trust(trust);
    Registry::new(Options { config, ..Options::default() })
}

#[tokio::test]
async fn case_refresh_token_redirect_from_https_to_http() {
    let directory = tempfile::tempdir().expect("a directory");
    certificate(directory.path(), "IP:127.0.0.1");
    let plain = Server::start(|_, _, _| Some(Reply::new(200).body(r#"{"token": "t"}"#)));
    for (status, entry, expect) in [
        (307, serde_json::json!({"identitytoken": "IDENTITYCANARY"}), "carries credentials"),
        (308, serde_json::json!({"identitytoken": "IDENTITYCANARY"}), "carries credentials"),
        (307, serde_json::json!({"username": "me", "password": "CANARY"}), "carries credentials"),
        (307, serde_json::json!({}), "from https to http"),
    ] {
        let target = format!("http://{}/token2", plain.address());
        let address = start(directory.path(), move |address, line| match line.contains("/token") {
            true => format!("{status} Elsewhere\r\nlocation: {target}"),
            false => format!("401 No\r\nwww-authenticate: Bearer realm=\"https://{address}/token\""),
        });
        let name = plan::ImageName::parse(&format!("{address}/a:1")).expect("a reference");
        let error = client(directory.path(), address, &entry).resolve(&name).await.expect_err("no token");
        check(&error, expect);
    }
    // Without a login: a blob at a plain address.
    let target = format!("http://{}/blob", plain.address());
    let address = start(directory.path(), move |_, _| format!("307 Elsewhere\r\nlocation: {target}"));
    let name = plan::ImageName::parse(&format!("{address}/a:1")).expect("a reference");
    let registry = client(directory.path(), address, &serde_json::json!({}));
    let layer = Layer { digest: sha256(b"x"), size: 1 };
    check(&registry.blob(&name, &layer).await.expect_err("http"), "from https to http");
    check(&registry.resolve(&name).await.expect_err("http"), "from https to http");
    assert_eq!(plain.lines(), Vec::<String>::new());
}

fn check(error: &Error, expect: &str) {
    assert_eq!(error.kind, ErrorKind::Protocol, "{error}");
    assert!(error.message.contains(expect), "{error}");
}
