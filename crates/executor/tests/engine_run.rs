//! Runs on a real engine and a real registry: builds, labels, pushes, and the errors that stop a
//! run.

#![expect(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

mod fixture;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use executor::{BuilderChoice, Event, Failure, Options, Outcome, Relation, RunErrorKind, RunResult};
use fixture::{BASE, COMMIT, Lab, PREFIX, all_contexts, built, external};
use plan::label::oci;
use plan::{BuildId, Context, Entry, EntryKind, Target};
use tokio_util::sync::CancellationToken;

fn outcomes(result: &RunResult) -> Vec<(&str, Outcome)> {
    result.builds.iter().map(|build| (build.id.0.as_str(), build.outcome)).collect()
}

async fn labels(lab: &Lab, image: &str) -> BTreeMap<String, String> {
    let inspected = lab.docker().inspect_image(image).await.unwrap();
    inspected.config.unwrap().labels.unwrap().into_iter().collect()
}

fn is_podman() -> bool {
    std::env::var("IMAGE_BUILDER_TEST_ENGINE").is_ok_and(|engine| engine == "podman")
}

fn builders() -> [BuilderChoice; 2] {
    [BuilderChoice::Auto, BuilderChoice::Classic]
}

#[tokio::test]
async fn a_chain_is_built_tagged_and_labelled() {
    for builder in builders() {
        let lab = Lab::new();
        let mut base = lab.science("base", external(), "RUN echo 1 > /base");
        base.labels.insert(oci::DESCRIPTION.into(), "say \"$HOME\" \\ 'twice'\nin two lines".into());
        let child = lab.science("child", built(&base), "RUN test -f /base");
        let compat = lab.compat(&child, "RUN test -f /base\nENV X=1");
        let plan = lab.plan(vec![base, child, compat]);
        let options = Options { builder, ..lab.options() };
        let (result, events) = lab.run_with(&plan, BTreeMap::new(), &options, Relation::Ancestor).await;
        let result = result.unwrap();
        assert!(result.success, "{result:#?}");
        for build in &plan.builds {
            for tag in build.tags.iter() {
                let inspected = lab.docker().inspect_image(tag).await.unwrap();
                let ours = result.builds.iter().find(|result| result.id == build.id).unwrap();
                assert_eq!(inspected.id, ours.image_id, "{tag}");
            }
            assert_eq!(lab.published(build.build_tag()).await, None, "nothing is pushed unasked");
        }
        let trail = labels(&lab, plan.builds[2].moving_tag()).await;
        let get = |key: &str| trail.get(key).map(String::as_str);
        assert_eq!(get(&format!("{PREFIX}.science.base.version")), Some("1.0-7-0a1b2c3"));
        assert_eq!(get(&format!("{PREFIX}.compat.version")), Some("child:1.0-7-0a1b2c3"));
        for (key, parent, place) in [("science.child.from", "base", 0), ("compat.from", "child", 1)] {
            let from: serde_json::Value = serde_json::from_str(&trail[&format!("{PREFIX}.{key}")]).unwrap();
            let id = result.builds[place].image_id.as_deref().unwrap();
            let layer = format!("{parent}:1.0");
            let expect =
                serde_json::json!({"layers": {&layer: "1.0-7-0a1b2c3"}, "images": {}, "ids": {&layer: id}});
            assert_eq!(from, expect, "{key}");
        }
        let time: f64 = get(&format!("{PREFIX}.compat.buildtime")).unwrap().parse().unwrap();
        assert!(time >= result.started - 1.0 && time <= result.started + 600.0, "{time}");
        assert_eq!(get(oci::CREATED).unwrap().len(), "2026-11-20T14:53:10Z".len());
        assert_eq!(get(oci::BASE_DIGEST), Some(""), "an image of this run has no digest yet");
        assert_eq!(get(oci::DESCRIPTION), Some("say \"$HOME\" \\ 'twice'\nin two lines"));
        let base = labels(&lab, plan.builds[0].moving_tag()).await;
        let from = &base[&format!("{PREFIX}.science.base.from")];
        assert!(from.contains(BASE) && !from.contains("ids"), "an external base has a digest: {from}");
        let steps = events.iter().filter(|event| matches!(event, Event::Step { .. })).count();
        assert!(steps >= 3, "{events:#?}");
        assert!(matches!(events.last(), Some(Event::RunFinished { .. })));
    }
}

