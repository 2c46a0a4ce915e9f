//! A layer: whatever its headers declare, it is read to its end or rejected, with the same result
//! for pieces of any size, and within its memory limit.

use std::io::{self, Read};

use image_contents::{Beyond, Budget, Contents, Limit, contents, read_layer};

/// A memory limit that is low enough to be reached, in bytes.
const LITTLE: u64 = 700;

/// The first byte encodes the size of the pieces; the rest is the layer.
pub(crate) fn body(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let pieces = Pieces { data, most: usize::from(*first) + 1 };
    let read = read_layer(data, &Budget::default());
    match (&read, read_layer(pieces, &Budget::default())) {
        (Ok(whole), Ok(pieces)) => assert_eq!(*whole, pieces),
        (Err(whole), Err(pieces)) => assert_eq!(whole.to_string(), pieces.to_string()),
        (whole, pieces) => panic!("whole {whole:?}, in pieces {pieces:?}"),
    }
    let little = read_layer(data, &Budget::keeping(LITTLE));
    let Ok(layer) = read else {
        assert!(little.is_err(), "less memory made it readable");
        return;
    };
    match little {
        Ok(little) => assert!(little == layer && layer.kept <= LITTLE, "{} are kept", layer.kept),
        Err(error) => {
            assert_eq!(Beyond::of(&error), Some(Beyond(Limit::Kept)), "{error}");
            assert!(error.to_string().contains("memory"), "{error}");
        }
    }
    let Contents { packages, unread } = contents(&[&layer]);
    assert!(unread.iter().all(|one| !one.why.is_empty() && one.path.len() <= 4096), "{unread:?}");
    for (package, versions) in &packages {
        assert!(!versions.is_empty() && package.place.len() <= 4096, "{package:?}");
        assert!(package.name.len() <= 2 * Limit::Text.most() as usize + 1, "{package:?}");
    }
}

/// Reads at most `most` bytes at a time.
struct Pieces<'a> {
    data: &'a [u8],
    most: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.most.min(buffer.len());
        self.data.read(&mut buffer[..most])
    }
}
