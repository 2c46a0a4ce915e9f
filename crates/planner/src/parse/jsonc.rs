//! Parses JSON with `#`, `//` and `/* */` comments and trailing commas. No other deviation is
//! accepted: duplicate keys and text after the end are errors.

use std::borrow::Cow;

use jsonc_parser::ast::{Object, ObjectPropName, Value};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use crate::Problem;
use crate::tree::SourceFile;

/// Size limit of the file, in bytes.
const MAX_SIZE: usize = 1 << 20;

/// At most this many problems of one file are reported.
pub(crate) const MAX_PROBLEMS: usize = 50;

/// The deepest nesting of lists and objects. The underlying parser recurses.
const MAX_DEPTH: usize = 64;

/// Blanks out the parts that the underlying parser does not accept: `#` comments and a byte order
/// mark. The length stays the same. Most files have neither and are returned as they are.
///
/// # Errors
/// Returns a problem if the file is too large or nested too deeply.
pub(crate) fn prepare(file: &SourceFile) -> Result<Cow<'_, str>, Problem> {
    if file.text.len() > MAX_SIZE {
        return Err(Problem::in_file("too-large", &file.path, "the descriptor is larger than 1 MiB")
            .help("a descriptor holds a few names; put data into a file of its own"));
    }
    if is_plain(&file.text) {
        return Ok(Cow::Borrowed(&file.text));
    }
    let mut prepared = String::with_capacity(file.text.len());
    let mut depth = 0_usize;
    let mut state = State::Value;
    let mut chars = file.text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let mut blank = false;
        state = match (state, c) {
            (State::Value, '"') => State::Text,
            (State::Value, '#') => {
                blank = true;
                State::Hash
            }
            (State::Value, '/') if next == Some('/') => State::Line,
            (State::Value, '/') if next == Some('*') => {
                prepared.push(c);
                chars.next();
                prepared.push('*');
                state = State::Block;
                continue;
            }
            (State::Value, '\u{feff}') if at == 0 => {
                blank = true;
                State::Value
            }
            (State::Value, '[' | '{') => {
                depth += 1;
                if depth > MAX_DEPTH {
                    let message = format!("lists and objects are nested more than {MAX_DEPTH} deep");
                    return Err(Problem::in_file("descriptor-syntax", &file.path, message)
                        .at(&file.text, at)
                        .help("a descriptor needs three levels"));
                }
                State::Value
            }
            (State::Value, ']' | '}') => {
                depth = depth.saturating_sub(1);
                State::Value
            }
            (State::Text, '"') => State::Value,
            (State::Text, '\\') => State::Escaped,
            (State::Escaped, _) => State::Text,
            // A line end closes an unclosed string, which the parser reports.
            (State::Text | State::Hash | State::Line, '\n') => State::Value,
            (State::Hash, _) => {
                blank = c != '\r';
                State::Hash
            }
            (State::Block, '*') if next == Some('/') => {
                prepared.push(c);
                chars.next();
                prepared.push('/');
                state = State::Value;
                continue;
            }
            (state, _) => state,
        };
        if blank {
            prepared.extend(std::iter::repeat_n(' ', c.len_utf8()));
        } else {
            prepared.push(c);
        }
    }
    Ok(Cow::Owned(prepared))
}

/// Whether a text certainly has nothing to blank out and is not nested too deeply.
fn is_plain(text: &str) -> bool {
    let opened = text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
    opened <= MAX_DEPTH && !text.contains('#') && !text.starts_with('\u{feff}')
}

#[derive(Clone, Copy)]
enum State {
    Value,
    Text,
    Escaped,
    Hash,
    Line,
    Block,
}

/// Parses a file that contains one object. Also returns a problem for each duplicate key.
/// `prepared` comes from [`prepare`].
///
/// # Errors
/// Returns problems if the text is not JSON or not an object.
pub(crate) fn object<'a>(
    file: &SourceFile,
    prepared: &'a str,
) -> Result<(Object<'a>, Vec<Problem>), Vec<Problem>> {
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let syntax = |message: String, at: usize| {
        Problem::in_file("descriptor-syntax", &file.path, message).at(&file.text, at)
    };
    let parsed = parse_to_ast(prepared, &CollectOptions::default(), &options).map_err(|error| {
        let mut kind = error.kind().to_string();
        if let Some(first) = kind.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        vec![
            syntax(format!("not JSON: {kind}"), error.range().start)
                .help("comments (#, //, /* */) and trailing commas are fine, all else is as in JSON"),
        ]
    })?;
    match parsed.value {
        Some(Value::Object(object)) => {
            let mut problems = Vec::new();
            duplicates(&object, &mut |key, at| {
                if problems.len() < MAX_PROBLEMS {
                    let problem = syntax(format!("the field {key:?} stands twice"), at);
                    problems.push(problem.help("remove one of them"));
                }
            });
            Ok((object, problems))
        }
        _ => Err(vec![
            syntax("a descriptor is one JSON object".to_owned(), 0)
                .help("begin it with `{` and end it with `}`"),
        ]),
    }
}

fn duplicates(object: &Object<'_>, found: &mut dyn FnMut(&str, usize)) {
    let mut seen = std::collections::BTreeSet::new();
    for property in &object.properties {
        if !seen.insert(key(&property.name)) {
            found(key(&property.name), property.range.start);
        }
        duplicates_in(&property.value, found);
    }
}

fn duplicates_in(value: &Value<'_>, found: &mut dyn FnMut(&str, usize)) {
    match value {
        Value::Object(object) => duplicates(object, found),
        Value::Array(array) => array.elements.iter().for_each(|element| duplicates_in(element, found)),
        _ => {}
    }
}

/// Returns the name of a field.
pub(crate) fn key<'a>(name: &'a ObjectPropName<'_>) -> &'a str {
    match name {
        ObjectPropName::String(literal) => &literal.value,
        ObjectPropName::Word(word) => word.value,
    }
}