#[tokio::test]
async fn the_second_run_reuses_everything_and_a_rebuild_makes_new_tags() {
    let lab = Lab::new();
    let base = lab.science("base", external(), "RUN echo 1 > /base");
    let compat = lab.compat(&base, "ENV X=1");
    let plan = lab.plan(vec![base, compat]);
    let first = lab.run(&plan, &lab.pushing()).await.unwrap();
    assert!(first.success, "{first:#?}");
    for (build, result) in plan.builds.iter().zip(&first.builds) {
        assert!(result.pushed.iter().eq(build.tags.iter()), "{:?}", result.pushed);
        for tag in build.tags.iter() {
            assert_eq!(lab.published(tag).await.map(|image| image.digest), result.digest, "{tag}");
        }
    }
    let image = lab.published(plan.builds[0].build_tag()).await.unwrap();
    assert!(image.labels[oci::BASE_DIGEST].starts_with("sha256:"));
    assert!(first.builds[0].from[0].contains("busybox"), "{first:#?}");
    assert!(first.builds[0].from[0].ends_with(&image.labels[oci::BASE_DIGEST]));

    let (second, events) = lab.run_with(&plan, BTreeMap::new(), &lab.pushing(), Relation::Same).await;
    let second = second.unwrap();
    assert!(second.success);
    assert_eq!(outcomes(&second), [("science/base", Outcome::Reused), ("rel/base:1.0", Outcome::Reused)]);
    assert!(!events.iter().any(|event| matches!(event, Event::BuildStarted { .. })));
    let digests = |result: &RunResult| result.builds.iter().map(|b| b.digest.clone()).collect::<Vec<_>>();
    assert_eq!(digests(&first), digests(&second));

    let mut again = plan.clone();
    for build in &mut again.builds {
        build.tags.build.push_str("-r2");
        for value in build.labels.values_mut().filter(|value| value.ends_with("0a1b2c3")) {
            value.push_str("-r2");
        }
    }
    let options = Options { no_cache: true, pull: true, ..lab.pushing() };
    let (third, _) = lab.run_with(&again, BTreeMap::new(), &options, Relation::Same).await;
    let third = third.unwrap();
    assert!(third.success, "{third:#?}");
    assert_ne!(digests(&third), digests(&first));
    for (old, new) in plan.builds.iter().zip(&again.builds) {
        let moved = lab.published(new.moving_tag()).await.unwrap().digest;
        assert_eq!(moved, lab.published(new.build_tag()).await.unwrap().digest);
        assert_ne!(moved, lab.published(old.build_tag()).await.unwrap().digest, "a build tag stays");
    }

    // Pushing the first build again would set the tag back within one commit.
    let (back, _) = lab.run_with(&plan, BTreeMap::new(), &lab.pushing(), Relation::Same).await;
    assert_eq!(back.unwrap().builds[0].failure, Some(Failure::Conflict));
}

#[tokio::test]
async fn a_build_tag_with_other_content_stops_the_run_before_any_work() {
    let lab = Lab::new();
    let plan = lab.plan(vec![lab.science("a", external(), "RUN echo 1 > /a")]);
    assert!(lab.run(&plan, &lab.pushing()).await.unwrap().success);
    let before = lab.published(plan.builds[0].build_tag()).await.unwrap();
    let mut other = plan.clone();
    other.builds[0].context.inputs = "v1:sha256:other".into();
    let (result, events) = lab.run_with(&other, BTreeMap::new(), &lab.pushing(), Relation::Ancestor).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Conflict);
    assert!(error.to_string().contains("it was built from other inputs"), "{error}");
    assert!(error.help().unwrap().contains("--rebuild"));
    assert!(!events.iter().any(|event| matches!(event, Event::BuildStarted { .. })));
    assert_eq!(lab.published(plan.builds[0].build_tag()).await.unwrap(), before);
    let written = std::fs::read_dir(lab.root.path().join(".image-builder/runs")).unwrap();
    let results = written.map(|run| run.unwrap().path().join("result.json")).collect::<Vec<_>>();
    assert!(results.len() == 2 && results.iter().all(|path| path.is_file()), "{results:?}");
}

