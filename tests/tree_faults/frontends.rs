//! Rows 18 and 19: a foreign program in place of the builder (a frontend), and fragments that would
//! swallow the next one.

use crate::fixture::{compat, finish, git_says, layer, refused, run, sample_with};
use crate::support::Tree;

const OWN: &str = "{\"image\": \"x\", \"compat\": null}";

/// Every form in which some version of BuildKit recognises a frontend, and a few that none
/// recognises.
const FORMS: [&str; 24] = [
    "# syntax=evil.example/f:1\nFROM scratch",
    "#syntax=evil.example/f:1\nFROM scratch",
    "#  SyNtAx \t= \tevil.example/f:1 \nFROM scratch",
    "# syntax=evil.example/f:1\r\nFROM scratch\r\n",
    "# syntax=evil.example/f:1 with arguments\nFROM scratch",
    "\u{feff}# syntax=evil.example/f:1\nFROM scratch",
    "  # syntax=evil.example/f:1\nFROM scratch",
    "# escape=`\n# syntax=evil.example/f:1\nFROM scratch",
    "# check=skip=all\n# syntax=evil.example/f:1\nFROM scratch",
    "# syntax=docker/dockerfile:1\n# syntax=evil.example/f:1\nFROM scratch",
    "# syntax=evil.example/f:1\n# syntax=docker/dockerfile:1\nFROM scratch",
    "# maintainer=somebody\n# syntax=evil.example/f:1\nFROM scratch",
    "# a = b\n#c=d\n# syntax=evil.example/f:1\nFROM scratch",
    "#!/usr/bin/env x\n# syntax=evil.example/f:1\nFROM scratch",
    "# a=b\n#!/usr/bin/env x\n# syntax=evil.example/f:1\nFROM scratch",
    "// syntax=evil.example/f:1\nFROM scratch",
    "//syntax=evil.example/f:1\nFROM scratch",
    "#!/x\n// syntax=evil.example/f:1\nFROM scratch",
    "# a=b\n// syntax=evil.example/f:1\nFROM scratch",
    "{\"syntax\": \"evil.example/f:1\"}",
    "{\"SYNTAX\": \"evil.example/f:1\", \"x\": [{}]}\nFROM scratch",
    "#!/x\n{\"syntax\": \"evil.example/f:1\"}",
    "# syntax = evil.example/f:1\nFROM scratch",
    "# syntax=\tevil.example/f:1\nFROM scratch",
];

#[test]
fn row_18_a_frontend_in_any_form_is_refused() {
    for form in FORMS {
        let tree = sample_with(&layer("x", form, OWN));
        for arguments in [&["plan"][..], &["build", "--push"], &["graph"]] {
            let run = refused(&tree, arguments, 2, &["science/x/Dockerfile:", "evil.example/f:1"]);
            assert!(run.stderr.contains("[frontend]"), "{form:?}: {}", run.stderr);
        }
    }
}

#[test]
fn row_18_only_docker_s_own_of_version_1_needs_no_leave() {
    for name in [
        "docker/dockerfile",
        "docker/dockerfile:latest",
        "docker/dockerfile:10",
        "docker/dockerfile:0",
        "docker/dockerfile:master",
        "docker/dockerfile-upstream:1",
        "dockerfile:1",
        "evil.example/docker/dockerfile:1",
        "evil/docker/dockerfile:1",
        "docker.io.evil.example/docker/dockerfile:1",
        "localhost:1/docker/dockerfile:1",
        "docker/dockerfile:1/../x",
        "docker/dockerfile:1@sha256:00",
        "\u{435}vil",
    ] {
        let tree = sample_with(&layer("x", &format!("# syntax={name}\nFROM scratch"), OWN));
        refused(&tree, &["plan"], 2, &["[frontend]"]);
    }
    for name in [
        "docker/dockerfile:1",
        "docker/dockerfile:1.7",
        "docker/dockerfile:1-labs",
        "docker.io/docker/dockerfile:1.4",
    ] {
        let tree = sample_with(&layer("x", &format!("# syntax={name}\nFROM scratch"), OWN));
        run(&tree, &["plan"]).code(0);
    }
}

