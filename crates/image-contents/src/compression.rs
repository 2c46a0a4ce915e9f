//! Decompresses the blob of a layer, as a registry or an engine stores it, into the bytes of its
//! tar.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use crate::limits::{Beyond, Limit};

/// Number of first bytes that identify the format.
const HEAD: usize = 512;

/// The format of a stream, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878, also with a skippable frame at its beginning.
    Zstd,
    /// A tar, also one without entries.
    Tar,
    /// JSON: an object or a list.
    Json,
    /// Something else.
    Other,
}

/// A stream whose beginning was inspected.
pub(crate) type Peeked<R> = Chain<Cursor<Vec<u8>>, R>;

/// Detects the format of a stream by its beginning.
pub(crate) fn peek<R: Read>(mut reader: R) -> io::Result<(Form, Peeked<R>)> {
    let mut head = Vec::with_capacity(HEAD);
    reader.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    Ok((form(&head), Cursor::new(head).chain(reader)))
}

fn form(head: &[u8]) -> Form {
    let is_skippable = |head: &[u8]| matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
    match head {
        [0x1f, 0x8b, ..] => Form::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Form::Zstd,
        head if is_skippable(head) => Form::Zstd,
        head if head.get(257..262) == Some(b"ustar") => Form::Tar,
        head if head.len() == HEAD && head.iter().all(|byte| *byte == 0) => Form::Tar,
        head => match head.trim_ascii_start().first() {
            Some(b'{' | b'[') => Form::Json,
            _ => Form::Other,
        },
    }
}

/// Returns the bytes of a layer's tar, whatever its compression.
pub(crate) fn unpacked<'a>(reader: impl Read + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let (form, reader) = peek(reader)?;
    let reader = BufReader::with_capacity(64 << 10, reader);
    Ok(match form {
        // Several gzip members in a row are one stream; images for lazy pulling have a member for
        // each file.
        Form::Gzip => Box::new(BufReader::with_capacity(64 << 10, MultiGzDecoder::new(reader))),
        Form::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(reader)?;
            decoder.window_log_max(Limit::Window.most().ilog2())?;
            Box::new(BufReader::with_capacity(64 << 10, Windowed(decoder)))
        }
        Form::Tar => Box::new(reader),
        Form::Json | Form::Other => {
            let why = "a layer that is neither a tar nor one packed by gzip or zstd";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
    })
}

/// Maps zstd's error for a frame with too large a window to [`Limit::Window`]. zstd reports it only
/// as text.
struct Windowed<R>(R);

impl<R: Read> Read for Windowed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.to_string().contains("too much memory") {
            true => Beyond(Limit::Window).into(),
            false => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn tar() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        tar.append_data(&mut header, "a", &b"abc"[..]).unwrap();
        tar.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn every_packing_gives_the_same_bytes() {
        let tar = tar();
        let zstd = zstd::encode_all(&tar[..], 1).unwrap();
        let skippable = [&[0x51, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9][..], &zstd].concat();
        let members = [gzip(&tar[..700]), gzip(&tar[700..])].concat();
        let frames =
            [zstd::encode_all(&tar[..700], 1).unwrap(), zstd::encode_all(&tar[700..], 1).unwrap()].concat();
        for (name, packed) in [
            ("plain", tar.clone()),
            ("gzip", gzip(&tar)),
            ("members", members),
            ("zstd", zstd),
            ("frames", frames),
            ("skippable", skippable),
        ] {
            let mut bytes = Vec::new();
            unpacked(&packed[..]).unwrap().read_to_end(&mut bytes).unwrap();
            assert!(bytes == tar, "{name}");
        }
        for other in [&b"{}"[..], b"", b"plain text"] {
            assert!(unpacked(other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn a_window_that_would_take_much_memory_is_refused() {
        for (window, beyond) in [(25, None), (26, Some(Beyond(Limit::Window)))] {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(window).unwrap();
            for _ in 0..80 {
                encoder.write_all(&[7; 1 << 20]).unwrap();
            }
            let packed = encoder.finish().unwrap();
            let read = unpacked(&packed[..]).and_then(|mut reader| io::copy(&mut reader, &mut io::sink()));
            assert_eq!(read.as_ref().err().and_then(Beyond::of), beyond, "{read:?}");
        }
    }
}
