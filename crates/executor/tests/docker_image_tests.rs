//! Tests of images on a real engine: an image that passes is published, an image that fails gets no
//! name, and nothing is left behind.

#![expect(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

mod fixture;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use executor::{BuilderChoice, Event, Failure, Options, Outcome, Relation, RunResult};
use fixture::{Lab, all_contexts, built, external};
use plan::{Context, ImageTest, Plan, TestAction};
use tokio_util::sync::CancellationToken;

const LABEL: &str = "image-builder.run";
const UNFINISHED: &str = "image-builder.invalid/unfinished";

fn test(action: TestAction) -> ImageTest {
    ImageTest { layer: "science/a".into(), action, timeout: 60, network: false, user: None }
}

fn run(words: &[&str]) -> ImageTest {
    test(TestAction::Run(words.iter().map(|word| (*word).to_owned()).collect()))
}

fn shell(text: &str) -> ImageTest {
    run(&["sh", "-c", text])
}

fn script(text: &str) -> ImageTest {
    test(TestAction::Script { path: "tests/a.sh".into(), text: text.to_owned() })
}

/// The containers and the names of unfinished images whose run marker contains this text.
async fn left(lab: &Lab, mark: &str) -> Vec<String> {
    let docker = lab.docker();
    let containers = ListContainersOptionsBuilder::default().all(true).build();
    let containers = docker.list_containers(Some(containers)).await.unwrap();
    let containers = containers.into_iter().filter_map(|container| {
        let ours = container.labels.unwrap_or_default().get(LABEL).is_some_and(|label| label.contains(mark));
        ours.then(|| container.names.unwrap_or_default().join(" "))
    });
    let filters = HashMap::from([("reference".to_owned(), vec![UNFINISHED.to_owned()])]);
    let images = ListImagesOptionsBuilder::default().filters(&filters).build();
    let images = docker.list_images(Some(images)).await.unwrap();
    let names = images.into_iter().flat_map(|image| image.repo_tags).filter(|name| name.contains(mark));
    containers.chain(names).collect()
}

/// Cancels a run once a test of an image prints `begun`. Returns its result, and the value of `see`
/// right before.
async fn cancelled_in_a_test<T>(lab: &Lab, plan: &Plan, see: impl AsyncFnOnce() -> T) -> (RunResult, T) {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let cancel = CancellationToken::new();
    let trigger = cancel.clone();
    let watch = async {
        while let Some(event) = receiver.recv().await {
            if matches!(&event, Event::Output { line, .. } if line == "begun") {
                let seen = see().await;
                trigger.cancel();
                return seen;
            }
        }
        panic!("the test never began");
    };
    let (contexts, options) = (all_contexts(plan, BTreeMap::new()), lab.options());
    let history = |_: &str| Relation::Unknown;
    let (result, seen) =
        tokio::join!(executor::run(plan, &contexts, &options, history, sender, cancel), watch);
    (result.unwrap(), seen)
}

fn log(lab: &Lab, result: &RunResult, build: usize) -> String {
    std::fs::read_to_string(lab.root.path().join(result.builds[build].log.as_ref().unwrap())).unwrap()
}

