//! The address of the next page of a list, from `Link` headers.
//!
//! Follows RFC 8288, sections 3 and B.2: several header lines are one list, and a comma, `;` or `>`
//! within an address or a quoted parameter separates nothing. Of the address only the query counts;
//! the page is asked for where the first one was, whatever host or path a registry or a proxy
//! writes before it.

use reqwest::header::{HeaderMap, LINK};

/// The next page according to a page's headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// There is no `Link`, or only links to something else.
    None,
    /// The query of the next page, without `?`.
    Query(String),
    /// There is a `Link` that cannot be read, or a next page without a usable address.
    Unreadable,
}

/// The next page by all `Link` lines of an answer.
pub(crate) fn next_page(headers: &HeaderMap) -> Next {
    let lines = headers.get_all(LINK).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    next(lines.collect::<Vec<_>>().iter().map(AsRef::as_ref))
}

/// The same of the header's lines as text.
pub fn next<'a>(lines: impl IntoIterator<Item = &'a str>) -> Next {
    let (mut found, mut is_readable) = (None, true);
    for line in lines {
        let mut rest = Cursor(line);
        while let Some(link) = rest.link() {
            let Some(Link { target, is_next }) = link else {
                is_readable = false;
                break;
            };
            if !is_next {
                continue;
            }
            let Some(query) = query(target) else { return Next::Unreadable };
            // Two next pages that differ: one of them would be left out.
            if found.as_ref().is_some_and(|known| known != query) {
                return Next::Unreadable;
            }
            found = Some(query.to_owned());
        }
    }
    match found {
        Some(query) => Next::Query(query),
        None if is_readable => Next::None,
        None => Next::Unreadable,
    }
}

