//! Names: references, components, versions, build tags. Checked against the grammars of the
//! specifications, and against invariant 6: builds that differ in kind, name, version or commit
//! never share a reference.

use std::sync::LazyLock;

use arbitrary::Unstructured;
use plan::name::{MAX_TAG, build_tag};
use plan::{BuildTag, ImageName, Name, Revision, Version};
use regex::Regex;

/// The grammar of the distribution project's `reference` package, domain required.
static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    let domain = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])";
    let host = format!(r"(?:{domain}(?:\.{domain})*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?");
    let component = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*";
    let tag = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
    let digest = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}";
    pattern(&format!(r"^{host}(?:/{component})+(?::{tag})?(?:@{digest})?$"))
});

static COMPONENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$"));
static VERSION: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[0-9]+(\.[0-9A-Za-z_]+)*$"));

fn pattern(text: &str) -> Regex {
    // Without Unicode tables: the grammars are of ASCII, and their classes are written out.
    Regex::new(text).expect("a pattern of ours")
}

/// Whether a text is one component of a repository's path (distribution-spec).
pub(crate) fn is_component(text: &str) -> bool {
    text.len() <= MAX_TAG && COMPONENT.is_match(text)
}

/// Whether a text is a version as the descriptor's documentation defines it.
pub(crate) fn is_version(text: &str) -> bool {
    text.len() <= MAX_TAG && VERSION.is_match(text)
}

/// Whether a text is a full reference in the distribution grammar.
pub(crate) fn is_reference(text: &str) -> bool {
    REFERENCE.is_match(text)
}

/// Each line is a text that may be a reference, a name, a version, a build tag; the whole input is
/// two image names.
pub(crate) fn body(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for line in text.split('\n').take(64).chain([text.as_ref()]) {
        reference(line);
        assert_eq!(Name::parse(line).is_ok(), is_component(line), "component {line:?}");
        assert_eq!(Version::parse(line).is_ok(), is_version(line), "version {line:?}");
        if let Some(tag) = BuildTag::parse(line) {
            assert!(is_version(tag.version.as_str()) && (7..=40).contains(&tag.hash.len()), "{line:?}");
        }
    }
    // The bytes are read a second time, independent of the result of the first reading.
    let _ = injective(&mut Unstructured::new(data));
}

/// Parsing, printing and parsing again gives the same value, and the printed text is in the
/// grammar.
fn reference(text: &str) {
    let Ok(name) = ImageName::parse(text) else { return };
    let printed = name.to_string();
    assert!(is_reference(&printed), "{text:?} is taken for {printed:?}, which no registry knows");
    let again =
        ImageName::parse(&printed).unwrap_or_else(|error| panic!("{text:?} gives {printed:?}: {error}"));
    assert_eq!(
        (&again.registry, &again.repository, &again.tag, &again.digest),
        (&name.registry, &name.repository, &name.tag, &name.digest),
        "{text:?} gives {printed:?}"
    );
    assert_eq!(again.to_string(), printed);
    let digest = format!("sha256:{}", "0".repeat(64));
    assert!(ImageName::parse(&name.with_digest(&digest)).is_ok_and(|with| with.name() == name.name()));
}

/// The identity of a build.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    kind: &'static str,
    name: String,
    version: String,
    commit: (u64, String),
    dirty: Option<String>,
    rebuild: Option<u64>,
}

impl Parts {
    /// Small alphabets, so that two of them are often nearly the same.
    fn take(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        let text =
            |bytes: &mut Unstructured<'_>, alphabet: &[&str], most: usize| -> arbitrary::Result<String> {
                let count = bytes.int_in_range(1..=most)?;
                (0..count).map(|_| bytes.choose(alphabet).copied()).collect()
            };
        let short = text(bytes, &["0", "1", "a", "f", "e", "9", "d"], 40)?;
        let hash: String = short.chars().cycle().take(7).collect();
        Ok(Self {
            kind: if bytes.arbitrary()? { "sci" } else { "rel" },
            name: text(bytes, &["a", "b", "0", "-", ".", "_", "sci", "rel", "1"], 8)?,
            version: text(bytes, &["0", "1", "2", ".", "_", "r1", "dirty", "a"], 8)?,
            commit: (bytes.arbitrary::<u16>()?.into(), hash),
            dirty: if bytes.arbitrary()? { Some(format!("{:08x}", bytes.arbitrary::<u32>()?)) } else { None },
            rebuild: if bytes.arbitrary()? { Some(bytes.arbitrary::<u8>()?.into()) } else { None },
        })
    }

    /// Build tag and moving tag as full references; `None` if the names are invalid.
    fn references(&self) -> Option<[String; 2]> {
        let name = Name::parse(&self.name).ok()?;
        let version = Version::parse(&self.version).ok()?;
        let revision = Revision {
            commit: self.commit.1.clone(),
            count: Some(self.commit.0),
            short: self.commit.1.clone(),
            dirty: self.dirty.clone(),
            shallow: false,
        };
        let tag = build_tag(version.as_str(), &revision, self.rebuild);
        assert!(tag.len() <= MAX_TAG, "short parts make no long tag: {tag}");
        let read = BuildTag::parse(&tag).unwrap_or_else(|| panic!("our own tag {tag} is not read"));
        assert_eq!(
            (read.version.as_str(), read.count, &read.hash),
            (version.as_str(), self.commit.0, &self.commit.1)
        );
        assert_eq!((&read.dirty, read.rebuild), (&self.dirty, self.rebuild));
        let full = |tag: &str| format!("registry.example.org/images/{}/{name}:{tag}", self.kind);
        Some([full(&tag), full(version.as_str())])
    }
}

/// Two builds share a build tag only when they are the same build, and a build tag is never a
/// moving tag.
fn injective(bytes: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let (one, other) = (Parts::take(bytes)?, Parts::take(bytes)?);
    let (Some(ours), Some(theirs)) = (one.references(), other.references()) else { return Ok(()) };
    for reference in ours.iter().chain(&theirs) {
        assert!(is_reference(reference), "{reference}");
        assert!(ImageName::parse(reference).is_ok_and(|name| name.to_string() == *reference), "{reference}");
    }
    assert_eq!(ours[0] == theirs[0], one == other, "{one:?} {other:?}");
    let same = (one.kind, &one.name, &one.version) == (other.kind, &other.name, &other.version);
    assert_eq!(ours[1] == theirs[1], same, "{one:?} {other:?}");
    assert!(ours[0] != theirs[1] && ours[1] != theirs[0], "{one:?} {other:?}");
    Ok(())
}
