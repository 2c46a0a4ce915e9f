//! What `promote` copies, how, and in which order.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testbed::proxy::{Hits, Kind, Mode, Proxy, Rule};
use testbed::registry::{Auth, PASSWORD, PrivateRegistry, TokenServer, USER, docker_config};

use crate::stock::{INDEX, MANIFEST, Stock, path, tags};

/// Returns a manifest as skopeo reads it, a program independent of ours.
fn skopeo(address: &str, image: &str) -> Vec<u8> {
    let output = Command::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false", &format!("docker://{address}/{image}")])
        .stdin(Stdio::null())
        .output()
        .expect("skopeo cannot be run: cargo xtask test installs it");
    assert!(output.status.success(), "{image}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn both_registries_show_the_same_and_a_rerun_changes_nothing() {
    let stock = Stock::new();
    let (a, b) = (PrivateRegistry::start(Auth::None), PrivateRegistry::start(Auth::None));
    let pushed = stock.publish(a.view(), "test", &["--all"]);
    assert_eq!(pushed.len(), 14, "{pushed:?}");
    // The build spec of one image: an artifact that refers to it, under a tag, because the registry
    // does not list referrers.
    let sky = &pushed["rel/sky:1.0"];
    let spec = a.view().put_blob("test/rel/sky", b"{\"spec\": 1}");
    let empty = a.view().put_blob("test/rel/sky", b"{}");
    let artifact = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.test", "subject": {"digest": sky, "size": 1, "mediaType": MANIFEST},
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2},
        "layers": [{"mediaType": "application/vnd.test", "digest": spec, "size": 11}]})
    .to_string();
    let oci = "application/vnd.oci.image.manifest.v1+json";
    a.view().put_manifest("test/rel/sky", "artifact", oci, artifact.as_bytes());
    let digest = a.view().digest("test/rel/sky", "artifact").expect("just pushed");
    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests":
        [{"mediaType": oci, "digest": digest, "size": artifact.len(), "artifactType": "application/vnd.test"}]});
    a.view().put_manifest("test/rel/sky", &sky.replace(':', "-"), INDEX, list.to_string().as_bytes());
    // `sea` is an image index.
    let one = &pushed["rel/sea:1.0"];
    let other = a.view().manifest("test/rel/sea", "1.0").expect("there").body;
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": MANIFEST, "digest": one, "size": other.len(), "platform": {"os": "linux", "architecture": "amd64"}}]});
    for tag in ["1.0".to_owned(), stock.build_tag("1.0", 1)] {
        a.view().put_manifest("test/rel/sea", &tag, INDEX, index.to_string().as_bytes());
    }

    let proxy = Proxy::tcp(b.address());
    let (from, to) = (format!("{}/test", a.address()), format!("{}/images", proxy.address()));
    let dry = stock.promote(&from, &to, &["--dryrun"]).expect_code(0);
    assert!(dry.stdout.contains("7 builds to copy"), "{}", dry.said());
    assert!(
        proxy.trace().iter().all(|seen| matches!(seen.method.as_str(), "GET" | "HEAD")),
        "{}",
        proxy.show()
    );
    assert!(b.view().repositories().is_empty());

    let outcome = stock.promote(&from, &to, &[]).expect_code(0);
    let mut before = tags(a.view(), "test");
    assert!(before.remove("rel/sky:artifact").is_some());
    assert_eq!(tags(b.view(), "images"), before, "{}", outcome.said());
    for name in before.keys() {
        let (shown, copied) =
            (skopeo(a.address(), &format!("test/{name}")), skopeo(b.address(), &format!("images/{name}")));
        assert_eq!(shown, copied, "{name}");
    }
    assert_eq!(b.view().referrers("images/rel/sky", sky), [digest]);
    // Moving tags are set after all build tags, and each one after those of its parents.
    let order: Vec<String> = proxy
        .trace()
        .iter()
        .filter_map(|seen| {
            let (repository, tag) = seen.written_tag()?;
            Some(format!("{}:{tag}", repository.strip_prefix("images/")?))
        })
        .collect();
    let moving: Vec<&String> =
        order.iter().skip_while(|name| name.contains('-') && !name.ends_with(":1.0")).collect();
    let at = |name: &str| {
        order.iter().position(|other| other == name).unwrap_or_else(|| panic!("{name}: {order:?}"))
    };
    assert_eq!((order.len(), moving.len()), (14, 7), "{order:?}");
    for (first, second) in [
        ("sci/base:1.0", "sci/sky:1.0"),
        ("sci/sky:1.0", "sci/sky-more:1.0"),
        ("sci/sky-more:1.0", "rel/sky:1.0"),
        ("sci/sea:1.0", "rel/sea:1.0"),
        ("sci/tools:3.0", "sci/sky:1.0"),
    ] {
        assert!(at(first) < at(second), "{order:?}");
    }
    // After its first copy a blob is mounted into the other repositories, so each blob is streamed
    // once.
    let uploads: Vec<_> = proxy
        .trace()
        .into_iter()
        .filter(|seen| seen.method == "PUT" && seen.path.contains("/blobs/uploads/"))
        .map(|seen| seen.query.rsplit("digest=").next().expect("a digest").to_owned())
        .collect();
    assert_eq!(uploads.iter().collect::<BTreeSet<_>>().len(), uploads.len(), "{}", proxy.show());

    proxy.forget();
    let again = stock.promote(&from, &to, &["--format", "json"]).expect_code(0);
    let doc: Value = serde_json::from_str(&again.stdout).expect("one document");
    assert_eq!((&doc["format_version"], doc["images"].as_array().expect("a list").len()), (&json!("1.0"), 7));
    assert!(doc["images"].as_array().expect("a list").iter().all(|image| image["state"] == "there"), "{doc}");
    let trace = proxy.trace();
    assert!(trace.iter().all(|seen| matches!(seen.method.as_str(), "GET" | "HEAD")), "{}", proxy.show());
    let heads = trace.iter().filter(|seen| seen.method == "HEAD").count();
    assert_eq!(heads, 7, "one for each build: {}", proxy.show());
}

