//! Checks `RUN --mount`: keys and values, in the order in which builders read them
//! (`instructions/commands_runmount.go`).

use crate::parse::dockerfile::head::{Flag, Part};
use crate::parse::dockerfile::lines::{self, Line};
use crate::parse::dockerfile::rules::{Rules, did_you_mean};
use crate::parse::dockerfile::{ContextUse, Source};

const KEYS: [&str; 17] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "required",
    "size",
    "id",
    "sharing",
    "mode",
    "env",
];

const TYPES: [&str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];

/// The options of a mount so far.
#[derive(Default)]
struct Mount {
    /// One of [`TYPES`]; empty for the default, `bind`.
    kind: String,
    target: Option<String>,
    source: Option<String>,
    has_from: bool,
    has_id: bool,
    has_env: bool,
    has_sharing: bool,
    /// The last of `mode`, `uid` and `gid` that was set.
    file_info: Option<&'static str>,
    /// Whether a value is unknown, so that the combination of options is not checked.
    unsure: bool,
}

impl Mount {
    fn kind(&self) -> &str {
        if self.kind.is_empty() { "bind" } else { &self.kind }
    }
}

/// Reports mounts that no builder accepts, and collects the source that a bind mount uses from the
/// context.
pub(in crate::parse::dockerfile) fn check(rules: &mut Rules<'_>, line: &Line, flag: &Flag) {
    let Some(whole) = flag.value() else { return };
    // Remaining quotes belong to CSV; `from` with quotes is reported elsewhere.
    if whole.text.contains('"') {
        return;
    }
    if whole.text.is_empty() {
        return defect(rules, line, flag, "--mount is empty".to_owned(), "add what to mount, and where");
    }
    let mut mount = Mount::default();
    for (key, value) in flag.fields() {
        let read = match value {
            None => bare(&mount, &key),
            Some(value) => field(rules, line, flag, &mut mount, &key, &value),
        };
        if let Err((message, help)) = read {
            return defect(rules, line, flag, message, &help);
        }
    }
    if mount.unsure {
        return;
    }
    if let Err((message, help)) = whole_of(&mount, rules.scopes.now.has_workdir) {
        return defect(rules, line, flag, message, &help);
    }
    if mount.kind() == "bind" && !mount.has_from {
        let typed = mount.source.unwrap_or_default();
        let source = Source { path: lines::clean(&typed), typed, span: line.span(flag.range()) };
        rules.taken.push(ContextUse {
            keyword: "RUN --mount",
            sources: vec![source],
            complete: true,
            literal: true,
        });
    }
}

type Read = Result<(), (String, String)>;

/// Checks a key without a value.
fn bare(mount: &Mount, key: &str) -> Read {
    match key {
        "readonly" | "ro" | "readwrite" | "rw" => Ok(()),
        "required" if matches!(mount.kind(), "secret" | "ssh") => Ok(()),
        "required" => Err(not_for(mount, key)),
        _ if KEYS.contains(&key) || matches!(key, "uid" | "gid") => {
            Err((format!("the mount's {key} has no value"), format!("write {key}=value")))
        }
        _ => Err(unknown(key)),
    }
}

