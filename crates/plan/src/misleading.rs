//! Characters that a text of others is not to bring to a terminal or a log as they are.

/// Characters beyond ASCII that control, hide or reorder what is shown (Unicode TR 36, "Bidirectional Text Spoofing").
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