#[tokio::test]
async fn an_image_whose_tests_pass_is_tagged_and_pushed() {
    for builder in [BuilderChoice::Auto, BuilderChoice::Classic] {
        let lab = Lab::new();
        // The image's entrypoint and health check must not be used.
        let more = "COPY a /a\nENTRYPOINT [\"false\"]\nHEALTHCHECK CMD false\nWORKDIR /tmp\nUSER 1234";
        let mut base = lab.science("a", external(), more);
        base.tests = vec![
            shell(
                "test \"$(cat /a)\" = 1 && test \"$(pwd)\" = /tmp && test \"$(id -u)\" = 1234 && echo said",
            ),
            script("#!/bin/sh\nset -eu\ntest \"$(id -u)\" = 1234\ntest $# = 0\necho from a script >&2\n"),
            ImageTest { user: Some("4321:99".into()), ..shell("test \"$(id -u):$(id -g)\" = 4321:99") },
        ];
        let mut compat = lab.compat(&base, "USER 0");
        compat.tests = vec![ImageTest { layer: "compat/web".into(), ..shell("test \"$(id -u)\" = 0") }];
        let plan = lab.plan(vec![base, compat]);
        let options = Options { builder, ..lab.pushing() };
        let context = Context { entries: vec![lab.file("a", b"1\n", false)] };
        let contexts = BTreeMap::from([(plan.builds[0].id.clone(), context)]);
        let (result, events) = lab.run_with(&plan, contexts, &options, Relation::Ancestor).await;
        let result = result.unwrap();
        assert!(result.success, "{result:#?}");
        for build in &plan.builds {
            for tag in build.tags.iter() {
                assert!(lab.published(tag).await.is_some(), "{tag}");
                assert!(lab.docker().inspect_image(tag).await.is_ok(), "{tag}");
            }
        }
        let tests: Vec<_> = result.builds.iter().flat_map(|build| &build.tests).collect();
        assert_eq!(tests.len(), 4);
        assert!(tests.iter().all(|test| test.passed && test.error.is_none()), "{tests:#?}");
        assert_eq!((tests[1].test.as_str(), tests[3].layer.as_str()), ("science/a/tests/a.sh", "compat/web"));
        let log = log(&lab, &result, 0);
        for line in ["=> test science/a/tests/a.sh\n", "\nfrom a script\n", "\nsaid\n", "=> passed in "] {
            assert!(log.contains(line), "{line}: {log}");
        }
        let told = |wanted: fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count();
        assert_eq!(told(|event| matches!(event, Event::TestStarted { .. })), 4);
        assert_eq!(told(|event| matches!(event, Event::TestFinished { passed: true, .. })), 4);
        assert_eq!(left(&lab, &result.run).await, Vec::<String>::new());
        // A published image is not tested again.
        let second = lab.run(&plan, &options).await.unwrap();
        assert!(second.builds.iter().all(|build| build.outcome == Outcome::Reused && build.tests.is_empty()));
    }
}

