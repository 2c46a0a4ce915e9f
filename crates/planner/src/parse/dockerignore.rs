//! Parses `.dockerignore`, and decides which files of a directory are not sent.
//!
//! The rules are those of BuildKit's client, used by docker since 23 and by buildx: moby's
//! `patternmatcher` (`MatchesUsingParentResults`), its parser of ignore files, and the directory
//! walk of `fsutil`. None of the three is fully documented; the table in the tests was recorded
//! from a client. The classic builder's client enters an excluded directory only if the text of an
//! exception begins with it, so an exception such as `!**/*.py` re-includes less there.

use std::sync::OnceLock;

use regex::Regex;

use crate::Problem;
use crate::tree::SourceFile;

/// Size limit of the file, in bytes.
const MAX_SIZE: usize = 1 << 20;

/// The limit on the number of patterns. Each one is matched against each file of the context and
/// each parent directory.
const MAX_PATTERNS: usize = 2_000;

/// The longest pattern, in bytes: the limit of a path.
const MAX_LENGTH: usize = 4_096;

/// A pattern without a class and up to this long, in bytes, always compiles: its regular expression
/// stays within the size limit.
const SURE: usize = 128;

/// At most this many problems of one file are reported.
const MAX_PROBLEMS: usize = 50;

/// The patterns of a `.dockerignore`.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
    /// Whether an exception has a wildcard before its end.
    has_wide_exception: bool,
}

#[derive(Debug, Clone)]
struct Pattern {
    /// `!`: files that match the pattern are sent after all.
    exception: bool,
    /// The cleaned pattern, without `!`.
    text: String,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    Exact,
    /// The text before a `**` at the end.
    Prefix(String),
    /// The text after a `**` at the beginning.
    Suffix(String),
    Expression(Expression),
}

/// A regular expression that is compiled on first use, for a path that begins and ends as the
/// pattern does. A tree can have thousands of patterns, and few of them are ever used.
#[derive(Debug, Clone)]
struct Expression {
    text: String,
    /// The text before the pattern's first wildcard.
    head: String,
    /// The text after its last wildcard.
    tail: String,
    made: OnceLock<Regex>,
}

impl Expression {
    /// Creates the expression of a pattern. Compiles it at once if it may be too large.
    fn new(text: String, pattern: &str) -> Result<Self, String> {
        // An escape can denote a class of characters.
        let wildcards: &[char] = &['*', '?', '[', ']', '\\'];
        let is_plain = !pattern.contains('\\');
        let head = pattern.split(wildcards).next().filter(|_| is_plain).unwrap_or_default().to_owned();
        // `**/` also matches the empty string.
        let tail = pattern.rsplit(wildcards).next().filter(|_| is_plain).unwrap_or_default();
        let tail = tail.trim_start_matches('/').to_owned();
        let expression = Self { text, head, tail, made: OnceLock::new() };
        if pattern.len() > SURE || pattern.contains('[') {
            let made = Regex::new(&expression.text);
            let made = made.map_err(|_| "make it simpler: it is too large".to_owned())?;
            expression.made.get_or_init(|| made);
        }
        Ok(expression)
    }

    fn matches(&self, path: &str) -> bool {
        if !path.starts_with(&self.head) || !path.ends_with(&self.tail) {
            return false;
        }
        let make = || Regex::new(&self.text).expect("a short pattern makes an expression");
        self.made.get_or_init(make).is_match(path)
    }
}

