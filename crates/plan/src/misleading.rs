//! Detects and escapes characters and commands of untrusted text that must not reach a terminal or
//! a log.

use std::borrow::Cow;

/// Characters beyond ASCII that control, hide or reorder displayed text (Unicode TR 36,
/// "Bidirectional Text Spoofing").
#[must_use]
pub fn misleads(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}'         // C1 controls, CSI among them
        | '\u{ad}'                  // soft hyphen
        | '\u{61c}'                 // Arabic letter mark
        | '\u{180e}'                // Mongolian vowel separator
        | '\u{200b}'..='\u{200f}'   // zero width, and direction marks
        | '\u{2028}' | '\u{2029}'   // line and paragraph separator
        | '\u{202a}'..='\u{202e}'   // embeddings and overrides
        | '\u{2060}'..='\u{206f}'   // invisible operators, isolates
        | '\u{feff}'                // byte order mark
        | '\u{fff9}'..='\u{fffb}'   // annotation marks
        | '\u{e0000}'..='\u{e007f}' // tags
    )
}

/// Escapes misleading characters and Azure Pipelines commands of a JSON text as `\u….` in its
/// strings. A JSON parser reads the same data.
#[must_use]
pub fn escape_json(json: &str) -> Cow<'_, str> {
    if !json.contains("##") && !json.chars().any(misleads) && !json.contains('\x7f') {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for (at, c) in json.char_indices() {
        // Outside of strings, JSON contains neither these characters nor a `#`.
        if c == '\x7f' || misleads(c) || (c == '#' && is_marked_command(&json[at..])) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Whether a text begins with a command of Azure Pipelines: `##word[`.
#[must_use]
pub fn is_marked_command(text: &str) -> bool {
    text.strip_prefix("##").is_some_and(|rest| {
        let word = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        rest[word..].starts_with('[')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_meaning() {
        let data = serde_json::json!({"a\u{202e}": "\u{1b}[0m \u{9b} ##vso[x] \u{e0041} \u{7f} ## ok"});
        let text = data.to_string();
        let shown = escape_json(&text);
        assert!(!shown.chars().any(|c| c.is_control() || misleads(c)), "{shown}");
        assert!(!shown.contains("##vso["), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), data);
    }
}
