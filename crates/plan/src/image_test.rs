//! What must succeed in a fresh image before anything of it is published.

use serde::{Deserialize, Serialize};

/// One test of an image: something that is run in a container of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageTest {
    /// The path of the layer whose descriptor asks for it, `science/nist` or `compat/jupyter`.
    pub layer: String,
    /// What is run.
    #[serde(flatten)]
    pub action: TestAction,
    /// Seconds after which it has failed.
    pub timeout: u64,
    /// Whether its container has a network; without one it has only its own loopback.
    #[serde(default)]
    pub network: bool,
    /// As whom it runs; as the image says when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// What a test runs. Exit code 0 is success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestAction {
    /// A program with its arguments, as they are: no shell.
    Run(Vec<String>),
    /// A script of the layer.
    Script {
        /// Its path below the layer.
        path: String,
        /// Its text, which begins with `#!`.
        text: String,
    },
}