/// The query of an address, as it goes into another one.
fn query(target: &str) -> Option<&str> {
    let target = target.split_once('#').map_or(target, |(before, _)| before);
    let (_, query) = target.split_once('?')?;
    // RFC 3986, section 2, and what browsers let through besides.
    let is_plain = |c: u8| c.is_ascii_graphic() && !matches!(c, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`');
    (!query.is_empty() && query.bytes().all(is_plain)).then_some(query)
}

struct Link<'a> {
    target: &'a str,
    is_next: bool,
}

/// The rest of a line.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    /// The next link: `None` at the end of the line, `Some(None)` where there is something else.
    fn link(&mut self) -> Option<Option<Link<'a>>> {
        // Empty elements of a list are allowed (RFC 9110, section 5.6.1).
        self.0 = self.0.trim_start_matches([' ', '\t', ',']);
        if self.0.is_empty() { None } else { Some(self.read()) }
    }

    fn read(&mut self) -> Option<Link<'a>> {
        let (target, rest) = self.0.strip_prefix('<')?.split_once('>')?;
        // An address holds no `<` (RFC 3986): this is another link, and the end of the one before
        // it is missing.
        if target.contains('<') {
            return None;
        }
        self.0 = rest;
        let (mut relation, mut is_elsewhere) = (None, false);
        loop {
            self.blanks();
            if self.0.is_empty() || self.0.starts_with(',') {
                break;
            }
            self.0 = self.0.strip_prefix(';')?;
            self.blanks();
            // `;` without a parameter.
            if self.0.is_empty() || self.0.starts_with([';', ',']) {
                continue;
            }
            let name = self.token()?;
            self.blanks();
            let value = match self.0.strip_prefix('=') {
                None => String::new(),
                Some(rest) => {
                    self.0 = rest;
                    self.blanks();
                    self.value()?
                }
            };
            // The first `rel` counts (section 3.3). A link with another context is none of this
            // list (section 3.2).
            if name.eq_ignore_ascii_case("rel") {
                relation.get_or_insert(value);
            } else if name.eq_ignore_ascii_case("anchor") {
                is_elsewhere = true;
            }
        }
        let relation = relation.unwrap_or_default();
        let is_next = relation.split_ascii_whitespace().any(|one| one.eq_ignore_ascii_case("next"));
        Some(Link { target: target.trim(), is_next: is_next && !is_elsewhere })
    }

    fn blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    /// RFC 9110, section 5.6.2.
    fn token(&mut self) -> Option<&'a str> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.0.find(|c| !is_token(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// A token or a quoted string (RFC 9110, section 5.6.4). Some write other characters without
    /// quotes.
    fn value(&mut self) -> Option<String> {
        let Some(quoted) = self.0.strip_prefix('"') else {
            let end = self.0.find([' ', '\t', ';', ',', '"']).unwrap_or(self.0.len());
            let (value, rest) = self.0.split_at(end);
            self.0 = rest;
            return Some(value.to_owned());
        };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.0 = &quoted[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                c => value.push(c),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&str], expect: &Next) {
        assert_eq!(next(lines.iter().copied()), *expect, "{lines:?}");
    }

    #[test]
    fn case_link_header_truncates_tags() {
        let query = |text: &str| Next::Query(text.to_owned());
        for (lines, expect) in [
            // As distribution, Quay, Harbor, GitLab and Docker Hub write it.
            (&["</v2/a/tags/list?n=2&last=b>; rel=\"next\""][..], query("n=2&last=b")),
            (&["<https://r.example/v2/a/tags/list?last=b&n=2>; rel=next"], query("last=b&n=2")),
            (&["<?last=b>; rel=\"next\""], query("last=b")),
            (&["</v2/a/tags/list?last=b#top>; rel=\"next\""], query("last=b")),
            // Several lines, several links.
            (&["</style.css>; rel=preload", "</l?last=b>; rel=\"next\""], query("last=b")),
            (&["</l?last=b>; rel=\"next\"", "</style.css>; rel=preload"], query("last=b")),
            (&["</first>; rel=\"first\", </l?last=c>; REL=\"next\""], query("last=c")),
            (&["</first>;rel=first,</l?last=c>;rel=next,</last>;rel=last"], query("last=c")),
            (&["", "</l?last=b>; rel=next"], query("last=b")),
            (&[",, </l?last=b>; rel=next ,"], query("last=b")),
            // Commas, semicolons and angles in an address or in quotes.
            (&["</l?cursor=a,b;c>; rel=\"next\""], query("cursor=a,b;c")),
            (&["</l?last=a,b>; rel=\"next\", </l?last=0>; rel=\"prev\""], query("last=a,b")),
            (&["</l?last=b>; title=\"a, b; rel=prev > <x>\"; rel=\"next\""], query("last=b")),
            (&["</l?last=b>; title=\"say \\\"next\\\", then\"; rel=\"next\""], query("last=b")),
            (&["</x>; title=\"</l?last=no>; rel=next\"; rel=help, </l?last=b>; rel=next"], query("last=b")),
            (&["</l?last=b>; title*=UTF-8''a%2Cb; rel=next"], query("last=b")),
            // Blanks.
            (&["</l?last=b> ; rel = \"next\""], query("last=b")),
            (&["  </l?last=b>\t;\trel\t=\tnext  "], query("last=b")),
            (&["< /l?last=b >; rel=next"], query("last=b")),
            // Several relation types; upper case; the first `rel` counts; parameters without value.
            (&["</l?last=b>; rel=\"next last\""], query("last=b")),
            (&["</l?last=b>; rel=\"prefetch  NEXT\""], query("last=b")),
            (&["</l?last=b>; rel=\"next\"; rel=\"prev\""], query("last=b")),
            (&["</l?last=b>; rel=\"prev\"; rel=\"next\""], Next::None),
            (&["</l?last=b>; crossorigin; rel=next;"], query("last=b")),
            (&["</l?last=b>;; rel=next"], query("last=b")),
            (&["</l?last=b>; rel=nextpage"], Next::None),
            (&["</l?last=b>; rel=\"https://example.org/next\""], Next::None),
            // The same page twice is one, two pages are none.
            (&["</l?last=b>; rel=next", "</l?last=b>; rel=next"], query("last=b")),
            (&["</l?last=b>; rel=next", "</l?last=c>; rel=next"], Next::Unreadable),
            // Links to something else, in whole.
            (&[], Next::None),
            (&[""], Next::None),
            (&["</l?n=2>; rel=\"prev\""], Next::None),
            (&["</l?n=2>"], Next::None),
            (&["</l?last=b>; rel=next; anchor=\"/other\""], Next::None),
            // An unreadable header does not count as the last page; a readable one beside it does
            // count.
            (&["garbage"], Next::Unreadable),
            (&["/l?last=b; rel=next"], Next::Unreadable),
            (&["</l?last=b; rel=next"], Next::Unreadable),
            (&["</l?last=b>; rel=\"next"], Next::Unreadable),
            (&["</l?last=b> rel=next"], Next::Unreadable),
            (&["</l?last=b>; =next"], Next::Unreadable),
            (&["</l>; rel=next"], Next::Unreadable),
            (&["</l?>; rel=next"], Next::Unreadable),
            (&["</l?last=a b>; rel=next"], Next::Unreadable),
            (&["</l?last=é>; rel=next"], Next::Unreadable),
            (&["garbage", "</l?last=b>; rel=next"], query("last=b")),
        ] {
            check(lines, &expect);
        }
    }

    #[test]
    fn header_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        assert_eq!(next_page(&headers), Next::None);
        headers.append(LINK, "</x>; rel=preload".parse().expect("a header"));
        headers.append(LINK, "</l?last=b>; rel=next".parse().expect("a header"));
        assert_eq!(next_page(&headers), Next::Query("last=b".to_owned()));
        let mut headers = HeaderMap::new();
        headers.append(LINK, reqwest::header::HeaderValue::from_bytes(b"</\xff>").expect("a header"));
        assert_eq!(next_page(&headers), Next::None, "no next page, whatever its bytes");
    }
}
