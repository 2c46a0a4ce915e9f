//! Checks the packets that an engine receives.

use std::collections::VecDeque;
use std::path::Path;

use bytes::Buf as _;
use futures_util::stream;
use prost::Message as _;

use super::*;
use crate::build::context::CONSTANT_TIME;
use crate::build::context::tests::{blob, file, link, sorted};

fn source(entries: Vec<Entry>) -> Arc<Source> {
    Arc::new(Source::new(sorted(entries), "FROM scratch\n".into(), CONSTANT_TIME))
}

/// The packets of one conversation: all names, then the contents of the files for which `ask`
/// returns true, until the end or an error.
async fn fetch(source: &Arc<Source>, wanted: Requested, ask: impl Fn(&Stat) -> bool) -> Fetched {
    let (requests, heard) = mpsc::unbounded_channel();
    let heard = stream::unfold(heard, |mut heard| async { heard.recv().await.map(|next| (Ok(next), heard)) });
    let mut packets = Packets::new(Arc::clone(source).serve(wanted, Box::pin(heard)));
    let mut fetched = Fetched::default();
    let (mut open, mut is_named) = (BTreeSet::new(), false);
    while let Some(packet) = packets.recv().await {
        let Ok(packet) = packet.map_err(|status| fetched.error = Some(status.message().to_owned())) else {
            break;
        };
        match (packet.r#type(), packet.stat) {
            (PacketType::PacketStat, Some(stat)) => fetched.stats.push(stat),
            (PacketType::PacketStat, None) => {
                for (id, _) in (0..).zip(&fetched.stats).filter(|(_, stat)| stat.mode >> 27 == 0 && ask(stat))
                {
                    open.insert(id);
                    let _ = requests.send(Packet {
                        id,
                        ..crate::build::context::filesync::packet(PacketType::PacketReq)
                    });
                }
                fetched.contents = vec![None; fetched.stats.len()];
                is_named = true;
            }
            (PacketType::PacketData, _) if packet.data.is_empty() => {
                assert!(open.remove(&packet.id), "{} has two ends", packet.id);
                fetched.contents[packet.id as usize].get_or_insert_default();
            }
            (PacketType::PacketData, _) => {
                fetched.contents[packet.id as usize].get_or_insert_default().extend(packet.data);
            }
            (PacketType::PacketFin, _) => fetched.is_over = true,
            (other, _) => panic!("{other:?}"),
        }
        if is_named && open.is_empty() && !fetched.is_over {
            let _ = requests.send(crate::build::context::filesync::packet(PacketType::PacketFin));
        }
    }
    fetched
}

/// Parses pieces as an engine does: a byte that says "not compressed", a length, a packet.
struct Packets {
    pieces: mpsc::Receiver<Result<Bytes, Status>>,
    read: VecDeque<Packet>,
}

impl Packets {
    fn new(pieces: mpsc::Receiver<Result<Bytes, Status>>) -> Self {
        Self { pieces, read: VecDeque::new() }
    }

    async fn recv(&mut self) -> Option<Result<Packet, Status>> {
        while self.read.is_empty() {
            let mut piece = match self.pieces.recv().await? {
                Ok(piece) => piece,
                Err(status) => return Some(Err(status)),
            };
            assert!(!piece.is_empty());
            while !piece.is_empty() {
                assert_eq!(piece.get_u8(), 0);
                let length = piece.get_u32() as usize;
                self.read.push_back(Packet::decode(piece.split_to(length)).unwrap());
            }
        }
        self.read.pop_front().map(Ok)
    }
}

#[derive(Debug, Default)]
struct Fetched {
    stats: Vec<Stat>,
    contents: Vec<Option<Vec<u8>>>,
    is_over: bool,
    error: Option<String>,
}

impl Fetched {
    fn paths(&self) -> Vec<&str> {
        self.stats.iter().map(|stat| stat.path.as_str()).collect()
    }

