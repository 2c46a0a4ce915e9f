//! Compat images: the generated Dockerfile, the merged files, and overridden settings.

use plan::{BuildId, EntryKind};
use planner::{Request, Selection, fixture};

use crate::plan;

const TREE: &str = "
//- /compat/common/.dockerignore
ignored
//- /compat/common/Dockerfile
\u{feff}USER root
ENV PATH=/x HOME=/y
CMD [\"common\"]
//- /compat/common/a
common
//- /compat/common/both
common
//- /compat/common/ignored
x
//- /compat/common/link -> a
//- /compat/common/sciserver-image.json
{ \"args\": { \"PORT\": \"1\", \"SAME\": \"s\" } }
//- /compat/second/Dockerfile
COPY --from=sci/tools:1.0 /t /t
RUN --mount=type=bind,from=docker.io/library/busybox:1,target=/b true
//- /compat/second/ignored
y
//- /compat/second/sciserver-image.json
{ \"includes\": [\"common\"] }
//- /compat/top/Dockerfile
USER idies
ENV HOME=/z
CMD [\"top\"]
//- /compat/top/both +x
top
//- /compat/top/sciserver-image.json
{ \"includes\": [\"second\", \"common\"], \"args\": { \"PORT\": \"2\", \"SAME\": \"s\" }, \"description\": \"for people\" }
//- /science/sky/Dockerfile
FROM scratch
//- /science/sky/sciserver-image.json
{ \"image\": \"sky\", \"version\": \"1.0\", \"compat\": \"top\", \"authors\": \"me\" }
//- /science/tools/Dockerfile
FROM scratch
//- /science/tools/sciserver-image.json
{ \"image\": \"tools\", \"compat\": null }
";

#[test]
fn a_stack_becomes_one_dockerfile_and_one_context() {
    let request =
        Request { selection: Selection::Include(vec!["compat/top".to_owned()]), ..Request::default() };
    let planned = plan(&fixture::inputs(TREE, TREE), &request);
    let id = BuildId("rel/sky:1.0".to_owned());
    let build = planned.plan.build(&id).expect("planned");
    insta::assert_snapshot!(build.dockerfile, @r#"
    FROM containers.repo.sciserver.org/compute-images/sci/sky:1.0
    # compat/common
    USER root
    ENV PATH=/x HOME=/y
    CMD ["common"]
    # compat/second
    COPY --from=sci/tools:1.0 /t /t
    RUN --mount=type=bind,from=docker.io/library/busybox:1,target=/b true
    # compat/top
    USER idies
    ENV HOME=/z
    CMD ["top"]
    ENV SCISERVER_IMAGE=sky:1.0-42-f90dbd6
    "#);
    let references: Vec<String> = build
        .references
        .iter()
        .map(|r| format!("{:?} {:?} {}", r.role, r.target, &build.dockerfile[r.span.start..r.span.end]))
        .collect();
    insta::assert_snapshot!(references.join("\n"), @r#"
    Base Layer { reference: "containers.repo.sciserver.org/compute-images/sci/sky:1.0", target: "sky" } containers.repo.sciserver.org/compute-images/sci/sky:1.0
    Copy Layer { reference: "containers.repo.sciserver.org/compute-images/sci/tools:1.0", target: "tools" } sci/tools:1.0
    Mount External { reference: "docker.io/library/busybox:1" } docker.io/library/busybox:1
    "#);
    assert_eq!(build.compat_stack, ["common", "second", "top"]);
    assert_eq!(build.context.sources, ["compat/common", "compat/second", "compat/top"]);
    assert_eq!(build.args.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["PORT=2", "SAME=s"]);
    let shadowed: Vec<String> =
        build.shadowed.iter().map(|lost| format!("{} of {} by {}", lost.what, lost.from, lost.by)).collect();
    insta::assert_snapshot!(shadowed.join("\n"), @r"
    CMD of common by top
    ENV HOME of common by top
    USER of common by top
    arg:PORT of common by top
    file:both of common by top
    ");
    let files: Vec<String> = planned.contexts[&id]
        .entries
        .iter()
        .map(|entry| {
            let kind = match &entry.kind {
                EntryKind::File { executable, .. } => format!("executable {executable}"),
                EntryKind::Symlink { target } => format!("-> {target}"),
            };
            format!("{} {} {kind}", entry.path, entry.source.display())
        })
        .collect();
    insta::assert_snapshot!(files.join("\n"), @r"
    a /tree/compat/common/a executable false
    both /tree/compat/top/both executable true
    ignored /tree/compat/second/ignored executable false
    link /tree/compat/common/link -> a
    ");
    assert_eq!(build.labels["org.opencontainers.image.description"], "for people");
    assert_eq!(build.labels["org.opencontainers.image.authors"], "me");
    assert!(build.needs.is_empty());
}

#[test]
fn what_a_fragment_copies_from_is_built_first() {
    let base = TREE
        .replace("/science/tools/Dockerfile\nFROM scratch", "/science/tools/Dockerfile\nFROM scratch\nRUN x");
    let planned = plan(&fixture::inputs(TREE, &base), &Request::default());
    let ids: Vec<&str> = planned.plan.builds.iter().map(|build| build.id.0.as_str()).collect();
    assert_eq!(ids, ["science/tools", "rel/sky:1.0"]);
    assert_eq!(planned.plan.builds[1].needs, [BuildId("science/tools".to_owned())]);
}
