//! Regression tests: trees that were planned incorrectly, or rejected although valid, each with the
//! correct result.

use plan::{Build, BuildId, Target, Warning};
use planner::config::Level;
use planner::{Finding, Planned, Request, Selection, fixture, pin};

use crate::{plan, refused, short};

/// A layer of version 1.0 with this Dockerfile and without a compat layer.
fn layer(name: &str, dockerfile: &str) -> String {
    format!(
        "//- /science/{name}/Dockerfile\n{dockerfile}\n//- /science/{name}/sciserver-image.json\n\
         {{\"image\": \"{name}\", \"version\": \"1.0\", \"compat\": null}}\n"
    )
}

fn planned(tree: &str) -> Planned {
    plan(&fixture::first(tree), &Request::default())
}

fn build<'a>(planned: &'a Planned, id: &str) -> &'a Build {
    planned.plan.build(&BuildId(id.to_owned())).unwrap_or_else(|| panic!("{id} is not built"))
}

/// The targets of a build's references.
fn names(planned: &Planned, id: &str) -> Vec<String> {
    let name = |target: &Target| match target {
        Target::Build { id } => id.0.clone(),
        Target::Layer { reference, .. } | Target::Pinned { reference } | Target::External { reference } => {
            reference.clone()
        }
        Target::Scratch => "scratch".to_owned(),
    };
    build(planned, id).references.iter().map(|reference| name(&reference.target)).collect()
}

/// `file:line code` of every warning of a plan.
fn warned(planned: &Planned) -> Vec<String> {
    let place = |warning: &Warning| {
        let line = warning.line.map(|line| line.to_string()).unwrap_or_default();
        format!("{}:{line} {}", warning.file.as_deref().unwrap_or_default(), warning.code)
    };
    planned.plan.warnings.iter().map(place).collect()
}

fn findings(tree: &str) -> Vec<Finding> {
    planner::check(&fixture::tree(tree), None, None, &Request::default()).findings
}

/// `level line:column code` of every finding.
fn found(tree: &str) -> Vec<String> {
    let shown = |finding: &Finding| {
        let (problem, level) = (&finding.problem, finding.level);
        let level = if level == Level::Deny { "deny" } else { "warn" };
        let (line, column) = (problem.line.unwrap_or_default(), problem.column.unwrap_or_default());
        format!("{level} {}:{line}:{column} {}", problem.file.as_deref().unwrap_or_default(), problem.code)
    };
    findings(tree).iter().map(shown).collect()
}

#[test]
fn case_bare_host_repo() {
    let tree = format!(
        "//- /image-builder.toml\nrepo = \"compute.repo.sciserver.org\"\naliases = [\"old.example.org\"]\n{}{}{}",
        layer("a", "FROM docker.io/library/debian:12"),
        layer("b", "FROM compute.repo.sciserver.org/sci/a:1.0"),
        layer("c", "FROM old.example.org/sci/a:1.0"),
    );
    let result = planned(&tree);
    assert_eq!(names(&result, "science/b"), ["science/a"]);
    assert_eq!(names(&result, "science/c"), ["science/a"]);
    assert_eq!(
        build(&result, "science/a").tags.iter().collect::<Vec<_>>(),
        ["compute.repo.sciserver.org/sci/a:1.0-42-f90dbd6", "compute.repo.sciserver.org/sci/a:1.0"]
    );
    for repo in ["localhost", "localhost:5000", "r.example.org"] {
        let request = Request { repo: Some(repo.to_owned()), ..Request::default() };
        let result = plan(&fixture::first(&tree), &request);
        assert_eq!(build(&result, "science/a").tags.moving, format!("{repo}/sci/a:1.0"));
    }
    for repo in ["UPPER/x", "images", "r.example.org/x:1"] {
        let request = Request { repo: Some(repo.to_owned()), ..Request::default() };
        let told = refused(&fixture::first(&tree), &request);
        assert!(told.contains("[repo]") && told.contains("lower case, without tag"), "{told}");
    }
}

#[test]
fn case_unset_arg_is_empty() {
    let result = planned(&layer("a", "ARG VARIANT\nFROM docker.io/library/busybox:stable${VARIANT}"));
    assert_eq!(names(&result, "science/a"), ["docker.io/library/busybox:stable"]);
    assert_eq!(warned(&result), [""; 0]);
    // An undeclared variable is probably a mistake.
    let result = planned(&layer("a", "FROM docker.io/library/busybox:stable${VARIANT}"));
    assert_eq!(names(&result, "science/a"), ["docker.io/library/busybox:stable"]);
    assert_eq!(warned(&result), ["science/a/Dockerfile:1 unset-argument"]);
    assert_eq!(
        found(&layer("a", "ARG V\nFROM docker.io/library/busybox:${V}")),
        ["deny science/a/Dockerfile:2:6 unknown-reference"]
    );
}

