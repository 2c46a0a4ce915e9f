//! Removes credentials and build secrets from every text that leaves a run.
//!
//! [`Redactor`] processes events, results and errors as whole texts. [`Lines`] processes the output
//! of builds, because a secret may be split across lines. The encodings of a secret are in
//! [`forms`]. Secrets of fewer than four bytes are not redacted, since they would match everywhere.

mod apply;
mod forms;
mod lines;

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::RwLock;

pub(crate) use forms::Forms;
pub(crate) use lines::Lines;

use crate::Options;

/// The replacement of a secret.
const MARK: &str = "***";

/// All secrets of a run that are known so far.
#[derive(Default)]
pub(crate) struct Redactor {
    known: RwLock<(BTreeSet<Vec<u8>>, Arc<Forms>)>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

impl Redactor {
    /// Creates a redactor that knows the build secrets and the logins in proxy addresses.
    pub(crate) fn new(options: &Options) -> Self {
        let redactor = Self::default();
        let proxies = options.docker_config.proxies(&options.endpoint.host);
        redactor.learn(proxies.values().flat_map(|address| passwords(address)));
        redactor.learn(options.secrets.iter().map(|secret| secret.value.clone()));
        redactor
    }

    /// Adds secrets that became known during the run.
    pub(crate) fn learn(&self, secrets: impl IntoIterator<Item = impl Into<Vec<u8>>>) {
        let mut known = self.known.write();
        let before = known.0.len();
        known.0.extend(secrets.into_iter().map(Into::into));
        if known.0.len() > before {
            known.1 = Arc::new(Forms::of(known.0.iter().map(Vec::as_slice)));
        }
    }

    /// The forms of all secrets known so far.
    pub(crate) fn forms(&self) -> Arc<Forms> {
        Arc::clone(&self.known.read().1)
    }

    /// Redacts a text, including secrets that are interrupted by line ends.
    pub(crate) fn text(&self, text: &str) -> String {
        let forms = self.forms();
        if forms.is_empty() {
            return text.to_owned();
        }
        let mut lines = Lines::default();
        let mut shown: Vec<String> = text.split('\n').flat_map(|line| lines.push(line, &forms)).collect();
        shown.extend(lines.rest());
        shown.join("\n")
    }
}

/// The password in `scheme://user:password@host`, as written and decoded.
fn passwords(address: &str) -> Vec<Vec<u8>> {
    let Some((userinfo, _)) = address.rsplit_once('@') else { return Vec::new() };
    let userinfo = userinfo.split_once("://").map_or(userinfo, |(_, userinfo)| userinfo);
    let password = userinfo.split_once(':').map_or(userinfo, |(_, password)| password);
    vec![password.as_bytes().to_vec(), forms::url_decoded(password)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_password_is_a_secret() {
        for (address, expect) in [
            ("http://proxy:3128", vec![]),
            ("http://me:p%40ss@proxy:3128", vec!["p%40ss", "p@ss"]),
            ("http://token@proxy:3128", vec!["token", "token"]),
            ("me:a/b@proxy", vec!["a/b", "a/b"]),
        ] {
            let expect: Vec<Vec<u8>> = expect.into_iter().map(|text| text.as_bytes().to_vec()).collect();
            assert_eq!(passwords(address), expect, "{address}");
        }
    }

    #[test]
    fn what_is_learned_later_counts_from_then_on() {
        let redactor = Redactor::default();
        assert_eq!(redactor.text("hunter2 and token7"), "hunter2 and token7");
        redactor.learn([b"hunter2".to_vec()]);
        assert_eq!(redactor.text("hunter2 and token7"), "*** and token7");
        redactor.learn(["token7".to_owned()]);
        assert_eq!(redactor.text("hunt\ner2 and\ntoken7"), "***\n*** and\n***");
        assert!(!format!("{redactor:?}").contains("hunter2"));
    }
}
