//! Tests the pool from the engine's end of the connections.

use bollard::Docker;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, BuildImageOptionsBuilder, TagImageOptionsBuilder,
};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::engine::endpoint::test_engine::{Action, TestEngine};
use crate::engine::endpoint::{Endpoint, Tls, client, way};

const LONG: Duration = Duration::from_secs(3600);

fn engine_at(host: &str, keep: PoolConfig) -> Docker {
    let endpoint = Endpoint { host: host.to_owned(), ..Endpoint::default() };
    client(&way(&endpoint).expect("a good address"), LONG, keep)
}

/// A request that is not a query.
async fn tag(docker: &Docker) -> Result<(), Error> {
    let name = TagImageOptionsBuilder::default().repo("a").tag("b").build();
    docker.tag_image("x", Some(name)).await
}

#[tokio::test]
async fn one_connection_serves_one_request_after_another() {
    let words = TestEngine::start(|_, _| Action::Answer).await;
    let docker = engine_at(&words.host, KEEP);
    for _ in 0..10 {
        assert_eq!(docker.ping().await.expect("an answer"), "OK");
        tag(&docker).await.expect("an answer");
        // Like the engine's client for long requests.
        let long = docker.clone().with_timeout(2 * LONG);
        assert_eq!(long.ping().await.expect("an answer"), "OK");
    }
    assert_eq!((words.seen.came(), words.seen.connections().len()), (1, 30));
    assert_eq!(format!("tcp://{}", words.seen.host()), words.host, "the host that was asked for is named");
}

#[tokio::test]
async fn a_socket_may_have_any_name() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let words = TestEngine::at(&directory.path().join("a%20b:ü?x=1&y#[z] .sock"));
    let docker = engine_at(&words.host, KEEP);
    for _ in 0..3 {
        assert_eq!(docker.ping().await.expect("an answer"), "OK");
    }
    assert_eq!((words.seen.came(), words.seen.host().as_str()), (1, "engine"));
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_told_in_the_systems_words() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("d.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it is bound");
    for host in [format!("unix://{}", path.display()), format!("tcp://{gone}")] {
        let error = engine_at(&host, KEEP).ping().await.expect_err("nobody listens");
        assert_eq!(error.to_string(), "Connection refused (os error 111)", "{host}");
    }
}

#[tokio::test]
async fn a_dropped_answer_closes_its_connection() {
    for what in [Action::Begin, Action::Nothing] {
        let words =
            TestEngine::start(move |connection, _| if connection == 1 { what } else { Action::Answer }).await;
        let docker = engine_at(&words.host, KEEP);
        let options = BuildImageOptionsBuilder::default().t("x").build();
        let body = bollard::body_full(Bytes::from_static(b"a context"));
        let mut answers = Box::pin(docker.build_image(options, None, Some(body)));
        match what {
            Action::Begin => {
                let first = answers.next().await.expect("a line").expect("a good one");
                assert_eq!(first.stream.as_deref(), Some("first"));
            }
            _ => tokio::select! {
                answer = answers.next() => panic!("there is none: {answer:?}"),
                () = words.seen.were_asked(1) => {}
            },
        }
        words.seen.are_open(1).await;
        drop(answers);
        words.seen.are_open(0).await;
        assert_eq!(docker.ping().await.expect("an answer"), "OK");
        assert_eq!(words.seen.connections(), [1, 2], "{what:?}");
    }
}

#[tokio::test]
async fn a_context_that_is_still_sent_ends_with_its_build() {
    let words = TestEngine::start(|_, _| Action::Begin).await;
    let docker = engine_at(&words.host, KEEP);
    let options = BuildImageOptionsBuilder::default().t("x").build();
    // The rest of the context never arrives.
    let context = futures_util::stream::iter([Ok(Bytes::from_static(b"begun"))]);
    let context = bollard::body_try_stream(context.chain(futures_util::stream::pending()));
    let mut answers = Box::pin(docker.build_image(options, None, Some(context)));
    answers.next().await.expect("a line").expect("a good one");
    drop(answers);
    words.seen.are_open(0).await;
}

#[tokio::test]
async fn a_connection_that_left_http_is_nobody_elses() {
    let words =
        TestEngine::start(|connection, _| if connection == 1 { Action::Switch } else { Action::Answer })
            .await;
    let docker = engine_at(&words.host, KEEP);
    let options = AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).build();
    let mut attached = docker.attach_container("x", Some(options)).await.expect("it is taken over");
    for _ in 0..3 {
        assert_eq!(docker.ping().await.expect("an answer"), "OK");
    }
    attached.input.write_all(b"\x01\0\0\0\0\0\0\x03abc").await.expect("written");
    let heard = attached.output.next().await.expect("an echo").expect("a good one");
    assert_eq!(heard.into_bytes().as_ref(), b"abc");
    drop(attached);
    words.seen.are_open(1).await;
    assert_eq!(docker.ping().await.expect("an answer"), "OK");
    assert_eq!(words.seen.connections(), [1, 2, 2, 2, 2]);
}

