//! Every problem: file, line, message, help.

use planner::{Request, Selection, fixture};

use crate::{plan, refused, short};

/// A valid tree, to which each test adds a mistake.
const TREE: &str = r#"
//- /compat/common/Dockerfile
USER root
//- /compat/common/sciserver-image.json
{}
//- /science/sky/Dockerfile
FROM docker.io/library/debian:12
//- /science/sky/sciserver-image.json
{
  "image": "sky",
  "version": "1.0",
  "compat": "common"
}
"#;

fn check(added: &str) -> String {
    refused(&fixture::first(&format!("{TREE}{added}")), &Request::default())
}

fn layer(name: &str, from: &str, descriptor: &str) -> String {
    let (kind, from) = if from.is_empty() { ("compat", "") } else { ("science", from) };
    format!("//- /{kind}/{name}/Dockerfile\n{from}\n//- /{kind}/{name}/sciserver-image.json\n{descriptor}\n")
}

#[test]
fn broken_descriptors() {
    insta::assert_snapshot!(check(&layer("a", "FROM scratch", r#"{ "image": "A" }"#)), @r#"
    science/a/sciserver-image.json:1:12: image: "A" is not a valid image name [descriptor-value]
      help: lower case letters and digits, with single '.', '_', '__' or any number of '-' between them, at most 128 characters
    "#);
    insta::assert_snapshot!(check(&layer("a", "FROM scratch", r#"{ "image": "a", "#)), @r"
    science/a/sciserver-image.json:1:1: not JSON: unterminated object [descriptor-syntax]
      help: comments (#, //, /* */) and trailing commas are fine, all else is as in JSON
    ");
    insta::assert_snapshot!(check(&layer("a", "FROM scratch", r#"{ "image": "a", "verson": "1" }"#)), @r#"
    science/a/sciserver-image.json:1:17: unknown field "verson" [descriptor-field]
      help: did you mean "version"? fields of your own begin with "x-"
    "#);
}

#[test]
fn two_layers_with_one_target() {
    let double = layer("a", "FROM scratch", "{ \"image\": \"a\",\n  \"target\": \"sky\" }");
    insta::assert_snapshot!(check(&double), @r#"
    science/sky/sciserver-image.json:2:12: target sky is that of science/a too [duplicate-target]
      help: give one of the two another "target"; images and labels are named by it
    "#);
}

#[test]
fn several_final_layers() {
    let second =
        layer("a", "FROM scratch", "{ \"image\": \"sky\",\n  \"version\": \"1.0\", \"compat\": \"common\" }");
    insta::assert_snapshot!(check(&second), @"
    science/sky/sciserver-image.json:3:14: sky:1.0 has several final layers: science/a, science/sky [several-finals]
      help: base one on the other (FROM sci/a:1.0), or give one another version or image
    ");
}

#[test]
fn a_higher_version_below() {
    let layers = layer("b", "FROM sci/sky:1.0", r#"{ "image": "b", "version": "1", "compat": null }"#)
        + &layer(
            "old",
            "FROM sci/b:1",
            "{\n  \"image\": \"sky\",\n  \"version\": \"0.10\", \"compat\": null }",
        );
    insta::assert_snapshot!(check(&layers), @r"
    science/old/sciserver-image.json:3:14: sky 0.10 is based on science/sky, which is sky 1.0 [version-below]
      help: give it a version of at least 1.0
    ");
}

#[test]
fn unknown_compat_and_includes() {
    let layers = layer("a", "FROM scratch", "{ \"image\": \"a\",\n  \"compat\": \"comon\" }")
        + &layer("b", "", "{\n\"includes\": [\"nothing-like-it\"] }");
    insta::assert_snapshot!(check(&layers), @"
    compat/b/sciserver-image.json:2:14: there is no compat layer nothing-like-it to include [unknown-include]
      help: a compat layer is a directory under compat/: compat/nothing-like-it with a descriptor
    science/a/sciserver-image.json:2:13: there is no compat layer comon [unknown-compat]
      help: did you mean common?
    ");
}

#[test]
fn compat_that_leads_out_of_the_tree() {
    let layers = layer("a", "FROM scratch", r#"{ "image": "a", "compat": "../science/sky" }"#)
        + &layer("b", "", r#"{ "includes": ["/etc"] }"#);
    insta::assert_snapshot!(check(&layers), @r#"
    compat/b/sciserver-image.json:1:16: includes: "/etc" is not a name of a compat layer [descriptor-value]
      help: name a directory below compat/, without a leading '/' and without '..'
    science/a/sciserver-image.json:1:27: compat: "../science/sky" is not a name of a compat layer [descriptor-value]
      help: name a directory below compat/, without a leading '/' and without '..'
    "#);
}

#[test]
fn include_cycles() {
    let layers = layer("a", "", r#"{ "includes": ["b"] }"#)
        + &layer("b", "", r#"{ "includes": ["c", "common"] }"#)
        + &layer("c", "", r#"{ "includes": ["a"] }"#)
        + &layer("self", "", "{\n\n\"includes\": [\"self\"] }");
    insta::assert_snapshot!(check(&layers), @"
    compat/a/sciserver-image.json:1:16: compat layers include each other: compat/a → compat/b → compat/c → compat/a [include-cycle]
      help: remove one of these includes
    compat/self/sciserver-image.json:3:14: compat layers include each other: compat/self → compat/self [include-cycle]
      help: remove one of these includes
    ");
}

#[test]
fn cycles_are_named_whole() {
    let of = |image: &str| format!(r#"{{ "image": "{image}", "compat": null }}"#);
    let layers = layer("a", "FROM scratch\nCOPY --from=sci/c:1.0 /x /x", &of("a"))
        + &layer("b", "FROM sci/a:1.0", &of("b"))
        + &layer("c", "FROM scratch AS x\nRUN x\nFROM sci/b:1.0", &of("c"))
        + &layer("self", "FROM sci/self:1.0", &of("self"))
        + &layer("above", "FROM sci/self:1.0", &of("above"));
    insta::assert_snapshot!(check(&layers), @"
    science/a/Dockerfile:2:13: layers need each other: science/a → science/c → science/b → science/a [cycle]
      help: remove one of these references, or name a build tag in it, which is not a dependency
    science/self/Dockerfile:1:6: layers need each other: science/self → science/self [cycle]
      help: remove one of these references, or name a build tag in it, which is not a dependency
    ");
}

#[test]
fn a_cycle_through_ones_own_product() {
    let layers = "//- /image-builder.toml\n[check]\nfrom-rel = \"warn\"\n".to_owned()
        + &layer("a", "FROM rel/b:1.0", r#"{ "image": "a", "compat": null }"#)
        + &layer("b", "FROM sci/a:1.0", r#"{ "image": "b", "compat": "copies" }"#)
        + "//- /compat/copies/Dockerfile\nCOPY --from=sci/c:1.0 / /\n//- /compat/copies/sciserver-image.json\n{}\n"
        + &layer("c", "FROM rel/b:1.0", r#"{ "image": "c", "compat": null }"#);
    insta::assert_snapshot!(check(&layers), @"
    science/a/Dockerfile:1:6: layers need each other: science/a → rel/b:1.0 → science/b → science/a [cycle]
      help: remove one of these references, or name a build tag in it, which is not a dependency
    science/c/Dockerfile:1:6: layers need each other: science/c → rel/b:1.0 → science/c [cycle]
      help: remove one of these references, or name a build tag in it, which is not a dependency
    ");
    // A pinned build of a product already exists, so it does not depend on present layers.
    let pinned = layers.replace("rel/b:1.0", "rel/b:1.0-7-0a1b2c3");
    let planned = plan(&fixture::first(&format!("{TREE}{pinned}")), &Request::default());
    assert_eq!(planned.plan.warnings.len(), 2, "{}", short(&planned));
}

#[test]
fn a_product_as_a_base() {
    insta::assert_snapshot!(check(&layer("a", "FROM rel/sky:1.0", r#"{ "image": "a", "compat": null }"#)), @"
    science/a/Dockerfile:1:6: rel/sky:1.0 is a product, with a compat in it [from-rel]
      help: use the science layer as the base instead: sci/{target}:{version}, so that its changes are followed
    ");
}

#[test]
fn an_unquoted_version_weighs_what_the_configuration_says() {
    let tree = |level: &str| {
        let layers = layer("a", "FROM scratch", r#"{ "image": "a", "version": 1.5, "compat": null }"#);
        format!("{TREE}//- /image-builder.toml\n[check]\nversion-unquoted = \"{level}\"\n{layers}")
    };
    insta::assert_snapshot!(refused(&fixture::first(&tree("deny")), &Request::default()), @r#"
    science/a/sciserver-image.json:1:28: the version 1.5 is a number [version-unquoted]
      help: put it into quotes: "1.5"
    "#);
    for (level, warnings) in [("warn", 1), ("allow", 0)] {
        let planned = plan(&fixture::first(&tree(level)), &Request::default());
        assert_eq!(planned.plan.warnings.len(), warnings, "{level}");
    }
    // The problem of the base has been fixed since.
    let mended = tree("deny").replace("1.5,", "\"1.5\",");
    let planned = plan(&fixture::inputs(&mended, &tree("deny")), &Request::default());
    assert_eq!(planned.plan.warnings, []);
}

#[test]
fn missing_dockerfiles() {
    let layers = "//- /science/a/sciserver-image.json\n{ \"image\": \"a\", \"compat\": null }\n\
                  //- /compat/b/sciserver-image.json\n{}\n";
    insta::assert_snapshot!(check(layers), @r"
    compat/b/Dockerfile: the layer compat/b has no Dockerfile [no-dockerfile]
      help: write one, it may be empty, or remove the directory's sciserver-image.json; git must track it
    science/a/Dockerfile: the layer science/a has no Dockerfile [no-dockerfile]
      help: write one, or remove the directory's sciserver-image.json; git must track it
    ");
}

#[test]
fn fragments_that_do_not_end_where_they_end() {
    let fragment = |name: &str, text: &str| {
        format!("//- /compat/{name}/Dockerfile\n{text}\n//- /compat/{name}/sciserver-image.json\n{{}}\n")
    };
    let layers = fragment("a", "USER x\nFROM scratch")
        + &fragment("b", "RUN x \\")
        + &fragment("c", "RUN <<EOF\nx")
        + &fragment("d", "# escape=`\nRUN x");
    insta::assert_snapshot!(check(&layers), @r#"
    compat/a/Dockerfile:2:1: a compat fragment has a FROM [fragment-from]
      help: remove it: the fragment is put on top of a science image
    compat/b/Dockerfile:1:7: the fragment ends in a continuation ('\') [fragment-open]
      help: remove it: the next fragment would become a part of this instruction
    compat/c/Dockerfile:1:5: the heredoc "EOF" has no end [heredoc-open]
      help: end it with a line that holds "EOF" and nothing else
    compat/d/Dockerfile:1:1: a compat fragment has a parser directive (`escape`) [fragment-directive]
      help: remove the line: fragments are joined into one Dockerfile, which has no directives
    "#);
}

#[test]
fn frontends() {
    let layers = layer("a", "# syntax=evil/frontend\nFROM scratch", r#"{ "image": "a", "compat": null }"#)
        + &layer(
            "b",
            "FROM scratch",
            r#"{ "image": "b", "compat": null, "args": { "BUILDKIT_SYNTAX": "evil" } }"#,
        );
    insta::assert_snapshot!(check(&layers), @r#"
    science/a/Dockerfile:1:1: the frontend "evil/frontend" is not allowed: it would run in place of the builder's own [frontend]
      help: remove the line, use docker/dockerfile:1, or pass `--allow-frontend evil/frontend` if you trust it
    science/b/sciserver-image.json:1:43: args: "BUILDKIT_SYNTAX" steers the builder itself [buildkit-argument]
      help: remove it
    "#);
}

#[test]
fn unknown_targets_and_references() {
    let layers = layer("a", "FROM sci/skye:1.0", r#"{ "image": "a", "compat": null }"#)
        + &layer(
            "b",
            "FROM scratch\nCOPY --from=sci/entirely-else:1 / /",
            r#"{ "image": "b", "compat": null }"#,
        )
        + &layer("c", "FROM docker.io/Library/debian:12", r#"{ "image": "c", "compat": null }"#)
        + &layer("d", "FROM sci/sky:1.0-7-0a1b2c3@sha256:12", r#"{ "image": "d", "compat": null }"#);
    insta::assert_snapshot!(check(&layers), @r#"
    science/a/Dockerfile:1:6: no layer of the tree has the target skye [unknown-target]
      help: did you mean sky? a layer that exists in the registry only is named in image-builder.toml: published = ["skye"]
    science/b/Dockerfile:2:13: no layer of the tree has the target entirely-else [unknown-target]
      help: a layer that exists in the registry only is named in image-builder.toml: published = ["entirely-else"]
    science/c/Dockerfile:1:6: "docker.io/Library/debian:12" is not an image reference: a repository is lower case words with '/' between them [reference]
      help: a reference has the form registry/path/name:tag, in lower case up to the tag
    science/d/Dockerfile:1:6: "sci/sky:1.0-7-0a1b2c3@sha256:12" is not an image reference: a digest is sha256: and 64 hex digits, or sha512: and 128 [reference]
      help: a reference has the form registry/path/name:tag, in lower case up to the tag
    "#);
}

#[test]
fn a_file_over_a_directory() {
    let layers = "//- /compat/common/etc/start\nx\n//- /compat/top/etc\nx\n//- /compat/top/Dockerfile\n\
                  //- /compat/top/sciserver-image.json\n{ \"includes\": [\"common\"] }\n";
    insta::assert_snapshot!(check(layers), @r"
    compat/common/etc/start: etc is a file in compat/top and a directory in compat/common [file-over-directory]
      help: the layers of a stack are laid over each other: give one of the two another name
    ");
}

#[test]
fn names_that_are_alike_or_too_long() {
    let long = format!("1.{}", "0".repeat(120));
    let layers = layer("Sky", "FROM scratch", r#"{ "image": "x", "target": "x", "compat": null }"#)
        + &layer("u\u{308}", "FROM scratch", r#"{ "image": "u1", "target": "u1", "compat": null }"#)
        + &layer("\u{fc}", "FROM scratch", r#"{ "image": "u2", "target": "u2", "compat": null }"#)
        + &layer("v1", "FROM scratch", r#"{ "image": "v", "version": "1.0rc", "compat": null }"#)
        + &layer("v2", "FROM scratch", r#"{ "image": "v", "version": "1.0RC", "compat": null }"#)
        + &layer(
            "long",
            "FROM scratch",
            &format!("{{ \"image\": \"long\",\n\"version\": \"{long}\", \"compat\": null }}"),
        );
    insta::assert_snapshot!(check(&layers), @r"
    science/long/sciserver-image.json:2:12: the build tag has 133 characters, registries accept 128: 1.000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000-42-f90dbd6 [tag-too-long]
      help: give it a shorter version
    science/sky/sciserver-image.json: layers differ in case or Unicode form only: science/Sky, science/sky [similar-names]
      help: rename all but one of these directories: on some machines they are one
    science/v1/sciserver-image.json:1:28: versions differ in case only: v:1.0RC (science/v2), v:1.0rc (science/v1) [similar-names]
      help: write one version for all, or another one than 1.0rc
    science/ü/sciserver-image.json: layers differ in case or Unicode form only: science/ü, science/ü [similar-names]
      help: rename all but one of these directories: on some machines they are one
    ");
}

#[test]
fn flags_that_name_nothing() {
    let request = Request {
        selection: Selection::Include(vec!["science/sk".to_owned()]),
        ignore: vec!["science".to_owned(), "compat/common/".to_owned()],
        repo: Some("nohost".to_owned()),
        allow_orphan: vec!["sky".to_owned()],
        ..Request::default()
    };
    insta::assert_snapshot!(refused(&fixture::first(TREE), &request), @r#"
    --ignore science is not a layer of this source tree [no-such-layer]
      help: name a directory that holds a sciserver-image.json, such as science/nist
    --include science/sk is not a layer of this source tree [no-such-layer]
      help: did you mean science/sky?
    --allow-orphan "sky" is not a product [product]
      help: give a product, as in nist-basic:2.0
    --repo "nohost" is not a repo [repo]
      help: give a registry host, with a path or without, as in registry.example.org/images: lower case, without tag
    "#);
}

/// Two layers of one product.
fn product() -> String {
    layer("sky", "FROM scratch", r#"{ "image": "sky", "version": "1.0", "compat": "common" }"#)
        + &layer(
            "more",
            "FROM sci/sky:1.0",
            "{ \"image\": \"sky\",\n \"version\": \"1.0\",\n \"compat\": \"common\" }",
        )
        + "//- /compat/common/Dockerfile\nUSER x\n//- /compat/common/sciserver-image.json\n{}\n"
}

#[test]
fn orphans() {
    let base = product();
    let lost = |now: &str| refused(&fixture::inputs(now, &base), &Request::default());
    // The product is removed, with its layers.
    let common = &base[base.find("//- /compat").expect("it has one")..];
    insta::assert_snapshot!(lost(common), @r#"
    science/more: sky:1.0 would be orphaned: no layer makes it any more, and the published image would get no compat updates [orphan]
      help: keep it, or give it up on purpose: list "sky:1.0" under `retired` in image-builder.toml, or pass --allow-orphan sky:1.0
    "#);
    // The version or the image name is changed in place.
    insta::assert_snapshot!(lost(&base.replace("\"1.0\"", "\"1.1\"").replace("sci/sky:1.0", "sci/sky:1.1")), @r#"
    science/more/sciserver-image.json:2:13: sky:1.0 would be orphaned: no layer makes it any more, and the published image would get no compat updates [orphan]
      help: keep it, or give it up on purpose: list "sky:1.0" under `retired` in image-builder.toml, or pass --allow-orphan sky:1.0
    "#);
    insta::assert_snapshot!(lost(&base.replace("\"image\": \"sky\"", "\"image\": \"night\"")), @r#"
    science/more/sciserver-image.json:1:12: sky:1.0 would be orphaned: no layer makes it any more, and the published image would get no compat updates [orphan]
      help: keep it, or give it up on purpose: list "sky:1.0" under `retired` in image-builder.toml, or pass --allow-orphan sky:1.0
    "#);
    // The compat layer is removed.
    insta::assert_snapshot!(lost(&base.replace(" \"compat\": \"common\" }\n//- /compat", " \"compat\": null }\n//- /compat")), @r#"
    science/more/sciserver-image.json:3:12: sky:1.0 would be orphaned: its final layer science/more has no compat any more [orphan]
      help: keep it, or give it up on purpose: list "sky:1.0" under `retired` in image-builder.toml, or pass --allow-orphan sky:1.0
    "#);
}

#[test]
fn silent_downgrades() {
    let base = product();
    let lost = |now: &str| refused(&fixture::inputs(now, &base), &Request::default());
    // The top layer is deleted: the product would be published without that layer's contents.
    let (bottom, rest) = base.split_once("//- /science/more").expect("it has one");
    let without = format!("{bottom}{}", &rest[rest.find("//- /compat").expect("it has one")..]);
    insta::assert_snapshot!(lost(&without), @r#"
    science/sky/Dockerfile:1:6: sky:1.0 would silently lose the contents of more: its final layer is science/sky now, which does not descend from it [silent-downgrade]
      help: keep it, or give it up on purpose: list "sky:1.0" under `retired` in image-builder.toml, or pass --allow-orphan sky:1.0
    "#);
    // Another layer replaces it.
    insta::assert_snapshot!(lost(&base.replace("/more/", "/other/")), @r#"
    science/other/Dockerfile:1:6: sky:1.0 would silently lose the contents of more: its final layer is science/other now, which does not descend from it [silent-downgrade]
      help: keep it, or give it up on purpose: list "sky:1.0" under `retired` in image-builder.toml, or pass --allow-orphan sky:1.0
    "#);

    let one_more = base
        + &layer("third", "FROM sci/more:1.0", r#"{ "image": "sky", "version": "1.0", "compat": "common" }"#);
    plan(&fixture::inputs(&one_more, &product()), &Request::default());
    // A pinned build of the former final layer has all its contents.
    let pinned = without
        + &layer(
            "third",
            "FROM sci/more:1.0-7-0a1b2c3",
            r#"{ "image": "sky", "version": "1.0", "compat": "common" }"#,
        );
    let pinned = pinned.replace(
        r#""image": "sky", "version": "1.0", "compat": "common" }"#,
        r#""image": "sky", "version": "1.0", "compat": "common"}"#,
    );
    let pinned = pinned.replacen(
        r#""version": "1.0", "compat": "common"}"#,
        r#""version": "0.9", "compat": "common"}"#,
        1,
    );
    plan(&fixture::inputs(&pinned, &product()), &Request::default());
}

#[test]
fn an_orphan_can_be_allowed() {
    let base = product();
    let common = &base[base.find("//- /compat").expect("it has one")..];
    let allowed = Request { allow_orphan: vec!["sky:1.0".to_owned()], ..Request::default() };
    assert!(plan(&fixture::inputs(common, &base), &allowed).plan.builds.is_empty());
    let retired = format!("{common}//- /image-builder.toml\nretired = [\"sky:1.0\"]\n");
    assert!(plan(&fixture::inputs(&retired, &base), &Request::default()).plan.builds.is_empty());
}

#[test]
fn one_mistake_makes_one_finding() {
    // `sky` cannot be parsed. That `more` has no base, and that a product is missing, are
    // consequences.
    let base = product();
    let now = base
        .replace("{ \"image\": \"sky\", \"version\": \"1.0\",", "{ \"image\": \"sky\", \"version\": \"v1\",");
    insta::assert_snapshot!(refused(&fixture::inputs(&now, &base), &Request::default()), @r#"
    science/sky/sciserver-image.json:1:30: version: "v1" is not a version [descriptor-value]
      help: a number, then any number of parts of letters, digits and '_' with a '.' before each, at most 128 characters
    "#);
    // The bases are unknown as well.
    let now = base.replace("FROM sci/sky:1.0", "FROM ${BASE}");
    insta::assert_snapshot!(refused(&fixture::inputs(&now, &base), &Request::default()), @r"
    science/more/Dockerfile:1:6: FROM: BASE has no value [unknown-reference]
      help: declare it before the first FROM with a default: `ARG BASE=…`
    ");
    let now = base.replace("{ \"image\": \"sky\",\n", "{ \"image\": \"sky\"\n");
    insta::assert_snapshot!(refused(&fixture::inputs(&now, &base), &Request::default()), @r"
    science/more/sciserver-image.json:1:17: not JSON: expected comma [descriptor-syntax]
      help: comments (#, //, /* */) and trailing commas are fine, all else is as in JSON
    ");
}

#[test]
fn ten_wrong_things_are_ten_findings() {
    let layers = layer("a", "FROM scratch", r#"{ "image": "A" }"#)
        + &layer("b", "FROM scratch", r#"{ "image": "b", "target": "sky", "compat": null }"#)
        + &layer("c", "FROM scratch", r#"{ "image": "c", "compat": "comon" }"#)
        + &layer("d", "FROM sci/e:1.0", r#"{ "image": "d", "compat": null }"#)
        + &layer("e", "FROM sci/d:1.0", r#"{ "image": "e", "compat": null }"#)
        + &layer("f", "FROM sci/skyy:1.0", r#"{ "image": "f", "compat": null }"#)
        + &layer("g", "FROM rel/sky:1.0", r#"{ "image": "g", "compat": null }"#)
        + "//- /science/h/sciserver-image.json\n{ \"image\": \"h\", \"compat\": null }\n"
        + &layer("i", "# syntax=evil/frontend\nFROM scratch", r#"{ "image": "i", "compat": null }"#)
        + &layer("j", "", r#"{ "includes": ["j"] }"#)
        + &layer("k", "FROM scratch", r#"{ "image": "c", "compat": null }"#);
    let problems = planner::plan(&fixture::first(&format!("{TREE}{layers}")), &Request::default())
        .expect_err("the tree must be refused");
    let codes: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
    insta::assert_snapshot!(codes.join("\n"), @r"
    include-cycle
    descriptor-value
    unknown-compat
    cycle
    unknown-target
    from-rel
    no-dockerfile
    frontend
    several-finals
    duplicate-target
    ");
    assert_eq!(codes.len(), 10);
    assert!(problems.is_sorted());
}
