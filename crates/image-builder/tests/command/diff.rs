//! `diff` of images with layers that would exhaust their reader or that never end: the real binary
//! against a registry in memory.

use testbed::registry::Shelf;

use crate::support::{Run, Tree};

const STATUS: &str = "var/lib/dpkg/status";

/// Returns a member of a tar: its header with `kind`, and its content.
fn member(name: &str, kind: u8, size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..136].copy_from_slice(&size_field(size));
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar  \0");
    seal(&mut header);
    let mut member = header.to_vec();
    member.extend_from_slice(content);
    member.resize(member.len().next_multiple_of(512), 0);
    member
}

/// Formats a size as octal digits, or beyond their range as a binary number, as GNU tar does.
fn size_field(size: u64) -> [u8; 12] {
    let mut field = [0; 12];
    if size < 1 << 33 {
        field[..11].copy_from_slice(format!("{size:011o}").as_bytes());
    } else {
        field[0] = 0x80;
        field[4..].copy_from_slice(&size.to_be_bytes());
    }
    field
}

fn seal(header: &mut [u8; 512]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

/// Returns an old GNU sparse file that expands to 2^60 bytes.
fn sparse() -> Vec<u8> {
    let mut header: [u8; 512] = member(STATUS, b'S', 0, b"").try_into().expect("one block");
    header[386..398].copy_from_slice(&size_field(1 << 60));
    header[398..410].copy_from_slice(&size_field(0));
    header[483..495].copy_from_slice(&size_field(1 << 60));
    seal(&mut header);
    header.to_vec()
}

fn package(version: &str) -> Vec<u8> {
    let text = format!("Name: a\nVersion: {version}\n");
    member("l/site-packages/a-1.dist-info/METADATA", b'0', text.len() as u64, text.as_bytes())
}

/// Returns members as a layer, with the size that its manifest declares.
fn layer(members: &[Vec<u8>]) -> (Vec<u8>, usize) {
    let mut layer = members.concat();
    layer.resize(layer.len() + 1024, 0);
    let size = layer.len();
    (layer, size)
}

/// Publishes two images, and compares them.
fn diff(shelf: &Shelf, bad: &(Vec<u8>, usize), flags: &[&str]) -> Run {
    shelf.put_layers("x/a", "good", &[layer(&[package("1")])]);
    shelf.put_layers("x/a", "bad", std::slice::from_ref(bad));
    compare(shelf, flags)
}

fn compare(shelf: &Shelf, flags: &[&str]) -> Run {
    let names = ["good", "bad"].map(|tag| format!("{}/x/a:{tag}", shelf.address()));
    let mut run = Tree::new().run(&[&["diff", &names[0], &names[1], "--from", "registry"], flags].concat());
    for text in [&mut run.stdout, &mut run.stderr] {
        *text = text.replace(&shelf.address(), "$HOST");
    }
    run
}

/// The unreadable record is named, and everything else is compared.
#[test]
fn case_bombs_in_layers_sparse_file_is_named_and_the_rest_compared() {
    let shelf = Shelf::start();
    let run = diff(&shelf, &layer(&[sparse(), package("2")]), &[]).code(0);
    assert!(run.stdout.contains("~ a  1 → 2"), "{}", run.stdout);
    let unread = "unknown, because it was not read:\n  \
                  b: /var/lib/dpkg/status: it is stored as a sparse file, which is not read\n";
    assert!(run.stdout.contains(unread), "{}", run.stdout);
    compare(&shelf, &["--check"]).code(7);
}

#[test]
fn case_bombs_in_layers_long_name_is_refused() {
    let shelf = Shelf::start();
    let name = member("././@LongLink", b'L', 4 << 30, &[b'a'; 4096]);
    let run = diff(&shelf, &layer(&[package("2"), name]), &[]).code(5);
    let (before, after) = run.stderr.split_once("the layer sha256:").expect("the layer is named");
    assert_eq!(before, "error: $HOST/x/a:bad: ");
    assert_eq!(
        after.get(64..),
        Some(" cannot be read: a long name or pax header of more than 1 MiB\n"),
        "{}",
        run.stderr
    );
}

#[test]
fn case_bombs_in_layers_blob_that_is_longer_than_its_manifest_tells() {
    let shelf = Shelf::start();
    let (bytes, _) = layer(&[package("2"), member("data", b'0', 1 << 20, &[b'x'; 1 << 20])]);
    let run = diff(&shelf, &(bytes, 2000), &[]).code(5);
    assert!(run.stderr.contains("is longer than") || run.stderr.contains("more than"), "{}", run.stderr);
}

/// A blob whose transfer stalls: the requested time-out applies.
#[test]
fn case_bombs_in_layers_blob_that_never_comes() {
    let shelf = Shelf::start();
    let bad = layer(&[package("2"), member("data", b'0', 1 << 20, &[b'x'; 1 << 20])]);
    for blob in shelf.put_layers("x/a", "bad", std::slice::from_ref(&bad)) {
        shelf.stall(&blob);
    }
    let run = diff(&shelf, &bad, &["--read-timeout", "2s"]).code(5);
    insta::assert_snapshot!(run.stderr, @r"
    error: $HOST/x/a:good and $HOST/x/a:bad could not be read in 2s
      help: give --read-timeout more than that if they are large
    ");
}
