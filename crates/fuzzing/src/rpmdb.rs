//! The reader of rpm's databases: any file in place of a database is read to its end, and gives
//! either packages with names and versions or an error text.

use image_contents::{Budget, Contents, contents, read_layer};

const PATH: &str = "var/lib/rpm/rpmdb.sqlite";

pub(crate) fn body(data: &[u8]) {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(data.len() as u64);
    tar.append_data(&mut header, PATH, data).expect("a tar in memory");
    let tar = tar.into_inner().expect("a tar in memory");
    let layer = read_layer(&tar[..], &Budget::default()).expect("the layer itself is whole");
    let Contents { packages, unread } = contents(&[&layer]);
    for one in &unread {
        assert!(one.path == PATH && !one.why.is_empty(), "{one:?}");
    }
    assert!(packages.is_empty() || unread.is_empty(), "half a database was believed");
    assert!(packages.values().all(|versions| !versions.is_empty()), "{packages:?}");
}
