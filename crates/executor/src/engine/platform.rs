//! Compares platforms of images, `os/architecture[/variant]`: which platform a stage requests, and
//! whether an image serves it.
//!
//! Pure. The names and variants that count as equal are those of containerd's package `platforms`.

use std::collections::{BTreeMap, BTreeSet};

use plan::{Build, Plan, Reference, Target};

/// Formats a platform from its parts, omitting absent ones.
pub(crate) fn show(parts: [Option<String>; 3]) -> String {
    let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    parts.join("/")
}

/// Whether an image for the platform `has` runs where `wanted` is requested. An image without a
/// platform always does: it was built before images recorded one.
pub(crate) fn serves(has: &str, wanted: &str) -> bool {
    if !has.contains('/') {
        return true;
    }
    let ((os, architecture, variant), wanted) = (normal(has), normal(wanted));
    let number = |variant: &str| variant.strip_prefix('v').and_then(|digits| digits.parse::<u32>().ok());
    (&os, &architecture) == (&wanted.0, &wanted.1)
        && match (number(&variant), number(&wanted.2)) {
            // A processor runs images for earlier variants.
            (Some(variant), Some(wanted)) => variant <= wanted,
            _ => variant == wanted.2,
        }
}

fn normal(platform: &str) -> (String, String, String) {
    let lower = platform.to_ascii_lowercase();
    let mut parts = lower.splitn(3, '/');
    let mut part = || parts.next().unwrap_or_default();
    let (os, architecture, variant) = (part(), part(), part());
    let (architecture, variant) = match (architecture, variant) {
        ("x86_64" | "x86-64" | "amd64", "") => ("amd64", "v1"),
        ("aarch64" | "arm64", "" | "8") => ("arm64", "v8"),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        other => other,
    };
    (os.to_owned(), architecture.to_owned(), variant.to_owned())
}

/// The platforms that stages request for their base images. Base images whose platform cannot be
/// read from `FROM` are left out; the engine decides then.
pub(crate) fn wanted(plan: &Plan, engine: &str) -> BTreeMap<Target, BTreeSet<String>> {
    let mut wanted: BTreeMap<Target, BTreeSet<String>> = BTreeMap::new();
    for build in &plan.builds {
        for reference in &build.references {
            if let Some(platform) = of(plan, build, reference, engine) {
                wanted.entry(reference.target.clone()).or_default().insert(platform);
            }
        }
    }
    wanted
}

/// The platform that a stage requests for its base image, if known.
pub(crate) fn of(plan: &Plan, build: &Build, reference: &Reference, engine: &str) -> Option<String> {
    if !reference.role.is_base_image() {
        return None;
    }
    let before = build.dockerfile.get(..reference.span.start)?;
    of_stage(&build.dockerfile, before, &plan.platform, engine)
}

/// The error and its help for an image without the wanted platform.
pub(crate) fn lacking(reference: &str, wanted: &str, has: &str) -> (String, String) {
    (
        format!("{reference} has no image for {wanted}: {has}"),
        format!(
            "build on an image that has {wanted}, or set `platform` in image-builder.toml to one that it has"
        ),
    )
}

/// The platform of the stage whose image name follows `before`.
fn of_stage(dockerfile: &str, before: &str, target: &str, engine: &str) -> Option<String> {
    const FLAG: &str = "--platform=";
    if !dockerfile.to_ascii_lowercase().contains("--platform") {
        return Some(target.to_owned());
    }
    // The name may come from an ARG; then the stage is unknown.
    let from = before.to_ascii_lowercase().rfind("from")?;
    let mut words = before[from..].split_whitespace().skip(1).filter(|word| !matches!(*word, "\\" | "`"));
    let platform = match (words.next(), words.next()) {
        (None, _) => return Some(target.to_owned()),
        (Some(flag), None) => flag.strip_prefix(FLAG)?.trim_matches(['"', '\'']),
        _ => return None,
    };
    match platform.trim_start_matches("${").trim_start_matches('$').trim_end_matches('}') {
        "TARGETPLATFORM" => Some(target.to_owned()),
        "BUILDPLATFORM" => Some(engine.to_owned()),
        name if name == platform => Some(platform.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_serves_its_platform_and_later_variants() {
        for (has, wanted, serves) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/amd64", "linux/arm64", false),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/aarch64", "linux/arm64", true),
            ("linux/arm/v7", "linux/arm", true),
            ("linux/arm/v6", "linux/arm/v7", true),
            ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/arm/v7", "linux/arm64", false),
            ("linux/amd64/v3", "linux/amd64", false),
            ("linux/amd64", "linux/amd64/v3", true),
            ("windows/amd64", "linux/amd64", false),
            ("linux/riscv64", "linux/riscv64", true),
            ("", "linux/amd64", true),
        ] {
            assert_eq!(super::serves(has, wanted), serves, "{has} for {wanted}");
        }
    }

    #[test]
    fn a_stage_asks_for_the_platform_of_its_from() {
        for (text, expect) in [
            ("FROM x", Some("linux/arm64")),
            ("FROM --platform=linux/s390x x", Some("linux/s390x")),
            ("FROM --platform=$BUILDPLATFORM x", Some("linux/amd64")),
            ("FROM --platform=${TARGETPLATFORM} x", Some("linux/arm64")),
            ("FROM --platform=$OTHER x", None),
            ("from \\\n  --platform=linux/s390x \\\n x", Some("linux/s390x")),
            ("FROM --platform=linux/s390x a\nFROM x", Some("linux/arm64")),
            ("ARG BASE=x\nFROM --platform=linux/s390x $BASE", None),
        ] {
            let at = text.rfind('x').filter(|_| !text.starts_with("ARG")).or(text.find('x')).unwrap();
            let platform = of_stage(text, &text[..at], "linux/arm64", "linux/amd64");
            assert_eq!(platform.as_deref(), expect, "{text}");
        }
    }
}
