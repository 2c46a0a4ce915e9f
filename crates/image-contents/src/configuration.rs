//! Parses an image's configuration (OCI image specification, "Image Configuration") into settings
//! that can be compared.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::limits::Limit;

/// The parts of a configuration that are used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// `os/architecture[/variant]`.
    pub platform: String,
    /// When the image was created, RFC 3339.
    pub created: Option<String>,
    /// Digests of the layers' contents, the lowest first.
    pub layers: Vec<String>,
    /// The command that created each layer, as the builder wrote it; as long as `layers`, or empty
    /// if unknown.
    pub made_by: Vec<String>,
    /// The settings that a container of the image starts with.
    pub settings: Settings,
}

/// Settings with their values.
pub type Settings = BTreeMap<Setting, String>;

/// One setting of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Setting {
    /// An environment variable.
    Environment(String),
    /// The entry point.
    Entrypoint,
    /// The arguments of the entry point, or the command if there is none.
    Command,
    /// The user.
    User,
    /// The working directory.
    WorkingDirectory,
    /// A port, `8888/tcp`.
    Port(String),
    /// The path of a volume.
    Volume(String),
    /// The signal that stops a container.
    StopSignal,
    /// The health check.
    Healthcheck,
    /// The shell of instructions in shell form.
    Shell,
    /// A label.
    Label(String),
}