#[test]
fn case_buildkit_arguments() {
    let text = "ARG BUILDKIT_SBOM_SCAN_CONTEXT=true\nARG BUILDKIT_VERSION=0.17\n\
                FROM docker.io/moby/buildkit:v${BUILDKIT_VERSION}\nARG BUILDKIT_SBOM_SCAN_STAGE=true";
    assert_eq!(names(&planned(&layer("a", text)), "science/a"), ["docker.io/moby/buildkit:v0.17"]);
    for text in ["ARG BUILDKIT_SYNTAX=x/y\nFROM scratch", "FROM scratch\nARG A=1 BUILDKIT_SYNTAX=x/y"] {
        let told = found(&layer("a", text));
        assert!(matches!(&told[..], [one] if one.ends_with(" buildkit-argument")), "{told:?}");
    }
}

#[test]
fn case_pattern_substitution() {
    let text = "ARG image=docker.io/library/busybox:stable\nFROM ${image#docker.io/library/} AS x\nFROM ${image%%:*}:1";
    assert_eq!(
        names(&planned(&layer("a", text)), "science/a"),
        ["docker.io/library/busybox:stable", "docker.io/library/busybox:1"]
    );
}

#[test]
fn case_upper_case_stage() {
    for (text, place) in [
        ("FROM docker.io/library/debian:12 AS Base\nFROM Base", "2:6"),
        ("FROM docker.io/library/debian:12 AS base\nFROM BASE", "2:6"),
        ("ARG S=Base\nFROM docker.io/library/debian:12 AS base\nFROM $S", "3:6"),
    ] {
        let told = findings(&layer("a", text));
        let denied: Vec<_> = told.iter().filter(|finding| finding.level == Level::Deny).collect();
        let [one] = denied[..] else { panic!("{told:?}") };
        assert_eq!(format!("deny science/a/Dockerfile:{place} stage"), found(&layer("a", text))[0]);
        assert_eq!(one.problem.help.as_deref(), Some("write it in lower case: base"));
    }
    let fine = layer("a", "FROM docker.io/library/debian:12 AS Base\nFROM base\nCOPY --from=BASE /a /a");
    assert_eq!(names(&planned(&fine), "science/a"), ["docker.io/library/debian:12"]);
}

#[test]
fn case_fix_bare_name() {
    let tree = layer("top", "FROM base:latest\nCOPY --from=tools /a /a")
        + &layer("base", "FROM docker.io/library/ubuntu:22.04")
        + &layer("tools", "FROM docker.io/library/ubuntu:22.04");
    let told = findings(&tree);
    let of_top: Vec<_> = told
        .iter()
        .filter(|finding| finding.problem.file.as_deref() == Some("science/top/Dockerfile"))
        .collect();
    let codes: Vec<&str> = of_top.iter().map(|finding| finding.problem.code).collect();
    assert_eq!(codes, ["external-like-layer"; 2]);
    for (finding, (layer, write)) in
        of_top.iter().zip([("science/base", "sci/base:1.0"), ("science/tools", "sci/tools:1.0")])
    {
        assert_eq!(finding.problem.fix, None);
        assert!(finding.problem.message.contains(layer), "{}", finding.problem);
        assert!(
            finding.problem.help.as_deref().is_some_and(|help| help.contains(write)),
            "{}",
            finding.problem
        );
    }
    let pinned = pin::external_images(&fixture::tree(&tree), &Request::default()).expect("a sound tree");
    let files: Vec<&str> = pinned.iter().map(|image| image.file.as_str()).collect();
    assert_eq!(files, ["science/base/Dockerfile", "science/tools/Dockerfile"]);
    assert_eq!(
        warned(&planned(&tree)),
        ["science/top/Dockerfile:1 external-like-layer", "science/top/Dockerfile:2 external-like-layer"]
    );
    // If the guideline is allowed, the image is external like any other.
    let allowed = format!("//- /image-builder.toml\n[check]\nexternal-like-layer = \"allow\"\n{tree}");
    assert_eq!(warned(&planned(&allowed)), [""; 0]);
    let pinned = pin::external_images(&fixture::tree(&allowed), &Request::default()).expect("a sound tree");
    assert_eq!(pinned.len(), 4);
    let told = findings(&allowed);
    let fixed = told.iter().filter(|finding| finding.problem.fix.is_some()).count();
    assert_eq!(fixed, 2, "base:latest and tools get their registry");
}

