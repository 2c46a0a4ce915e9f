//! Checks the sources of `COPY` and `ADD` against the files of a context.
//!
//! A name is searched in the sorted list of files. A pattern is matched with the files below its
//! leading directories without wildcards. Patterns are those of Go's `filepath.Match`, component by
//! component.

use std::cell::Cell;

use crate::Problem;
use crate::parse::dockerfile::{ContextUse, Source};
use crate::parse::dockerignore::Ignore;
use crate::tree::{Mode, SourceFile, TreeFile};

/// At most this many findings of one Dockerfile are reported.
const MOST_TOLD: usize = 50;

/// The limit on comparisons of files with the patterns of one Dockerfile. Beyond this limit nothing
/// is reported.
const MOST_COMPARED: usize = 200_000;

/// The files that one layer contributes to a context.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Files<'a> {
    /// The files, sorted by path.
    pub(crate) files: &'a [TreeFile],
    pub(crate) ignore: Option<&'a Ignore>,
    /// Paths that are never part of the context.
    pub(crate) never: &'a [&'a str],
}

/// Whether a source exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Nothing,
    /// The source exists, but the ignore file excludes it.
    Ignored,
    Something,
}

/// Problems of the paths that instructions use from a context, which can consist of the files of
/// several layers.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    /// Problems that every builder rejects.
    pub(crate) defects: Vec<Problem>,
    /// Problems that some builders reject and others ignore.
    pub(crate) warnings: Vec<Problem>,
}

/// Checks all sources of the instructions of one file.
pub(crate) fn missing(file: &SourceFile, taken: &[ContextUse], context: &[Files<'_>]) -> Missing {
    let mut missing = Missing::default();
    let left = Cell::new(MOST_COMPARED);
    for taken in taken {
        if missing.defects.len() + missing.warnings.len() >= MOST_TOLD {
            break;
        }
        let mut only_patterns = taken.complete && !taken.sources.is_empty();
        for source in &taken.sources {
            let is_pattern = !taken.literal && source.path.contains(['*', '?', '[']);
            if is_pattern && go_match(&source.path, "").is_none() {
                let message =
                    format!("{}: some builders cannot read the pattern {:?}", taken.keyword, source.typed);
                let help = "close the '[', or escape it as '[[]'; a list in brackets takes double quotes";
                missing.defects.push(problem(file, source, message).help(help));
                only_patterns = false;
                continue;
            }
            let found = context.iter().map(|files| look_up(files, &source.path, is_pattern, &left)).max();
            only_patterns &= is_pattern && found != Some(Found::Something);
            if !is_pattern && found != Some(Found::Something) {
                missing.defects.push(told(file, taken, source, found == Some(Found::Ignored)));
            }
        }
        if only_patterns && let Some(source) = taken.sources.first() {
            let message = format!("{}: no file of the context matches {:?}", taken.keyword, source.typed);
            let help = "BuildKit then copies nothing, and other builders refuse it: remove the instruction, or add the files to git";
            missing.warnings.push(problem(file, source, message).help(help));
        }
    }
    missing
}

fn told(file: &SourceFile, taken: &ContextUse, source: &Source, is_ignored: bool) -> Problem {
    let name = if source.typed.is_empty() { "." } else { &source.typed };
    let message = format!("{}: no file of the context is {name:?}", taken.keyword);
    let help = if is_ignored {
        format!(".dockerignore leaves it out: write an exception there (`!{}`)", source.path)
    } else {
        let layer = file.path.rsplit_once('/').map_or("", |(layer, _)| layer);
        format!(
            "add {layer}/{path} to git (`git add`); a file that git ignores is sent with `--with-ignored {layer}/{path}`, \
             one that it does not know yet with `--untracked`",
            path = source.path
        )
    };
    problem(file, source, message).help(help)
}

fn problem(file: &SourceFile, source: &Source, message: String) -> Problem {
    Problem::in_file("copy-source", &file.path, message).span(&file.text, source.span.start..source.span.end)
}

fn look_up(context: &Files<'_>, path: &str, is_pattern: bool, left: &Cell<usize>) -> Found {
    if path.is_empty() {
        return Found::Something;
    }
    // Builders read escapes outside of patterns differently, and the target of a link is not in the
    // list.
    if !is_pattern && path.contains('\\') || context.has_link_above(path) {
        return Found::Something;
    }
    if is_pattern { context.matches(path, left) } else { context.holds(path, left) }
}

impl Files<'_> {
    fn is_sent(&self, file: &TreeFile) -> bool {
        !self.never.contains(&file.path.as_str())
            && !self.ignore.is_some_and(|ignore| ignore.hides(&file.path))
    }

    /// Whether a file has this path or is below it.
    fn holds(&self, path: &str, left: &Cell<usize>) -> Found {
        let itself = self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok();
        if itself.is_some_and(|at| self.is_sent(&self.files[at])) {
            return Found::Something;
        }
        let mut best = Found::Nothing;
        for file in itself.map(|at| &self.files[at]).into_iter().chain(self.below(path)) {
            if !spend(left) {
                return Found::Something;
            }
            if self.never.contains(&file.path.as_str()) {
                continue;
            }
            if self.is_sent(file) {
                return Found::Something;
            }
            best = Found::Ignored;
        }
        best
    }

    /// Returns the files below a directory; all files if the directory is the context itself.
    fn below<'s>(&'s self, directory: &str) -> impl Iterator<Item = &'s TreeFile> + use<'s> {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let start = self.files.partition_point(|file| file.path.as_str() < prefix.as_str());
        self.files[start..].iter().take_while(move |file| file.path.starts_with(&prefix))
    }

    /// Whether a pattern matches a file, or a directory that contains one.
    fn matches(&self, pattern: &str, left: &Cell<usize>) -> Found {
        let depth = pattern.split('/').count();
        let plain: Vec<&str> =
            pattern.split('/').take_while(|part| !part.contains(['*', '?', '[', '\\'])).collect();
        let mut best = Found::Nothing;
        for file in self.below(&plain.join("/")) {
            if !spend(left) {
                return Found::Something;
            }
            let end = file.path.match_indices('/').nth(depth - 1).map_or(file.path.len(), |(at, _)| at);
            if go_match(pattern, &file.path[..end]) != Some(true) || self.never.contains(&file.path.as_str())
            {
                continue;
            }
            if self.is_sent(file) {
                return Found::Something;
            }
            best = Found::Ignored;
        }
        best
    }

    /// Whether a directory above a path is a symbolic link.
    fn has_link_above(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at);
        ends.map(|end| &path[..end]).any(|above| {
            let at = self.files.binary_search_by(|file| file.path.as_str().cmp(above));
            at.is_ok_and(|at| matches!(self.files[at].mode, Mode::Symlink(_)))
        })
    }
}

