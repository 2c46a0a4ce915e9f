//! Finds the products that contain the tree's present compat stack, and the differences in the
//! others.
//!
//! Checks the stack only: changes of the science layers below it are handled by
//! `--since-published`.

use std::collections::{BTreeMap, BTreeSet};

use plan::Reason;
use serde::Serialize;

use crate::parse::descriptor::Compat;
use crate::tree::layers::Side;
use crate::tree::product_name::ProductName;
use crate::tree::{Inputs, Tree};
use crate::views::suggest;
use crate::{Problem, Request};

use crate::decide::published::judge::{Judge, KNOWN_INPUTS};
use crate::decide::published::provenance::{ImageLabels, LabelOwner, Origin};
use crate::decide::published::surveyed::PublishedTree;
use crate::decide::published::{Build, Image};

/// The products of a tree, optionally limited to one compat layer.
#[derive(Debug)]
pub struct Coverage<'a> {
    side: PublishedTree,
    request: &'a Request,
    /// The compat layer to check; `None` for the whole stack of each product.
    of: Option<usize>,
}

/// The state of a product's published image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Covered {
    /// `nist-basic:2.0`.
    pub product: String,
    /// The product's moving tag as a full reference.
    pub reference: String,
    /// The path of the product's final layer.
    pub layer: String,
    /// Names of the layers of the present stack; included layers precede the including one.
    pub stack: Vec<String>,
    /// Whether `hold` lists the product.
    pub held: bool,
    /// The published build.
    pub published: Option<Build>,
    /// Whether the published build contains the stack.
    #[serde(flatten)]
    pub state: State,
}

/// Whether an image contains the present compat stack of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// The image contains it.
    Carries,
    /// The image does not contain it.
    Behind {
        /// Names of the layers of the stack that changed, sorted; empty if unknown.
        #[serde(rename = "changed_layers")]
        layers: Vec<String>,
        /// Paths that changed since the image's commit: below the source tree's root, sorted; empty
        /// if unknown.
        #[serde(rename = "changed_paths")]
        paths: Vec<String>,
        /// The commit that the image was built from, as 7 to 40 hex digits.
        #[serde(rename = "built_from")]
        commit: Option<String>,
        /// An explanation, as a sentence.
        why: Option<String>,
    },
    /// The registry has no image with the product's name.
    NotPublished,
    /// The state cannot be determined.
    Untold {
        /// The reason, as a sentence.
        why: String,
    },
}

impl<'a> Coverage<'a> {
    /// Parses a tree. If `compat` is given, the name or path of a compat layer, only products with
    /// that layer in their stack are checked, and only for that layer and its includes.
    ///
    /// # Errors
    /// Returns the problems of the source tree, or a problem if the tree has no such compat layer.
    pub fn new(inputs: &Inputs, request: &'a Request, compat: Option<&str>) -> Result<Self, Vec<Problem>> {
        let side = PublishedTree::sound(inputs, request)?;
        let of = match compat {
            None => None,
            Some(text) => Some(find(&side, text).map_err(|problem| vec![problem])?),
        };
        Ok(Self { side, request, of })
    }

    /// The `{repo}` of the images.
    #[must_use]
    pub fn repo(&self) -> &str {
        &self.side.repo
    }

    /// The name of the compat layer that is checked.
    #[must_use]
    pub fn of(&self) -> Option<&str> {
        self.of.map(|layer| self.side.now.side.compat[layer].name())
    }

    /// Returns the full references of the images to read: the moving tags of products.
    #[must_use]
    pub fn references(&self) -> BTreeSet<String> {
        self.products().map(|(product, ..)| self.side.product(product)).collect()
    }

    /// Returns the commits that are needed to judge the images, as 7 to 40 hex digits.
    #[must_use]
    pub fn commits(&self, images: &BTreeMap<String, Option<Image>>) -> BTreeSet<String> {
        let nothing = BTreeMap::new();
        let judge = Judge::new(&self.side, images, &nothing, self.request);
        let asked = |(product, layer, stack): (&ProductName, usize, Vec<usize>)| {
            let trail = judge.trail(&self.side.product(product))?;
            match trail.origin(LabelOwner::Compat) {
                _ if trail.inputs(LabelOwner::Compat) == Some(&judge.compat_inputs(layer, &stack)) => None,
                Origin::Commit(digits) => Some(digits.to_owned()),
                Origin::Dirty | Origin::Untold => None,
            }
        };
        self.products().filter_map(asked).collect()
    }

    /// Judges every product, in the order of names. `commits` are those that [`Coverage::commits`]
    /// returned.
    #[must_use]
    pub fn judge(
        &self,
        images: &BTreeMap<String, Option<Image>>,
        commits: &BTreeMap<String, Option<Tree>>,
    ) -> Vec<Covered> {
        let judge = Judge::new(&self.side, images, commits, self.request);
        let now = &self.side.now;
        let judged = self.products().map(|(product, layer, stack)| {
            let reference = self.side.product(product);
            let trail = judge.trail(&reference);
            let image = images.get(&reference).and_then(Option::as_ref);
            let published =
                image.zip(trail).map(|(image, trail)| Build::of(image, trail, LabelOwner::Compat));
            let state = match (trail, image.and_then(Image::doubt)) {
                (None, _) => State::NotPublished,
                (Some(_), Some(why)) => State::Untold { why },
                (Some(trail), None) => self.state(&judge, trail, layer, &stack),
            };
            Covered {
                product: product.to_string(),
                layer: now.side.science[layer].path().to_owned(),
                stack: stack.iter().map(|compat| now.side.compat[*compat].name().to_owned()).collect(),
                held: self.side.config.hold.contains(&product.to_string()),
                reference,
                published,
                state,
            }
        });
        judged.collect()
    }