#[test]
fn row_18_flags_and_environment_allow_one_and_the_tree_cannot() {
    let dockerfile = "# syntax=evil.example/f:1\nFROM scratch";
    let tree = sample_with(&layer("x", dockerfile, OWN));
    run(&tree, &["plan", "--allow-frontend", "evil.example/f:1"]).code(0);
    run(&tree, &["plan", "--allow-frontend", "a.example/b:1,evil.example/f:1"]).code(0);
    let allowed =
        |value: &str| finish(&tree, tree.command(&["plan"]).env("IMAGE_BUILDER_ALLOW_FRONTEND", value));
    allowed("evil.example/f:1").code(0);
    allowed("a.example/b:1, evil.example/f:1").code(0);
    for other in
        ["", "*", "evil.example/f", "evil.example/f:2", "evil.example/f:1x", "evil.example", "true", "1"]
    {
        allowed(other).code(2);
        refused(&tree, &["plan", &format!("--allow-frontend={other}")], 2, &["[frontend]"]);
    }
    // No setting in the tree or in its repository may permit it.
    for files in [
        "//- /image-builder.toml\nallow_frontend = [\"evil.example/f:1\"]\n",
        "//- /image-builder.toml\n[check]\nfrontend = \"allow\"\n",
        "//- /.env\nIMAGE_BUILDER_ALLOW_FRONTEND=evil.example/f:1\n",
        "//- /science/.env\nIMAGE_BUILDER_ALLOW_FRONTEND=evil.example/f:1\n",
    ] {
        let tree = sample_with(&(layer("x", dockerfile, OWN) + files));
        git_says(&tree, &["config", "image-builder.allowFrontend", "evil.example/f:1"]);
        refused(&tree, &["plan"], 2, &["[frontend]"]);
    }
    let descriptor = "{\"image\": \"x\", \"compat\": null, \"allow-frontend\": \"evil.example/f:1\"}";
    refused(&sample_with(&layer("x", dockerfile, descriptor)), &["plan"], 2, &["unknown field"]);
}

#[test]
fn row_18_no_argument_steers_the_builder() {
    let fine = "FROM scratch";
    for name in [
        "BUILDKIT_SYNTAX",
        "buildkit_syntax",
        "BUILDKIT_",
        "BUILDKIT_INLINE_CACHE",
        "Buildkit_Sandbox_Hostname",
    ] {
        let descriptor = |kind: &str| format!("{{{kind} \"args\": {{\"{name}\": \"evil.example/f:1\"}}}}");
        let tree = sample_with(&layer("x", fine, &descriptor("\"image\": \"x\", \"compat\": null,")));
        refused(&tree, &["plan"], 2, &["[buildkit-argument]", name]);
        let tree = sample_with(&compat("x", "", &descriptor("")));
        refused(&tree, &["plan"], 2, &["[buildkit-argument]", name]);
    }
    for dockerfile in [
        "ARG BUILDKIT_SYNTAX=evil.example/f:1\nFROM scratch",
        "ARG A=1 BUILDKIT_SYNTAX=evil.example/f:1\nFROM scratch",
        "FROM scratch\nARG BUILDKIT_SYNTAX=evil.example/f:1",
        "FROM scratch\narg \\\n BUILDKIT_SYNTAX=evil.example/f:1",
        "FROM scratch\nONBUILD ARG BUILDKIT_SYNTAX=evil.example/f:1",
    ] {
        refused(&sample_with(&layer("x", dockerfile, OWN)), &["plan"], 2, &["[buildkit-argument]"]);
    }
    let fragment = compat("x", "ARG BUILDKIT_SYNTAX=evil.example/f:1", "{}");
    refused(&sample_with(&fragment), &["plan"], 2, &["[buildkit-argument]"]);
}

