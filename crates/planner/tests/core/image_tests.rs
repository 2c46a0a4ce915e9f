//! Tests of images: the tests of each build, and rejected scripts.

use plan::{BuildId, TestAction};
use planner::{Request, Selection, fixture};

use crate::{plan, refused, short};

const TREE: &str = "
//- /compat/common/.dockerignore
tests
//- /compat/common/Dockerfile
USER root
//- /compat/common/sciserver-image.json
{ \"tests\": [\"tests/home.sh\"] }
//- /compat/common/tests/home.sh
#!/bin/sh
test -w \"$HOME\"
//- /compat/top/Dockerfile
USER 1000
//- /compat/top/sciserver-image.json
{ \"includes\": [\"common\"], \"tests\": [{ \"run\": [\"start\", \"/\"], \"user\": \"4242\" }] }
//- /science/sky/Dockerfile
FROM docker.io/library/debian:12
//- /science/sky/check.py
#!/usr/bin/env python3
import sky
//- /science/sky/sciserver-image.json
{ \"image\": \"sky\", \"compat\": \"top\", \"tests\": [\"check.py\", { \"run\": [\"true\"], \"timeout\": \"5m\", \"network\": true }] }
";

#[test]
fn an_image_has_the_tests_of_its_own_layers_in_order() {
    let planned = plan(&fixture::first(TREE), &Request::default());
    let tests = |id: &str| {
        let build = planned.plan.build(&BuildId(id.to_owned())).expect("planned");
        build.tests.iter().map(|test| (test.layer.clone(), test.title())).collect::<Vec<_>>()
    };
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(layer, title)| ((*layer).to_owned(), (*title).to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(
        tests("science/sky"),
        pairs(&[("science/sky", "science/sky/check.py"), ("science/sky", "true")])
    );
    assert_eq!(
        tests("rel/sky:1.0"),
        pairs(&[("compat/common", "compat/common/tests/home.sh"), ("compat/top", "start /")])
    );
    let compat = planned.plan.build(&BuildId("rel/sky:1.0".to_owned())).expect("planned");
    let text = "#!/bin/sh\ntest -w \"$HOME\"\n";
    let script = TestAction::Script { path: "tests/home.sh".to_owned(), text: text.to_owned() };
    assert_eq!(compat.tests[0].action, script, "it is read though no context has it");
    let context = &planned.contexts[&compat.id];
    assert!(context.entries.iter().all(|entry| !entry.path.starts_with("tests")), "{context:?}");
    assert_eq!((compat.tests[1].user.as_deref(), compat.tests[1].timeout), (Some("4242"), 60));
    let science = planned.plan.build(&BuildId("science/sky".to_owned())).expect("planned");
    assert_eq!((science.tests[1].timeout, science.tests[1].network), (300, true));
    // The plan survives conversion to JSON and back.
    let json = planned.plan.to_json();
    assert_eq!(plan::Plan::from_json(&json).expect("a plan"), planned.plan);
}

#[test]
fn other_tests_plan_nothing_and_leave_the_inputs_as_they_are() {
    let inputs = |tree: &str| {
        let planned = plan(&fixture::first(tree), &Request::default());
        planned.plan.builds.iter().map(|build| build.context.inputs.clone()).collect::<Vec<_>>()
    };
    let other = TREE.replace("\"timeout\": \"5m\"", "\"timeout\": \"6m\"").replace("4242", "4243");
    assert_eq!(inputs(&other), inputs(TREE));
    let planned = plan(&fixture::inputs(&other, TREE), &Request::default());
    insta::assert_snapshot!(short(&planned), @"
    not compat/top (tests): these fields of the descriptor decide nothing that is built
    not science/sky (tests): these fields of the descriptor decide nothing that is built
    ");
}

#[test]
fn a_script_counts_as_the_file_that_it_is() {
    let kept_out = TREE.replace("test -w", "test -d");
    let planned = plan(&fixture::inputs(&kept_out, TREE), &Request::default());
    insta::assert_snapshot!(short(&planned), @"not compat/common (compat/common/tests/home.sh): these files are not sent to the build");
    let in_context = TREE.replace("import sky", "import sea");
    let planned = plan(&fixture::inputs(&in_context, TREE), &Request::default());
    insta::assert_snapshot!(short(&planned), @"
    science/sky
        files science/sky/check.py
    rel/sky:1.0 on sky
        parent science/sky
    ");
    let request = Request { selection: Selection::All, ..Request::default() };
    let planned = plan(&fixture::inputs(&kept_out, TREE), &request);
    let compat = planned.plan.build(&BuildId("rel/sky:1.0".to_owned())).expect("planned");
    assert!(
        matches!(&compat.tests[0].action, TestAction::Script { text, .. } if text.contains("test -d")),
        "{:?}",
        compat.tests
    );
}

#[test]
fn scripts_that_cannot_run_are_refused() {
    for (from, to, expect) in [
        (
            "\"check.py\"",
            "\"chek.py\"",
            "the script chek.py is not there [test-script]\n  help: give its path below the layer's directory; git must track it",
        ),
        (
            "/check.py\n#!/usr/bin/env python3\n",
            "/check.py -> /etc/passwd\n",
            "the script check.py is a symbolic link [test-script]\n  help: put the file that it names in its place",
        ),
        (
            "#!/usr/bin/env python3\n",
            "",
            "the script check.py does not say what runs it [test-script]\n  help: begin it with a line such as #!/bin/sh",
        ),
        (
            "env python3\n",
            "env python3\r\n",
            "the script check.py has the line ends of Windows [test-script]",
        ),
        ("import sky", "\0", "the script check.py holds a NUL [test-script]"),
        (
            "import sky",
            &"import sky\n".repeat(7000),
            "the script check.py is longer than 64 KiB [test-script]",
        ),
    ] {
        let tree = TREE.replace(from, to);
        assert_ne!(tree, TREE, "{from}");
        let told = refused(&fixture::first(&tree), &Request::default());
        let expect = format!("science/sky/sciserver-image.json:1: tests: {expect}");
        assert!(told.starts_with(&expect), "{told}");
        // Problems of the other side are ignored.
        plan(&fixture::inputs(TREE, &tree), &Request::default());
    }
}