#[test]
fn within_one_registry_no_blob_is_sent() {
    let stock = Stock::new();
    let registry = PrivateRegistry::start(Auth::None);
    let pushed = stock.publish(registry.view(), "test", &["--all"]);
    let proxy = Proxy::tcp(registry.address());
    let (from, to) = (format!("{}/test", proxy.address()), format!("{}/images", proxy.address()));
    let outcome = stock.promote(&from, &to, &[]).expect_code(0);
    assert_eq!(tags(registry.view(), "images"), pushed, "{}", outcome.said());
    let trace = proxy.trace();
    let mounts = trace.iter().filter(|seen| seen.query.starts_with("mount=sha256:"));
    assert!(
        mounts.clone().count() > 7 && mounts.clone().all(|seen| seen.status == Some(201)),
        "{}",
        proxy.show()
    );
    let sent = trace
        .iter()
        .filter(|seen| matches!(seen.method.as_str(), "PUT" | "PATCH") && seen.path.contains("/blobs/"));
    assert_eq!(sent.count(), 0, "{}", proxy.show());
    // Configurations are read for their labels, layers are not read at all.
    let read: BTreeSet<&str> = trace
        .iter()
        .filter(|seen| seen.method == "GET" && seen.path.contains("/blobs/"))
        .map(|seen| seen.path.as_str())
        .collect();
    assert!(read.len() <= 7, "{read:?}");
}

#[test]
fn registries_with_passwords_and_tokens_are_logged_in_to() {
    let stock = Stock::new();
    let tokens = TokenServer::start();
    let (a, b) = (PrivateRegistry::start(Auth::Basic), PrivateRegistry::start(Auth::Token(&tokens)));
    let pushed = stock.publish(a.view(), "test", &["--all"]);
    let one: Value = serde_json::from_str(&docker_config(a.address(), USER, PASSWORD)).expect("JSON");
    let two: Value = serde_json::from_str(&docker_config(b.address(), USER, PASSWORD)).expect("JSON");
    let auths = json!({a.address(): one["auths"][a.address()], b.address(): two["auths"][b.address()]});
    let (from, to) = (format!("{}/test", a.address()), format!("{}/images", b.address()));
    let refused = stock.promote(&from, &to, &[]).expect_code(5);
    assert!(refused.stderr.contains("docker login"), "{}", refused.said());
    stock.tree.write_docker_config(&json!({"auths": auths}).to_string());
    let outcome = stock.promote(&from, &to, &[]).expect_code(0);
    assert_eq!(tags(b.view(), "images"), pushed, "{}", outcome.said());
    // The token must also permit reading the repository that a blob is mounted from.
    let again = format!("{}/again", b.address());
    let outcome = stock.promote(&to, &again, &[]).expect_code(0);
    assert_eq!(tags(b.view(), "again"), pushed, "{}", outcome.said());
    assert!(!outcome.stderr.contains("through here"), "all is mounted: {}", outcome.said());
    assert!(outcome.stderr.contains("mounted"), "{}", outcome.said());
    assert!(!outcome.said().contains(PASSWORD));
}

