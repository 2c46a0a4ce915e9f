//! The data that the planner and the executor share, and nothing else.
//!
//! Reading order: [`name`] and [`mod@reference`] are the words that images are called by,
//! [`document`] and [`build`] are the plan, [`origin`] leads from its Dockerfiles back to files,
//! [`reason`] says why a build is in it, [`context`] is what a build sends to the engine, [`label`]
//! names the breadcrumbs that an image carries, [`trail`] reads them, and [`spec`] is what travels
//! with it.
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
pub mod reason;
pub mod reference;
pub mod spec;
pub mod trail;

pub use build::{Build, BuildContext, BuildId, Kind, Reference, Role, Shadowed, Span, Target};
pub use context::{Context, Entry, EntryKind, Expect};
pub use digest::{Digest, DigestError};
pub use document::{ComparedWith, FORMAT_VERSION, Plan, PlanFormatError, Revision, Unbuilt, Warning};
pub use image_test::{ImageTest, TestAction};
pub use misleading::{escape_json, is_marked_command, misleads};
pub use name::{BuildTag, Name, NameError, Version};
pub use origin::{Origin, Written};
pub use reason::Reason;
pub use reference::{ImageName, ImageNameError, is_tag};
pub use spec::Spec;
pub use trail::Provenance;
