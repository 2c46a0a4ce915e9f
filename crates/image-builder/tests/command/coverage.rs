//! `coverage`: which products have the compat stack, and since which commit the others do not.

use crate::shelved::Scene;
use crate::support::Run;

impl Scene {
    fn coverage(&self, arguments: &[&str]) -> Run {
        let mut run = self.command(&[&["coverage"], arguments].concat());
        for text in [&mut run.stdout, &mut run.stderr] {
            *text = text.replace(&self.tree.head()[..7], "$HEAD");
        }
        run
    }
}

#[test]
fn only_products_are_asked_for_and_what_is_behind_is_told_with_its_commit() {
    let mut scene = Scene::published();
    let run = scene.coverage(&["--strict"]).code(0);
    assert!(run.stdout.ends_with("2 of 2 products carry their compat stack as of $HEAD\n"), "{}", run.stdout);
    let asked = scene.shelf.asked();
    assert!(asked.len() == 6 && asked.iter().all(|line| line.contains("/rel/")), "{asked:#?}");

    // One commit that changes no image, one that does, and another one.
    scene.tree.write("compat/common/README.md", "What this is for.\n");
    scene.tree.write("compat/common/.dockerignore", "README.md\n");
    scene.tree.commit();
    scene.tree.write("compat/jupyter/Dockerfile", "CMD [\"jupyter-lab\"]\n");
    scene.tree.commit();
    let since = scene.tree.head();
    scene.tree.write("compat/jupyter/Dockerfile", "CMD [\"jupyter-lab\", \"--no-browser\"]\n");
    scene.tree.commit();
    let run = scene.coverage(&[]).code(0);
    let said = run.stdout.replace(&since[..7], "$SINCE").replace(&first(&scene), "$BUILT");
    insta::assert_snapshot!(said, @r#"
    no  nist-basic:1.0  jupyter  1.0-2-$BUILT  built 1970-01-01
           jupyter changed on 2023-11-14: $SINCE "x"
           compat/jupyter/Dockerfile
    no  nist-basic:2.0  jupyter  2.0-2-$BUILT  built 1970-01-01
           jupyter changed on 2023-11-14: $SINCE "x"
           compat/jupyter/Dockerfile

    0 of 2 products carry their compat stack as of $HEAD
    "#);
    assert_eq!(run.stderr, "");
    let _ = scene.coverage(&["--strict"]).code(7);
    assert!(
        scene
            .coverage(&["--compat", "common", "--strict"])
            .code(0)
            .stdout
            .ends_with("2 of 2 products carry common as of $HEAD\n")
    );

    let json = scene.coverage(&["--compat", "compat/jupyter", "--format", "json"]).code(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["format_version"], &json["compat"]), (&"1.0".into(), &"jupyter".into()));
    assert_eq!((&json["total"], &json["carries"], &json["holds"]), (&2.into(), &0.into(), &false.into()));
    let product = &json["products"][0];
    assert_eq!(product["state"], "behind");
    assert_eq!(product["since"]["commit"], since.as_str());
    assert_eq!(product["since"]["time"], "2023-11-14T22:13:24Z");
    assert_eq!(product["changed_paths"], serde_json::json!(["compat/jupyter/Dockerfile"]));
}

/// Returns the short hash of the commit from which everything is published.
fn first(scene: &Scene) -> String {
    let labels = scene.shelf.labels("x/rel/nist-basic", "1.0").expect("it is published");
    let version = &labels["org.sciserver.compat.version"];
    version.rsplit('-').next().expect("a hash").to_owned()
}

#[test]
fn a_change_that_is_in_no_commit_a_hold_and_an_absent_product_are_told_as_that() {
    let mut scene = Scene::published();
    scene.shelf.remove("x/rel/nist-basic", "2.0");
    scene.tree.write("image-builder.toml", "hold = [\"nist-basic:1.0\"]\n");
    scene.tree.commit();
    scene.tree.write("compat/jupyter/Dockerfile", "CMD [\"jupyter-lab\"]\n");
    let run = scene.coverage(&[]).code(0);
    let said = run.stdout.replace(&first(&scene), "$BUILT");
    insta::assert_snapshot!(said, @r"
    no  nist-basic:1.0  jupyter  1.0-2-$BUILT  built 1970-01-01
           jupyter changed, in no commit yet
           compat/jupyter/Dockerfile
           under `hold` in image-builder.toml: no plan builds it
    no  nist-basic:2.0  jupyter  not published

    0 of 2 products carry their compat stack as of $HEAD with uncommitted changes
    ");
    let _ = scene.coverage(&["--strict"]).code(7);
    scene.tree.write("image-builder.toml", "hold = [\"nist-basic:1.0\", \"nist-basic:2.0\"]\n");
    let _ = scene.coverage(&["--strict"]).code(0);
}

#[test]
fn any_answer_but_a_404_stops_it() {
    let scene = Scene::published();
    scene.shelf.trouble("/v2/x/rel/nist-basic/manifests/2.0", 403);
    let run = scene.coverage(&[]).code(5);
    assert!(run.stderr.contains("$REPO/rel/nist-basic:2.0") && run.stderr.contains("403"), "{}", run.stderr);
    assert_eq!(run.stdout, "");
    let run = scene.coverage(&["--compat", "jupiter"]).code(2);
    assert!(run.stderr.contains("did you mean jupyter?"), "{}", run.stderr);
}