#[test]
fn other_ancestors_come_with_their_build_tags_only() {
    let stock = Stock::new();
    let registry = PrivateRegistry::start(Auth::None);
    let pushed = stock.publish(registry.view(), "test", &["--all"]);
    let (from, to) = (format!("{}/test", registry.address()), format!("{}/images", registry.address()));
    let outcome = stock.promote(&from, &to, &["sea:1.0"]).expect_code(0);
    let shown = tags(registry.view(), "images");
    let names: Vec<&str> = shown.keys().map(String::as_str).collect();
    let (one, three) = (stock.build_tag("1.0", 1), stock.build_tag("3.0", 1));
    let expect = [
        "rel/sea:1.0".to_owned(),
        format!("rel/sea:{one}"),
        format!("sci/base:{one}"),
        "sci/sea:1.0".to_owned(),
        format!("sci/sea:{one}"),
        format!("sci/sky:{one}"),
        format!("sci/tools:{three}"),
    ];
    assert_eq!(names, expect, "{}", outcome.said());
    assert!(shown.iter().all(|(name, digest)| pushed[name] == *digest));
}

#[test]
fn what_only_the_target_has_needs_no_copy() {
    // A test repo whose images are based on production's (`--base-repo`).
    let mut stock = Stock::new();
    let registry = PrivateRegistry::start(Auth::None);
    stock.publish(registry.view(), "images", &["--all"]);
    stock.tree.change("science/sky-more/data", "2");
    let tested = stock.publish(registry.view(), "test", &[]);
    assert_eq!(tested.len(), 4, "{tested:?}");
    let (from, to) = (format!("{}/test", registry.address()), format!("{}/images", registry.address()));
    let outcome = stock.promote(&from, &to, &["sky:1.0"]).expect_code(0);
    let shown = tags(registry.view(), "images");
    assert!(tested.iter().all(|(name, digest)| shown[name] == *digest), "{}", outcome.said());
    assert!(outcome.stdout.contains("2 builds to copy"), "{}", outcome.said());
    assert!(
        outcome.stdout.contains(&format!(
            "shows 1.0-1-{}, will show it",
            &stock.tree.git(&["rev-parse", "HEAD^"])[..7]
        )),
        "{}",
        outcome.said()
    );
}

#[test]
fn what_is_missing_moves_nothing() {
    let mut stock = Stock::new();
    let registry = PrivateRegistry::start(Auth::None);
    stock.publish(registry.view(), "images", &["--all"]);
    stock.tree.change("science/base/data", "2");
    stock.publish(registry.view(), "test", &["--all"]);
    let (base, tools) = (stock.build_tag("1.0", 2), stock.build_tag("3.0", 2));
    registry.lose_tag("test/sci/base", &base);
    registry.lose_tag("test/sci/tools", &tools);
    registry.lose_tag("test/rel/sea", "1.0");
    let before = registry.view().all_tags("");
    let (from, to) = (format!("{}/test", registry.address()), format!("{}/images", registry.address()));
    for flags in [&[][..], &["--dryrun"], &["--format", "json"]] {
        let outcome = stock.promote(&from, &to, flags).expect_code(5);
        for name in [
            format!("/test/sci/base:{base}"),
            format!("/test/sci/tools:{tools}"),
            "/test/rel/sea:1.0".to_owned(),
        ] {
            assert!(outcome.stderr.contains(&name), "{name}: {}", outcome.said());
        }
        assert_eq!(registry.view().all_tags(""), before);
    }
    // With `--present` the missing products are left out, but the base chain still has a gap.
    let outcome = stock.promote(&from, &to, &["--present"]).expect_code(5);
    assert!(outcome.stderr.contains(&format!("/test/sci/base:{base}")), "{}", outcome.said());
    assert_eq!(registry.view().all_tags(""), before);
}

#[test]
fn what_is_there_with_other_content_is_never_overwritten() {
    let stock = Stock::new();
    let registry = PrivateRegistry::start(Auth::None);
    stock.publish(registry.view(), "test", &["--all"]);
    // Built from the same commit elsewhere, at another time.
    let other = Stock::of_weight(200);
    other.publish(registry.view(), "images", &["--all"]);
    let before = registry.view().all_tags("");
    let (from, to) = (format!("{}/test", registry.address()), format!("{}/images", registry.address()));
    let outcome = stock.promote(&from, &to, &["sky:1.0"]).expect_code(6);
    for name in ["rel/sky", "sci/sky", "sci/base", "sci/sky-more"] {
        let text = format!("/images/{name}:{} exists and is another image", stock.build_tag("1.0", 1));
        assert!(outcome.stderr.contains(&text), "{text}: {}", outcome.said());
    }
    assert!(outcome.stderr.contains("--rebuild"), "{}", outcome.said());
    assert_eq!(registry.view().all_tags(""), before);
}

