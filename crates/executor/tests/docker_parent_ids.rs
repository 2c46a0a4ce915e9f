//! Tests the parent id that a label records for a parent of the same run: in a registry it is the
//! digest of the image configuration, and it always belongs to the image that was used.

#![expect(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[expect(dead_code, reason = "other tests send files")]
mod fixture;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bollard::Docker;
use bollard::query_parameters::TagImageOptionsBuilder;
use executor::{BuilderChoice, Event, Failure, Options, Outcome, Relation, RunResult};
use fixture::{Lab, PREFIX, built, external};
use plan::provenance;
use testbed::proxy::{Hits, Listen, Mode, Proxy, Rule, Upstream};

/// The id that an image records for the layer `parent:1.0`.
fn told(labels: &BTreeMap<String, String>, of: &str) -> String {
    let from: provenance::BuiltFrom = serde_json::from_str(&labels[&format!("{PREFIX}.{of}.from")]).unwrap();
    from.ids["parent:1.0"].clone()
}

/// Id, labels and layers of the image with this name on the engine.
async fn local(docker: &Docker, name: &str) -> (String, BTreeMap<String, String>, Vec<String>) {
    let image = docker.inspect_image(name).await.unwrap();
    let labels = image.config.unwrap().labels.unwrap().into_iter().collect();
    (image.id.unwrap(), labels, image.root_fs.unwrap().layers.unwrap())
}

#[tokio::test]
async fn it_is_the_digest_of_the_configuration_that_is_pushed() {
    for builder in [BuilderChoice::Auto, BuilderChoice::Classic] {
        let lab = Lab::new();
        let parent = lab.science("parent", external(), "RUN echo 1 > /parent");
        let (child, web) = (lab.science("child", built(&parent), "RUN true"), lab.compat(&parent, "USER 0"));
        let plan = lab.plan(vec![parent.clone(), child.clone(), web.clone()]);
        let result = lab.run(&plan, &Options { builder, ..lab.pushing() }).await.unwrap();
        assert!(result.success, "{result:#?}");
        let below = lab.published(parent.moving_tag()).await.unwrap();
        for (build, of) in [(child, "science.child"), (web, "compat")] {
            let image = lab.published(build.moving_tag()).await.unwrap();
            assert_eq!(told(&image.labels, of), below.config_digest, "{of}");
            // The labels from which a plan is made.
            let own = format!("{PREFIX}.science.parent.");
            let of_parent = |labels: &BTreeMap<String, String>| -> Vec<(String, String)> {
                let own = labels.iter().filter(|(key, _)| key.starts_with(&own));
                own.map(|(key, value)| (key.clone(), value.clone())).collect()
            };
            assert_eq!(of_parent(&image.labels), of_parent(&below.labels));
        }
    }
}

/// Builds a child of `parent` on an engine where another client moves the parent's build tag to the
/// image of `other`, or back, between our inspection and the builder's. Returns the result with its
/// events.
async fn with_a_tag_that_moves(lab: &mut Lab, hits: Hits, options: &Options) -> (RunResult, Vec<Event>) {
    let other = lab.science("other", external(), "RUN echo other > /who");
    let parent = lab.science("parent", external(), "RUN echo parent > /who");
    let child = lab.science("child", built(&parent), "RUN test -f /who");
    assert!(lab.run(&lab.plan(vec![other.clone()]), options).await.unwrap().success);

    let proxy = Proxy::start(Listen::Unix(lab.root.path().join("engine.sock")), Upstream::parse(&lab.host));
    let sources = [other.moving_tag().to_owned(), parent.moving_tag().to_owned()];
    let (repository, tag) = parent.build_tag().rsplit_once(':').unwrap();
    let options_of_tag = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
    let (docker, count) = (lab.docker(), AtomicU64::new(0));
    proxy.rule(Rule::new(
        "POST",
        "*/build*",
        hits,
        Mode::hook(move |_| {
            let source = &sources[usize::try_from(count.fetch_add(1, Ordering::SeqCst) % 2).unwrap()];
            let given = std::thread::scope(|scope| {
                let give = || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(docker.tag_image(source, Some(options_of_tag.clone())))
                };
                scope.spawn(give).join().unwrap()
            });
            given.unwrap();
        }),
    ));
    let engine = std::mem::replace(&mut lab.host, proxy.address().to_owned());
    let options = Options { endpoint: lab.options().endpoint, ..options.clone() };
    let plan = lab.plan(vec![parent, child]);
    let (result, events) = lab.run_with(&plan, BTreeMap::new(), &options, Relation::Ancestor).await;
    lab.host = engine;
    (result.unwrap(), events)
}

#[tokio::test]
async fn a_tag_that_moves_while_it_is_built_on_tells_no_other_image() {
    for builder in [BuilderChoice::Auto, BuilderChoice::Classic] {
        let mut lab = Lab::new();
        let options = Options { builder, ..lab.options() };
        let (result, events) = with_a_tag_that_moves(&mut lab, Hits::Nth(2), &options).await;
        assert!(result.success, "{result:#?}");
        let docker = lab.docker();
        let (other, _, layers) = local(&docker, &lab.sci("other", "1.0")).await;
        let (_, labels, of_child) = local(&docker, &lab.sci("child", "1.0")).await;
        assert!(of_child.starts_with(&layers), "it stands on what the tag shows since");
        assert_eq!(told(&labels, "science.child"), other);
        let again = |event: &Event| match event {
            Event::Notice { message } => message.contains("building again on the new image"),
            _ => false,
        };
        assert_eq!(events.iter().filter(|event| again(event)).count(), 1, "{events:#?}");
    }
}

#[tokio::test]
async fn a_tag_that_moves_again_and_again_is_a_conflict() {
    let mut lab = Lab::new();
    let options = lab.options();
    let (result, _) = with_a_tag_that_moves(&mut lab, Hits::FromNth(2), &options).await;
    let child = &result.builds[1];
    assert_eq!((child.outcome, child.failure), (Outcome::Failed, Some(Failure::Conflict)), "{result:#?}");
    assert!(child.error.as_deref().unwrap().contains("base image changed"), "{result:#?}");
    assert!(lab.docker().inspect_image(&lab.sci("child", "1.0")).await.is_err(), "it has no tag");
}
