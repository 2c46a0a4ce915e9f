//! Reads the registry's contents with skopeo, a program independent of ours.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::Result;
use serde::Deserialize;

use crate::process;

/// The tags of a repository, in order.
pub(super) fn tags(repo: &str, repository: &str) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Listed {
        tags: Vec<String>,
    }
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["list-tags", "--tls-verify=false"]).arg(format!("docker://{repo}/{repository}"));
    let mut listed: Listed = serde_json::from_str(&process::read(&mut skopeo)?)?;
    listed.tags.sort();
    Ok(listed.tags)
}

/// The digest of a tag.
pub(super) fn digest(repo: &str, repository: &str, tag: &str) -> Result<String> {
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}"]);
    Ok(process::read(skopeo.arg(format!("docker://{repo}/{repository}:{tag}")))?.trim().to_owned())
}

/// The labels of an image.
pub(super) fn labels(repo: &str, repository: &str, tag: &str) -> Result<BTreeMap<String, String>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Image {
        labels: Option<BTreeMap<String, String>>,
    }
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["inspect", "--tls-verify=false"]).arg(format!("docker://{repo}/{repository}:{tag}"));
    let image: Image = serde_json::from_str(&process::read(&mut skopeo)?)?;
    Ok(image.labels.unwrap_or_default())
}
