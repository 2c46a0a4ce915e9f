//! Tests `--resume`: an image that an earlier run left on the engine is reused only if inputs and
//! parents are the same.

#![expect(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

mod fixture;

use std::collections::BTreeMap;

use bollard::query_parameters::{RemoveImageOptionsBuilder, TagImageOptionsBuilder};
use executor::{Options, Outcome, Relation, RunResult};
use fixture::{Lab, PREFIX, built, external};
use plan::{Build, Context, Plan, Target};

const RANDOM: &str = "RUN head -c 8 /dev/urandom > /random";

fn outcomes(result: &RunResult) -> Vec<Outcome> {
    result.builds.iter().map(|build| build.outcome).collect()
}

fn image_ids(result: &RunResult) -> Vec<String> {
    result.builds.iter().map(|build| build.image_id.clone().unwrap_or_default()).collect()
}

fn chain(lab: &Lab) -> Plan {
    let a = lab.science("a", external(), RANDOM);
    let b = lab.science("b", built(&a), RANDOM);
    lab.plan(vec![a, b])
}

fn resuming(lab: &Lab) -> Options {
    Options { resume: true, no_cache: true, ..lab.options() }
}

async fn forget(lab: &Lab, build: &Build) {
    for tag in build.tags.iter() {
        let force = RemoveImageOptionsBuilder::default().force(true).build();
        lab.docker().remove_image(tag, Some(force), None).await.unwrap();
    }
}

#[tokio::test]
async fn what_stands_is_taken_and_what_does_not_is_built() {
    let lab = Lab::new();
    let plan = chain(&lab);
    let first = lab.run(&plan, &resuming(&lab)).await.unwrap();
    assert_eq!(outcomes(&first), [Outcome::Built, Outcome::Built]);
    let second = lab.run(&plan, &resuming(&lab)).await.unwrap();
    assert!(second.success);
    assert_eq!(outcomes(&second), [Outcome::Reused, Outcome::Reused]);
    assert_eq!(image_ids(&second), image_ids(&first));

    // As after a killed run: only the parent is left.
    forget(&lab, &plan.builds[1]).await;
    let third = lab.run(&plan, &resuming(&lab)).await.unwrap();
    assert_eq!(outcomes(&third), [Outcome::Reused, Outcome::Built]);
    assert_eq!(image_ids(&third)[0], image_ids(&first)[0]);
    assert_ne!(image_ids(&third)[1], image_ids(&first)[1]);
}

#[tokio::test]
async fn a_child_of_another_parent_is_not_taken() {
    let lab = Lab::new();
    let plan = chain(&lab);
    let first = lab.run(&plan, &resuming(&lab)).await.unwrap();
    // The parent is rebuilt under the same name; the existing child is based on the old one.
    let parent = lab.plan(vec![plan.builds[0].clone()]);
    let anew = lab.run(&parent, &Options { no_cache: true, ..lab.options() }).await.unwrap();
    assert_ne!(image_ids(&anew)[0], image_ids(&first)[0]);
    let second = lab.run(&plan, &resuming(&lab)).await.unwrap();
    assert_eq!(outcomes(&second), [Outcome::Reused, Outcome::Built]);
    // If the parent is built in the same run, the child is built too.
    forget(&lab, &plan.builds[0]).await;
    let third = lab.run(&plan, &resuming(&lab)).await.unwrap();
    assert_eq!(outcomes(&third), [Outcome::Built, Outcome::Built]);
}

