//! Registries that only the engine's configuration marks as insecure: a run uses that
//! configuration.

use testbed::command::Program;
use testbed::engine::Options;
use testbed::registry::{Auth, Clients, PrivateRegistry, Secure};
use testbed::tree::Tree;

use crate::scene::BOUND;
use crate::stage::Stage;

#[test]
fn what_the_engine_takes_for_insecure_is_pushed_to_and_looked_at() {
    let registry = PrivateRegistry::start(Auth::None);
    let secure = Secure::start(&registry, Clients::All);
    // Not a loopback address, but it reaches this machine.
    let plain = registry.address().replace("127.0.0.1", "0.0.0.0");
    let stage = Stage::with(Options { insecure: vec![plain.clone(), secure.far()], ..Options::default() });
    let tree = Tree::standard(1);
    let build = |address: &str, path: &str| {
        Program::new(env!("CARGO_BIN_EXE_image-builder"), &tree)
            .args(["--all", "--push", "--repo", &format!("{address}/{path}")])
            .host(stage.host())
            .run(BOUND)
    };
    for (address, path) in [(plain.as_str(), "plain"), (&secure.far(), "secure")] {
        build(address, path).expect_code(0);
        let view = registry.view();
        for repository in [format!("{path}/sci/base"), format!("{path}/rel/leaf-1")] {
            let digest = view.digest(&repository, "1.0").expect("it is pushed, and its moving tag is set");
            assert_eq!(view.referrers(&repository, &digest).len(), 1, "its spec is attached: {repository}");
        }
    }
    // A registry that the engine does not know as insecure: nothing is pushed.
    let unknown = Secure::start(&registry, Clients::All);
    let outcome = build(&unknown.far(), "unknown").expect_code(5);
    assert!(outcome.stderr.contains(&format!("certs.d/{}/ca.crt", unknown.far())), "{}", outcome.stderr);
    assert!(registry.view().tags("unknown/sci/base").is_empty());
}
