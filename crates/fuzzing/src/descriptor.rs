//! Descriptors of both kinds, and `image-builder.toml`: any text gives valid values, or problems
//! with a place.

use planner::descriptor::{self, Compat};
use planner::{Problem, config};

use crate::{file, names};

/// Parses the text as each of the three files.
pub(crate) fn body(data: &[u8]) {
    let text = file("science/dir/sciserver-image.json", data);
    let (science, problems, guidelines) = descriptor::science(&text, "dir");
    check(&problems, &text.text);
    check(&guidelines, &text.text);
    match science {
        None => assert!(!problems.is_empty(), "neither read nor refused"),
        Some(science) => {
            assert!(
                names::is_component(science.image.as_str()) && names::is_component(science.target.as_str())
            );
            assert!(names::is_version(science.version.as_str()));
            if let (Compat::Layer(name), true) = (&science.compat, problems.is_empty()) {
                check_layer_name(name);
            }
            check_args(&science.args);
            for field in ["image", "version", "target", "compat", "args", "tests"] {
                let value = |place| text.text.get(place).is_some_and(|value: &str| !value.is_empty());
                assert!(science.place(field).is_none_or(value));
            }
            if problems.is_empty() {
                assert!(science.place("image").is_some(), "an image name out of nothing");
            }
        }
    }

    let text = file("compat/dir/sciserver-image.json", data);
    let (compat, problems, guidelines) = descriptor::compat(&text);
    check(&problems, &text.text);
    check(&guidelines, &text.text);
    assert!(compat.is_some() || !problems.is_empty(), "neither read nor refused");
    for compat in compat.iter() {
        compat.includes.iter().for_each(|name| check_layer_name(name));
        check_args(&compat.args);
    }

    let text = file("image-builder.toml", data);
    let (config, problems) = config::parse(Some(&text));
    check(&problems, &text.text);
    assert!(config::check_repo(&config.repo).is_ok(), "a repo that is none: {:?}", config.repo);
    assert!(config::check_platform(&config.platform).is_ok(), "{:?}", config.platform);
    for product in config.retired.iter().chain(&config.hold) {
        assert!(config::check_product(product).is_ok(), "{product:?}");
    }
    assert!(!config.image_variable.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    assert!(config.source.iter().all(|source| !source.contains(char::is_control)), "{:?}", config.source);
}

/// Asserts that a layer's name is a path of a directory below `compat/`.
fn check_layer_name(name: &str) {
    assert!(!name.starts_with('/') && !name.contains(char::is_control) && !name.contains('\\'), "{name:?}");
    assert!(name.split('/').all(|part| !matches!(part, "" | "." | "..")), "{name:?}");
}

fn check_args(args: &std::collections::BTreeMap<String, String>) {
    for (name, value) in args {
        assert!(!name.to_ascii_uppercase().starts_with("BUILDKIT_"), "{name}");
        assert!(!name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') && !value.contains('\0'));
    }
}

/// Asserts that the lines of all problems are in the file.
fn check(problems: &[Problem], text: &str) {
    if problems.is_empty() {
        return;
    }
    crate::check_problems(problems);
    let lines = text.split('\n').count();
    for problem in problems {
        assert!(problem.line.is_none_or(|line| line as usize <= lines), "{problem:?}");
    }
}
