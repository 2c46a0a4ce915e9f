//! Tests with tables of hosts and contexts, and with a context store as the Docker client writes
//! it.

use super::*;

fn request(host: Option<&str>, context: Option<&str>) -> EndpointRequest {
    EndpointRequest {
        docker_host: host.map(str::to_owned),
        docker_context: context.map(str::to_owned),
        ..EndpointRequest::default()
    }
}

#[test]
fn an_address_goes_before_a_context() {
    let default = Choice::Host(DEFAULT_HOST, "default");
    for (host, context, current, expect) in [
        (None, None, None, default),
        (Some("tcp://h:1"), Some("a"), Some("b"), Choice::Host("tcp://h:1", "DOCKER_HOST")),
        (Some(""), Some("a"), Some("b"), Choice::Context("a", "DOCKER_CONTEXT")),
        (Some("  "), None, Some("b"), Choice::Context("b", "docker context use")),
        (None, Some(""), Some("b"), Choice::Context("b", "docker context use")),
        (None, Some("default"), Some("b"), Choice::Host(DEFAULT_HOST, "default")),
        (None, None, Some("default"), Choice::Host(DEFAULT_HOST, "default")),
    ] {
        assert_eq!(choose(&request(host, context), current), expect, "{host:?} {context:?} {current:?}");
    }
    let flag = EndpointRequest { flag: Some("tcp://f:1".to_owned()), ..request(Some("tcp://h:1"), None) };
    assert_eq!(choose(&flag, None), Choice::Host("tcp://f:1", "--host"));
}

#[test]
fn addresses_are_completed_or_refused() {
    for (text, expect) in [
        ("unix:///tmp/d.sock", "unix:///tmp/d.sock"),
        ("unix://", DEFAULT_HOST),
        ("tcp://h:2377", "tcp://h:2377"),
        ("tcp://h:2377/", "tcp://h:2377"),
        ("tcp://h", "tcp://h:2375"),
        ("tcp://", "tcp://localhost:2375"),
        ("tcp://:99", "tcp://localhost:99"),
        ("h:2375", "tcp://h:2375"),
        ("10.0.0.1:1", "tcp://10.0.0.1:1"),
        ("h", "tcp://h:2375"),
        ("http://h:80", "tcp://h:80"),
        ("[::1]:5", "tcp://[::1]:5"),
        ("tcp://[::1]", "tcp://[::1]:2375"),
        ("ssh://me@h:22", "ssh://me@h:22"),
    ] {
        assert_eq!(normal_host(text, 2375, "DOCKER_HOST"), Ok(expect.to_owned()), "{text}");
    }
    for (text, why) in [
        ("/var/run/docker.sock", "unix:///path"),
        ("unix://d.sock", "slash"),
        ("tcp://h:x", "port"),
        ("tcp://h:70000", "port"),
        ("tcp://h:1/path", "all that it may have"),
        ("tcp://me:secret@h:1", "all that it may have"),
        ("::1", "brackets"),
        ("fd://", "only unix"),
        ("npipe:////./pipe/docker_engine", "only unix"),
        ("tcp://h :1", "blank"),
        ("ssh://me:secret@h", "password"),
        ("ssh://-oProxyCommand=x", "strange"),
    ] {
        let error = normal_host(text, 2375, "DOCKER_HOST").expect_err(text);
        assert!(error.message.contains(why), "{text}: {error}");
        assert!(
            error.message.starts_with("DOCKER_HOST gives") && !error.message.contains("secret"),
            "{error}"
        );
    }
}

/// Writes a context as `docker context create` does.
fn write_context(directory: &Path, name: &str, host: &str, certificates: &[&str]) {
    let id = context_id(name);
    let meta = directory.join("contexts/meta").join(&id);
    std::fs::create_dir_all(&meta).expect("created");
    let json = serde_json::json!({
        "Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": host.ends_with(":1")}}
    });
    std::fs::write(meta.join("meta.json"), json.to_string()).expect("written");
    let tls = directory.join("contexts/tls").join(&id).join("docker");
    for file in certificates {
        std::fs::create_dir_all(&tls).expect("created");
        std::fs::write(tls.join(file), "").expect("written");
    }
}

