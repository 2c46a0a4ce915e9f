//! Generates the JSON Schema of the two kinds of descriptor, for editors.
//!
//! The schema lists the fields and their forms. The parser is stricter: it also checks comments and
//! the notation of numbers. `x-…` fields and `$schema` are allowed.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, schema_for};
use serde_json::Value;

/// The schema of `science/<dir>/sciserver-image.json`.
#[must_use]
pub fn science() -> Value {
    finish(schema_for!(Science), "science layer")
}

/// The schema of `compat/<dir>/sciserver-image.json`.
#[must_use]
pub fn compat() -> Value {
    finish(schema_for!(Compat), "compat layer")
}

fn finish(mut schema: Schema, kind: &str) -> Value {
    schema.insert("title".to_owned(), format!("sciserver-image.json of a {kind}").into());
    schema.insert("patternProperties".to_owned(), serde_json::json!({ "^x-": true, "^\\$schema$": true }));
    schema.to_value()
}

/// Fields of a science layer.
#[expect(dead_code, reason = "only its schema is used")]
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Science {
    /// Name of the product that the layer belongs to: one path component of an image's name.
    #[schemars(regex(pattern = r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$"), length(max = 128))]
    image: String,
    /// Version of the product, in quotes: numbers and words with dots between them, no '-'.
    #[schemars(
        regex(pattern = r"^[0-9]+(\.[0-9A-Za-z_]+)*$"),
        length(max = 128),
        extend("type" = ["string", "number"])
    )]
    #[serde(default = "default_version")]
    version: String,
    /// The layer's own name in FROM lines, sci/{target}:{version}. Default: the directory's name.
    #[schemars(regex(pattern = r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$"), length(max = 128), extend("type" = "string"))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    target: Option<String>,
    /// The compat layer on top of the product's final layer; null for none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    compat: Option<String>,
    /// Build arguments; they also replace variables in FROM lines.
    #[serde(default)]
    args: BTreeMap<String, String>,
    /// What the image is for; becomes a label.
    #[schemars(extend("type" = "string"))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    description: Option<String>,
    /// The contact; becomes a label.
    #[schemars(extend("type" = "string"))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    authors: Option<String>,
    /// Licences of its contents, as an SPDX expression; becomes a label.
    #[schemars(extend("type" = "string"))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    licenses: Option<String>,
    /// Address of its web page; becomes a label.
    #[schemars(extend("type" = "string"))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    url: Option<String>,
    /// Address of its documentation; becomes a label.
    #[schemars(extend("type" = "string"))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    documentation: Option<String>,
    /// Search words.
    #[serde(default)]
    keywords: Vec<String>,
    /// Tests that must succeed in the new image before it is published.
    #[serde(default)]
    tests: Vec<Test>,
}

/// Fields of a compat layer.
#[expect(dead_code, reason = "only its schema is used")]
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Compat {
    /// Compat layers that come before this one, in order, by their directories below compat/.
    #[serde(default)]
    includes: Vec<String>,
    /// Build arguments; over a stack, the later layer's value wins.
    #[serde(default)]
    args: BTreeMap<String, String>,
    /// A description.
    #[schemars(extend("type" = "string"))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    description: Option<String>,
    /// As for a science layer.
    #[serde(default)]
    tests: Vec<Test>,
}

/// A test of an image, or the path of a script that is one.
#[expect(dead_code, reason = "only its schema is used")]
#[derive(JsonSchema)]
#[serde(untagged)]
enum Test {
    /// The path of a script below the layer's directory; it begins with #!.
    Path(String),
    Full(FullTest),
}

/// A command that runs in a container of the new image; exit code 0 is success. Give either run or
/// script.
#[expect(dead_code, reason = "only its schema is used")]
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    extend("oneOf" = [{ "required": ["run"] }, { "required": ["script"] }]),
    extend("patternProperties" = { "^x-": true })
)]
struct FullTest {
    /// A program with its arguments; it is run without a shell.
    #[schemars(length(min = 1), extend("type" = "array"))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    run: Option<Vec<String>>,
    /// The path of a script below the layer's directory; it begins with #!.
    #[schemars(extend("type" = "string"))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    script: Option<String>,
    /// Whole seconds, from "1s" to "1h".
    #[serde(default = "default_timeout")]
    timeout: String,
    /// Whether its container has a network; without one it has only its own loopback.
    #[serde(default)]
    network: bool,
    /// The user, optionally with a group after a colon. Default: the image's user.
    #[schemars(extend("type" = "string"))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    user: Option<String>,
}