#[tokio::test]
async fn what_is_new_stands_on_what_is_reused() {
    let lab = Lab::new();
    let base = lab.science("base", external(), "RUN echo 1 > /base");
    let child = lab.science("child", built(&base), "RUN test -f /base");
    assert!(lab.run(&lab.plan(vec![base.clone()]), &lab.pushing()).await.unwrap().success);
    let digest = lab.published(base.build_tag()).await.unwrap().digest;
    let result = lab.run(&lab.plan(vec![base, child.clone()]), &lab.pushing()).await.unwrap();
    assert!(result.success, "{result:#?}");
    assert_eq!(outcomes(&result), [("science/base", Outcome::Reused), ("science/child", Outcome::Built)]);
    let labels = lab.published(child.build_tag()).await.unwrap().labels;
    assert_eq!(labels[oci::BASE_DIGEST], digest);
    assert!(!labels[&format!("{PREFIX}.science.child.from")].contains("ids"), "the digest tells it");
    assert!(result.builds[1].from[0].ends_with(&digest));
}

#[tokio::test]
async fn a_moving_tag_is_not_set_back() {
    let lab = Lab::new();
    let plan = lab.plan(vec![lab.science("a", external(), "RUN echo 1 > /a")]);
    assert!(lab.run(&plan, &lab.pushing()).await.unwrap().success);
    let first = lab.published(plan.builds[0].moving_tag()).await.unwrap().digest;
    let mut next = plan.clone();
    next.builds[0].tags.build = lab.sci("a", "1.0-6-bbbbbbb");
    next.builds[0].dockerfile.push_str("RUN echo 2 > /a\n");
    for (relation, allow_older, moved) in [
        (Relation::Descendant, false, false),
        (Relation::Descendant, true, false),
        (Relation::Unknown, false, false),
        (Relation::Diverged, false, false),
        (Relation::Unknown, true, true),
    ] {
        let options = Options { allow_older, ..lab.pushing() };
        let (result, _) = lab.run_with(&next, BTreeMap::new(), &options, relation).await;
        let result = result.unwrap();
        assert_eq!(result.success, moved, "{relation:?}");
        let shown = lab.published(plan.builds[0].moving_tag()).await.unwrap().digest;
        assert_eq!(shown != first, moved, "{relation:?}");
        if !moved {
            let build = &result.builds[0];
            assert_eq!((build.outcome, build.failure), (Outcome::PushFailed, Some(Failure::Conflict)));
            assert_eq!(build.pushed, [next.builds[0].build_tag()], "its build tag is there");
        }
    }
}

#[tokio::test]
async fn a_failure_skips_its_descendants_only() {
    for builder in builders() {
        let lab = Lab::new();
        let bad = lab.science("bad", external(), "RUN echo on the way && false");
        let child = lab.science("child", built(&bad), "");
        let good = lab.science("good", external(), "RUN echo 1 > /good");
        let plan = lab.plan(vec![bad, good, child]);
        let options = Options { builder, ..lab.pushing() };
        let (result, events) = lab.run_with(&plan, BTreeMap::new(), &options, Relation::Ancestor).await;
        let result = result.unwrap();
        assert!(!result.success);
        assert_eq!(
            outcomes(&result),
            [
                ("science/bad", Outcome::Failed),
                ("science/good", Outcome::Built),
                ("science/child", Outcome::Skipped)
            ]
        );
        assert_eq!(result.builds[0].failure, Some(Failure::Build));
        let tail = events.iter().find_map(|event| match event {
            Event::BuildFinished { outcome: Outcome::Failed, log_tail, .. } => Some(log_tail.join("\n")),
            _ => None,
        });
        assert!(tail.as_deref().unwrap().contains("on the way"), "{tail:?}");
        let log = lab.root.path().join(result.builds[0].log.as_ref().unwrap());
        assert!(std::fs::read_to_string(log).unwrap().contains("on the way"));
        assert_eq!(lab.published(plan.builds[0].moving_tag()).await, None);
        assert!(lab.published(plan.builds[1].moving_tag()).await.is_some());
        let text = std::fs::read_to_string(
            lab.root.path().join(format!(".image-builder/runs/{}/result.json", result.run)),
        );
        assert_eq!(serde_json::from_str::<RunResult>(&text.unwrap()).unwrap(), result);
    }
}

