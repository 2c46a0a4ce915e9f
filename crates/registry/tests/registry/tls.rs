//! TLS and plain HTTP to registries that are not this machine, which `0.0.0.0` stands for: it reaches this
//! machine, and nothing takes it for a loopback address.

use registry::{ErrorKind, Options, Registry};

use crate::process::{OCI_IMAGE, Process};

#[tokio::test]
async fn a_certificate_has_to_be_known() {
    let (process, certificate) = Process::with_tls();
    let name = process.far_name("a:1");
    let trusting = Options { certificates: vec![certificate], ..Options::default() };
    assert_eq!(Registry::new(trusting).expect("a client").resolve(&name).await, Ok(None));
    let error =
        Registry::new(Options::default()).expect("a client").resolve(&name).await.expect_err("unknown");
    assert_eq!(error.kind, ErrorKind::Connection);
    assert!(error.message.contains("certificate"), "{error}");
    assert!(error.help.as_deref().is_some_and(|help| help.contains("SSL_CERT_FILE")), "{error:?}");
    let wrong = Options { certificates: vec![b"no PEM".to_vec()], ..Options::default() };
    let error =
        Registry::new(wrong).expect("a client").resolve(&name).await.expect_err("no certificate in it");
    assert!(error.message.contains("PEM"), "{error}");
}

#[tokio::test]
async fn plain_http_is_spoken_only_where_it_is_named() {
    let process = Process::open();
    let (digest, _) = process.push_image("a:1", OCI_IMAGE, "{}").await;
    let name = process.far_name("a:1");
    let named = Options { insecure: vec![name.registry.clone()], ..Options::default() };
    assert_eq!(Registry::new(named).expect("a client").resolve(&name).await, Ok(Some(digest)));
    let error =
        Registry::new(Options::default()).expect("a client").resolve(&name).await.expect_err("no TLS");
    assert_eq!(error.kind, ErrorKind::Connection);
    assert!(error.help.as_deref().is_some_and(|help| help.contains("plain http")), "{error:?}");
}