    fn contents(&self, path: &str) -> Option<&[u8]> {
        let at = self.stats.iter().position(|stat| stat.path == path)?;
        self.contents.get(at)?.as_deref()
    }
}

#[tokio::test]
async fn all_that_is_asked_for_comes_whole_and_in_an_engines_order() {
    let root = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..3 * CHUNK + 5).map(|number| (number % 251) as u8).collect();
    let source = source(vec![
        file(root.path(), "a-b", b"1", false),
        file(root.path(), "a/b/c", &large, true),
        file(root.path(), "a/b-c", b"", false),
        file(root.path(), "a.d/e", &large[..CHUNK], false),
        link(root.path(), "a/to", "../a-b"),
    ]);
    let fetched = fetch(&source, Requested::All, |_| true).await;
    assert!(fetched.is_over, "{:?}", fetched.error);
    // A directory comes before names that merely begin with its name.
    let expect = ["a", "a/b", "a/b/c", "a/b-c", "a/to", "a-b", "a.d", "a.d/e"];
    assert_eq!(fetched.paths(), expect);
    let modes =
        fetched.stats.iter().map(|stat| (stat.mode & 0o777, stat.mode >> 27, stat.size)).collect::<Vec<_>>();
    let (dir, size) = ((0o755, 16, 0), large.len() as i64);
    let chunk = CHUNK as i64;
    assert_eq!(
        modes,
        [dir, dir, (0o755, 0, size), (0o644, 0, 0), (0o777, 1, 6), (0o644, 0, 1), dir, (0o644, 0, chunk)]
    );
    assert!(fetched.stats.iter().all(|stat| (stat.uid, stat.gid) == (0, 0)));
    assert!(fetched.stats.iter().all(|stat| stat.mod_time / 1_000_000_000 == CONSTANT_TIME));
    assert_eq!(fetched.contents("a/b/c"), Some(large.as_slice()));
    assert_eq!(fetched.contents("a/b-c"), Some(&b""[..]));
    assert_eq!(fetched.contents("a.d/e"), Some(&large[..CHUNK]));
    assert_eq!((fetched.contents("a/to"), fetched.stats[4].linkname.as_str()), (None, "../a-b"));
    assert_eq!(source.sent.load(Ordering::Relaxed), (large.len() + CHUNK + 1) as u64);
}

#[tokio::test]
async fn small_files_travel_together_and_one_that_changed_ends_them() {
    let root = tempfile::tempdir().unwrap();
    let entries: Vec<Entry> =
        (0..300).map(|number| file(root.path(), &format!("{number:03}"), b"contents", false)).collect();
    let pieces = async || {
        let mut asks: Vec<_> = (0..300)
            .map(|number| {
                Ok(Packet { id: number, ..crate::build::context::filesync::packet(PacketType::PacketReq) })
            })
            .collect();
        asks.push(Ok(crate::build::context::filesync::packet(PacketType::PacketFin)));
        let mut given = source(entries.clone()).serve(Requested::All, stream::iter(asks));
        let (mut pieces, mut error) = (0, None);
        while let Some(piece) = given.recv().await {
            match piece {
                Ok(_) => pieces += 1,
                Err(status) => error = Some(status.message().to_owned()),
            }
        }
        (pieces, error)
    };
    let (count, error) = pieces().await;
    // One piece for each packet would be 900 pieces.
    assert!(count < 300 && error.is_none(), "{count} {error:?}");
    std::fs::write(root.path().join("200"), "Contents").unwrap();
    assert_eq!(pieces().await.1.as_deref(), Some("200 changed after the plan was made"));
}