/// Fragments, and the code of the error.
const FRAGMENTS: [(&str, &str); 22] = [
    ("RUN x \\", "fragment-open"),
    ("RUN x \\\n", "fragment-open"),
    ("RUN x \\ \t\n", "fragment-open"),
    ("RUN x \\\r\n", "fragment-open"),
    ("RUN x \\\n# a comment\n\n", "fragment-open"),
    ("# a comment\nENV A=1 \\\n  B=2 \\\n", "fragment-open"),
    ("RUN <<EOF\nx\n", "heredoc-open"),
    ("RUN <<-EOF\n  EOF\n", "heredoc-open"),
    ("RUN <<'EOF'\nEOF \n", "heredoc-open"),
    ("COPY <<A <<B /x/\nA\n", "heredoc-open"),
    ("RUN cat <<EOF\nEOF x\n", "heredoc-open"),
    ("FROM scratch\n", "fragment-from"),
    ("USER x\n  from scratch as y\n", "fragment-from"),
    ("FROM \\\nscratch\n", "fragment-from"),
    ("# escape=`\nRUN x\n", "fragment-directive"),
    ("# syntax=docker/dockerfile:1\nRUN x\n", "fragment-directive"),
    ("# check=skip=all\nRUN x\n", "fragment-directive"),
    ("\u{feff}# escape=`\nRUN x `\n", "fragment-directive"),
    ("// syntax=evil.example/f:1\nRUN x\n", "fragment-directive"),
    ("{\"syntax\": \"evil.example/f:1\"}", "fragment-directive"),
    ("ONBUILD FROM scratch\n", "onbuild"),
    ("COPY --from=later / /\n", "reference"),
];

#[test]
fn row_19_a_fragment_that_would_swallow_the_next_is_refused_by_name() {
    for (fragment, code) in FRAGMENTS {
        // `common` comes before `jupyter` in the sample's compat stack.
        let mut tree = Tree::sample();
        tree.write("compat/common/Dockerfile", fragment);
        tree.commit();
        if code == "reference" {
            // A stage of another fragment does not count as a stage here: the name refers to an
            // image, which the plan shows.
            let plan = run(&tree, &["plan", "--format", "json"]).code(0).stdout;
            assert!(plan.contains("docker.io/library/later:latest"), "{plan}");
            continue;
        }
        for arguments in [&["plan"][..], &["build", "--push"], &["graph"]] {
            let run = refused(&tree, arguments, 2, &["compat/common/Dockerfile:"]);
            assert!(run.stderr.contains(&format!("[{code}]")), "{fragment:?}: {}", run.stderr);
            assert!(!run.stderr.contains("compat/jupyter/Dockerfile"), "{fragment:?}: {}", run.stderr);
        }
    }
}

/// A line that only looks as if it continued is kept, and so is the next line.
#[test]
fn row_19_fragments_stay_apart_in_what_is_built() {
    for fragment in [
        "RUN x \\\\ \n# \\",
        "# ends without a line end, and in a backslash \\",
        "RUN <<EOF\nRUN x \\\nEOF",
        "RUN echo '<<EOF'",
        "CMD [\"\\\\\"]",
        "RUN x \\\n  y",
        "",
    ] {
        let mut tree = Tree::sample();
        tree.write("compat/common/Dockerfile", fragment);
        tree.commit();
        let run = run(&tree, &["plan", "--format", "json"]);
        if run.code == Some(2) {
            assert!(run.stderr.contains("compat/common/Dockerfile:"), "{fragment:?}: {}", run.stderr);
            continue;
        }
        let plan: serde_json::Value = serde_json::from_str(&run.code(0).stdout).unwrap();
        let builds = plan["builds"].as_array().unwrap();
        let product = builds.iter().find(|build| build["id"] == "rel/nist-basic:1.0").unwrap();
        let lines: Vec<&str> = product["dockerfile"].as_str().unwrap().lines().collect();
        let next =
            lines.iter().position(|line| *line == "CMD [\"jupyter-notebook\"]").expect("the next fragment");
        assert!(
            !lines[next - 1].ends_with('\\') || lines[next - 1].starts_with('#'),
            "{fragment:?}: {lines:?}"
        );
        assert!(lines.last().is_some_and(|line| line.starts_with("ENV SCISERVER_IMAGE=")), "{lines:?}");
    }
}
