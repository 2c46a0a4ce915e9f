//! Joins the tests that descriptors declare with the scripts that they name.
//!
//! A script is read even if `.dockerignore` excludes it from the context: it is copied into the
//! container of its test, and need not be in the image.

use plan::{ImageTest, TestAction};

use crate::Problem;
use crate::parse::descriptor::{DeclaredAction, DeclaredTest};
use crate::tree::{LayerFiles, Mode};

/// Size limit of a script, in bytes: the plan contains the script.
const MAX_SCRIPT: usize = 64 << 10;

/// Returns the problems of the scripts that a layer's tests name.
pub(crate) fn problems<'a>(
    files: &LayerFiles,
    tests: impl Iterator<Item = (u32, &'a DeclaredTest)>,
) -> Vec<Problem> {
    let problem = |(line, test): (u32, &DeclaredTest)| {
        let path = test.script()?;
        let (message, help) = wrong(files, path)?;
        let problem = Problem::in_file(
            "test-script",
            &files.descriptor.path,
            format!("tests: the script {path} {message}"),
        );
        Some(problem.line(line).help(help))
    };
    tests.filter_map(problem).collect()
}

fn wrong(files: &LayerFiles, path: &str) -> Option<(&'static str, &'static str)> {
    let Ok(at) = files.files.binary_search_by(|file| file.path.as_str().cmp(path)) else {
        return Some(("is not there", "give its path below the layer's directory; git must track it"));
    };
    if let Mode::Symlink(_) = files.files[at].mode {
        return Some(("is a symbolic link", "put the file that it names in its place"));
    }
    // An unreadable script has been reported already.
    let text = &files.scripts.get(path)?.text;
    let first = text.split('\n').next().unwrap_or_default();
    if text.len() > MAX_SCRIPT {
        Some(("is longer than 64 KiB", "a test is some lines; what it needs should be in the image"))
    } else if text.contains('\0') {
        Some(("holds a NUL", "it should be text"))
    } else if !first.starts_with("#!") || first.len() == 2 {
        Some(("does not say what runs it", "begin it with a line such as #!/bin/sh"))
    } else if first.ends_with('\r') {
        Some((
            "has the line ends of Windows",
            "save it with those of Unix: no kernel finds its interpreter otherwise",
        ))
    } else {
        None
    }
}

/// Returns the tests of a layer, as in the plan.
pub(crate) fn planned(files: &LayerFiles, tests: &[DeclaredTest]) -> impl Iterator<Item = ImageTest> {
    tests.iter().map(|test| ImageTest {
        layer: files.path.clone(),
        action: match &test.action {
            DeclaredAction::Run(words) => TestAction::Run(words.clone()),
            DeclaredAction::Script(path) => TestAction::Script {
                path: path.clone(),
                text: files.scripts.get(path).map(|file| file.text.clone()).unwrap_or_default(),
            },
        },
        timeout: test.timeout,
        network: test.network,
        user: test.user.clone(),
    })
}