#[tokio::test]
async fn the_first_failure_stops_all_where_that_is_asked() {
    let lab = Lab::new();
    let bad = lab.science("bad", external(), "RUN false");
    let slow = lab.science("slow", external(), "RUN sleep 300");
    let last = lab.science("last", external(), "");
    let plan = lab.plan(vec![bad, slow, last]);
    let began = Instant::now();
    let result = lab.run(&plan, &Options { fail_fast: true, ..lab.options() }).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(60));
    assert_eq!(result.builds[0].outcome, Outcome::Failed);
    assert_eq!(result.builds[1].outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn parents_that_are_nowhere_are_all_told_before_the_first_build() {
    let (lab, other) = (Lab::new(), Lab::new());
    let parent =
        |repo: &Lab, name: &str| Target::Layer { reference: repo.sci(name, "1.0"), target: name.into() };
    let one = lab.science("one", parent(&lab, "x"), "RUN test -f /x");
    let two = lab.science("two", parent(&lab, "y"), "");
    let plan = lab.plan(vec![one.clone(), two]);
    for options in [lab.options(), lab.pushing()] {
        let error = lab.run(&plan, &options).await.unwrap_err();
        assert_eq!(error.kind(), RunErrorKind::Environment);
        assert_eq!(error.message(), "2 images that are built on are not there:");
        let needed = |name: &str, by: &str| format!("{}, needed by science/{by}", lab.sci(name, "1.0"));
        assert_eq!(error.list(), [needed("x", "one"), needed("y", "two")]);
        assert!(error.help().unwrap().contains("--base-repo"));
    }

    // The other repo has one of them, which is used by digest and recorded in the labels.
    let base = other.plan(vec![other.science("x", external(), "RUN echo other > /x")]);
    assert!(other.run(&base, &other.pushing()).await.unwrap().success);
    let plan = lab.plan(vec![one]);
    let options = Options { base_repo: Some(other.repo.clone()), ..lab.pushing() };
    let result = lab.run(&plan, &options).await.unwrap();
    assert!(result.success, "{result:#?}");
    let digest = other.published(&other.sci("x", "1.0")).await.unwrap().digest;
    let child = lab.published(&lab.sci("one", "1.0")).await.unwrap();
    assert_eq!(child.labels[oci::BASE_NAME], other.sci("x", "1.0"));
    assert_eq!(child.labels[oci::BASE_DIGEST], digest);
    assert!(result.builds[0].from[0].ends_with(&format!("@{digest}")));
    assert_eq!(
        child.labels[&format!("{PREFIX}.science.one.from")],
        r#"{"layers":{"x:1.0":"1.0-7-0a1b2c3"},"images":{}}"#
    );
}

#[tokio::test]
async fn without_push_a_registry_that_is_absent_leaves_the_other_repo() {
    let other = Lab::new();
    let base = other.plan(vec![other.science("x", external(), "RUN echo other > /x")]);
    assert!(other.run(&base, &other.pushing()).await.unwrap().success);
    // No server listens on this port.
    let mut lab = Lab::new();
    lab.repo = "127.0.0.1:1/executor-absent".into();
    let parent = Target::Layer { reference: lab.sci("x", "1.0"), target: "x".into() };
    let plan = lab.plan(vec![lab.science("one", parent, "RUN test -f /x")]);
    let error = lab.run(&plan, &lab.options()).await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Environment, "{error}");
    let options = Options { base_repo: Some(other.repo.clone()), ..lab.options() };
    let result = lab.run(&plan, &options).await.unwrap();
    assert!(result.success, "{result:#?}");
    let error = lab.run(&plan, &Options { push: true, ..options }).await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Environment, "{error}");
}

#[tokio::test]
async fn a_test_repo_stands_on_its_own_layers() {
    let (production, test) = (Lab::new(), Lab::new());
    for (lab, text) in [(&production, "production"), (&test, "test")] {
        let parent = lab.science("parent", external(), &format!("RUN echo {text} > /who"));
        assert!(lab.run(&lab.plan(vec![parent]), &lab.pushing()).await.unwrap().success);
    }
    let parent = Target::Layer { reference: test.sci("parent", "1.0"), target: "parent".into() };
    let plan = test.plan(vec![test.science("child", parent, "RUN grep -qx test /who")]);
    let result = test.run(&plan, &test.pushing()).await.unwrap();
    assert!(result.success, "{result:#?}");
    let digest = test.published(&test.sci("parent", "1.0")).await.unwrap().digest;
    let child = test.published(&test.sci("child", "1.0")).await.unwrap();
    assert_eq!(child.labels[oci::BASE_DIGEST], digest);
    assert_ne!(production.published(&production.sci("parent", "1.0")).await.unwrap().digest, digest);
}

