//! All tags of a repository, which registries give in pages.
//!
//! Follows the OCI distribution specification, "Listing Tags". A list is whole, or an error:
//! [`link`](crate::link) reads where the next page is.

use std::collections::BTreeSet;

use plan::{ImageName, is_tag};

use crate::error::{Error, ErrorKind, status_error};
use crate::limits::TAGS;
use crate::link::{Next, next_page};
use crate::pages::Pages;
use crate::registry::Registry;

impl Registry {
    /// All tags of a repository, sorted; none when the repository is not there. The tag and digest of
    /// `repository` do not count. Entries that are not tags are left out.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for pages without end or whose end is unclear, and what every request can meet.
    pub async fn tags(&self, repository: &ImageName) -> Result<Vec<String>, Error> {
        #[derive(serde::Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let what = format!("tags of {}", repository.name());
        let protocol =
            |why: &str| Error::new(ErrorKind::Protocol, format!("{what}: {} {why}", repository.registry));
        let (mut tags, mut pages) = (BTreeSet::new(), Pages::new(&what, &repository.registry, TAGS));
        let mut next = Some(format!("n={}", self.page));
        while let Some(query) = next {
            let left = pages.turn(&query)?;
            let path = format!("tags/list?{query}");
            let answer = self.get(repository, path, "application/json", left, &what).await?;
            if answer.status == 404 && tags.is_empty() {
                return Ok(Vec::new());
            }
            if answer.status == 404 {
                return Err(status_error(404, &repository.registry, &what, "on a later page", None));
            }
            pages.read(answer.body.len());
            let page: Page = serde_json::from_slice(&answer.body).map_err(|_| protocol("gave no list"))?;
            let (before, mut page) = (tags.len(), page.tags.unwrap_or_default());
            let length = page.len();
            page.retain(|tag| is_tag(tag));
            let last = page.last().cloned();
            tags.extend(page);
            next = match (next_page(&answer.headers), last) {
                (Next::Query(query), _) => Some(query),
                // Some registries leave `Link` out on a full page, and some know no pages at all
                // and give everything again: a page without it that brings nothing new is the end.
                (_, Some(last)) if length >= self.page && tags.len() > before => {
                    Some(format!("n={}&last={last}", self.page))
                }
                (Next::None, _) => None,
                (Next::Unreadable, _) => return Err(pages.unclear()),
            };
        }
        Ok(tags.into_iter().collect())
    }
}