    /// Returns the products to check, with their final layers and stacks.
    fn products(&self) -> impl Iterator<Item = (&ProductName, usize, Vec<usize>)> {
        let with_stack = |(product, layer, top)| (product, layer, self.side.now.stack(top));
        let all = self.side.now.products().map(with_stack);
        all.filter(|(_, _, stack)| self.of.is_none_or(|of| stack.contains(&of)))
    }

    fn state(&self, judge: &Judge<'_>, trail: ImageLabels<'_>, layer: usize, stack: &[usize]) -> State {
        let told = trail.inputs(LabelOwner::Compat);
        if told == Some(judge.compat_inputs(layer, stack).as_str()) {
            return State::Carries;
        }
        let is_other = told.is_some_and(|told| told.starts_with(KNOWN_INPUTS));
        let behind = |commit: Option<String>, why: &str| State::Behind {
            layers: Vec::new(),
            paths: Vec::new(),
            commit,
            why: Some(why.to_owned()),
        };
        let (commit, then) = match judge.then(trail, LabelOwner::Compat) {
            Ok(known) => known,
            // Two different digests of the same version prove a change, unless the product has
            // another final layer now.
            Err(why) if is_other && !self.other_final(trail, layer) => {
                return behind(None, &format!("it was made from other inputs; {why}"));
            }
            Err(why) => return State::Untold { why },
        };
        let descriptor = &self.side.now.side.science[layer].descriptor;
        let of_then = then.science.iter().find(|other| other.descriptor.target == descriptor.target);
        let other_compat = of_then.is_some_and(|other| other.descriptor.compat != descriptor.compat);
        let had = |compat: usize| {
            let name = self.side.now.side.compat[compat].name();
            of_then.is_some_and(|layer| match &layer.descriptor.compat {
                Compat::Layer(top) => stack_of(then, top).contains(name),
                Compat::Unset | Compat::None => false,
            })
        };
        if other_compat && self.of.is_none_or(|of| !had(of)) {
            return State::Behind {
                layers: Vec::new(),
                paths: vec![self.side.now.side.science[layer].files.descriptor.path.clone()],
                commit: Some(commit),
                why: Some("it has another compat layer than its descriptor names now".to_owned()),
            };
        }
        let wanted = self.of.map_or_else(|| stack.to_vec(), |of| self.side.now.stack(of));
        let other =
            judge.stack_difference(then, layer, &wanted).into_iter().find_map(|reason| match reason {
                Reason::CompatChanged { layers, paths } => Some((layers, paths)),
                _ => None,
            });
        match other {
            Some((layers, paths)) => State::Behind { layers, paths, commit: Some(commit), why: None },
            None if !is_other || self.other_final(trail, layer) => State::Carries,
            None if self.of.is_some() && !judge.stack_difference(then, layer, stack).is_empty() => {
                State::Carries
            }
            None => {
                behind(Some(commit), "it was made from other inputs, though no file of its stack changed")
            }
        }
    }

    /// Whether the labels name another final layer as the base image.
    fn other_final(&self, trail: ImageLabels<'_>, layer: usize) -> bool {
        let target = self.side.now.side.science[layer].descriptor.target.as_str();
        trail.base_target().is_some_and(|from| from != target)
    }
}

/// Returns the compat layer with a name or path.
fn find(side: &PublishedTree, text: &str) -> Result<usize, Problem> {
    let path = text.trim_start_matches("./").trim_end_matches('/');
    let name = path.strip_prefix("compat/").unwrap_or(path);
    side.now.compat_of_name(name).ok_or_else(|| {
        let known = side.now.side.compat.iter().map(|layer| layer.name());
        let problem = Problem::in_flags(
            "no-such-layer",
            format!("--compat {text} is not a compat layer of this source tree"),
        );
        problem.help(match suggest::closest(name, known) {
            Some(closest) => format!("did you mean {closest}?"),
            None => "name a directory below compat/".to_owned(),
        })
    })
}

/// Returns the names of the layers of a stack, by the compat layer on top.
fn stack_of<'s>(side: &'s Side, top: &'s str) -> BTreeSet<&'s str> {
    let mut stack = BTreeSet::from([top]);
    let mut open = vec![top];
    while let Some(name) = open.pop() {
        let layer = side.compat.iter().find(|layer| layer.name() == name);
        for include in layer.iter().flat_map(|layer| &layer.descriptor.includes) {
            if stack.insert(include) {
                open.push(include);
            }
        }
    }
    stack
}
