//! A build and a rollback of the same product by the command, one in the middle of the other.

use parking_lot::Mutex;
use std::sync::mpsc;

use testbed::command::{Outcome, Program};
use testbed::process::unique;
use testbed::proxy::{From, Hits, Mode, Proxy, Rule};

use crate::scene::{BOUND, Scene};

/// Creates two builds of the product `leaf-1`, the second with another compat layer.
fn scene() -> Scene {
    let mut scene = Scene::new("race", 1);
    let _ = scene.program().run(BOUND).expect_code(0);
    renew(&mut scene);
    let _ = program(&scene, &["--push"], &scene.registry).run(BOUND).expect_code(0);
    scene
}

/// Commits a change of the compat layer.
fn renew(scene: &mut Scene) {
    scene.tree.change("compat/batch/Dockerfile", format!("RUN echo {}\nCMD [\"/bin/sh\"]\n", unique()));
}

fn rel(scene: &Scene) -> String {
    format!("{}/rel/leaf-1", scene.path)
}

/// Returns the command for the scene's repo at this registry address.
fn program(scene: &Scene, arguments: &[&str], address: &str) -> Program {
    let repo = format!("{address}/{}", scene.path);
    Program::new(env!("CARGO_BIN_EXE_image-builder"), &scene.tree).args(arguments).args(["--repo", &repo])
}

/// When a request matches the rule, runs a program to its end before the request continues, and
/// then sends the program's outcome.
fn in_the_middle(
    proxy: &Proxy,
    program: Program,
    rule: impl FnOnce(Mode) -> Rule,
) -> mpsc::Receiver<Outcome> {
    let (ended, outcome) = mpsc::channel();
    let program = Mutex::new(Some((program, ended)));
    let hook = Mode::hook(move |_| {
        if let Some((program, ended)) = program.lock().take() {
            let _ = ended.send(program.run(BOUND));
        }
    });
    let _ = proxy.rule(rule(hook).from(From::Us));
    outcome
}

/// Asserts that the moving tag shows the only build of HEAD.
#[track_caller]
fn shows_the_build(scene: &mut Scene, said: &str) {
    let short = scene.tree.head()[..7].to_owned();
    let tags = scene.view.tags(&rel(scene));
    let builds: Vec<&String> = tags.iter().filter(|tag| tag.ends_with(&short)).collect();
    let [build] = builds[..] else { panic!("{tags:?}\n{said}") };
    assert_eq!(scene.view.digest(&rel(scene), "1.0"), scene.view.digest(&rel(scene), build), "{said}");
    scene.check();
}

#[test]
fn a_build_in_the_middle_of_a_rollback_keeps_its_tag() {
    // The build runs during the rollback's write of the tag, and during its read afterwards.
    let mut scene = scene();
    for method in ["PUT", "HEAD"] {
        renew(&mut scene);
        let proxy = Proxy::tcp(&scene.registry);
        let path = format!("/v2/{}/manifests/1.0", rel(&scene));
        let build = program(&scene, &["--push"], &scene.registry);
        let nth = if method == "PUT" { 1 } else { looks_before_the_change(&scene, &path) + 1 };
        let built = in_the_middle(&proxy, build, |hook| Rule::new(method, &path, Hits::Nth(nth), hook));
        let rolled = program(&scene, &["rollback", "leaf-1:1.0"], proxy.address()).run(BOUND).expect_code(6);
        let built = built.recv_timeout(BOUND).expect("it was run").expect_code(0);
        let said = format!("{}\n{}\n{}", rolled.said(), built.said(), proxy.show());
        assert!(rolled.stderr.contains("during this rollback"), "{said}");
        shows_the_build(&mut scene, &said);
    }
}

/// Counts the reads of a tag by a rollback before it changes the tag. Undoes this rollback
/// afterwards.
fn looks_before_the_change(scene: &Scene, path: &str) -> u64 {
    let proxy = Proxy::tcp(&scene.registry);
    let before = scene.view.manifest(&rel(scene), "1.0").expect("it is there");
    let _ = program(scene, &["rollback", "leaf-1:1.0"], proxy.address()).run(BOUND).expect_code(0);
    let trace = proxy.trace();
    let change =
        trace.iter().position(|seen| seen.method == "PUT" && seen.path == path).expect("it was changed");
    let media_type = before.header("content-type").expect("a type").to_owned();
    scene.view.put_manifest(&rel(scene), "1.0", &media_type, &before.body);
    let looks = trace[..change].iter().filter(|seen| seen.method == "HEAD" && seen.path == path).count();
    u64::try_from(looks).expect("few")
}

#[test]
fn a_rollback_in_the_middle_of_a_build_waits_for_it() {
    let mut scene = scene();
    renew(&mut scene);
    let proxy = Proxy::tcp(&scene.registry);
    // The build tag exists, and the build is setting the moving tag.
    let path = format!("/v2/{}/manifests/1.0", rel(&scene));
    let rollback = program(&scene, &["rollback", "leaf-1:1.0"], &scene.registry);
    let rolled = in_the_middle(&proxy, rollback, |hook| Rule::new("PUT", &path, Hits::Nth(1), hook));
    let built = program(&scene, &["--push"], proxy.address()).run(BOUND).expect_code(0);
    let rolled = rolled.recv_timeout(BOUND).expect("it was run").expect_code(6);
    let said = format!("{}\n{}\n{}", rolled.said(), built.said(), proxy.show());
    assert!(rolled.stderr.contains("may be on its way; nothing was done"), "{said}");
    shows_the_build(&mut scene, &said);
}
