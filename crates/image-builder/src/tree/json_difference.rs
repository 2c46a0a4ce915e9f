//! Lists the differences of two JSON documents as text.
//!
//! Lists whose items have an `id` are matched by id, so that an additional build is one difference
//! and not a hundred.

use std::collections::BTreeSet;

use serde_json::Value;

/// Returns one line for each different value, with both values.
pub(crate) fn differences(left: &Value, right: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", left, right, &mut found);
    found
}

fn compare(path: &str, left: &Value, right: &Value, found: &mut Vec<String>) {
    match (left, right) {
        (Value::Object(l), Value::Object(r)) => {
            let mut keys: Vec<&String> =
                l.keys().chain(r.keys()).collect::<BTreeSet<_>>().into_iter().collect();
            // Short values explain long ones: the repo comes before the tags that begin with it.
            keys.sort_by_key(|key| rank(l.get(*key).or_else(|| r.get(*key))));
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare_optional(&path, l.get(key), r.get(key), found);
            }
        }
        (Value::Array(l), Value::Array(r)) => {
            if let (Some(left_ids), Some(right_ids)) = (ids(l), ids(r)) {
                let order = found.len();
                for id in left_ids.iter().chain(&right_ids).collect::<BTreeSet<_>>() {
                    let find = |list: &'_ [Value]| list.iter().position(|item| item["id"] == **id);
                    let path = format!("{path}[{id}]");
                    compare_optional(&path, find(l).map(|at| &l[at]), find(r).map(|at| &r[at]), found);
                }
                if found.len() == order && left_ids != right_ids {
                    found.push(format!("{path}: in another order"));
                }
            } else {
                for at in 0..l.len().max(r.len()) {
                    compare_optional(&format!("{path}[{at}]"), l.get(at), r.get(at), found);
                }
            }
        }
        (l, r) if l == r => {}
        (l, r) => found.push(format!("{path}: {} in the file, {} now", brief(l), brief(r))),
    }
}

fn compare_optional(path: &str, left: Option<&Value>, right: Option<&Value>, found: &mut Vec<String>) {
    match (left, right) {
        (Some(left), Some(right)) => compare(path, left, right, found),
        (Some(left), None) => found.push(format!("{path}: {} in the file, not there now", brief(left))),
        (None, Some(right)) => found.push(format!("{path}: not in the file, {} now", brief(right))),
        (None, None) => {}
    }
}

/// The sort order of a value: plain values, then objects, then lists.
fn rank(value: Option<&Value>) -> u8 {
    match value {
        Some(Value::Array(_)) => 2,
        Some(Value::Object(_)) => 1,
        _ => 0,
    }
}

/// Returns the ids of a list's items; `None` unless every item has one.
fn ids(list: &[Value]) -> Option<Vec<&str>> {
    list.iter().map(|item| item.get("id")?.as_str()).collect()
}

fn brief(value: &Value) -> String {
    const ENOUGH: usize = 80;
    match value {
        Value::Object(fields) => format!("{{{} fields}}", fields.len()),
        Value::Array(items) if items.len() > 3 => format!("[{} items]", items.len()),
        other => {
            let text = other.to_string();
            match text.char_indices().nth(ENOUGH) {
                Some((cut, _)) => format!("{}…", &text[..cut]),
                None => text,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_documents_have_no_difference() {
        let document = json!({"a": [1, {"b": null}], "builds": [{"id": "x"}]});
        assert_eq!(differences(&document, &document.clone()), Vec::<String>::new());
    }

    #[test]
    fn each_place_is_told() {
        let file =
            json!({"repo": "a", "n": [1, 2], "builds": [{"id": "x", "args": {"V": "1"}}, {"id": "y"}]});
        let now =
            json!({"repo": "b", "n": [1], "builds": [{"id": "x", "args": {"V": "2"}}, {"id": "z", "k": 1}]});
        assert_eq!(
            differences(&file, &now),
            [
                "repo: \"a\" in the file, \"b\" now",
                "builds[x].args.V: \"1\" in the file, \"2\" now",
                "builds[y]: {1 fields} in the file, not there now",
                "builds[z]: not in the file, {2 fields} now",
                "n[1]: 2 in the file, not there now",
            ]
        );
    }

    #[test]
    fn another_order_is_a_difference() {
        let (file, now) = (json!([{"id": "x"}, {"id": "y"}]), json!([{"id": "y"}, {"id": "x"}]));
        assert_eq!(differences(&file, &now), [": in another order"]);
    }
}
