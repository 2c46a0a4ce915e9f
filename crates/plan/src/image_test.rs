//! Tests that must succeed in a new image before it is published.

use serde::{Deserialize, Serialize};

/// One test of an image: a command or script that runs in a container of that image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageTest {
    /// The path of the layer whose descriptor defines the test, `science/nist` or `compat/jupyter`.
    pub layer: String,
    /// The command.
    #[serde(flatten)]
    pub action: TestAction,
    /// Seconds after which the test fails.
    pub timeout: u64,
    /// Whether the container has a network; otherwise it has only the loopback interface.
    #[serde(default)]
    pub network: bool,
    /// The user that runs the test; the image's user if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// The command of a test. Exit code 0 is success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestAction {
    /// A program with its arguments, run without a shell.
    Run(Vec<String>),
    /// A script of the layer.
    Script {
        /// Its path below the layer.
        path: String,
        /// Its text, which begins with `#!`.
        text: String,
    },
}

impl ImageTest {
    /// The command for display: on one line, shortened if it is long.
    #[must_use]
    pub fn title(&self) -> String {
        const LONGEST: usize = 120;
        let full = match &self.action {
            TestAction::Script { path, .. } => format!("{}/{path}", self.layer),
            TestAction::Run(words) => {
                words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ").replace(['\n', '\r'], " ")
            }
        };
        match full.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &full[..end]),
            None => full,
        }
    }
}

/// Quotes a word for a shell, if necessary.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(action: TestAction) -> ImageTest {
        ImageTest { layer: "compat/web".into(), action, timeout: 60, network: false, user: None }
    }

    #[test]
    fn a_title_is_one_line() {
        let run = |words: &[&str]| TestAction::Run(words.iter().map(|word| (*word).to_owned()).collect());
        for (action, title) in [
            (run(&["python3", "-c", "import numpy"]), "python3 -c 'import numpy'"),
            (run(&["sh", "-c", "echo 'a'\n", ""]), "sh -c 'echo '\\''a'\\'' ' ''"),
            (
                TestAction::Script { path: "tests/a.sh".into(), text: "#!/bin/sh".into() },
                "compat/web/tests/a.sh",
            ),
        ] {
            assert_eq!(test(action).title(), title);
        }
        assert_eq!(test(run(&[&"é".repeat(500)])).title().chars().count(), 121);
    }

    #[test]
    fn a_plan_holds_it_flat() {
        let json = serde_json::json!({
            "layer": "compat/web", "script": {"path": "a.sh", "text": "#!/bin/sh\n"}, "timeout": 60, "network": false
        });
        let read: ImageTest = serde_json::from_value(json.clone()).expect("a test");
        assert_eq!(serde_json::to_value(&read).expect("JSON"), json);
        let json =
            serde_json::json!({"layer": "a", "run": ["x"], "timeout": 1, "network": true, "user": "1000"});
        let read: ImageTest = serde_json::from_value(json.clone()).expect("a test");
        assert_eq!(serde_json::to_value(&read).expect("JSON"), json);
    }
}