/// An engine requests a file as soon as it has created one for its name.
#[tokio::test]
async fn contents_travel_while_names_are_told() {
    const FILES: u32 = 2_000;
    let root = tempfile::tempdir().unwrap();
    let entries =
        (0..FILES).map(|number| file(root.path(), &format!("{number:04}"), b"contents", false)).collect();
    let (requests, heard) = mpsc::unbounded_channel();
    let heard = stream::unfold(heard, |mut heard| async { heard.recv().await.map(|next| (Ok(next), heard)) });
    let mut packets = Packets::new(source(entries).serve(Requested::All, Box::pin(heard)));
    let (mut names, mut ends, mut ends_between) = (0, 0, None);
    while let Some(packet) = packets.recv().await {
        let packet = packet.unwrap();
        match (packet.r#type(), packet.stat) {
            (PacketType::PacketStat, Some(_)) => {
                requests
                    .send(Packet {
                        id: names,
                        ..crate::build::context::filesync::packet(PacketType::PacketReq)
                    })
                    .unwrap();
                names += 1;
                tokio::task::yield_now().await;
            }
            (PacketType::PacketStat, None) => ends_between = Some(ends),
            (PacketType::PacketData, _) if packet.data.is_empty() => {
                ends += 1;
                if ends == FILES {
                    requests.send(crate::build::context::filesync::packet(PacketType::PacketFin)).unwrap();
                }
            }
            _ => {}
        }
    }
    assert_eq!((names, ends), (FILES, FILES));
    assert!(ends_between > Some(FILES / 2), "{ends_between:?} of {FILES} before the last name");
}

#[tokio::test]
async fn what_an_engine_has_already_is_neither_sent_nor_read() {
    let root = tempfile::tempdir().unwrap();
    let entries = vec![file(root.path(), "a", b"1", false), file(root.path(), "b", b"22", false)];
    let source = source(entries);
    // The engine has the planned file already.
    std::fs::write(root.path().join("a"), "x").unwrap();
    let fetched = fetch(&source, Requested::All, |stat| stat.path == "b").await;
    assert!(fetched.is_over && source.failure().is_none());
    assert_eq!((fetched.contents("a"), fetched.contents("b")), (None, Some(&b"22"[..])));
    assert_eq!(source.sent.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_file_that_changed_never_has_an_end() {
    for contents in [&b"other"[..], b"longer than before", b""] {
        let root = tempfile::tempdir().unwrap();
        let source = source(vec![file(root.path(), "a", b"plans", false)]);
        std::fs::write(root.path().join("a"), contents).unwrap();
        let fetched = fetch(&source, Requested::All, |_| true).await;
        assert_eq!(fetched.error.as_deref(), Some("a changed after the plan was made"));
        assert!(!fetched.is_over);
        // The file is not complete, although the engine may have received a part.
        assert_eq!(fetched.contents("a"), None);
        assert!(matches!(source.failure(), Some(ContextError::Changed { path }) if path == "a"));
    }
}

#[tokio::test]
async fn no_link_leads_out_of_a_layer() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "1").unwrap();
    let source = source(vec![file(root.path(), "dir/secret", b"1", false)]);
    std::fs::remove_dir_all(root.path().join("dir")).unwrap();
    std::os::unix::fs::symlink(outside.path(), root.path().join("dir")).unwrap();
    let fetched = fetch(&source, Requested::All, |_| true).await;
    assert_eq!(fetched.error.as_deref(), Some("dir/secret changed after the plan was made"));
}

#[tokio::test]
async fn what_no_name_stands_for_and_what_was_given_is_not_given() {
    let root = tempfile::tempdir().unwrap();
    for ids in [&[7][..], &[0], &[1, 1]] {
        let source = source(vec![file(root.path(), "d/a", b"1", false)]);
        let asks = ids.iter().map(|id| {
            Ok(Packet { id: *id, ..crate::build::context::filesync::packet(PacketType::PacketReq) })
        });
        let mut pieces = source.serve(Requested::All, stream::iter(asks.collect::<Vec<_>>()));
        let mut last = None;
        while let Some(piece) = pieces.recv().await {
            last = Some(piece);
        }
        assert!(last.unwrap().is_err(), "{ids:?}");
    }
}

