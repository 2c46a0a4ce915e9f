//! `image-builder schema`: prints the JSON Schema of a descriptor, for editors.

use anyhow::Context as _;

use crate::cli::args::{SchemaArguments, SchemaKind};
use crate::cli::{exit, output};

/// Prints the schema.
pub(crate) fn run(arguments: &SchemaArguments) -> anyhow::Result<u8> {
    let schema = match arguments.kind {
        SchemaKind::Science => planner::schema::science(),
        SchemaKind::Compat => planner::schema::compat(),
    };
    let text = serde_json::to_string_pretty(&schema).context("a schema is JSON")?;
    output::print_stdout(&format!("{text}\n")).context("cannot write to stdout")?;
    Ok(exit::DONE)
}
