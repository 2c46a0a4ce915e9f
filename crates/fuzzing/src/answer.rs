//! An engine's response to a build: it never gives an image after an error or from a truncated
//! response, and never keeps or reports more than was received.

use std::cell::OnceCell;

use executor::fuzzing::{End, receive};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::runtime::Runtime;

/// The longest output line that is reported whole, in bytes, after invalid UTF-8 was replaced,
/// which triples it at most.
const LONGEST_TEXT: usize = 16 * 1024 * 3;

/// The first byte encodes how the answer ends and how it is cut into pieces; the rest is the
/// answer.
pub(crate) fn body(data: &[u8]) {
    let Some((first, answer)) = data.split_first() else { return };
    let end = if first & 1 == 0 { End::Whole } else { End::Cut };
    // The JSON parser restarts with each piece, so small pieces are for small answers only.
    let size = [usize::MAX, 1, 7, 512][usize::from(first >> 1 & 3)]
        .clamp(answer.len() / 64 + 1, answer.len().max(1));
    let pieces = answer.chunks(size).map(<[u8]>::to_vec).collect();
    let heard = block_on(receive(pieces, end));

    let told: usize = heard.texts.iter().map(String::len).sum();
    assert!(told <= answer.len() * 3 + 1024, "{told} bytes told of {} heard", answer.len());
    let longest = heard.texts.iter().map(String::len).max().unwrap_or(0);
    assert!(longest <= LONGEST_TEXT.max(answer.len()), "a text of {longest} bytes");

    let Ok(image) = heard.image else { return };
    assert_eq!(end, End::Whole, "an image of an answer that was cut: {image}");
    let mut ids = Vec::new();
    for message in messages(answer) {
        assert!(message.error_detail.is_none(), "an image in spite of {message:?}");
        ids.extend(message.aux.and_then(|aux| Some(aux.get("ID")?.as_str()?.to_owned())));
    }
    let last = ids.last().unwrap_or_else(|| panic!("the image {image:?} out of nothing"));
    assert!(image == *last || image == format!("sha256:{last}"), "{image:?} is not the last one, {last:?}");
}

/// The fields of a message that decide how it is read. Other fields may hold anything, also invalid
/// text.
#[derive(Debug, Deserialize)]
struct Message {
    #[serde(rename = "errorDetail")]
    error_detail: Option<IgnoredAny>,
    aux: Option<Value>,
}

/// The messages of an answer, as an independent JSON parser reads them: concatenated, without
/// regard to line ends.
fn messages(answer: &[u8]) -> Vec<Message> {
    let plain: Vec<u8> = answer.iter().copied().filter(|byte| *byte != b'\n').collect();
    let messages: Result<Vec<Message>, _> =
        serde_json::Deserializer::from_slice(&plain).into_iter().collect();
    messages.unwrap_or_else(|error| panic!("an image of what is not JSON: {error}"))
}

/// One runtime for each thread that runs inputs.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
    }
    RUNTIME.with(|runtime| {
        let make = || tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.get_or_init(|| make().expect("a runtime")).block_on(work)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Such an end is recognised by the error text of bollard's codec. The engine is queried for
    /// the image then.
    #[test]
    fn a_line_end_that_comes_by_itself_is_known_from_a_lost_engine() {
        let message = b"{\"aux\":{\"ID\":\"sha256:0f\"}}".to_vec();
        let heard = |pieces, end| block_on(receive(pieces, end)).image;
        let image = || Ok("sha256:0f".to_owned());
        assert_eq!(heard(vec![[&message[..], b"\r\n"].concat()], End::Whole), image());
        let rest = heard(vec![message.clone(), b"\r\n".to_vec()], End::Whole).unwrap_err();
        assert!(rest.contains("in the middle of a message"), "{rest}");
        let lost = heard(vec![message, b"\r\n".to_vec()], End::Cut).unwrap_err();
        assert!(lost.contains("does not answer as it should"), "{lost}");
    }
}