#[tokio::test]
async fn a_connection_that_the_engine_closed_is_not_used_again() {
    let words = TestEngine::start(|_, _| Action::AnswerAndClose).await;
    let docker = engine_at(&words.host, KEEP);
    for _ in 0..5 {
        tag(&docker).await.expect("an answer");
        words.seen.are_open(0).await;
        // Yields, so that the runtime polls its sockets.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(words.seen.connections(), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn only_questions_are_asked_again_and_only_where_a_connection_may_have_been_old() {
    // The second request on each connection gets no response.
    let words =
        TestEngine::start(|_, request| if request == 1 { Action::Answer } else { Action::Close }).await;
    let docker = engine_at(&words.host, KEEP);
    for _ in 0..3 {
        assert_eq!(docker.ping().await.expect("it is asked again"), "OK");
    }
    assert_eq!(words.seen.connections(), [1, 1, 2, 2, 3]);
    let error = tag(&docker).await.expect_err("it may have been done");
    assert_eq!(error.to_string(), "connection closed before message completed");
    assert_eq!(words.seen.asked("POST"), 1);

    let words = TestEngine::start(|_, _| Action::Close).await;
    let docker = engine_at(&words.host, KEEP);
    docker.ping().await.expect_err("a new connection tells of no old one");
    assert_eq!(words.seen.connections(), [1]);
}

#[tokio::test]
async fn as_many_as_are_needed_and_few_stay() {
    let words = TestEngine::start(|_, _| Action::AnswerAt(20)).await;
    let docker = engine_at(&words.host, PoolConfig { most: 3, time: LONG });
    let asked = (0..20).map(|_| docker.ping());
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.expect("an answer"), "OK");
    }
    assert_eq!(words.seen.came(), 20);
    words.seen.are_open(3).await;
    assert_eq!(docker.ping().await.expect("an answer"), "OK");
    assert_eq!(words.seen.came(), 20);
}

#[tokio::test]
async fn connections_end_when_nobody_asks_for_long_and_with_their_client() {
    let words = TestEngine::start(|_, _| Action::Answer).await;
    let docker = engine_at(&words.host, PoolConfig { most: 8, time: Duration::from_millis(50) });
    assert_eq!(docker.ping().await.expect("an answer"), "OK");
    words.seen.are_open(0).await;

    let docker = engine_at(&words.host, PoolConfig { most: 8, time: LONG });
    let long = docker.clone().with_timeout(2 * LONG);
    assert_eq!(docker.ping().await.expect("an answer"), "OK");
    words.seen.are_open(1).await;
    drop(docker);
    assert_eq!(long.ping().await.expect("an answer"), "OK");
    assert_eq!(words.seen.came(), 2);
    drop(long);
    words.seen.are_open(0).await;
}

#[tokio::test]
async fn certificates_are_read_once_and_hands_are_shaken_once() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path();
    testbed::registry::certificates(path);
    let words = TestEngine::certified(path).await;
    let files = |cert: &str| {
        Some(Tls {
            ca: path.join("ca.pem"),
            cert: path.join(format!("{cert}.pem")),
            key: path.join(format!("{cert}.key")),
        })
    };
    let at = |tls| Endpoint { host: words.host.clone(), tls, ..Endpoint::default() };
    let ours = way(&at(files("client"))).expect("good files");
    // Another CA with the same name.
    let other = tempfile::tempdir().expect("temporary directory");
    testbed::registry::certificates(other.path());
    let wrong = files("client").map(|tls| Tls { ca: other.path().join("ca.pem"), ..tls });
    let wrong = way(&at(wrong)).expect("good files");
    let missing = way(&at(files("nobody"))).expect_err("no such files");
    assert!(missing.message.contains("nobody.key cannot be used"), "{missing}");
    drop(directory);

    let docker = client(&ours, LONG, KEEP);
    for _ in 0..5 {
        assert_eq!(docker.ping().await.expect("an answer"), "OK");
    }
    assert_eq!(words.seen.came(), 1);
    assert_eq!(format!("tcp://{}", words.seen.host()), words.host);
    // A session opens its connection in the same way.
    let mut bare = ours.dial().await.expect("a connection");
    bare.write_all(b"GET /_ping HTTP/1.1\r\n\r\n").await.expect("written");
    let mut answer = [0; 15];
    bare.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200 OK");

    let error = client(&wrong, LONG, KEEP).ping().await.expect_err("another's engine").to_string();
    assert!(error.contains("invalid peer certificate"), "{error}");
}
