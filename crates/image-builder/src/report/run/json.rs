//! Writes events as JSON, one per line.

use executor::Event;

use crate::cli::escape::escape_json;

/// The event on one line, with its line end.
pub(crate) fn line(event: &Event) -> String {
    let json = serde_json::to_string(event).expect("an event holds only strings, numbers and lists");
    format!("{}\n", escape_json(&json))
}

#[cfg(test)]
mod tests {
    use plan::BuildId;

    use super::*;

    #[test]
    fn an_event_is_one_line_and_reads_back() {
        let event = Event::Output {
            id: BuildId("science/a".to_owned()),
            line: "a\nb \u{202e}\u{9b} ##vso[x]".to_owned(),
        };
        let text = line(&event);
        insta::assert_snapshot!(text, @r#"{"event":"output","id":"science/a","line":"a\nb \u202e\u009b \u0023#vso[x]"}"#);
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