#[test]
fn an_older_build_never_takes_a_tag_from_a_newer_one() {
    let mut stock = Stock::new();
    let registry = PrivateRegistry::start(Auth::None);
    stock.publish(registry.view(), "test", &["--all"]);
    stock.tree.change("science/base/data", "2");
    stock.publish(registry.view(), "images", &["--all"]);
    let before = registry.view().all_tags("");
    let (from, to) = (format!("{}/test", registry.address()), format!("{}/images", registry.address()));
    for flags in [&["sky:1.0"][..], &["sky:1.0", "--allow-older"]] {
        let outcome = stock.promote(&from, &to, flags).expect_code(6);
        assert!(outcome.stderr.contains("shows a newer build"), "{}", outcome.said());
        assert_eq!(registry.view().all_tags(""), before);
    }
}

#[test]
fn what_is_held_stays_and_what_nobody_knows_is_refused() {
    let mut stock = Stock::new();
    let registry = PrivateRegistry::start(Auth::None);
    let pushed = stock.publish(registry.view(), "test", &["--all"]);
    stock.tree.change("image-builder.toml", "hold = [\"sky:1.0\"]\n");
    let (from, to) = (format!("{}/test", registry.address()), format!("{}/images", registry.address()));
    for (arguments, code, words) in [
        (&["sky:1.0"][..], 2, "under `hold`"),
        (&["sky:2.0"], 2, "there is no sky:2.0 in this source tree"),
        (&["--format", "json", "--progress", "json"], 2, "both want stdout"),
    ] {
        let outcome = stock.promote(&from, &to, arguments).expect_code(code);
        assert!(outcome.stderr.contains(words), "{}", outcome.said());
    }
    let outcome = stock.promote(&from, &from, &[]).expect_code(2);
    assert!(outcome.stderr.contains("the same repo"), "{}", outcome.said());
    let outcome = stock.promote("nowhere", &to, &[]).expect_code(2);
    assert!(outcome.stderr.contains("--from \"nowhere\" is not a repo"), "{}", outcome.said());
    assert!(tags(registry.view(), "images").is_empty());
    let outcome = stock.promote(&from, &to, &[]).expect_code(0);
    assert!(outcome.stderr.contains("left out"), "{}", outcome.said());
    let shown = tags(registry.view(), "images");
    assert!(!shown.contains_key("rel/sky:1.0") && !shown.contains_key("sci/sky:1.0"), "{shown:?}");
    assert_eq!(shown.get("rel/sea:1.0"), pushed.get("rel/sea:1.0"));
}

#[test]
fn a_build_of_no_commit_does_not_come_into_the_trees_own_repo() {
    let stock = Stock::new();
    let registry = PrivateRegistry::start(Auth::None);
    let own = format!("{}/images", registry.address());
    stock.tree.write("image-builder.toml", format!("repo = \"{own}\"\n"));
    let mut stock = stock;
    stock.tree.commit();
    stock.tree.write("science/base/data", "not committed");
    stock.publish(registry.view(), "test", &["--all"]);
    let from = format!("{}/test", registry.address());
    let outcome = stock.promote(&from, &own, &[]).expect_code(2);
    assert!(outcome.stderr.contains("in no commit"), "{}", outcome.said());
    assert!(tags(registry.view(), "images").is_empty());
    stock.promote(&from, &format!("{}/mine", registry.address()), &[]).expect_code(0);
}

#[test]
fn progress_can_be_read_by_programs() {
    let stock = Stock::new();
    let registry = PrivateRegistry::start(Auth::None);
    stock.publish(registry.view(), "test", &["--all"]);
    let (from, to) =
        (format!("{}/test", registry.address()), format!("{}/{}", registry.address(), path("p")));
    let outcome = stock.promote(&from, &to, &["sky:1.0", "--progress", "json"]).expect_code(0);
    let events: Vec<Value> =
        outcome.stdout.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect();
    let count = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert_eq!((count("copy-started"), count("copied"), count("moved")), (5, 5, 3), "{}", outcome.said());
    let quiet = stock.promote(&from, &format!("{to}q"), &["sky:1.0", "--progress", "quiet"]).expect_code(0);
    assert_eq!(quiet.stderr, "", "{}", quiet.said());
    let proxy = Proxy::tcp(registry.address());
    proxy.rule(Rule::on(Kind::ManifestPut, Hits::Every, Mode::status(403)));
    let to = format!("{}/refused", proxy.address());
    let failed = stock.promote(&from, &to, &["sky:1.0", "--format", "json"]).expect_code(4);
    let doc: Value = serde_json::from_str(&failed.stdout).expect("a document");
    let states: BTreeSet<&str> = doc["images"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|image| image["state"].as_str())
        .collect();
    assert_eq!(states, BTreeSet::from(["failed", "skipped"]), "{doc}");
}