impl Setting {
    /// The kind of setting, as in published data.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Environment(_) => "environment",
            Self::Entrypoint => "entrypoint",
            Self::Command => "cmd",
            Self::User => "user",
            Self::WorkingDirectory => "workdir",
            Self::Port(_) => "port",
            Self::Volume(_) => "volume",
            Self::StopSignal => "stop-signal",
            Self::Healthcheck => "healthcheck",
            Self::Shell => "shell",
            Self::Label(_) => "label",
        }
    }

    /// The key, for a setting with several values.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Environment(name) | Self::Port(name) | Self::Volume(name) | Self::Label(name) => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} {name}", self.kind()),
            None => f.write_str(self.kind()),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Raw {
    os: String,
    architecture: String,
    variant: Option<String>,
    created: Option<String>,
    config: Option<RawSettings>,
    rootfs: Option<RootFs>,
    history: Option<Vec<Made>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RootFs {
    diff_ids: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Made {
    created_by: Option<String>,
    empty_layer: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawSettings {
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
    exposed_ports: Option<BTreeMap<String, Value>>,
    volumes: Option<BTreeMap<String, Value>>,
    stop_signal: Option<String>,
    healthcheck: Option<Value>,
    shell: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
}

impl Configuration {
    /// Reads a configuration.
    ///
    /// # Errors
    /// A description of the first error.
    pub fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let raw: Raw = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let layers = raw.rootfs.unwrap_or_default().diff_ids.unwrap_or_default();
        Limit::Layers.check(layers.len() as u64).map_err(|beyond| beyond.to_string())?;
        let history = raw.history.unwrap_or_default();
        let made_by: Vec<String> = history
            .into_iter()
            .filter(|made| !made.empty_layer)
            .map(|made| made.created_by.unwrap_or_default())
            .collect();
        Ok(Self {
            platform: match raw.variant.filter(|variant| !variant.is_empty()) {
                Some(variant) => format!("{}/{}/{variant}", raw.os, raw.architecture),
                None => format!("{}/{}", raw.os, raw.architecture),
            },
            created: raw.created,
            made_by: if made_by.len() == layers.len() { made_by } else { Vec::new() },
            layers,
            settings: settings(raw.config.unwrap_or_default()),
        })
    }
}

fn settings(raw: RawSettings) -> Settings {
    let mut settings = Settings::new();
    for variable in raw.env.unwrap_or_default() {
        let (name, value) = variable.split_once('=').unwrap_or((&variable, ""));
        settings.insert(Setting::Environment(name.to_owned()), value.to_owned());
    }
    let words = |words: Option<Vec<String>>| {
        let words = words.filter(|words| !words.is_empty())?;
        Some(serde_json::to_string(&words).expect("texts are JSON"))
    };
    let text = |text: Option<String>| text.filter(|text| !text.is_empty());
    let single = [
        (Setting::Entrypoint, words(raw.entrypoint)),
        (Setting::Command, words(raw.cmd)),
        (Setting::User, text(raw.user)),
        // An empty working directory is the same as the root.
        (Setting::WorkingDirectory, text(raw.working_dir).filter(|directory| directory != "/")),
        (Setting::StopSignal, text(raw.stop_signal)),
        (
            Setting::Healthcheck,
            raw.healthcheck.filter(|check| !check.is_null()).map(|check| check.to_string()),
        ),
        (Setting::Shell, words(raw.shell)),
    ];
    settings.extend(single.into_iter().filter_map(|(setting, value)| Some((setting, value?))));
    let names = |map: Option<BTreeMap<String, Value>>| map.unwrap_or_default().into_keys();
    settings.extend(names(raw.exposed_ports).map(|port| (Setting::Port(port), String::new())));
    settings.extend(names(raw.volumes).map(|volume| (Setting::Volume(volume), String::new())));
    let labels = raw.labels.unwrap_or_default();
    settings.extend(labels.into_iter().map(|(key, value)| (Setting::Label(key), value)));
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read() {
        let text = r#"{
            "os": "linux", "architecture": "arm64", "variant": "v8", "created": "2026-01-02T03:04:05Z", "strange": 7,
            "config": {
                "Env": ["PATH=/bin:/usr/bin", "EMPTY=", "BARE", "EQ=a=b"], "Entrypoint": ["/init", "a b"], "Cmd": [],
                "User": "", "WorkingDir": "/", "ExposedPorts": {"8888/tcp": {}}, "Volumes": {"/data": {}},
                "Healthcheck": {"Test": ["CMD", "true"]}, "Labels": {"a": "b"}, "StopSignal": "SIGINT"
            },
            "rootfs": {"type": "layers", "diff_ids": ["sha256:1", "sha256:2"]},
            "history": [{"created_by": "ADD"}, {"created_by": "ENV", "empty_layer": true}, {"created_by": "RUN x"}]
        }"#;
        let configuration = Configuration::from_json(text.as_bytes()).unwrap();
        assert_eq!(configuration.platform, "linux/arm64/v8");
        assert_eq!(configuration.layers, ["sha256:1", "sha256:2"]);
        assert_eq!(configuration.made_by, ["ADD", "RUN x"]);
        let settings: Vec<String> =
            configuration.settings.iter().map(|(setting, value)| format!("{setting}={value}")).collect();
        insta::assert_snapshot!(settings.join("\n"), @r#"
        environment BARE=
        environment EMPTY=
        environment EQ=a=b
        environment PATH=/bin:/usr/bin
        entrypoint=["/init","a b"]
        port 8888/tcp=
        volume /data=
        stop-signal=SIGINT
        healthcheck={"Test":["CMD","true"]}
        label a=b
        "#);
    }

    #[test]
    fn a_configuration_may_lack_everything() {
        for text in
            ["{}", r#"{"config": null, "rootfs": null, "history": null}"#, r#"{"config": {"Env": null}}"#]
        {
            assert!(Configuration::from_json(text.as_bytes()).unwrap().settings.is_empty(), "{text}");
        }
        let untold = r#"{"rootfs": {"diff_ids": ["a", "b"]}, "history": [{"created_by": "one"}]}"#;
        assert!(Configuration::from_json(untold.as_bytes()).unwrap().made_by.is_empty());
        assert!(Configuration::from_json(b"[1]").is_err());
        let layers =
            |count: usize| format!("{{\"rootfs\": {{\"diff_ids\": [{}\"\"]}}}}", "\"\",".repeat(count - 1));
        assert_eq!(Configuration::from_json(layers(1024).as_bytes()).unwrap().layers.len(), 1024);
        let beyond = Configuration::from_json(layers(1025).as_bytes()).unwrap_err();
        assert_eq!(beyond, "an image of more than 1,024 layers");
    }
}
