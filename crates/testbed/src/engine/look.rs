//! Reads an engine's containers and images by its HTTP API, with code that is not the tool's.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::proxy::Upstream;

/// A container, running or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// All digits.
    pub id: String,
    /// As it was asked for, or an image's id.
    pub image: String,
    /// Such as `running`, `created`, `exited`.
    pub state: String,
    /// Its own and its image's.
    pub labels: BTreeMap<String, String>,
}

/// All containers of the engine at a host, also those that do not run.
///
/// # Panics
/// When it does not answer.
#[must_use]
#[track_caller]
pub fn containers(host: &str) -> Vec<Container> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |value: &Value| Container {
        id: text(&value["Id"]),
        image: text(&value["Image"]),
        state: text(&value["State"]),
        labels: value["Labels"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), text(value)))
            .collect(),
    };
    ask(host, "/containers/json?all=1").as_array().into_iter().flatten().map(one).collect()
}

/// The names with tags of all images of the engine at a host, sorted.
///
/// # Panics
/// When it does not answer.
#[must_use]
#[track_caller]
pub fn images(host: &str) -> Vec<String> {
    let listed = ask(host, "/images/json");
    let tags = listed.as_array().into_iter().flatten().flat_map(|image| image["RepoTags"].as_array());
    let mut names: Vec<_> = tags.flatten().filter_map(|tag| tag.as_str().map(str::to_owned)).collect();
    names.sort();
    names
}

#[track_caller]
fn ask(host: &str, target: &str) -> Value {
    match crate::http::ask(&Upstream::parse(host), "GET", target, &[], b"") {
        Ok(answer) if answer.status == 200 => answer.json(),
        Ok(answer) => panic!("{host} {target}: {} {}", answer.status, answer.text()),
        Err(error) => panic!("{host} {target}: {error}"),
    }
}