#[tokio::test]
async fn an_image_whose_test_fails_has_no_name_anywhere() {
    for builder in [BuilderChoice::Auto, BuilderChoice::Classic] {
        let lab = Lab::new();
        let mut bad = lab.science("bad", external(), "RUN echo bad > /bad");
        bad.tests =
            vec![shell("echo on the way; exit 7"), shell("exit 0"), shell("sh -c 'kill -SEGV $$'; exit $?")];
        let child = lab.science("child", built(&bad), "");
        let good = lab.science("good", external(), "RUN echo good > /good");
        // An earlier image with the same names, which must not change.
        let docker = lab.docker();
        let earlier = lab.plan(vec![lab.science("earlier", external(), "")]);
        assert!(lab.run(&earlier, &lab.options()).await.unwrap().success);
        let (repository, tag) = bad.build_tag().rsplit_once(':').unwrap();
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        docker.tag_image(earlier.builds[0].build_tag(), Some(options)).await.unwrap();
        let before = docker.inspect_image(bad.build_tag()).await.unwrap().id;

        let plan = lab.plan(vec![bad, good, child]);
        let options = Options { builder, ..lab.pushing() };
        let (result, events) = lab.run_with(&plan, BTreeMap::new(), &options, Relation::Ancestor).await;
        let result = result.unwrap();
        let outcomes: Vec<_> = result.builds.iter().map(|build| build.outcome).collect();
        assert_eq!(outcomes, [Outcome::Failed, Outcome::Built, Outcome::Skipped], "{result:#?}");
        let failed = &result.builds[0];
        assert_eq!(failed.failure, Some(Failure::Build));
        assert_eq!(
            failed.error.as_deref(),
            Some(
                "the image was built, and 2 of its 3 tests failed, the first: sh -c 'echo on the way; exit 7': it exited with 7"
            )
        );
        let passed: Vec<_> = failed.tests.iter().map(|test| test.passed).collect();
        assert_eq!(passed, [false, true, false], "the others are told too");
        assert_eq!(failed.tests[2].error.as_deref(), Some("it exited with 139: signal 11 (SIGSEGV)"));
        assert_eq!(docker.inspect_image(plan.builds[0].build_tag()).await.unwrap().id, before);
        assert!(docker.inspect_image(plan.builds[0].moving_tag()).await.is_err());
        for tag in plan.builds[0].tags.iter().chain(plan.builds[2].tags.iter()) {
            assert_eq!(lab.published(tag).await, None, "{tag}");
        }
        assert!(lab.published(plan.builds[1].moving_tag()).await.is_some());
        assert!(log(&lab, &result, 0).contains("\non the way\n"));
        let tail = events.iter().find_map(|event| match event {
            Event::BuildFinished { outcome: Outcome::Failed, log_tail, .. } => Some(log_tail.join("\n")),
            _ => None,
        });
        assert!(tail.as_deref().is_some_and(|tail| tail.contains("on the way")), "{tail:?}");
        assert_eq!(left(&lab, &result.run).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_test_has_little_and_no_more_than_it_asks_for() {
    let lab = Lab::new();
    let mut a = lab.science("a", external(), "RUN echo 1 > /a");
    let confined = "set -e; grep -q '^CapEff:.0000000000000000$' /proc/self/status; \
        grep -q '^CapBnd:.0000000000000000$' /proc/self/status; \
        grep -q '^NoNewPrivs:.1$' /proc/self/status; ";
    a.tests = vec![
        shell(&format!("{confined} test \"$(ls /sys/class/net)\" = lo && test -z \"$http_proxy\"")),
        // The container has a loopback interface: a server in it can be reached.
        shell(
            "echo yes > /tmp/f; nc -l -p 8000 < /tmp/f & sleep 1; test \"$(nc 127.0.0.1 8000 < /dev/null)\" = yes",
        ),
        ImageTest {
            network: true,
            ..shell(&format!("{confined} test \"$(ls /sys/class/net | wc -l)\" -gt 1"))
        },
    ];
    let result = lab.run(&lab.plan(vec![a]), &lab.options()).await.unwrap();
    assert!(result.success, "{result:#?}");
}

#[tokio::test]
async fn what_goes_wrong_in_a_test_is_told_in_words_and_ended_in_time() {
    let lab = Lab::new();
    let mut a = lab.science("a", external(), "RUN echo 1 > /a");
    let short = |test| ImageTest { timeout: 2, ..test };
    let bound = |test| ImageTest { timeout: 120, ..test };
    let cases = [
        (short(shell("echo begun; sleep 300")), "it did not end within 2s, and was ended"),
        (
            short(shell("trap '' TERM INT; sleep 300 & wait; sleep 300")),
            "it did not end within 2s, and was ended",
        ),
        (run(&["no-such-program"]), "it cannot be started: "),
        (run(&["/etc"]), "it cannot be started: "),
        // Some engines start it, and it ends at once.
        (script("#!/no/such/interpreter\n"), "it "),
        (script("#!/bin/sh\nno-such-program\n"), "it exited with 127: a program was not found"),
        (ImageTest { user: Some("nobody-knows".into()), ..run(&["true"]) }, "it cannot be started: "),
        (shell("sh -c 'kill -KILL $$'; exit $?"), "it exited with 137: signal 9 (SIGKILL)"),
        (bound(shell("yes 'without end'")), "it printed more than 64 MiB, and was ended"),
        (bound(shell("head -c 100000000 /dev/zero")), "it printed more than 64 MiB, and was ended"),
    ];
    a.tests = cases.iter().map(|(test, _)| test.clone()).collect();
    let plan = lab.plan(vec![a]);
    let (result, _) = lab.run_with(&plan, BTreeMap::new(), &lab.options(), Relation::Ancestor).await;
    let result = result.unwrap();
    let tests = &result.builds[0].tests;
    assert_eq!(tests.len(), cases.len(), "{result:#?}");
    for (test, (wanted, expect)) in tests.iter().zip(&cases) {
        let error = test.error.as_deref().unwrap_or("passed");
        assert!(error.starts_with(expect), "{}: {error}", test.test);
        assert!(test.seconds < wanted.timeout as f64 + 15.0, "{}: {} s", test.test, test.seconds);
    }
    let log = log(&lab, &result, 0);
    assert!(log.len() < 16 << 20, "a test that prints without end does not fill the disk: {}", log.len());
    assert!(log.contains(" lines are left out …"), "the log says so");
    assert_eq!(left(&lab, &result.run).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_test_that_takes_all_memory_is_told_as_that() {
    let lab = Lab::new();
    let mut a = lab.science("a", external(), "");
    let eat = "exec awk 'BEGIN { x = \"0123456789abcdef\"; while (1) x = x x }'";
    a.tests = vec![ImageTest { timeout: 240, ..shell(eat) }];
    let result = lab.run(&lab.plan(vec![a]), &lab.options()).await.unwrap();
    let error = result.builds[0].tests[0].error.clone().unwrap_or_default();
    assert_eq!(error, "it exceeded its memory limit (4 GiB) and was killed", "{result:#?}");
    assert_eq!(left(&lab, &result.run).await, Vec::<String>::new());
}

#[tokio::test]
async fn tests_are_left_out_when_that_is_asked_and_it_is_said() {
    let lab = Lab::new();
    let mut a = lab.science("a", external(), "RUN echo 1 > /a");
    a.tests = vec![shell("false")];
    let plan = lab.plan(vec![a]);
    let options = Options { skip_tests: true, ..lab.options() };
    let (result, events) = lab.run_with(&plan, BTreeMap::new(), &options, Relation::Ancestor).await;
    let result = result.unwrap();
    assert!(result.success && result.builds[0].tests.is_empty(), "{result:#?}");
    let said = |event: &Event| matches!(event, Event::Notice { message } if message.contains("--skip-tests"));
    assert!(events.iter().any(said), "{events:#?}");
    assert_eq!(left(&lab, &result.run).await, Vec::<String>::new());
    // A run with `--resume` tests the images that it reuses.
    let options = Options { resume: true, ..lab.options() };
    let result = lab.run(&plan, &options).await.unwrap();
    assert_eq!((result.success, result.builds[0].tests.len()), (false, 1), "{result:#?}");
}

#[tokio::test]
async fn a_run_that_is_cancelled_in_a_test_leaves_nothing() {
    let lab = Lab::new();
    let mut a = lab.science("a", external(), "RUN echo 1 > /a");
    a.tests = vec![shell("echo begun; sleep 300")];
    let plan = lab.plan(vec![a]);
    let (result, cancelled) = cancelled_in_a_test(&lab, &plan, async || Instant::now()).await;
    assert!(cancelled.elapsed() < Duration::from_secs(10));
    assert_eq!(result.builds[0].outcome, Outcome::Cancelled);
    assert_eq!(left(&lab, &result.run).await, Vec::<String>::new());
    assert!(lab.docker().inspect_image(plan.builds[0].build_tag()).await.is_err());
}

/// Creates a container and an image name as a run with this marker would leave them.
async fn leave(lab: &Lab, image: &str, mark: &str, name: &str) -> (String, String) {
    let docker = lab.docker();
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(vec!["sleep".to_owned(), "300".to_owned()]),
        labels: Some(HashMap::from([(LABEL.to_owned(), mark.to_owned())])),
        host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    let container = docker.create_container(Some(options), body).await.unwrap().id;
    docker.start_container(&container, None).await.unwrap();
    let options = TagImageOptionsBuilder::default().repo(UNFINISHED).tag(&format!("{mark}-0")).build();
    docker.tag_image(image, Some(options)).await.unwrap();
    (container, format!("{UNFINISHED}:{mark}-0"))
}

#[tokio::test]
async fn what_a_killed_run_left_is_taken_away_and_nothing_else() {
    let lab = Lab::new();
    let plan = lab.plan(vec![lab.science("a", external(), "RUN true")]);
    let first = lab.run(&plan, &lab.options()).await.unwrap();
    assert!(first.success, "{first:#?}");
    let docker = lab.docker();
    let image = plan.builds[0].build_tag();
    // The markers of a run of this process, and of one whose process has ended.
    let unique = lab.repo.rsplit_once('-').unwrap().1.to_owned();
    let place = place_of_a_run(&lab).await;
    let mut child = std::process::Command::new("sleep").arg("300").spawn().unwrap();
    let started = began(child.id());
    let of_child = |name: &str| format!("{name}-{unique}.{}.{started}.{place}", child.id());
    let (dead, foreign, unmarked) =
        (of_child("dead"), format!("far-{unique}.1.1.0011223344556677"), of_child("image"));
    let alive = format!("alive-{unique}.{}.{}.{place}", std::process::id(), began(std::process::id()));
    let named = |mark: &str| format!("image-builder-test-{mark}-0-0");
    let gone = leave(&lab, image, &dead, &named(&dead)).await;
    let mut stay = vec![
        leave(&lab, image, &alive, &named(&alive)).await,
        leave(&lab, image, &foreign, &named(&foreign)).await,
    ];
    // An image can set a label, so a labelled container may still be someone else's.
    let theirs = leave(&lab, image, &unmarked, &format!("theirs-{unique}")).await;
    let is_there = async |(container, name): &(String, String)| {
        let container = docker.inspect_container(container, None).await.is_ok();
        (container, docker.inspect_image(name).await.is_ok())
    };

    let result = lab.run(&plan, &Options { no_cache: true, ..lab.options() }).await.unwrap();
    assert!(result.success);
    assert_eq!(is_there(&gone).await, (true, true), "its process lives");

    child.kill().unwrap();
    child.wait().unwrap();
    let (result, events) = lab.run_with(&plan, BTreeMap::new(), &lab.options(), Relation::Ancestor).await;
    assert!(result.unwrap().success);
    let gone_now = is_there(&gone).await;
    let stayed = [is_there(&stay[0]).await, is_there(&stay[1]).await];
    let theirs_now = is_there(&theirs).await.0;
    stay.push(theirs);
    stay.push(gone);
    for (container, _) in &stay {
        let force = RemoveContainerOptionsBuilder::default().force(true).build();
        let _ = docker.remove_container(container, Some(force)).await;
    }
    // An image's last name cannot be removed as long as a container runs on it.
    for (_, name) in &stay {
        let keep = RemoveImageOptionsBuilder::default().noprune(true).build();
        let _ = docker.remove_image(name, Some(keep), None).await;
    }
    assert_eq!(left(&lab, &unique).await, Vec::<String>::new(), "this test takes its own away");
    assert_eq!(gone_now, (false, false), "{events:#?}");
    assert_eq!(stayed, [(true, true); 2]);
    assert!(theirs_now);
    let said = |event: &Event| matches!(event, Event::Notice { message } if message.contains("did not end"));
    assert!(events.iter().any(said), "{events:#?}");
}

/// The start time of a process, from proc(5).
fn began(process: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(19).unwrap().to_owned()
}

/// The place of this process, from the end of its run markers; they are visible while a test runs.
async fn place_of_a_run(lab: &Lab) -> String {
    let mut a = lab.science("place", external(), "RUN echo place > /a");
    a.tests = vec![shell("echo begun; sleep 5")];
    let plan = lab.plan(vec![a]);
    let of_this_process = format!(".{}.", std::process::id());
    let (_, names) = cancelled_in_a_test(lab, &plan, async || left(lab, &of_this_process).await).await;
    let name = names.iter().find_map(|name| name.strip_prefix("/image-builder-test-")).unwrap();
    name.rsplit('.').next().unwrap().split('-').next().unwrap().to_owned()
}

#[tokio::test]
async fn row_20_instructions_of_a_base_are_shown_and_refused_unless_allowed() {
    for builder in [BuilderChoice::Auto, BuilderChoice::Classic] {
        let (lab, other) = (Lab::new(), Lab::new());
        // The base is only in a registry, so its triggers are known once it is pulled.
        let trigger = "ONBUILD RUN echo surprise > /surprise\nONBUILD LABEL surprise=1";
        let base = other.plan(vec![other.science("base", external(), trigger)]);
        let options = Options { builder, ..other.pushing() };
        assert!(other.run(&base, &options).await.unwrap().success);
        for tag in base.builds[0].tags.iter() {
            let force = RemoveImageOptionsBuilder::default().force(true).build();
            other.docker().remove_image(tag, Some(force), None).await.unwrap();
        }
        let reference = base.builds[0].moving_tag().to_owned();
        let target = plan::Target::External { reference: reference.clone() };
        let child = lab.science("child", target, "RUN echo child > /child");
        let good = lab.science("good", external(), "");
        let grandchild = lab.science("grandchild", built(&child), "");
        let plan = lab.plan(vec![child, good, grandchild]);
        let options = Options { builder, ..lab.pushing() };
        let result = lab.run(&plan, &options).await.unwrap();
        let outcomes: Vec<_> = result.builds.iter().map(|build| build.outcome).collect();
        assert_eq!(outcomes, [Outcome::Failed, Outcome::Built, Outcome::Skipped], "{result:#?}");
        assert_eq!(result.builds[0].failure, Some(Failure::Build));
        let error = result.builds[0].error.clone().unwrap();
        for part in [
            reference.as_str(),
            "`ONBUILD RUN echo surprise > /surprise`",
            "`ONBUILD LABEL",
            "--allow-onbuild",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(!log(&lab, &result, 0).contains("[2/2]"), "nothing of it ran");
        assert_eq!(lab.published(plan.builds[0].build_tag()).await, None);

        let options = Options { allow_onbuild: true, ..options };
        let (result, events) = lab.run_with(&plan, BTreeMap::new(), &options, Relation::Ancestor).await;
        let result = result.unwrap();
        assert!(result.success, "{result:#?}");
        let said =
            |event: &Event| matches!(event, Event::Notice { message } if message.contains("echo surprise"));
        assert!(events.iter().any(said), "{events:#?}");
        let labels = lab.published(plan.builds[0].build_tag()).await.unwrap().labels;
        assert_eq!(labels.get("surprise").map(String::as_str), Some("1"));
    }
}

#[tokio::test]
async fn row_20_instructions_of_a_layer_of_the_same_run_count_too() {
    let lab = Lab::new();
    let parent = lab.science("parent", external(), "ONBUILD RUN false");
    let child = lab.science("child", built(&parent), "");
    let result = lab.run(&lab.plan(vec![parent, child]), &lab.options()).await.unwrap();
    assert_eq!(result.builds[0].outcome, Outcome::Built);
    let error = result.builds[1].error.clone().unwrap();
    assert!(error.starts_with("science/parent, its base image, has instructions"), "{error}");
}

/// Whether any process on this machine has this argument.
fn runs(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok()).any(|command| {
        let mut words = command.split(|byte| *byte == 0);
        words.next().is_some_and(|program| program.ends_with(b"sleep"))
            && words.next().is_some_and(|word| word == argument.as_bytes())
    })
}

#[tokio::test]
async fn row_26_and_27_what_a_failed_or_silent_run_started_is_gone() {
    for builder in [BuilderChoice::Auto, BuilderChoice::Classic] {
        let lab = Lab::new();
        let number = |salt: u32| format!("3{:07}", std::process::id() % 100_000 * 10 + salt);
        let salt = if builder == BuilderChoice::Classic { 4 } else { 0 };
        let [background, silent] = [number(salt), number(salt + 1)];
        let fails =
            lab.science("fails", external(), &format!("RUN sleep {background} & echo on the way && false"));
        let mute = lab.science("mute", external(), &format!("RUN sleep {silent}"));
        let good = lab.science("good", external(), "RUN echo good > /good");
        let child = lab.science("child", built(&fails), "");
        let plan = lab.plan(vec![fails, mute, good, child]);
        let options = Options {
            builder,
            no_cache: true,
            jobs: Some(4),
            idle_timeout: Duration::from_secs(5),
            ..lab.options()
        };
        let result = lab.run(&plan, &options).await.unwrap();
        let outcomes: Vec<_> = result.builds.iter().map(|build| (build.outcome, build.failure)).collect();
        assert_eq!(
            outcomes,
            [
                (Outcome::Failed, Some(Failure::Build)),
                (Outcome::Failed, Some(Failure::Build)),
                (Outcome::Built, None),
                (Outcome::Skipped, None)
            ],
            "{result:#?}"
        );
        let until = Instant::now() + Duration::from_secs(20);
        while (runs(&background) || runs(&silent)) && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(!runs(&background) && !runs(&silent), "a process of a build runs on");
        assert_eq!(left(&lab, &result.run).await, Vec::<String>::new());
    }
}