#[test]
fn contexts_are_found_in_the_store() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path();
    write_context(path, "lab", "ssh://me@lab:2222", &[]);
    write_context(path, "farm", "tcp://farm:2376", &["ca.pem", "cert.pem", "key.pem"]);
    write_context(path, "half", "tcp://half:2376", &["ca.pem"]);
    write_context(path, "blind", "tcp://blind:1", &[]);
    write_context(path, "here", "", &[]);
    let find = |name: &str| {
        let request = EndpointRequest { config_dir: Some(path.to_owned()), ..request(None, Some(name)) };
        resolve(&request, &DockerConfig::default())
    };
    let lab = find("lab").expect("it is there");
    assert_eq!(lab.to_string(), "ssh://me@lab:2222 (docker context lab)");
    let farm = find("farm").expect("it is there");
    assert_eq!(farm.host, "tcp://farm:2376");
    let key = farm.tls.expect("it has certificates").key;
    assert!(key.ends_with("docker/key.pem") && key.is_file(), "{}", key.display());
    assert_eq!(find("here").expect("it is there").host, DEFAULT_HOST);
    assert_eq!(find("default"), Ok(Endpoint::default()));
    for (name, message, help) in [
        ("moon", "\"moon\", which does not exist", "known are: default, blind, farm, half, here, lab"),
        ("half", "there is no", "three files"),
        ("blind", "does not want to verify", "docker context update blind"),
    ] {
        let error = find(name).expect_err(name);
        assert!(error.message.contains(message), "{error}");
        assert!(error.help.as_deref().is_some_and(|text| text.contains(help)), "{error:?}");
    }
    let current = DockerConfig::parse(r#"{"currentContext": "lab"}"#).expect("good");
    let request = EndpointRequest { config_dir: Some(path.to_owned()), ..EndpointRequest::default() };
    assert_eq!(resolve(&request, &current).expect("it is there").host, "ssh://me@lab:2222");
}

#[test]
fn tls_of_the_environment_takes_its_certificates() {
    let directory = tempfile::tempdir().expect("temporary directory");
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        std::fs::write(directory.path().join(file), "").expect("written");
    }
    let with = |host: &str, verify: &str, path: Option<&Path>| {
        let request = EndpointRequest {
            tls_verify: Some(verify.to_owned()),
            cert_path: path.map(Path::to_owned),
            ..request(Some(host), None)
        };
        resolve(&request, &DockerConfig::default())
    };
    let path = Some(directory.path());
    let endpoint = with("tcp://h", "1", path).expect("certificates are there");
    assert_eq!((endpoint.host.as_str(), endpoint.tls.is_some()), ("tcp://h:2376", true));
    let endpoint = with("tcp://h", "", path).expect("no TLS asked for");
    assert_eq!((endpoint.host.as_str(), endpoint.tls.is_some()), ("tcp://h:2375", false));
    assert_eq!(with("unix:///d.sock", "1", None).expect("a socket has no TLS").tls, None);
    assert!(with("tcp://h", "1", None).expect_err("no certificates").message.contains("DOCKER_TLS_VERIFY"));
    let missing = with("tcp://h", "1", Some(Path::new("/nonexistent"))).expect_err("no certificates");
    assert!(missing.message.contains("/nonexistent/ca.pem"), "{missing}");
}

#[test]
fn a_missing_socket_is_named() {
    let endpoint = Endpoint { host: "unix:///nonexistent/d.sock".to_owned(), ..Endpoint::default() };
    let error = connect(&endpoint, Duration::from_secs(1)).expect_err("no such socket");
    assert!(error.message.contains("/nonexistent/d.sock"), "{error}");
}

#[tokio::test]
async fn credentials_reach_the_engine_in_its_alphabet() {
    use std::io::{BufRead, BufReader, Write};

    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use bollard::auth::DockerCredentials;
    use bollard::query_parameters::PushImageOptions;
    use futures_util::StreamExt;

    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = format!("tcp://{}", listener.local_addr().expect("bound"));
    let engine = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let head: Vec<String> = BufReader::new(stream.try_clone().expect("cloned"))
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("written");
        head
    });
    let endpoint = Endpoint { host, ..Endpoint::default() };
    let docker = connect(&endpoint, Duration::from_secs(60)).expect("nothing is opened yet");
    let credentials = DockerCredentials {
        username: Some("tester".to_owned()),
        password: Some("~~~>>>???~~~>>>???".to_owned()),
        ..DockerCredentials::default()
    };
    let json = serde_json::to_string(&credentials).expect("it is JSON");
    assert!(STANDARD.encode(&json).contains(['+', '/']), "the case that matters");
    let mut push = docker.push_image("r.example/a", None::<PushImageOptions>, Some(credentials));
    while push.next().await.is_some() {}
    let head = engine.join().expect("the engine had a client");
    let header = head.iter().find_map(|line| line.strip_prefix("x-registry-auth: ")).expect("it was sent");
    assert_eq!(URL_SAFE.decode(header).expect("the engine's alphabet"), json.into_bytes());
}