fn field(
    rules: &mut Rules<'_>,
    line: &Line,
    flag: &Flag,
    mount: &mut Mount,
    key: &str,
    value: &Part<'_>,
) -> Read {
    if key == "from" {
        mount.has_from = !value.text.is_empty();
        return Ok(());
    }
    if !KEYS.contains(&key) && !matches!(key, "uid" | "gid") {
        return Err(unknown(key));
    }
    let Some(expanded) = rules.expand(line, value.text, flag.range()) else {
        mount.unsure = true;
        return Ok(());
    };
    let text = expanded.text;
    let wrong = |help: &str| Err((format!("the mount's {key} takes no {text:?}"), help.to_owned()));
    if !expanded.sure {
        // The value depends on the base image.
        if matches!(key, "uid" | "gid" | "mode" | "size" | "type") && text.is_empty() {
            let lack = expanded.lack.map(|lack| lack.name).unwrap_or_default();
            let message = format!("the mount's {key} is empty unless the base image sets {lack}");
            let help = format!("write {key}=${{{lack}:-…}} with a default, or set it with `ENV {lack}=…`");
            rules.warn(line, flag.range(), "mount", message, help);
        }
        mount.unsure |= matches!(key, "type" | "target" | "dst" | "destination" | "source" | "src" | "id");
        return Ok(());
    }
    match key {
        "type" => {
            let kind = text.to_ascii_lowercase();
            if !TYPES.contains(&kind.as_str()) {
                return wrong(&did_you_mean(&kind, &TYPES));
            }
            mount.kind = kind;
        }
        "source" | "src" => mount.source = Some(text),
        "target" | "dst" | "destination" => mount.target = Some(text),
        "readonly" | "ro" | "readwrite" | "rw" if !is_bool(&text) => return wrong("write true or false"),
        "required" if !matches!(mount.kind(), "secret" | "ssh") => return Err(not_for(mount, key)),
        "required" if !is_bool(&text) => return wrong("write true or false"),
        "size" if mount.kind() != "tmpfs" => return Err(not_for(mount, key)),
        "size" if !is_size(&text) => return wrong("write a number of bytes, or one with k, m or g"),
        "id" => mount.has_id = true,
        "env" => mount.has_env = true,
        "sharing" => {
            if !["shared", "private", "locked"].contains(&text.to_ascii_lowercase().as_str()) {
                return wrong("use shared, private or locked");
            }
            mount.has_sharing = true;
        }
        "mode" => {
            if text.starts_with('+') || u32::from_str_radix(&text, 8).is_err() {
                return wrong("write octal digits: 0755");
            }
            mount.file_info = Some("mode");
        }
        "uid" | "gid" => {
            if text.starts_with('+') || text.parse::<u32>().is_err() {
                return wrong("write a number");
            }
            mount.file_info = Some(if key == "uid" { "uid" } else { "gid" });
        }
        _ => {}
    }
    Ok(())
}

/// Checks combinations of options.
fn whole_of(mount: &Mount, has_workdir: bool) -> Read {
    let kind = mount.kind();
    if let Some(key) = mount.file_info
        && matches!(kind, "bind" | "tmpfs")
    {
        return Err(not_for(mount, key));
    }
    if mount.has_sharing && kind != "cache" {
        return Err(not_for(mount, "sharing"));
    }
    match kind {
        "secret" if mount.source.is_none() && mount.target.is_none() && !mount.has_id && !mount.has_env => {
            Err(("the mount names no secret".to_owned(), "write id=NAME".to_owned()))
        }
        "secret" | "ssh" => Ok(()),
        _ => match &mount.target {
            Some(target) if !target.is_empty() && !lines::clean(target).is_empty() => Ok(()),
            // A path below the working directory is not the root.
            Some(target) if !target.starts_with('/') && has_workdir => Ok(()),
            None if has_workdir => Ok(()),
            _ => Err(("the mount would be put over `/`".to_owned(), "write target=/directory".to_owned())),
        },
    }
}

fn not_for(mount: &Mount, key: &str) -> (String, String) {
    let kind = mount.kind();
    let help = if key == "required" {
        "write type= before it, if it is a secret".to_owned()
    } else {
        format!("remove {key}, or use another type")
    };
    (format!("a mount of type {kind} takes no {key}"), help)
}

fn unknown(key: &str) -> (String, String) {
    (format!("a mount takes no {key:?}"), did_you_mean(key, &KEYS))
}

fn is_bool(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "TRUE" | "true" | "True" | "0" | "f" | "F" | "FALSE" | "false" | "False")
}

/// Whether a text is a size as Go's `units.RAMInBytes` reads it.
fn is_size(text: &str) -> bool {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = &text[..text.len() - digits.len()];
    let unit = digits.strip_prefix(' ').unwrap_or(digits).to_ascii_lowercase();
    let unit = unit.strip_prefix(['k', 'm', 'g', 't', 'p']).unwrap_or(&unit);
    number.parse::<f64>().is_ok() && matches!(unit, "" | "b" | "ib" | "i")
}

fn defect(rules: &mut Rules<'_>, line: &Line, flag: &Flag, message: String, help: &str) {
    rules.defect(line, flag.range(), "mount", message, help);
}