fn default_timeout() -> String {
    "60s".to_owned()
}

fn default_version() -> String {
    crate::parse::descriptor::DEFAULT_VERSION.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::descriptor::{COMPAT_FIELDS, SCIENCE_FIELDS, TEST_FIELDS};

    fn fields(schema: &Value) -> Vec<&str> {
        let mut fields: Vec<&str> =
            schema["properties"].as_object().expect("an object").keys().map(String::as_str).collect();
        fields.sort_unstable();
        fields
    }

    #[test]
    fn the_schema_has_the_fields_that_the_parser_knows() {
        for (schema, known) in [(science(), &SCIENCE_FIELDS[..]), (compat(), &COMPAT_FIELDS[..])] {
            let mut known = known.to_vec();
            known.sort_unstable();
            assert_eq!(fields(&schema), known);
            assert_eq!(schema["additionalProperties"], false);
        }
        assert_eq!(science()["required"], serde_json::json!(["image"]));
        assert_eq!(compat().get("required"), None);
        assert_eq!(science()["properties"]["version"]["type"], serde_json::json!(["string", "number"]));
        assert_eq!(science()["properties"]["compat"]["type"], serde_json::json!(["string", "null"]));
    }

    #[test]
    fn the_schema_of_a_test_has_the_fields_that_the_parser_knows() {
        let mut known = TEST_FIELDS.to_vec();
        known.sort_unstable();
        let test = &science()["$defs"]["FullTest"];
        assert_eq!(fields(test), known);
        assert_eq!(test["additionalProperties"], false);
    }

    #[test]
    fn the_schema_of_a_compat_layer_reads_well() {
        insta::assert_json_snapshot!(compat(), @r##"
        {
          "$defs": {
            "FullTest": {
              "additionalProperties": false,
              "description": "A command that runs in a container of the new image; exit code 0 is success. Give either run or\nscript.",
              "oneOf": [
                {
                  "required": [
                    "run"
                  ]
                },
                {
                  "required": [
                    "script"
                  ]
                }
              ],
              "patternProperties": {
                "^x-": true
              },
              "properties": {
                "network": {
                  "default": false,
                  "description": "Whether its container has a network; without one it has only its own loopback.",
                  "type": "boolean"
                },
                "run": {
                  "description": "A program with its arguments; it is run without a shell.",
                  "items": {
                    "type": "string"
                  },
                  "minItems": 1,
                  "type": "array"
                },
                "script": {
                  "description": "The path of a script below the layer's directory; it begins with #!.",
                  "type": "string"
                },
                "timeout": {
                  "default": "60s",
                  "description": "Whole seconds, from \"1s\" to \"1h\".",
                  "type": "string"
                },
                "user": {
                  "description": "The user, optionally with a group after a colon. Default: the image's user.",
                  "type": "string"
                }
              },
              "type": "object"
            },
            "Test": {
              "anyOf": [
                {
                  "description": "The path of a script below the layer's directory; it begins with #!.",
                  "type": "string"
                },
                {
                  "$ref": "#/$defs/FullTest"
                }
              ],
              "description": "A test of an image, or the path of a script that is one."
            }
          },
          "$schema": "https://json-schema.org/draft/2020-12/schema",
          "additionalProperties": false,
          "description": "Fields of a compat layer.",
          "patternProperties": {
            "^\\$schema$": true,
            "^x-": true
          },
          "properties": {
            "args": {
              "additionalProperties": {
                "type": "string"
              },
              "default": {},
              "description": "Build arguments; over a stack, the later layer's value wins.",
              "type": "object"
            },
            "description": {
              "description": "A description.",
              "type": "string"
            },
            "includes": {
              "default": [],
              "description": "Compat layers that come before this one, in order, by their directories below compat/.",
              "items": {
                "type": "string"
              },
              "type": "array"
            },
            "tests": {
              "description": "As for a science layer.",
              "items": {
                "$ref": "#/$defs/Test"
              },
              "type": "array"
            }
          },
          "title": "sciserver-image.json of a compat layer",
          "type": "object"
        }
        "##);
    }
}