/// Parses a `.dockerignore`.
///
/// # Errors
/// Returns every pattern that no client accepts, or that clients and builders read differently.
pub fn parse(file: &SourceFile) -> Result<Ignore, Vec<Problem>> {
    if file.text.len() > MAX_SIZE {
        let problem = Problem::in_file("too-large", &file.path, "the file is larger than 1 MiB");
        return Err(vec![problem.help("exclude directories instead of files")]);
    }
    let mut ignore = Ignore::default();
    let mut problems = Vec::new();
    let text = file.text.strip_prefix('\u{feff}').unwrap_or(&file.text);
    for (number, line) in (1..).zip(text.lines()) {
        // `#` begins a comment only at the beginning of a line.
        let trimmed = line.trim();
        if line.starts_with('#') || trimmed.is_empty() {
            continue;
        }
        if problems.len() >= MAX_PROBLEMS {
            break;
        }
        if line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ") {
            let problem = Problem::in_file("merge-conflict", &file.path, "a merge conflict was committed");
            let help = "keep one of the two sides, and remove the lines <<<<<<<, ======= and >>>>>>>";
            return Err(vec![problem.line(number).help(help)]);
        }
        if ignore.patterns.len() >= MAX_PATTERNS {
            let message = format!("there are more than {MAX_PATTERNS} patterns");
            let problem = Problem::in_file("too-large", &file.path, message).line(number);
            problems.push(problem.help("exclude directories instead of files"));
            break;
        }
        if trimmed.len() > MAX_LENGTH {
            let message = format!("the pattern is longer than {MAX_LENGTH} bytes, as no path is");
            let problem = Problem::in_file("ignore-pattern", &file.path, message).line(number);
            problems.push(problem.help("exclude a directory above"));
            continue;
        }
        match Pattern::parse(trimmed) {
            Ok(pattern) => ignore.patterns.push(pattern),
            Err(why) => problems.push(
                Problem::in_file(
                    "ignore-pattern",
                    &file.path,
                    format!("the pattern {trimmed:?} cannot be read"),
                )
                .line(number)
                .help(why),
            ),
        }
    }
    let is_wide = |pattern: &Pattern| {
        pattern.exception && without_last_wildcard(&pattern.text).contains(['*', '[', ']', '?', '^', '\\'])
    };
    ignore.has_wide_exception = ignore.patterns.iter().any(is_wide);
    if problems.is_empty() { Ok(ignore) } else { Err(problems) }
}

impl Ignore {
    /// Whether a file is left out of the context. The path is relative, with `/`. `Dockerfile` and
    /// `.dockerignore` are never left out.
    #[must_use]
    pub fn excludes(&self, path: &str) -> bool {
        !matches!(path, "Dockerfile" | ".dockerignore") && self.hides(path)
    }

    /// Whether a file is invisible to `COPY`. Unlike [`Ignore::excludes`], this can be true for
    /// `Dockerfile` and `.dockerignore`, which a builder reads all the same.
    #[must_use]
    pub fn hides(&self, path: &str) -> bool {
        if self.patterns.is_empty() {
            return false;
        }
        // For each pattern, whether it matched the parent directory.
        let mut above: Vec<bool> = Vec::new();
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for end in ends {
            let part = &path[..end];
            let mut excluded = false;
            let mut matched = vec![false; self.patterns.len()];
            for (at, pattern) in self.patterns.iter().enumerate() {
                let inherited = above.get(at).copied().unwrap_or(false);
                // A pattern that would change nothing is skipped, so it has no effect below this
                // directory either.
                if !inherited && (pattern.exception != excluded || !pattern.matches(part)) {
                    continue;
                }
                matched[at] = true;
                excluded = !pattern.exception;
            }
            if end == path.len() || excluded && !self.is_entered(part) {
                return excluded;
            }
            above = matched;
        }
        false
    }

    /// Whether the client enters an excluded directory: every one if an exception has a wildcard,
    /// otherwise those that an exception begins with.
    fn is_entered(&self, directory: &str) -> bool {
        self.has_wide_exception
            || self.patterns.iter().filter(|pattern| pattern.exception).any(|pattern| {
                let text = without_last_wildcard(&pattern.text);
                text.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    }
}

/// Removes a `/**` or `/*` from the end, which matches everything that the directory itself
/// matches.
fn without_last_wildcard(pattern: &str) -> &str {
    let pattern = pattern.strip_suffix("/**").unwrap_or(pattern);
    pattern.strip_suffix("/*").unwrap_or(pattern)
}

impl Pattern {
    fn parse(line: &str) -> Result<Self, String> {
        let (exception, text) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, line),
        };
        if text.is_empty() {
            return Err("add a pattern after the '!'".to_owned());
        }
        let mut text = clean(text);
        if text.len() > 1 && text.starts_with('/') {
            text.remove(0);
        }
        if exception && text == "/" {
            return Err("add a pattern after the '!'".to_owned());
        }
        let matcher = Matcher::new(&text)?;
        Ok(Self { exception, text, matcher })
    }

    fn matches(&self, path: &str) -> bool {
        match &self.matcher {
            Matcher::Exact => path == self.text,
            Matcher::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Matcher::Suffix(suffix) => {
                path.ends_with(suffix.as_str()) || suffix.strip_prefix('/').is_some_and(|whole| path == whole)
            }
            Matcher::Expression(expression) => expression.matches(path),
        }
    }
}