fn spend(left: &Cell<usize>) -> bool {
    let rest = left.get().checked_sub(1);
    left.set(rest.unwrap_or(0));
    rest.is_some()
}

/// Go's `filepath.Match`; `None` if the pattern is invalid.
fn go_match(pattern: &str, name: &str) -> Option<bool> {
    let patterns: Vec<&str> = pattern.split('/').collect();
    let names: Vec<&str> = name.split('/').collect();
    let mut all = patterns.len() == names.len();
    for (at, pattern) in patterns.iter().enumerate() {
        let tokens = tokens(pattern)?;
        let name: Vec<char> = names.get(at).copied().unwrap_or_default().chars().collect();
        all = all && match_part(&tokens, &name);
    }
    Some(all)
}

enum Token {
    /// `*`
    Any,
    /// `?`
    One,
    /// `[…]`: ranges, and whether the class is negated.
    Class(Vec<(char, char)>, bool),
}

fn tokens(part: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = part.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Any,
            '?' => Token::One,
            '\\' => chars.next().map(|c| Token::Class(vec![(c, c)], false))?,
            '[' => {
                let negated = chars.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                loop {
                    if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
                        break;
                    }
                    let mut next = || match chars.next()? {
                        '-' | ']' => None,
                        '\\' => chars.next(),
                        c => Some(c),
                    };
                    let low = next()?;
                    let high = if chars.next_if_eq(&'-').is_some() {
                        match chars.next()? {
                            '-' | ']' => return None,
                            '\\' => chars.next()?,
                            c => c,
                        }
                    } else {
                        low
                    };
                    ranges.push((low, high));
                }
                Token::Class(ranges, negated)
            }
            c => Token::Class(vec![(c, c)], false),
        });
    }
    Some(tokens)
}

fn match_part(tokens: &[Token], name: &[char]) -> bool {
    // The last `*`, and the position up to which it was tried.
    let (mut star, mut token, mut at) = (None, 0, 0);
    loop {
        match tokens.get(token) {
            None if at == name.len() => return true,
            Some(Token::Any) => {
                star = Some((token + 1, at));
                token += 1;
                continue;
            }
            Some(Token::One) if at < name.len() => {
                (token, at) = (token + 1, at + 1);
                continue;
            }
            Some(Token::Class(ranges, negated))
                if name.get(at).is_some_and(|c| {
                    ranges.iter().any(|(low, high)| (low..=high).contains(&c)) != *negated
                }) =>
            {
                (token, at) = (token + 1, at + 1);
                continue;
            }
            _ => {}
        }
        let Some((behind, tried)) = star.filter(|(_, tried)| *tried < name.len()) else { return false };
        star = Some((behind, tried + 1));
        (token, at) = (behind, tried + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_go() {
        for (pattern, name, expect) in [
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*/b", "a/c/b", Some(false)),
            ("a*b*c*d", "axbxcxd", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
            ("ab[c]", "abc", Some(true)),
            ("ab[b-d]", "abc", Some(true)),
            ("ab[^c]", "abc", Some(false)),
            ("ab[^e-g]", "abc", Some(true)),
            ("a\\*b", "a*b", Some(true)),
            ("a\\*b", "ab", Some(false)),
            ("a?b", "aäb", Some(true)),
            ("[\\]a]", "]", Some(true)),
            ("[]a]", "]", None),
            ("[-]", "-", None),
            ("[x-]", "x", None),
            ("[a", "a", None),
            ("a\\", "a", None),
            ("*x", "xxx", Some(true)),
            ("**/f", "dir/f", Some(true)),
            ("dir/*", "dir", Some(false)),
        ] {
            assert_eq!(go_match(pattern, name), expect, "{pattern} {name}");
        }
    }
}
