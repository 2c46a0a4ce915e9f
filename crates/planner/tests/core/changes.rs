//! Differences that count as changes, the builds that they cause, and their reasons.

use planner::{Request, Selection, fixture};

use crate::{plan, short};

/// Two products on a stack of two compat layers: `sea` with one layer, `sky` with two.
const TREE: &str = r#"
//- /compat/common/Dockerfile
USER root
//- /compat/common/sciserver-image.json
{}
//- /compat/notebook/Dockerfile
COPY start.sh /opt/
//- /compat/notebook/sciserver-image.json
{ "includes": ["common"] }
//- /compat/notebook/start.sh
exec notebook
//- /science/sea/Dockerfile
FROM docker.io/library/debian:12
//- /science/sea/sciserver-image.json
{ "image": "sea", "version": "1.0", "compat": "notebook" }
//- /science/sky/.dockerignore
README.md
//- /science/sky/Dockerfile
FROM docker.io/library/debian:12
COPY catalogue.txt /
//- /science/sky/README.md
Read me
//- /science/sky/catalogue.txt
Vega
//- /science/sky/sciserver-image.json
{ "image": "sky", "version": "1.0", "target": "sky", "compat": "notebook", "description": "Look up" }
//- /science/sky-more/Dockerfile
FROM sci/sky:1.0
//- /science/sky-more/sciserver-image.json
{ "image": "sky", "version": "1.0", "compat": "notebook" }
"#;

fn changed(from: &str, to: &str) -> String {
    assert!(TREE.contains(from), "{from}");
    planned(&TREE.replace(from, to), TREE, &Request::default())
}

fn planned(now: &str, base: &str, request: &Request) -> String {
    short(&plan(&fixture::inputs(now, base), request))
}

#[test]
fn nothing_changed() {
    insta::assert_snapshot!(planned(TREE, TREE, &Request::default()), @"");
}