impl Matcher {
    fn new(text: &str) -> Result<Self, String> {
        let mut regex = "^".to_owned();
        let mut matcher = Self::Exact;
        let mut is_regex = false;
        let mut chars = text.chars().peekable();
        let mut first = true;
        while let Some(c) = chars.next() {
            match c {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    chars.next_if_eq(&'/');
                    let at_end = chars.peek().is_none();
                    if !at_end {
                        regex.push_str("(.*/)?");
                        is_regex = true;
                    } else if is_regex || matches!(matcher, Self::Suffix(_)) {
                        regex.push_str(".*");
                        is_regex = true;
                    } else {
                        matcher = Self::Prefix(text[..text.len() - 2].to_owned());
                    }
                    if first {
                        matcher = Self::Suffix(text[2..].to_owned());
                        is_regex = false;
                    }
                }
                '*' => {
                    regex.push_str("[^/]*");
                    is_regex = true;
                }
                '?' => {
                    regex.push_str("[^/]");
                    is_regex = true;
                }
                '\\' => {
                    let escaped = chars.next().ok_or("a '\\' at the end escapes nothing")?;
                    regex.push_str(&escape(escaped)?);
                    is_regex = true;
                }
                '[' => {
                    regex.push_str(&class(&mut chars)?);
                    is_regex = true;
                }
                ']' => {
                    regex.push_str("\\]");
                    is_regex = true;
                }
                _ => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            }
            first = false;
        }
        if !is_regex {
            return Ok(matcher);
        }
        regex.push('$');
        Expression::new(regex, text).map(Self::Expression)
    }
}

/// Translates `\` and a character. The client passes letters on to Go's regular expressions, so
/// `\d` is a digit, and `\foo` begins with a form feed.
fn escape(c: char) -> Result<String, String> {
    let literal = |c: char| regex::escape(c.encode_utf8(&mut [0; 4]));
    Ok(match c {
        'a' => literal('\u{7}'),
        'f' => literal('\u{c}'),
        'n' => literal('\n'),
        'r' => literal('\r'),
        't' => literal('\t'),
        'v' => literal('\u{b}'),
        'd' => "[0-9]".to_owned(),
        'D' => "[^0-9]".to_owned(),
        's' => "[\\t\\n\\x0C\\r ]".to_owned(),
        'S' => "[^\\t\\n\\x0C\\r ]".to_owned(),
        'w' => "[0-9A-Za-z_]".to_owned(),
        'W' => "[^0-9A-Za-z_]".to_owned(),
        _ if c.is_ascii() && !c.is_ascii_alphanumeric() => literal(c),
        _ => return Err(format!("write {c:?} without the '\\' before it")),
    })
}

/// Translates a character class, whose `[` has been read.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    const OPEN: &str = "close the '[', or escape it: '\\['";
    let mut regex = "[".to_owned();
    if chars.next_if_eq(&'^').is_some() {
        regex.push('^');
    }
    let mut empty = true;
    loop {
        if chars.next_if_eq(&']').is_some() {
            regex.push(']');
            return if empty { Err("put characters between '[' and ']'".to_owned()) } else { Ok(regex) };
        }
        let low = class_char(chars)?;
        let high = match chars.next_if_eq(&'-') {
            Some(_) => class_char(chars)?,
            None => low,
        };
        if high < low {
            return Err(format!("turn the range around: {high}-{low}"));
        }
        regex.push_str(&format!("\\x{{{:x}}}-\\x{{{:x}}}", u32::from(low), u32::from(high)));
        empty = false;
        if chars.peek().is_none() {
            return Err(OPEN.to_owned());
        }
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, String> {
    let open = || "close the '[', or escape it: '\\['".to_owned();
    match chars.next().ok_or_else(open)? {
        c @ ('-' | ']') => Err(format!("escape the {c:?} in the class: '\\{c}'")),
        c @ ('*' | '?') => Err(format!("remove the {c:?} from the class: clients do not take it literally")),
        '[' if chars.peek() == Some(&':') => Err("name the characters: clients differ about '[:'".to_owned()),
        '\\' => match chars.next().ok_or_else(open)? {
            c if c.is_ascii_alphanumeric() || !c.is_ascii() => Err(format!("write {c:?} without the '\\'")),
            c => Ok(c),
        },
        c => Ok(c),
    }
}

/// Returns the shortest equivalent path, as Go's `filepath.Clean` does.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, joined) => format!("/{joined}"),
        (false, joined) if joined.is_empty() => ".".to_owned(),
        (false, joined) => joined,
    }
}