#[test]
fn an_engine_tells_what_it_will_look_at() {
    let paths =
        |paths: &[&str]| Some(Requested::Paths(paths.iter().map(|path| (*path).to_owned()).collect()));
    for (directory, reported, expect) in [
        ("dockerfile", &["Dockerfile", "Dockerfile.dockerignore"][..], Some(Requested::Dockerfile)),
        ("context", &[], Some(Requested::All)),
        ("context", &["/src/a", "b"], paths(&["src/a", "b"])),
        ("context", &["."], Some(Requested::All)),
        ("context", &["/"], Some(Requested::All)),
        ("context", &["a", "*.txt"], Some(Requested::All)),
        ("context", &[".dockerignore"], paths(&[])),
        ("/etc", &["passwd"], None),
    ] {
        let reported: Vec<String> = reported.iter().map(|path| (*path).to_owned()).collect();
        assert_eq!(Requested::new(directory, &reported), expect, "{directory} {reported:?}");
    }
}

#[tokio::test]
async fn an_engine_is_told_of_what_it_will_look_at() {
    let root = tempfile::tempdir().unwrap();
    let files = || ["a/b", "a/c", "ab", "z/y/x"].map(|path| file(root.path(), path, b"1", false)).to_vec();
    let reported = async |entries, paths: &[&str]| {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let fetched = fetch(&source(entries), Requested::Paths(paths), |_| true).await;
        fetched.paths().join(" ")
    };
    assert_eq!(reported(files(), &["a"]).await, "a a/b a/c");
    assert_eq!(reported(files(), &["z/y/x", "ab"]).await, "ab z z/y z/y/x");
    // The generated Dockerfile is only in its own directory.
    assert_eq!(reported(files(), &["Dockerfile"]).await, "");
    assert_eq!(reported(files(), &[]).await, "");
    // A path may lead through a link.
    let linked = [files(), vec![link(root.path(), "l", "z")]].concat();
    assert_eq!(reported(linked, &["l/y"]).await, "a a/b a/c ab l z z/y z/y/x");
    let fetched = fetch(&source(files()), Requested::Dockerfile, |_| true).await;
    assert_eq!(fetched.paths(), ["Dockerfile"]);
    assert_eq!(fetched.contents("Dockerfile"), Some(&b"FROM scratch\n"[..]));
}

/// An engine considers files equal if key, path, size and time are equal.
#[test]
fn the_key_stands_for_all_but_the_dockerfile_whose_time_tells_it() {
    let root = Path::new("/nowhere");
    let entry = |path: &str, executable, contents: &[u8]| {
        let kind = EntryKind::File { executable, expect: blob(contents) };
        Entry { path: path.into(), source: root.join(path), kind }
    };
    let of = |entries: Vec<Entry>, dockerfile: &str, mtime| {
        Source::new(Context { entries }, dockerfile.into(), mtime).key()
    };
    let same = of(vec![entry("a", false, b"1")], "FROM a\n", 1);
    assert_eq!(same, of(vec![entry("a", false, b"1")], "FROM b\n", 1));
    for other in [
        of(vec![entry("a", false, b"2")], "FROM a\n", 1),
        of(vec![entry("a", true, b"1")], "FROM a\n", 1),
        of(vec![entry("b", false, b"1")], "FROM a\n", 1),
        of(vec![entry("a", false, b"1"), entry("b", false, b"1")], "FROM a\n", 1),
        of(vec![entry("a", false, b"1")], "FROM a\n", 2),
        of(vec![], "FROM a\n", 1),
    ] {
        assert_ne!(same, other);
    }
    assert_ne!(dockerfile_time("FROM a\n"), dockerfile_time("FROM b\n"));
    assert_eq!(dockerfile_time("FROM a\n"), dockerfile_time("FROM a\n"));
}