/// A layer may be named after the image that it is based on.
#[test]
fn a_layers_own_name_is_somebody_elses_image() {
    let tree = layer("base-notebook", "FROM quay.io/jupyter/base-notebook:2024-05-01");
    assert_eq!(warned(&planned(&tree)), [""; 0]);
    let tree = "//- /science/verse-4/Dockerfile\nFROM docker.io/rocker/verse:4.4\n//- /science/verse-4/sciserver-image.json\n\
                {\"image\": \"verse\", \"version\": \"4.4\", \"compat\": null}\n";
    assert_eq!(warned(&planned(tree)), [""; 0]);
}

#[test]
fn case_own_repo_external() {
    let tree = format!(
        "//- /image-builder.toml\nrepo = \"quay.io/example\"\n{}{}",
        layer(
            "top",
            "ARG REGISTRY=quay.io\nARG OWNER=example\nARG BASE_IMAGE=$REGISTRY/$OWNER/base-notebook\nFROM $BASE_IMAGE"
        ),
        layer("base-notebook", "FROM docker.io/library/ubuntu:24.04"),
    );
    insta::assert_snapshot!(short(&planned(&tree)), @r"
    science/base-notebook
        new
    science/top
        new
    warning science/top/Dockerfile:4: quay.io/example/base-notebook is in quay.io/example, but this tree builds science/base-notebook [external-like-layer]
      help: write sci/base-notebook:1.0 to use that layer as the base
    ");
    let told = findings(&tree);
    let of_top =
        told.iter().filter(|finding| finding.problem.file.as_deref() == Some("science/top/Dockerfile"));
    assert_eq!(of_top.map(|finding| finding.problem.code).collect::<Vec<_>>(), ["external-like-layer"]);
}

#[test]
fn case_product_like_external() {
    let tree = "
//- /image-builder.toml
repo = \"docker.io/example\"
//- /science/verse-4.6.1/Dockerfile
FROM docker.io/library/ubuntu:24.04
//- /science/verse-4.6.1/sciserver-image.json
{\"image\": \"verse\", \"version\": \"4.6.1\", \"compat\": null}
//- /science/osgeo/Dockerfile
FROM example/verse:4.6.1
//- /science/osgeo/sciserver-image.json
{\"image\": \"osgeo\", \"version\": \"1.0\", \"compat\": null}
";
    insta::assert_snapshot!(short(&planned(tree)), @r"
    science/osgeo
        new
    science/verse-4.6.1
        new
    warning science/osgeo/Dockerfile:1: example/verse:4.6.1 is in docker.io/example, but this tree builds science/verse-4.6.1 [external-like-layer]
      help: write sci/verse-4.6.1:4.6.1 to use that layer as the base
    ");
}

#[test]
fn case_alias_another_maker() {
    let tree = "
//- /image-builder.toml
repo = \"images.example.net/science\"
aliases = [\"images.example.net/skaha\"]
//- /science/top/Dockerfile
FROM images.example.net/skaha/base:23.09
//- /science/top/sciserver-image.json
{\"image\": \"top\", \"version\": \"1.0\", \"compat\": null}
//- /science/base/Dockerfile
FROM docker.io/library/ubuntu:22.04
//- /science/base/sciserver-image.json
{\"image\": \"base\", \"version\": \"23.09\", \"compat\": null}
";
    let warnings = planned(tree).plan.warnings;
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert_eq!(warning.code, "external-like-layer");
    assert!(warning.message.contains("images.example.net/skaha"), "{}", warning.message);
    assert!(!warning.message.contains("another maker"), "{}", warning.message);
    assert_eq!(warning.help.as_deref(), Some("write sci/base:23.09 to use that layer as the base"));
}

/// `ux.md` 04d: the build would use a tag that image-builder never creates.
#[test]
fn a_layer_is_named_with_its_version() {
    let tree = layer("top", "FROM sci/base") + &layer("base", "FROM scratch");
    assert_eq!(found(&tree), ["deny science/top/Dockerfile:1:6 unversioned-layer"]);
    let told = refused(&fixture::first(&tree), &Request::default());
    assert!(told.contains("write sci/base:1.0 to use science/base as the base"), "{told}");
    // A tag that is written out is used: it may have been created by other means.
    let tree = layer("top", "FROM sci/base:latest") + &layer("base", "FROM scratch");
    assert_eq!(warned(&planned(&tree)), ["science/top/Dockerfile:1 version-gone"]);
}

#[test]
fn case_broken_instructions() {
    let text = "FROM docker.io/library/debian:12
ENV STAR_DIR=/opt/star #HK NB: modified
VOLUME
EXPOSE
COPY a
HEALTHCHECK
RUN --mont=target=/x true
RUN --mount=typ=cache,target=/x true
RUN --mount=type=cache,uid=${UID_ARG},target=/x true
COPY --user=me a /a
ENV X=\"${a:i}\"
COPY https://example.org/a /a
LABEL";
    let told: Vec<String> =
        found(&layer("a", text)).into_iter().filter(|told| !told.ends_with("from-unpinned")).collect();
    let expect = [
        "deny 2:24 arguments",
        "deny 3:1 arguments",
        "deny 4:1 arguments",
        "deny 5:6 arguments",
        "deny 6:1 arguments",
        "deny 7:5 flag",
        "deny 8:5 mount",
        "warn 9:5 mount",
        "deny 10:6 flag",
        "deny 10:16 copy-source",
        "deny 11:5 substitution",
        "deny 12:6 arguments",
        "deny 13:1 arguments",
    ];
    assert_eq!(told.iter().map(|told| told.replace("science/a/Dockerfile:", "")).collect::<Vec<_>>(), expect);
    assert!(planner::plan(&fixture::first(&layer("a", text)), &Request::default()).is_err());
    // Problems at the base of a comparison are ignored.
    let good = layer("a", "FROM docker.io/library/debian:12");
    let result = plan(&fixture::inputs(&good, &layer("a", text)), &Request::default());
    assert_eq!(warned(&result), [""; 0]);
    assert_eq!(result.plan.builds.len(), 1);
}

/// Base images set variables that no Dockerfile of the tree declares.
#[test]
fn variables_of_a_base_image_are_not_guessed() {
    let text = "FROM quay.io/jupyter/base-notebook:2024-05-01
ARG PYTHON_VERSION=3.10
USER ${NB_UID:?}
WORKDIR $HOME
COPY lib-$PYTHON_VERSION.tar ${NB_DIR}/x /opt/
RUN --mount=type=cache,uid=${NB_UID:-1000},target=/x true
EXPOSE $PORT
STOPSIGNAL $SIGNAL
VOLUME $DATA";
    assert_eq!(found(&layer("a", text)), ["warn science/a/Dockerfile:1:6 from-unpinned"]);
}

#[test]
fn case_committed_conflict() {
    let text = "FROM docker.io/library/debian:12\n<<<<<<< HEAD\nRUN a\n=======\nRUN b\n>>>>>>> 1cafbc2 (fix)";
    assert_eq!(found(&layer("a", text)), ["deny science/a/Dockerfile:2:1 merge-conflict"]);
    let text = "FROM docker.io/library/debian:12\nRUN a && \\\n<<<<<<< HEAD\n    b\n=======\n    c\n>>>>>>> 1cafbc2 (fix)";
    assert_eq!(found(&layer("a", text)), ["deny science/a/Dockerfile:3:1 merge-conflict"]);
    // Text that is written to a file is not a conflict.
    let text = "FROM scratch\nCOPY <<'EOF' /x\n<<<<<<< HEAD\n>>>>>>> x\nEOF\n# <<<<<<< HEAD\nCMD [\"a\"]";
    assert_eq!(found(&layer("a", text)), [""; 0]);
    let fragment = "//- /compat/c/Dockerfile\nUSER a\n<<<<<<< HEAD\nUSER b\n=======\n>>>>>>> x\n//- /compat/c/sciserver-image.json\n{}\n";
    assert_eq!(found(fragment), ["deny compat/c/Dockerfile:2:1 merge-conflict"]);
}

#[test]
fn case_copy_of_nothing() {
    let text = "FROM scratch\nCOPY starlink.tar install.sh /opt/\nADD missing-dir /opt/x";
    let tree = layer("a", text) + "//- /science/a/install.sh\ntrue\n";
    assert_eq!(
        found(&tree),
        ["deny science/a/Dockerfile:2:6 copy-source", "deny science/a/Dockerfile:3:5 copy-source"]
    );
    insta::assert_snapshot!(refused(&fixture::first(&tree), &Request::default()), @r#"
    science/a/Dockerfile:2:6: COPY: no file of the context is "starlink.tar" [copy-source]
      help: add science/a/starlink.tar to git (`git add`); a file that git ignores is sent with `--with-ignored science/a/starlink.tar`, one that it does not know yet with `--untracked`
    science/a/Dockerfile:3:5: ADD: no file of the context is "missing-dir" [copy-source]
      help: add science/a/missing-dir to git (`git add`); a file that git ignores is sent with `--with-ignored science/a/missing-dir`, one that it does not know yet with `--untracked`
    "#);
    let tree = format!("{tree}//- /science/a/starlink.tar\nx\n//- /science/a/missing-dir/x\nx\n");
    assert_eq!(found(&tree), [""; 0]);
    let ignored = format!("{tree}//- /science/a/.dockerignore\n*.tar\nmissing-dir\n");
    let told = refused(&fixture::first(&ignored), &Request::default());
    assert!(
        told.contains(".dockerignore leaves it out: write an exception there (`!starlink.tar`)"),
        "{told}"
    );
    assert!(told.contains("(`!missing-dir`)"), "{told}");
}

#[test]
fn copies_are_looked_up_as_builders_do_it() {
    let files = "//- /science/a/lib/a.py\nx\n//- /science/a/lib-b\nx\n//- /science/a/here -> lib\n//- /science/a/z/y/x.txt\nx\n";
    let of = |line: &str| {
        let tree = layer("a", &format!("FROM scratch AS base\nFROM scratch\n{line}")) + files;
        let codes: Vec<String> =
            found(&tree).iter().map(|told| told.replace("science/a/Dockerfile:3:", "")).collect();
        codes.join(", ")
    };
    for fine in [
        "COPY . /",
        "COPY / /",
        "COPY lib /",
        "COPY lib/ /",
        "COPY ./lib//a.py /",
        "COPY /lib/../lib/a.py /",
        "COPY ../lib /",
        "COPY lib* /",
        "COPY l?b/*.py /",
        "COPY */*/*.txt /",
        "COPY z/*/x.txt /",
        "COPY here/a.py /",
        "COPY here/other /",
        "COPY Dockerfile /",
        "COPY --from=base nothing /",
        "COPY <<EOF lib /\nx\nEOF",
        "ADD https://example.org/x.tar /",
        "ADD git@example.org:a/b.git /",
        "ARG X=lib\nCOPY $X /",
        "RUN --mount=type=bind,target=/x true",
        "RUN --mount=source=lib/a.py,target=/x true",
        "RUN --mount=from=base,source=nothing,target=/x true",
    ] {
        assert_eq!(of(fine), "", "{fine}");
    }
    for missing in [
        "COPY li /",
        "COPY lib/a /",
        "COPY lib/a.py/b /",
        "COPY LIB /",
        "COPY lib missing /",
        "COPY sciserver-image.json /",
        "COPY [\"lib\", \"missing\", \"/\"]",
        "ADD missing /",
        "RUN --mount=source=missing,target=/x true",
    ] {
        let told = of(missing);
        assert!(told.starts_with("deny ") && told.ends_with(" copy-source"), "{missing}: {told}");
    }
    for empty in ["COPY *.csv /", "COPY z/*.txt y* /", "ADD [0-9]* /"] {
        let told = of(empty);
        assert!(told.starts_with("warn ") && told.ends_with(" copy-source"), "{empty}: {told}");
    }
}

/// A fragment may copy files of any layer of its stack.
#[test]
fn fragments_copy_from_their_whole_stack() {
    let tree = |copies: &str| {
        format!(
            "//- /compat/common/Dockerfile\nUSER root\n//- /compat/common/sciserver-image.json\n{{}}\n\
             //- /compat/common/etc/motd\nx\n//- /compat/jupyter/Dockerfile\nCOPY {copies} /\n\
             //- /compat/jupyter/sciserver-image.json\n{{\"includes\": [\"common\"]}}\n"
        )
    };
    assert_eq!(found(&tree("etc/motd")), [""; 0]);
    assert_eq!(found(&tree("etc/other")), ["deny compat/jupyter/Dockerfile:1:6 copy-source"]);
    assert_eq!(found(&tree("Dockerfile")), ["deny compat/jupyter/Dockerfile:1:6 copy-source"]);
}

#[test]
fn case_onbuild_from_stage() {
    let tree = layer(
        "top",
        "FROM docker.io/library/alpine:3 AS build\nFROM docker.io/library/alpine:3 AS config\nFROM sci/base:1.0",
    ) + &layer(
        "base",
        "FROM docker.io/library/alpine:3\nONBUILD COPY --from=build /usr/bin/app /app\n\
         ONBUILD RUN --mount=from=config,target=/opt/c true",
    );
    let result = planned(&tree);
    assert_eq!(names(&result, "science/base"), ["docker.io/library/alpine:3"]);
    assert_eq!(warned(&result), ["science/top/Dockerfile:3 onbuild-inherited"]);
    let told = findings(&tree);
    let fixes: Vec<_> = told.iter().filter_map(|finding| finding.problem.fix.clone()).collect();
    assert_eq!(fixes, []);
}

/// A layer that a trigger names is a dependency of the child, not of the layer with the trigger.
#[test]
fn what_a_trigger_names_the_child_needs() {
    let tree = |tools: &str| {
        layer("top", "FROM sci/base:1.0")
            + &layer("base", "FROM scratch\nONBUILD COPY --from=sci/tools:1.0 /a /a")
            + &layer("tools", &format!("FROM scratch\nENV A={tools}"))
    };
    let result = plan(&fixture::inputs(&tree("2"), &tree("1")), &Request::default());
    let ids: Vec<&str> = result.plan.builds.iter().map(|build| build.id.0.as_str()).collect();
    assert_eq!(ids, ["science/tools", "science/top"]);
    assert_eq!(build(&result, "science/top").needs, [BuildId("science/tools".to_owned())]);
}

#[test]
fn case_onbuild_untold() {
    let tree = layer("top", "FROM sci/base:1.0")
        + &layer("base", "FROM docker.io/library/alpine:3\nONBUILD COPY . /home");
    insta::assert_snapshot!(short(&planned(&tree)), @r"
    science/base
        new
    science/top
        new
        parent science/base
    warning science/top/Dockerfile:1: science/base has ONBUILD, which runs here: COPY . /home [onbuild-inherited]
      help: build with --allow-onbuild, or write these instructions here and remove ONBUILD there
    ");
    let told = found(&tree);
    assert!(told.contains(&"warn science/top/Dockerfile:1:6 onbuild-inherited".to_owned()), "{told:?}");
    // A grandchild does not run the trigger: triggers run once.
    let tree = format!("{tree}{}", layer("upper", "FROM sci/top:1.0"));
    assert_eq!(warned(&planned(&tree)), ["science/top/Dockerfile:1 onbuild-inherited"]);
    // The trigger copies from the child's context.
    let tree = layer("top", "FROM sci/base:1.0")
        + &layer("base", "FROM docker.io/library/alpine:3\nONBUILD COPY requirements.txt /home");
    assert!(
        found(&tree).contains(&"deny science/base/Dockerfile:2:14 copy-source".to_owned()),
        "{:?}",
        found(&tree)
    );
    let tree = format!("{tree}//- /science/top/requirements.txt\nx\n");
    assert!(findings(&tree).iter().all(|finding| finding.level == Level::Warn));
}

#[test]
fn triggers_of_a_final_layer_run_in_its_product() {
    let tree = "
//- /science/a/Dockerfile
FROM scratch
ONBUILD RUN x
//- /science/a/sciserver-image.json
{\"image\": \"a\", \"version\": \"1.0\", \"compat\": \"c\"}
//- /compat/c/Dockerfile
//- /compat/c/sciserver-image.json
{}
";
    assert_eq!(warned(&planned(tree)), ["science/a/Dockerfile:2 onbuild-inherited"]);
    let denied = tree.replacen('\n', "\n//- /image-builder.toml\n[check]\nonbuild-inherited = \"deny\"\n", 1);
    assert!(refused(&fixture::first(&denied), &Request::default()).contains("[onbuild-inherited]"));
}

#[test]
fn case_absolute_include_is_a_layers_path_by_then() {
    let tree = layer("a", "FROM docker.io/library/debian:12");
    let selection = Selection::Include(vec!["./science/a/".to_owned()]);
    let result = plan(&fixture::first(&tree), &Request { selection, ..Request::default() });
    assert_eq!(result.plan.builds.len(), 1);
}
