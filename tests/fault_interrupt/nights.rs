//! A science image is pushed and its compat image fails: row 41, as far as repeating a single
//! command can test it.

use testbed::process::unique;
use testbed::tree::BASE;

use crate::scene::{BOUND, Scene};

/// Docker's proxy settings are not part of the inputs, so the same commit fails with these settings
/// and is built without them.
const FAILING_NIGHT: &str = r#"{"proxies": {"default": {"noProxy": "failing-night"}}}"#;

#[test]
fn row_41_a_night_on_which_the_compat_image_fails_is_made_up_for_by_the_next() {
    let mut scene = Scene::new("nights", 1);
    scene.converge();
    let product = format!("{}/rel/leaf-1", scene.path);
    let before = scene.view.digest(&product, "1.0").expect("the first night was a good one");

    // A step that no earlier run of this test left in the engine's cache.
    let step = format!("RUN echo {} && test \"$no_proxy\" != failing-night", unique());
    scene.tree.write("compat/batch/Dockerfile", format!("{step}\nCMD [\"/bin/sh\"]\n"));
    scene.tree.write("science/leaf-1/Dockerfile", format!("FROM {BASE}\nRUN echo better > /built\n"));
    scene.tree.commit();
    scene.tree.write_docker_config(FAILING_NIGHT);
    let night = scene.program().run(BOUND).expect_code(3);
    scene.check();
    assert_eq!(scene.view.digest(&product, "1.0").as_ref(), Some(&before), "{}", night.said());
    let science = format!("{}/sci/leaf-1", scene.path);
    let published = scene.view.digest(&science, "1.0").expect("its science image was pushed");

    scene.tree.write_docker_config("{}");
    scene.converge();
    assert_eq!(scene.view.digest(&science, "1.0"), Some(published), "the science image was built again");
    assert_ne!(scene.view.digest(&product, "1.0"), Some(before));
    assert_eq!(
        scene.tree.last_outcomes(),
        ["rel/leaf-1:1.0 built", "science/base reused", "science/leaf-1 reused"]
    );
}
