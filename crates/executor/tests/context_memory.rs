//! Tests that a context is streamed, so that its size does not affect the memory use. The only test
//! of this file, because it measures the peak of its process.

#![expect(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

use std::fs::File;

use executor::build::context::{CONSTANT_TIME, Generated, stream};
use plan::{Context, Entry, EntryKind, Expect};

const SIZE: u64 = 2 << 30;
/// `git hash-object` of a file with that many zeros.
const BLOB: &str = "77e9132b46cb9535f286f18974872f40049d1a89";
const LIMIT: u64 = 64 << 20;

/// The process's peak of resident memory, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn two_gibibytes_stream_in_little_memory() {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("data");
    File::create(&source).unwrap().set_len(SIZE).unwrap();
    let kind = EntryKind::File { executable: false, expect: Expect::GitBlob(BLOB.into()) };
    let context = Context { entries: vec![Entry { path: "data".into(), source, kind }] };
    let before = peak();
    let dockerfile = Generated::new("FROM scratch\n".into(), &context);
    let mut stream = stream(context, dockerfile, CONSTANT_TIME);
    let mut bytes = 0;
    while let Some(chunk) = stream.chunks.recv().await {
        bytes += chunk.unwrap().len() as u64;
    }
    stream.end.await.unwrap().unwrap();
    assert!(bytes > SIZE, "{bytes}");
    let grown = peak() - before;
    assert!(grown < LIMIT, "memory grew by {} MiB", grown >> 20);
}
