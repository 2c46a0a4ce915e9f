//! Parses the head of an instruction: its keyword and its flags, `--from=x`, with BuildKit's quotes
//! and escapes.

use crate::parse::dockerfile::words;

/// The beginning of an instruction.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// In lower case.
    pub(super) keyword: String,
    /// Where the text after the keyword begins in the line.
    pub(super) behind: usize,
    pub(super) flags: Vec<Flag>,
    /// Where the text after the flags begins in the line.
    pub(super) rest: usize,
}

/// One flag without its `--`, quotes and escapes removed.
#[derive(Debug)]
pub(super) struct Flag {
    text: String,
    /// The position in the line of each byte of `text`.
    at: Vec<usize>,
    /// The position of its `--` in the line.
    start: usize,
}

/// A part of a flag's text.
pub(super) struct Part<'a> {
    pub(super) text: &'a str,
    /// Its range in the line; `None` if it contains quotes or escapes, so that it cannot be
    /// replaced.
    pub(super) range: Option<std::ops::Range<usize>>,
    /// Where it begins, or would begin.
    pub(super) start: usize,
}

impl Head {
    /// Parses the instruction that begins at `start` of a line: a keyword, then flags, up to a lone
    /// `--` or a word that does not begin with `--`. Quotes group and `\` escapes, regardless of
    /// the escape directive.
    pub(super) fn read(line: &str, start: usize) -> Self {
        let at = start + (line[start..].len() - line[start..].trim_start().len());
        let word = line[at..].split(words::is_blank).next().unwrap_or_default();
        let behind = skip_blanks(line, at + word.len());
        let mut head = Self { keyword: word.to_ascii_lowercase(), behind, flags: Vec::new(), rest: behind };
        while line[head.rest..].starts_with("--") {
            let (flag, end) = flag(line, head.rest);
            head.rest = skip_blanks(line, end);
            match flag {
                Some(flag) => head.flags.push(flag),
                None => break,
            }
        }
        head
    }

    pub(super) fn is(&self, keyword: &str) -> bool {
        self.keyword == keyword
    }
}

impl Flag {
    /// The flag's name.
    pub(super) fn name(&self) -> &str {
        self.text.split_once('=').map_or(&self.text, |(name, _)| name)
    }

    /// The range of the flag in the line, with `--`.
    pub(super) fn range(&self) -> std::ops::Range<usize> {
        let end = self.at.last().map_or(self.start, |last| last + 1);
        self.start..end.max(self.start + 2)
    }

    /// The text after the first `=`.
    pub(super) fn value(&self) -> Option<Part<'_>> {
        let start = self.text.find('=')? + 1;
        Some(self.part(start, self.text.len()))
    }

    /// The value as comma-separated `key=value` fields: key in lower case, value.
    pub(super) fn fields(&self) -> Vec<(String, Option<Part<'_>>)> {
        let Some(mut start) = self.text.find('=').map(|equals| equals + 1) else { return Vec::new() };
        let mut fields = Vec::new();
        for field in self.text[start..].split(',') {
            let value = field.find('=').map(|equals| self.part(start + equals + 1, start + field.len()));
            let key = field.split_once('=').map_or(field, |(key, _)| key);
            fields.push((key.to_lowercase(), value));
            start += field.len() + 1;
        }
        fields
    }

    fn part(&self, start: usize, end: usize) -> Part<'_> {
        let at = &self.at[start..end];
        let whole = at.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        let range = at.first().zip(at.last()).filter(|_| whole).map(|(first, last)| *first..*last + 1);
        let start_at = at.first().or(self.at.get(start.wrapping_sub(1))).copied().unwrap_or(0);
        Part { text: &self.text[start..end], range, start: start_at }
    }
}

fn skip_blanks(line: &str, at: usize) -> usize {
    line.len() - line[at..].trim_start().len()
}

/// Returns the flag that begins at `at`, and where it ends. A lone `--` is not a flag.
fn flag(line: &str, at: usize) -> (Option<Flag>, usize) {
    let mut flag = Flag { text: String::new(), at: Vec::new(), start: at };
    let mut quote = None;
    let mut chars = line[at..].char_indices().map(|(index, c)| (at + index, c));
    let mut end = line.len();
    while let Some((mut index, mut c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                end = index;
                break;
            }
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                continue;
            }
            Some(open) if c == open => {
                quote = None;
                continue;
            }
            _ => {}
        }
        if c == '\\' {
            let Some(next) = chars.next() else { break };
            (index, c) = next;
        }
        flag.text.push(c);
        flag.at.extend(index..index + c.len_utf8());
    }
    if flag.text == "--" {
        return (None, end);
    }
    flag.text.drain(..2.min(flag.text.len()));
    flag.at.drain(..2.min(flag.at.len()));
    (Some(flag), end)
}