#[tokio::test]
async fn without_push_a_local_parent_will_do() {
    let lab = Lab::new();
    let parent = lab.science("parent", external(), "RUN echo local > /who");
    assert!(lab.run(&lab.plan(vec![parent]), &lab.options()).await.unwrap().success);
    let reference = lab.sci("parent", "1.0");
    let parent = Target::Layer { reference, target: "parent".into() };
    let plan = lab.plan(vec![lab.science("child", parent, "RUN grep -qx local /who")]);
    let result = lab.run(&plan, &lab.options()).await.unwrap();
    assert!(result.success, "{result:#?}");
    let error = lab.run(&plan, &lab.pushing()).await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Environment, "a pushed image stands on pushed parents: {error}");
}

#[tokio::test]
async fn a_cancelled_run_ends_at_once_and_leaves_nothing() {
    for builder in builders() {
        let lab = Lab::new();
        let slow = lab.science("slow", external(), "RUN echo begun && sleep 300");
        let child = lab.science("child", built(&slow), "");
        let plan = lab.plan(vec![slow, child]);
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let cancel = CancellationToken::new();
        let trigger = cancel.clone();
        let options = Options { builder, no_cache: true, ..lab.options() };
        let contexts = all_contexts(&plan, BTreeMap::new());
        let watch = async {
            while let Some(event) = receiver.recv().await {
                if matches!(&event, Event::Output { line, .. } if line.contains("begun")) {
                    trigger.cancel();
                    return Instant::now();
                }
            }
            panic!("the build never began");
        };
        let history = |_: &str| Relation::Unknown;
        let run = executor::run(&plan, &contexts, &options, history, sender, cancel);
        let (result, cancelled) = tokio::join!(run, watch);
        assert!(cancelled.elapsed() < Duration::from_secs(10));
        let result = result.unwrap();
        assert!(result.builds.iter().all(|build| build.outcome == Outcome::Cancelled), "{result:#?}");
        assert!(lab.docker().inspect_image(plan.builds[0].build_tag()).await.is_err());
    }
}

#[tokio::test]
async fn a_run_that_is_cancelled_before_it_begins_builds_nothing() {
    let lab = Lab::new();
    let plan = lab.plan(vec![lab.science("a", external(), "")]);
    let cancel = CancellationToken::new();
    cancel.cancel();
    let (sender, _events) = tokio::sync::mpsc::unbounded_channel();
    let contexts = all_contexts(&plan, BTreeMap::new());
    let history = |_: &str| Relation::Unknown;
    let error = executor::run(&plan, &contexts, &lab.options(), history, sender, cancel).await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Interrupted);
    assert_eq!(outcomes(error.result().unwrap()), [("science/a", Outcome::Cancelled)]);
}

#[tokio::test]
async fn a_build_that_says_nothing_is_given_up() {
    let lab = Lab::new();
    let plan = lab.plan(vec![lab.science("mute", external(), "RUN sleep 300")]);
    let options = Options { idle_timeout: Duration::from_secs(3), no_cache: true, ..lab.options() };
    let began = Instant::now();
    let result = lab.run(&plan, &options).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!((result.builds[0].outcome, result.builds[0].failure), (Outcome::Failed, Some(Failure::Build)));
    assert!(result.builds[0].error.as_ref().unwrap().contains("nothing was heard"), "{result:#?}");
}