/// The parent is rebuilt with the same layers but new labels; the existing child has the old ones.
#[tokio::test]
async fn a_child_of_another_image_of_the_same_layers_is_not_taken() {
    let lab = Lab::new();
    // The unique command keeps other tests from reusing this layer through the engine's cache.
    let a = lab.science("a", external(), &format!("RUN echo {} > /who", lab.repo));
    let b = lab.science("b", built(&a), RANDOM);
    let plan = lab.plan(vec![a, b]);
    let first = lab.run(&plan, &lab.options()).await.unwrap();
    let layers = async || {
        let image = lab.docker().inspect_image(plan.builds[0].build_tag()).await.unwrap();
        image.root_fs.unwrap().layers.unwrap()
    };
    let before = layers().await;
    let mut parent = lab.plan(vec![plan.builds[0].clone()]);
    parent.builds[0].labels.insert("other".into(), "label".into());
    let anew = lab.run(&parent, &lab.options()).await.unwrap();
    assert_ne!(image_ids(&anew)[0], image_ids(&first)[0]);
    assert_eq!(layers().await, before, "from the cache");
    let second = lab.run(&plan, &resuming(&lab)).await.unwrap();
    assert_eq!(outcomes(&second), [Outcome::Reused, Outcome::Built]);
}

#[tokio::test]
async fn a_child_of_before_ids_were_told_is_taken() {
    let lab = Lab::new();
    let plan = chain(&lab);
    assert!(lab.run(&plan, &lab.options()).await.unwrap().success);
    let child = &plan.builds[1];
    let reference = Target::Layer { reference: child.moving_tag().to_owned(), target: "b".into() };
    let mut old = lab.science("old", reference, "");
    let label = format!("{PREFIX}.science.b.from");
    for (from, outcome) in [
        (r#"{"layers":{"a:1.0":"1.0-7-0a1b2c3"},"images":{}}"#, Outcome::Reused),
        (r#"{"layers":{"a:1.0":"1.0-7-0a1b2c3"},"images":{},"ids":{"a:1.0":"x"}}"#, Outcome::Reused),
        (r#"{"layers":{"a:1.0":"1.0-8-0a1b2c3"},"images":{}}"#, Outcome::Built),
    ] {
        old.labels.insert(label.clone(), from.into());
        assert!(lab.run(&lab.plan(vec![old.clone()]), &lab.options()).await.unwrap().success);
        let (repository, tag) = child.build_tag().rsplit_once(':').unwrap();
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        lab.docker().tag_image(old.build_tag(), Some(options)).await.unwrap();
        let result = lab.run(&plan, &resuming(&lab)).await.unwrap();
        assert_eq!(outcomes(&result), [Outcome::Reused, outcome], "{from}");
    }
}

#[tokio::test]
async fn other_inputs_or_another_base_are_built() {
    let lab = Lab::new();
    let plan = lab.plan(vec![lab.science("a", external(), RANDOM)]);
    lab.run(&plan, &lab.options()).await.unwrap();
    let mut other = plan.clone();
    let build = &mut other.builds[0];
    build.context.inputs = "v1:sha256:other".into();
    let label = build.labels.iter_mut().find(|(key, _)| key.ends_with(".inputs")).unwrap();
    *label.1 = "v1:sha256:other".into();
    let result = lab.run(&other, &resuming(&lab)).await.unwrap();
    assert_eq!(outcomes(&result), [Outcome::Built]);
}

#[tokio::test]
async fn what_is_taken_is_pushed() {
    let lab = Lab::new();
    let mut plan = chain(&lab);
    let web = lab.compat(&plan.builds[1], "COPY start /");
    let context = Context { entries: vec![lab.file("start", b"#!/bin/sh", true)] };
    let contexts = BTreeMap::from([(web.id.clone(), context)]);
    plan.builds.push(web);
    let run =
        async |options| lab.run_with(&plan, contexts.clone(), &options, Relation::Ancestor).await.0.unwrap();
    let built = run(Options { pull: true, ..lab.options() }).await;
    let pushed = run(Options { resume: true, no_cache: true, ..lab.pushing() }).await;
    assert_eq!(outcomes(&pushed), [Outcome::Reused; 3]);
    assert_eq!(image_ids(&pushed), image_ids(&built));
    for build in &plan.builds {
        let shown = lab.published(build.build_tag()).await.unwrap();
        assert_eq!(lab.published(build.moving_tag()).await.unwrap().digest, shown.digest);
    }
}
