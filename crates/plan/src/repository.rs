//! The repositories of a tree's images below its repo, and the names that are composed with them:
//! products, layers by version, and the two tags of a build.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Kind;

/// The first component of a repository below `{repo}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `sci/`: images of science layers.
    Sci,
    /// `rel/`: images of products, with their compat layers.
    Rel,
}

impl Family {
    /// The component's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sci => "sci",
            Self::Rel => "rel",
        }
    }

    /// Splits the family off a path such as `sci/nist` or `rel/nist:1.0`.
    #[must_use]
    pub fn split(text: &str) -> Option<(Self, &str)> {
        let (family, rest) = text.split_once('/')?;
        [Self::Sci, Self::Rel].into_iter().find(|known| known.as_str() == family).map(|known| (known, rest))
    }

    /// The repository of a name in this family.
    #[must_use]
    pub fn repository(self, name: impl Into<String>) -> Repository {
        Repository { family: self, name: name.into() }
    }
}

impl From<Kind> for Family {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Science => Self::Sci,
            Kind::Compat => Self::Rel,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A repository below `{repo}`: `sci/{target}` or `rel/{image}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    /// Its family.
    pub family: Family,
    /// The target of a science layer, or the name of a product.
    pub name: String,
}

impl Repository {
    /// Parses `sci/{target}` or `rel/{image}`; `None` for other paths.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Family::split(text).map(|(family, name)| family.repository(name))
    }

    /// The image with a tag: `sci/nist:1.0`.
    #[must_use]
    pub fn tagged(&self, tag: impl fmt::Display) -> String {
        format!("{self}:{tag}")
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.family, self.name)
    }
}

/// `name:version`, split at the last colon.
macro_rules! versioned {
    ($(#[$doc:meta])* $type:ident, $(#[$field:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type {
            $(#[$field])*
            pub $name: String,
            /// Its version, or a tag in its place.
            pub version: String,
        }

        impl $type {
            /// Parses the text; `None` without a colon.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let (name, version) = text.rsplit_once(':')?;
                Some(Self { $name: name.to_owned(), version: version.to_owned() })
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{}", self.$name, self.version)
            }
        }
    };
}

versioned! {
    /// A product: `image:version`. Its repository is `rel/{image}`.
    Product,
    /// The product's name.
    image
}

versioned! {
    /// A science layer in labels: `target:version`. Its repository is `sci/{target}`.
    LayerKey,
    /// The layer's target.
    target
}

impl Product {
    /// The product's image by its moving tag, `rel/nist-basic:2.0`.
    #[must_use]
    pub fn reference(&self) -> String {
        Family::Rel.repository(&self.image).tagged(&self.version)
    }
}

impl LayerKey {
    /// The layer's repository.
    #[must_use]
    pub fn repository(&self) -> Repository {
        Family::Sci.repository(&self.target)
    }

    /// The layer's image by its moving tag, `sci/nist:1.0`.
    #[must_use]
    pub fn reference(&self) -> String {
        self.repository().tagged(&self.version)
    }
}

/// Splits a reference into the image and its tag, if it has one.
#[must_use]
pub fn split_tag(reference: &str) -> (&str, Option<&str>) {
    match reference.rsplit_once(':') {
        Some((image, tag)) if !tag.contains('/') => (image, Some(tag)),
        _ => (reference, None),
    }
}

/// The tag of a reference; `None` without one.
#[must_use]
pub fn tag_of(reference: &str) -> Option<&str> {
    split_tag(reference).1
}

/// The two tags of a build, as full references. Written as a list of two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[String; 2]", into = "[String; 2]")]
pub struct Tags {
    /// The tag that never changes.
    pub build: String,
    /// The tag that points to the latest build.
    pub moving: String,
}

impl Tags {
    /// Both tags, the build tag first.
    pub fn iter(&self) -> impl Iterator<Item = &String> {
        [&self.build, &self.moving].into_iter()
    }
}

impl From<[String; 2]> for Tags {
    fn from([build, moving]: [String; 2]) -> Self {
        Self { build, moving }
    }
}

impl From<Tags> for [String; 2] {
    fn from(tags: Tags) -> Self {
        [tags.build, tags.moving]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let repository = Repository::parse("sci/nist").expect("a repository");
        assert_eq!((repository.family, repository.tagged("1.0")), (Family::Sci, "sci/nist:1.0".to_owned()));
        assert_eq!(Repository::parse("other/nist"), None);
        assert_eq!(Repository::parse("nist"), None);
        let product = Product::parse("nist-basic:2.0").expect("a product");
        assert_eq!(
            (product.to_string(), product.reference()),
            ("nist-basic:2.0".into(), "rel/nist-basic:2.0".into())
        );
        let layer = LayerKey::parse("base:1.0").expect("a layer");
        assert_eq!(layer.reference(), "sci/base:1.0");
        assert_eq!(LayerKey::parse("base"), None);
    }

    #[test]
    fn the_tag_of_a_reference_is_no_port() {
        for (reference, tag) in [
            ("registry.example.org:5000/sci/a:1.0", Some("1.0")),
            ("registry.example.org:5000/sci/a", None),
            ("sci/a", None),
        ] {
            assert_eq!(tag_of(reference), tag, "{reference}");
        }
    }

    #[test]
    fn tags_are_a_list_of_two() {
        let tags = Tags { build: "a:1-2-3".to_owned(), moving: "a:1".to_owned() };
        let text = serde_json::to_string(&tags).expect("JSON");
        assert_eq!(text, r#"["a:1-2-3","a:1"]"#);
        assert_eq!(serde_json::from_str::<Tags>(&text).expect("tags"), tags);
        for bad in ["[]", r#"["a"]"#, r#"["a","b","c"]"#] {
            assert!(serde_json::from_str::<Tags>(bad).is_err(), "{bad}");
        }
    }
}
