//! All tags of a repository, which registries give in pages.
//!
//! Follows the OCI distribution specification, "Listing Tags": `Link` (RFC 8288) leads from page to page. Its address may be relative,
//! absolute, or that of a proxy's inside: only its query counts, and who was asked first is asked for every page.

use std::collections::BTreeSet;

use plan::ImageName;

use crate::error::{Error, ErrorKind, status_error};
use crate::registry::Registry;
use crate::wire::Answer;

/// The largest list that is read, all of its pages together, in bytes.
const MOST: usize = 64 << 20;
/// So many pages a registry may have: a hundred thousand tags where it gives no more than a hundred at a time.
const PAGES: usize = 1000;

impl Registry {
    /// All tags of a repository, sorted; none when the repository is not there. The tag and digest of
    /// `repository` do not count.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for pages without end, and what every request can meet.
    pub async fn tags(&self, repository: &ImageName) -> Result<Vec<String>, Error> {
        #[derive(serde::Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let what = format!("tags of {}", repository.name());
        let protocol =
            |why: &str| Error::new(ErrorKind::Protocol, format!("{what}: {} {why}", repository.registry));
        let (mut tags, mut asked, mut left) = (BTreeSet::new(), BTreeSet::new(), MOST);
        let mut next = Some(format!("n={}", self.page));
        while let Some(query) = next {
            if !asked.insert(query.clone()) {
                return Err(protocol("leads from page to page in a circle"));
            }
            if asked.len() > PAGES {
                return Err(protocol(&format!("has more than {PAGES} pages")));
            }
            let path = format!("tags/list?{query}");
            let answer = self.get(repository, path, "application/json", left, &what).await?;
            if answer.status == 404 && tags.is_empty() {
                return Ok(Vec::new());
            }
            if answer.status == 404 {
                return Err(status_error(404, &repository.registry, &what, "on a later page", None));
            }
            left -= answer.body.len();
            let page: Page = serde_json::from_slice(&answer.body).map_err(|_| protocol("gave no list"))?;
            let (before, page) = (tags.len(), page.tags.unwrap_or_default());
            let (length, last) = (page.len(), page.last().cloned());
            tags.extend(page);
            // Some registries leave `Link` out on a full page, and some know no pages at all and give everything again:
            // a page without it that brings nothing new is the end.
            next = match (link(&answer), last) {
                (Some(query), _) => Some(query),
                (None, Some(last)) if length >= self.page && tags.len() > before => {
                    Some(format!("n={}&last={last}", self.page))
                }
                _ => None,
            };
        }
        Ok(tags.into_iter().collect())
    }
}

/// The query of the next page; the address before it is the registry's own affair and stays ours.
fn link(answer: &Answer) -> Option<String> {
    let value = answer.header("link")?;
    value.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = parameters.split(';').any(|parameter| {
            matches!(parameter.trim().to_ascii_lowercase().as_str(), "rel=\"next\"" | "rel=next")
        });
        next.then(|| target.split_once('?').map(|(_, query)| query.to_owned())).flatten()
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn links_are_read() {
        for (value, expect) in [
            ("</v2/a/tags/list?n=2&last=b>; rel=\"next\"", Some("n=2&last=b")),
            ("<https://r.example/v2/a/tags/list?last=b&n=2>; rel=next", Some("last=b&n=2")),
            ("</first>; rel=\"first\", </v2/a/tags/list?last=c>; REL=\"next\"", Some("last=c")),
            ("</v2/a/tags/list?n=2>; rel=\"prev\"", None),
            ("</v2/a/tags/list>; rel=\"next\"", None),
            ("garbage", None),
        ] {
            let mut headers = reqwest::header::HeaderMap::new();
            headers.insert("link", value.parse().expect("a header"));
            let answer = Answer { status: 200, headers, body: Bytes::new() };
            assert_eq!(link(&answer).as_deref(), expect, "{value}");
        }
    }
}
