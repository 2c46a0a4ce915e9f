//! The generated pages of the reference: the command line from `--help`, descriptors from their
//! JSON Schema. `UPDATE_EXAMPLES=1` writes the pages.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::Tree;

/// Asserts that a page of `docs/reference` has this text.
#[track_caller]
fn expect_page(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
    if std::env::var_os("UPDATE_EXAMPLES").is_some() {
        fs::write(&file, text).expect("the page can be written");
    }
    let page = fs::read_to_string(&file).unwrap_or_default();
    assert!(page == text, "docs/reference/{name} is outdated: UPDATE_EXAMPLES=1 writes it");
}

#[test]
fn the_command_line_is_documented_as_its_help() {
    let tree = Tree::new();
    let help = |arguments: &[&str]| tree.run(arguments).code(0).stdout.trim_end().to_owned();
    let top = help(&["--help"]);
    let mut page = format!(
        "# Command line\n\nWritten by a test from `--help`.\n\n## image-builder\n\n```text\n{top}\n```\n"
    );
    let commands = top.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.contains(&"build") && names.contains(&"schema"), "{names:?}");
    for name in names {
        let text = help(&[name, "--help"]);
        write!(page, "\n## image-builder {name}\n\n```text\n{text}\n```\n").expect("a string");
    }
    expect_page("command-line.md", &page);
}

#[test]
fn descriptors_are_documented_as_their_schema() {
    let tree = Tree::new();
    let mut page = "# Descriptors\n\nWritten by a test from `image-builder schema`. A descriptor is the file \
                    `sciserver-image.json`\nof a layer's directory: JSON, in which comments and trailing commas are allowed.\n"
        .to_owned();
    for kind in ["science", "compat"] {
        let text = tree.run(&["schema", kind]).code(0).stdout;
        let schema: Value = serde_json::from_str(&text).expect("a schema");
        write!(page, "\n## {kind}\n\n").expect("a string");
        table(&mut page, &schema);
        for (name, part) in schema["$defs"].as_object().into_iter().flatten() {
            if part["properties"].is_object() {
                write!(page, "\n### {kind}: {name}\n\n").expect("a string");
                table(&mut page, part);
            }
        }
    }
    expect_page("descriptors.md", &page);
}

/// The fields of an object: required ones, types, defaults and descriptions.
fn table(page: &mut String, object: &Value) {
    if let Some(text) = object["description"].as_str() {
        write!(page, "{text}\n\n").expect("a string");
    }
    page.push_str("| field | type | default | meaning |\n| --- | --- | --- | --- |\n");
    let required: Vec<&str> =
        object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in object["properties"].as_object().expect("an object has fields") {
        let default = match &field["default"] {
            Value::Null if required.contains(&name.as_str()) => "required".to_owned(),
            Value::Null => String::new(),
            default => format!("`{default}`"),
        };
        let text = field["description"].as_str().unwrap_or_default().replace('|', "\\|").replace('\n', " ");
        writeln!(page, "| `{name}` | {} | {default} | {text} |", kind(field)).expect("a string");
    }
}

fn kind(field: &Value) -> String {
    match (&field["type"], &field["$ref"], &field["items"]) {
        (Value::String(kind), _, items) if kind == "array" && items.is_object() => {
            format!("list of {}", kind_of(items))
        }
        (Value::String(kind), ..) => kind.clone(),
        (Value::Array(kinds), ..) => kinds
            .iter()
            .filter_map(Value::as_str)
            .filter(|kind| *kind != "null")
            .collect::<Vec<_>>()
            .join(" or "),
        _ => kind_of(field),
    }
}

fn kind_of(value: &Value) -> String {
    let of_reference = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
    match value["$ref"].as_str() {
        Some(reference) => of_reference(reference),
        None => value["type"].as_str().unwrap_or("any").to_owned(),
    }
}

/// The page is written by hand; its keys, defaults and levels are those of the planner.
#[test]
fn every_key_of_the_configuration_is_documented() {
    let page = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/configuration.md"),
    )
    .expect("the page is there");
    let row = |key: &str| page.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
    for key in planner::config::KEYS.into_iter().filter(|key| *key != "check") {
        assert!(row(key).is_some(), "{key} is not documented");
    }
    let config = planner::config::Config::default();
    for (key, default) in [
        ("repo", config.repo),
        ("platform", config.platform),
        ("label_prefix", config.label_prefix),
        ("image_variable", config.image_variable),
    ] {
        assert!(row(key).is_some_and(|row| row.contains(&format!("`{default}`"))), "{key}: {default}");
    }
    for (code, level) in planner::config::GUIDELINES {
        let level = format!("{level:?}").to_lowercase();
        assert_eq!(row(code), Some(format!("| `{code}` | {level} |").as_str()));
    }
}