#[test]
fn a_file_of_the_context_rebuilds_the_layer_and_what_stands_on_it() {
    insta::assert_snapshot!(changed("Vega", "Deneb"), @r"
    science/sky
        files science/sky/catalogue.txt
    science/sky-more
        parent science/sky
    rel/sky:1.0 on sky-more
        parent science/sky-more
    ");
}

#[test]
fn modes_and_removed_files_count() {
    insta::assert_snapshot!(changed("catalogue.txt\nVega", "catalogue.txt +x\nVega"), @r"
    science/sky
        files science/sky/catalogue.txt
    science/sky-more
        parent science/sky
    rel/sky:1.0 on sky-more
        parent science/sky-more
    ");
    let more = format!("//- /science/sky/notes.txt\nx\n{TREE}");
    insta::assert_snapshot!(planned(TREE, &more, &Request::default()), @r"
    science/sky
        files science/sky/notes.txt
    science/sky-more
        parent science/sky
    rel/sky:1.0 on sky-more
        parent science/sky-more
    ");
}

#[test]
fn an_ignored_file_a_description_and_another_layout_build_nothing() {
    insta::assert_snapshot!(changed("Read me", "Read this"), @"not science/sky (science/sky/README.md): these files are not sent to the build");
    insta::assert_snapshot!(changed("Look up", "Look down"), @"not science/sky (description): these fields of the descriptor decide nothing that is built");
    insta::assert_snapshot!(changed(r#""sky", "version""#, r#""sky",  "version""#), @r"
    not science/sky (science/sky/sciserver-image.json): the descriptor says the same as before
    not science/sky-more (science/sky-more/sciserver-image.json): the descriptor says the same as before
    ");
}

#[test]
fn a_renamed_directory_builds_nothing() {
    insta::assert_snapshot!(changed("/science/sky/", "/science/night/sky/"), @"not science/night/sky (science/sky): a layer is the same by its target, wherever its directory is");
}

#[test]
fn args_and_version_and_target_are_changes() {
    insta::assert_snapshot!(changed(r#""sea", "version": "1.0""#, r#""sea", "version": "1.0", "args": {"A": "b"}"#), @r"
    science/sea
        fields args
    rel/sea:1.0 on sea
        parent science/sea
    ");
    let request = Request { allow_orphan: vec!["sea:1.0".to_owned()], ..Request::default() };
    let now = TREE.replace(r#""sea", "version": "1.0""#, r#""sea", "version": "1.1""#);
    insta::assert_snapshot!(planned(&now, TREE, &request), @r"
    science/sea
        fields version
    rel/sea:1.1 on sea
        parent science/sea
        final none => sea
    ");
    let now = TREE.replace(r#""sea", "version": "1.0""#, r#""sea", "version": "1.0", "target": "ocean""#);
    insta::assert_snapshot!(planned(&now, TREE, &request), @r"
    science/sea
        new
        fields target
    rel/sea:1.0 on ocean
        parent science/sea
        final sea => ocean
    ");
}

#[test]
fn a_compat_layer_rebuilds_every_product_over_it_and_no_science() {
    insta::assert_snapshot!(changed("USER root", "USER idies"), @r"
    rel/sea:1.0 on sea
        compat common: compat/common/Dockerfile
    rel/sky:1.0 on sky-more
        compat common: compat/common/Dockerfile
    ");
    insta::assert_snapshot!(changed("exec notebook", "exec lab"), @r"
    rel/sea:1.0 on sea
        compat notebook: compat/notebook/start.sh
    rel/sky:1.0 on sky-more
        compat notebook: compat/notebook/start.sh
    ");
    insta::assert_snapshot!(changed(r#""includes": ["common"]"#, r#""includes": []"#), @r"
    rel/sea:1.0 on sea
        compat notebook: compat/notebook/sciserver-image.json
    rel/sky:1.0 on sky-more
        compat notebook: compat/notebook/sciserver-image.json
    ");
    insta::assert_snapshot!(changed(r#"{ "includes": ["common"]"#, r#"{ "includes": ["common"], "description": "x""#), @"not compat/notebook (description): these fields of the descriptor decide nothing that is built");
}

#[test]
fn another_compat_is_one_compat_build() {
    let sea = r#""sea", "version": "1.0", "compat": "notebook""#;
    insta::assert_snapshot!(changed(sea, r#""sea", "version": "1.0", "compat": "common""#), @r"
    rel/sea:1.0 on sea
        fields compat
    ");
    let more = "{ \"image\": \"sky\", \"version\": \"1.0\", \"compat\": \"notebook\" }";
    insta::assert_snapshot!(changed(more, &more.replace("notebook", "common")), @r"
    rel/sky:1.0 on sky-more
        fields compat
    ");
    let sky = r#""target": "sky", "compat": "notebook""#;
    insta::assert_snapshot!(changed(sky, r#""target": "sky", "compat": "common""#), @"not science/sky (compat): only the compat of the final layer of sky:1.0 counts");
}

#[test]
fn a_product_that_gets_its_first_compat_is_built_on_the_published_layer() {
    let without =
        TREE.replace(r#""sea", "version": "1.0", "compat": "notebook""#, r#""sea", "version": "1.0""#);
    insta::assert_snapshot!(planned(TREE, &without, &Request::default()), @r"
    rel/sea:1.0 on sea
        fields compat
    ");
}

#[test]
fn a_new_layer_of_the_same_version_becomes_the_final_one() {
    let base = TREE.split("//- /science/sky-more").next().expect("a first part");
    insta::assert_snapshot!(planned(TREE, base, &Request::default()), @r"
    science/sky-more
        new
    rel/sky:1.0 on sky-more
        parent science/sky-more
        final sky => sky-more
    ");
}

#[test]
fn without_a_base_everything_is_new() {
    let planned = plan(&fixture::first(TREE), &Request::default());
    assert_eq!(planned.plan.compared_with.to_string(), "empty");
    insta::assert_snapshot!(short(&planned), @r"
    science/sea
        new
    science/sky
        new
    rel/sea:1.0 on sea
        parent science/sea
        compat common, notebook: compat/common/Dockerfile, compat/common/sciserver-image.json, compat/notebook/Dockerfile, compat/notebook/sciserver-image.json, compat/notebook/start.sh
        final none => sea
    science/sky-more
        new
        parent science/sky
    rel/sky:1.0 on sky-more
        parent science/sky-more
        compat common, notebook: compat/common/Dockerfile, compat/common/sciserver-image.json, compat/notebook/Dockerfile, compat/notebook/sciserver-image.json, compat/notebook/start.sh
        final none => sky-more
    ");
}

#[test]
fn flags_say_what_counts_as_changed() {
    let now = TREE.replace("Vega", "Deneb").replace("USER root", "USER idies");
    let ignore = |paths: &[&str]| Request {
        ignore: paths.iter().map(|path| (*path).to_owned()).collect(),
        ..Request::default()
    };
    insta::assert_snapshot!(planned(&now, TREE, &ignore(&["science/sky/"])), @r"
    rel/sea:1.0 on sea
        compat common: compat/common/Dockerfile
    rel/sky:1.0 on sky-more
        compat common: compat/common/Dockerfile
    not science/sky (science/sky/catalogue.txt): --ignore science/sky treats it as unchanged
    ");
    insta::assert_snapshot!(planned(&now, TREE, &ignore(&["./compat/common", "science/sky"])), @r"
    not compat/common (compat/common/Dockerfile): --ignore compat/common treats it as unchanged
    not science/sky (science/sky/catalogue.txt): --ignore science/sky treats it as unchanged
    ");
    let include =
        |path: &str| Request { selection: Selection::Include(vec![path.to_owned()]), ..Request::default() };
    insta::assert_snapshot!(planned(&now, TREE, &include("science/sea")), @r"
    science/sea
        forced --include science/sea
    rel/sea:1.0 on sea
        parent science/sea
    not compat/common (compat/common/Dockerfile): --include names other layers only
    not science/sky (science/sky/catalogue.txt): --include names other layers only
    ");
    insta::assert_snapshot!(planned(&now, TREE, &include("compat/notebook")), @r"
    rel/sea:1.0 on sea
        forced --include compat/notebook
    rel/sky:1.0 on sky-more
        forced --include compat/notebook
    not compat/common (compat/common/Dockerfile): --include names other layers only
    not science/sky (science/sky/catalogue.txt): --include names other layers only
    ");
    let all = Request { selection: Selection::All, ..Request::default() };
    insta::assert_snapshot!(planned(TREE, TREE, &all), @r"
    science/sea
        forced --all
    science/sky
        forced --all
    rel/sea:1.0 on sea
        forced --all
        parent science/sea
    science/sky-more
        forced --all
        parent science/sky
    rel/sky:1.0 on sky-more
        forced --all
        parent science/sky-more
    ");
    let all = Request { ignore: vec!["science/sea".to_owned()], ..all };
    insta::assert_snapshot!(planned(TREE, TREE, &all), @r"
    rel/sea:1.0 on sea
        forced --all
    science/sky
        forced --all
    science/sky-more
        forced --all
        parent science/sky
    rel/sky:1.0 on sky-more
        forced --all
        parent science/sky-more
    ");
}

#[test]
fn a_held_product_is_not_built() {
    let now = format!("{TREE}//- /image-builder.toml\nhold = [\"sky:1.0\"]\n").replace("Vega", "Deneb");
    insta::assert_snapshot!(planned(&now, TREE, &Request::default()), @r"
    not science/sky (science/sky/catalogue.txt): sky:1.0 is under `hold` in image-builder.toml
    not science/sky-more (rel/sky:1.0): sky:1.0 is under `hold` in image-builder.toml
    not science/sky-more (science/sky): sky:1.0 is under `hold` in image-builder.toml
    ");
}

#[test]
fn what_stands_on_a_held_layer_goes_on_with_what_is_published() {
    let other = format!(
        "{TREE}//- /image-builder.toml\nhold = [\"sky:1.0\"]\n//- /science/above/Dockerfile\nFROM sci/sky:1.0\n\
         //- /science/above/sciserver-image.json\n{{\"image\": \"above\", \"compat\": null}}\n"
    );
    let now = other.replace("Vega", "Deneb");
    insta::assert_snapshot!(planned(&now, &other, &Request::default()), @r"
    not science/sky (science/sky/catalogue.txt): sky:1.0 is under `hold` in image-builder.toml
    not science/sky-more (rel/sky:1.0): sky:1.0 is under `hold` in image-builder.toml
    not science/sky-more (science/sky): sky:1.0 is under `hold` in image-builder.toml
    ");
}

#[test]
fn a_deleted_layer_and_an_unused_compat_are_told() {
    let base = format!(
        "{TREE}//- /science/old/Dockerfile\nFROM scratch\n//- /science/old/sciserver-image.json\n\
         {{\"image\": \"old\", \"compat\": null}}\n"
    );
    let now =
        format!("{TREE}//- /compat/new/Dockerfile\nUSER x\n//- /compat/new/sciserver-image.json\n{{}}\n");
    insta::assert_snapshot!(planned(&now, &base, &Request::default()), @r"
    not compat/new (compat/new/sciserver-image.json): no product has this layer in its compat stack
    not science/old (science/old/sciserver-image.json): the layer is gone: its images stay in the registry
    ");
}

#[test]
fn what_the_base_has_broken_counts_as_absent() {
    let base = TREE.replace(r#"{ "image": "sea""#, r#"{ "image": "Sea""#);
    insta::assert_snapshot!(planned(TREE, &base, &Request::default()), @r#"
    science/sea
        new
    rel/sea:1.0 on sea
        parent science/sea
        final none => sea
    warning -: parts of ba5eba5eba5eba5eba5eba5eba5eba5eba5eba5e, the base, cannot be parsed and count as absent: science/sea/sciserver-image.json [base-unreadable]
      help: see `git show ba5eba5eba5eba5eba5eba5eba5eba5eba5eba5e:PATH`; the first problem is: image: "Sea" is not a valid image name
    "#);
}

#[test]
fn a_copy_in_a_layer_or_a_fragment_is_a_dependency() {
    let now = TREE
        .replace(
            "/science/sea/Dockerfile\nFROM docker.io/library/debian:12",
            "/science/sea/Dockerfile\nFROM docker.io/library/debian:12\nCOPY --from=sci/sky:1.0 /a /b",
        )
        .replace("USER root", "USER root\nCOPY --from=sci/sea:1.0 /a /b");
    let base = now.replace("Vega", "Deneb");
    insta::assert_snapshot!(planned(&now, &base, &Request::default()), @r"
    science/sky
        files science/sky/catalogue.txt
    science/sea
        parent science/sky
    science/sky-more
        parent science/sky
    rel/sea:1.0 on sea
        parent science/sea
    rel/sky:1.0 on sky-more
        parent science/sea
        parent science/sky-more
    ");
}

#[test]
fn inputs_depend_on_what_is_built_and_nothing_else() {
    let inputs = |tree: &str, request: &Request| -> Vec<String> {
        let all = Request { selection: Selection::All, ..request.clone() };
        let planned = plan(&fixture::first(tree), &all);
        planned.plan.builds.iter().map(|build| format!("{} {}", build.target, build.context.inputs)).collect()
    };
    let before = inputs(TREE, &Request::default());
    let other = Request { repo: Some("localhost:5000/x".to_owned()), rebuild: Some(2), ..Request::default() };
    assert_eq!(inputs(TREE, &other), before);
    let quiet =
        TREE.replace("Look up", "x").replace("Read me", "x").replace("/science/sea/", "/science/sez/");
    assert_eq!(
        inputs(&quiet.replace(r#""image": "sea","#, r#""image": "sea", "target": "sea","#), &other),
        before
    );
    for (from, to, changed) in [
        ("Vega", "Deneb", 1),
        ("catalogue.txt\nVega", "catalogue.txt +x\nVega", 1),
        ("exec notebook", "exec lab", 2),
        ("USER root", "USER x", 2),
        (r#""sea", "version": "1.0""#, r#""sea", "version": "1.0", "args": {"A": "b"}"#, 1),
        // The compat image changes if it is based on another layer.
        (r#""sea", "version": "1.0""#, r#""sea", "version": "1.1""#, 1),
    ] {
        let after = inputs(&TREE.replace(from, to), &Request::default());
        let differ = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        assert_eq!(differ, changed, "{from} => {to}");
    }
    let arm = format!("{TREE}//- /image-builder.toml\nplatform = \"linux/arm64\"\n");
    assert!(inputs(&arm, &Request::default()).iter().zip(&before).all(|(arm, amd)| arm != amd));
}

#[test]
fn a_parent_is_the_same_input_whether_it_is_built_along_or_not() {
    let now = TREE.replace("Vega", "Deneb");
    let of_more = |request: &Request| {
        let planned = plan(&fixture::inputs(&now, TREE), request);
        let build =
            planned.plan.build(&plan::BuildId("science/sky-more".to_owned())).expect("planned").clone();
        (build.context.inputs, build.references[0].target.clone())
    };
    let along = of_more(&Request::default());
    let alone = of_more(&Request {
        selection: Selection::Include(vec!["science/sky-more".to_owned()]),
        ..Request::default()
    });
    assert_eq!(along.0, alone.0);
    assert_ne!(along.1, alone.1);
}
