//! The data that the planner and the executor share, and nothing else.
//!
//! Reading order: [`name`], [`mod@reference`] and [`repository`] parse the names of images, [`document`] and
//! [`build`] are the plan, [`origin`] maps its Dockerfiles to source files, [`reason`] lists why a
//! build is in a plan, [`context`] lists the files that a build sends to the engine, [`label`]
//! defines the keys of provenance labels, [`mod@provenance`] reads provenance from labels, and [`spec`] is
//! the build spec that is attached to an image.
//!
//! Invariant: this crate imports no other crate of the workspace and does no input or output.

pub mod build;
pub mod context;
pub mod digest;
pub mod document;
pub mod image_test;
pub mod label;
mod misleading;
pub mod name;
pub mod origin;
pub mod provenance;
pub mod reason;
pub mod reference;
pub mod relation;
pub mod repository;
pub mod spec;

pub use build::{Build, BuildContext, BuildId, Kind, Reference, Role, Shadowed, Span, Target};
pub use context::{Context, Entry, EntryKind, Expect};
pub use digest::{Digest, DigestError};
pub use document::{ComparedWith, FORMAT_VERSION, Plan, PlanFormatError, Revision, Unbuilt, Warning};
pub use image_test::{ImageTest, TestAction};
pub use misleading::{escape_json, is_marked_command, misleads};
pub use name::{BuildTag, Name, NameError, Version};
pub use origin::{Origin, Written};
pub use provenance::Provenance;
pub use reason::Reason;
pub use reference::{ImageName, ImageNameError, is_tag};
pub use relation::Relation;
pub use repository::{Family, LayerKey, Product, Repository, Tags, split_tag, tag_of};
pub use spec::Spec;