#[tokio::test]
async fn contexts_arrive_as_planned_or_not_at_all() {
    for builder in builders() {
        let lab = Lab::new();
        let checks = "COPY . /c\nRUN test -x /c/bin/run && test ! -x /c/a.txt && test -f /c/empty \
            && test \"$(readlink /c/link)\" = a.txt && test \"$(stat -c %u /c/a.txt)\" = 0 \
            && test \"$(stat -c %Y /c/a.txt)\" = 315532800 && test \"$(cat /c/a.txt)\" = planned \
            && { test ! -e /c/late || test \"$(cat /c/late)\" = planned; }";
        let plan = lab.plan(vec![lab.science("files", external(), checks)]);
        let source = lab.root.path().join("context/link");
        let mut entries = vec![
            lab.file("a.txt", b"planned", false),
            lab.file("bin/run", b"#!/bin/sh\n", true),
            lab.file("empty", b"", false),
        ];
        std::os::unix::fs::symlink("a.txt", &source).unwrap();
        let kind = EntryKind::Symlink { target: "a.txt".into() };
        entries.push(Entry { path: "link".into(), source, kind });
        let contexts = BTreeMap::from([(BuildId("science/files".into()), Context { entries })]);
        let options = Options { builder, ..lab.options() };
        let (result, _) = lab.run_with(&plan, contexts.clone(), &options, Relation::Ancestor).await;
        let result = result.unwrap();
        assert!(result.success, "{result:#?}");

        // If files are sent each time, a changed file is detected. If the engine has cached the
        // planned file, that one is used.
        let is_kept = builder == BuilderChoice::Auto && !is_podman();
        std::fs::write(lab.root.path().join("context/a.txt"), "changed").unwrap();
        let again = Options { no_cache: true, ..options.clone() };
        let (result, _) = lab.run_with(&plan, contexts.clone(), &again, Relation::Ancestor).await;
        let built = &result.unwrap().builds[0];
        let expect = if is_kept { None } else { Some("a.txt changed after the plan was made") };
        assert_eq!(built.error.as_deref(), expect);

        // A file that is new to the engine is sent and verified; the engine does not cache one that
        // differs.
        let mut contexts = contexts;
        std::fs::write(lab.root.path().join("context/a.txt"), "planned").unwrap();
        let late = lab.file("late", b"planned", false);
        let entries = &mut contexts.get_mut(&BuildId("science/files".into())).unwrap().entries;
        entries.insert(entries.len() - 1, late);
        std::fs::write(lab.root.path().join("context/late"), "changed").unwrap();
        let (result, _) = lab.run_with(&plan, contexts.clone(), &again, Relation::Ancestor).await;
        let failed = &result.unwrap().builds[0];
        assert_eq!(failed.error.as_deref(), Some("late changed after the plan was made"));
        assert_eq!(failed.outcome, Outcome::Failed);
        std::fs::write(lab.root.path().join("context/late"), "planned").unwrap();
        let (result, _) = lab.run_with(&plan, contexts, &again, Relation::Ancestor).await;
        let built = &result.unwrap().builds[0];
        assert_eq!(built.error, None);
    }
}

/// Docker accepts such a link; podman's service rejects it, and responds without an error.
#[tokio::test]
async fn a_link_out_of_the_context_arrives_or_is_told() {
    let lab = Lab::new();
    let checks = "COPY . /c\nRUN test \"$(readlink /c/link)\" = ../far";
    let plan = lab.plan(vec![lab.science("links", external(), checks)]);
    let source = lab.root.path().join("context/link");
    std::fs::create_dir_all(source.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("../far", &source).unwrap();
    let entry = Entry { path: "link".into(), source, kind: EntryKind::Symlink { target: "../far".into() } };
    let contexts = BTreeMap::from([(BuildId("science/links".into()), Context { entries: vec![entry] })]);
    let (result, _) = lab.run_with(&plan, contexts, &lab.options(), Relation::Ancestor).await;
    let result = result.unwrap();
    let told = result.builds[0].error.clone().unwrap_or_default();
    if is_podman() {
        assert!(told.contains("podman") && told.contains("link -> ../far"), "{result:#?}");
    } else {
        assert!(result.success, "{told}");
    }
}

#[tokio::test]
async fn times_are_those_of_the_epoch_that_is_given() {
    let lab = Lab::new();
    let plan = lab.plan(vec![lab.science("a", external(), "RUN echo 1 > /a")]);
    let options = Options { source_date_epoch: Some(1_700_000_000), ..lab.options() };
    assert!(lab.run(&plan, &options).await.unwrap().success);
    let labels = labels(&lab, plan.builds[0].moving_tag()).await;
    assert_eq!(labels[&format!("{PREFIX}.science.a.buildtime")], "1700000000");
    assert_eq!(labels[oci::CREATED], "2023-11-14T22:13:20Z");
    assert_eq!(labels[oci::REVISION], COMMIT);
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_the_environments_fault() {
    let lab = Lab::new();
    let plan = lab.plan(vec![lab.science("a", external(), "")]);
    let mut options = lab.options();
    options.endpoint.host = "tcp://127.0.0.1:1".into();
    let error = lab.run(&plan, &options).await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Environment);
    assert!(error.help().is_some());
    assert!(error.result().is_some_and(|result| result.error.is_some()));
}
