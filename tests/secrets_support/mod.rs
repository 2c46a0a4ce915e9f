//! Searches for a secret, in all of its forms, in everything that a run leaves: files and the blobs
//! of a registry.
//!
//! Has its own implementation of every encoding, so that it does not share a fault with the tested
//! code.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use testbed::registry::View;

/// A secret in all forms that must not be found.
pub(crate) struct Canary {
    forms: Vec<Vec<u8>>,
}

impl Canary {
    pub(crate) fn new(secret: &str) -> Self {
        let mut canary = Self::base64_of(secret);
        let secret = secret.trim_end();
        let hex = hex::encode(secret);
        let url: String = secret
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    char::from(byte).to_string()
                }
                byte => format!("%{byte:02X}"),
            })
            .collect();
        let json = serde_json::to_string(secret).expect("a text is JSON");
        canary.add(secret.as_bytes());
        for form in [&hex, &hex.to_uppercase(), &url, &url.to_lowercase(), json.trim_matches('"')] {
            canary.add(form.as_bytes());
        }
        // A single line of a multi-line key is a leak.
        secret.lines().filter(|line| line.len() > 20).for_each(|line| canary.add(line.as_bytes()));
        canary
    }

    /// Only the base64 forms, at each of the three possible offsets among other bytes.
    pub(crate) fn base64_of(secret: &str) -> Self {
        let mut canary = Self { forms: Vec::new() };
        let secret = secret.trim_end();
        for before in ["", "\0", "\0\0"] {
            let embedded = format!("{before}{secret}");
            let digits = (before.len() * 8).div_ceil(6)..embedded.len() * 8 / 6;
            for engine in [STANDARD, URL_SAFE] {
                let form = &engine.encode(&embedded)[digits.clone()];
                canary.add(form.as_bytes());
                // A single line of the wrapped form is a leak.
                form.as_bytes().chunks(57).filter(|line| line.len() == 57).for_each(|line| canary.add(line));
            }
        }
        canary
    }

    fn add(&mut self, form: &[u8]) {
        self.forms.push(form.to_vec());
    }

    pub(crate) fn forms(&self) -> &[Vec<u8>] {
        &self.forms
    }

    /// Asserts that `bytes` contains no form of the secret, even across line ends.
    #[track_caller]
    pub(crate) fn assert_not_in(&self, name: &str, bytes: &[u8]) {
        let joined: Vec<u8> = bytes.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
        for form in &self.forms {
            let plain: Vec<u8> = form.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
            let found = joined.windows(plain.len()).position(|window| window == plain);
            assert_eq!(
                found.map(|at| String::from_utf8_lossy(&joined[at.saturating_sub(60)..at]).into_owned()),
                None,
                "{name} holds {}",
                String::from_utf8_lossy(form)
            );
        }
    }
}

/// Returns every file below a directory, with its path.
pub(crate) fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                open.push(path);
            } else {
                let bytes =
                    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                found.push((path.display().to_string(), bytes));
            }
        }
    }
    found
}

/// Returns every manifest, configuration and uncompressed layer of the repositories below a path.
pub(crate) fn blobs(view: &View, path: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for tag in view.all_tags(path).into_keys() {
        let (repository, reference) = tag.rsplit_once(':').expect("repository:tag");
        let manifest = view.manifest(repository, reference).expect("the tag is there");
        let json = manifest.json();
        found.push((format!("the manifest of {tag}"), manifest.text().into_bytes()));
        let layers = json["layers"].as_array().expect("a list of layers");
        for blob in layers.iter().chain([&json["config"]]) {
            let digest = blob["digest"].as_str().expect("a digest");
            let answer = view.ask("GET", &format!("/v2/{repository}/blobs/{digest}"), &[], b"");
            assert_eq!(answer.status, 200, "{digest}");
            found.push((format!("{digest} of {tag}"), uncompressed(answer.body)));
        }
    }
    found
}

fn uncompressed(bytes: Vec<u8>) -> Vec<u8> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes;
    }
    let mut gzip =
        Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    let mut stdin = gzip.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = gzip.wait_with_output().expect("gzip ends");
    writer.join().expect("no panic").expect("gzip reads all");
    assert!(output.status.success(), "a layer is good gzip");
    output.stdout
}

/// Returns the SHA-256 digest in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut program = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sha256sum runs");
    program.stdin.take().expect("piped").write_all(bytes).expect("it reads");
    let output = program.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stdout)[..64].to_owned()
}
