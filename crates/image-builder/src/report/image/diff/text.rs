//! The differences of two images as text: `+` for added, `-` for removed, `~` for changed.

use image_contents::{Ecosystem, Move};
use unicode_width::UnicodeWidthStr as _;

use crate::cli::escape::escape;
use crate::report::image::diff::{Document, Layer, SettingChange, Side};
use crate::report::text::format::{Paint, count, size};

/// A column is not made wider than this for the sake of a single long name.
const WIDEST: usize = 40;
/// Most characters of a value or instruction that are shown; the document has the whole text.
const LONGEST: usize = 72;

/// The text for stdout.
pub(crate) fn text(document: &Document, paint: Paint) -> String {
    let mut out = String::new();
    for (mark, side) in [("a", &document.a), ("b", &document.b)] {
        out.push_str(&format!("{} {}\n", paint.bold(mark), head(side, paint)));
    }
    if document.a.digest == document.b.digest {
        out.push_str("\nthey are the same image\n");
        return out;
    }
    out.push_str(&format!("\n{}\n", paint.bold(&format!("packages: {}", counted(&document.packages)))));
    out.push_str(&moves(&document.packages, 2, paint));
    let is_label = |one: &&SettingChange| one.kind == "label";
    let (labels, settings): (Vec<_>, Vec<_>) = document.settings.iter().partition(is_label);
    for (title, changes) in [("settings", settings), ("labels", labels)] {
        let many =
            if changes.is_empty() { "the same".to_owned() } else { count(changes.len(), "difference") };
        out.push_str(&format!("\n{}\n", paint.bold(&format!("{title}: {many}"))));
        out.push_str(&setting_lines(&changes, paint));
    }
    out.push_str(&layers(document, paint));
    if !document.unread.is_empty() {
        out.push_str(&format!("\n{}\n", paint.yellow("unknown, because it was not read:")));
        for one in &document.unread {
            out.push_str(&format!("  {}: /{}: {}\n", one.image, escape(&one.path), escape(&one.why)));
        }
    }
    out
}

/// The number of bytes that were read, for stderr.
pub(crate) fn read(document: &Document) -> String {
    let read = &document.read;
    let mut parts = Vec::new();
    if read.engine_bytes > 0 {
        parts.push(format!("{} from the engine", size(read.engine_bytes)));
    }
    if read.registry_layers > 0 {
        let layers = count(usize::try_from(read.registry_layers).unwrap_or(usize::MAX), "layer");
        parts.push(format!("{layers}, {}, from the registry", size(read.registry_bytes)));
    }
    match parts.is_empty() {
        true => "read no layer\n".to_owned(),
        false => format!("read {}\n", parts.join(" and ")),
    }
}

fn head(side: &Side, paint: Paint) -> String {
    let mut parts = vec![format!("on the {}", side.read_from)];
    if side.read_from == "registry" {
        parts = vec!["in the registry".to_owned()];
    }
    if let Some(created) = side.created.as_deref().and_then(|created| created.get(..16)) {
        parts.push(format!("made {} UTC", escape(&created.replace('T', " "))));
    }
    let packed = if side.read_from == "registry" { " packed" } else { "" };
    let bytes = side.bytes.map(|bytes| format!(", {}{packed}", size(bytes))).unwrap_or_default();
    parts.push(format!("{}{bytes}", count(side.layers.len(), "layer")));
    format!("{}  {}", escape(&side.image), paint.dim(&parts.join(", ")))
}

/// `3 changed, 1 new`
pub(crate) fn counted(moves: &[Move]) -> String {
    let kind = |one: &Move| match (one.from.is_empty(), one.to.is_empty()) {
        (true, _) => "new",
        (_, true) => "gone",
        _ => "changed",
    };
    let parts: Vec<String> = ["changed", "new", "gone"]
        .into_iter()
        .map(|word| (moves.iter().filter(|one| kind(one) == word).count(), word))
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{n} {word}"))
        .collect();
    if parts.is_empty() { "the same".to_owned() } else { parts.join(", ") }
}

/// Packages by ecosystem and place, indented.
pub(crate) fn moves(moves: &[Move], indent: usize, paint: Paint) -> String {
    let mut out = String::new();
    let blank = " ".repeat(indent);
    for group in moves.chunk_by(|a, b| (a.ecosystem, &a.place) == (b.ecosystem, &b.place)) {
        let name = kind(group[0].ecosystem);
        let place = match group[0].place.as_str() {
            "" => String::new(),
            place => format!(" in /{}", escape(place)),
        };
        out.push_str(&format!("{blank}{name}{place}\n"));
        let width = width(group.iter().map(|one| one.name.as_str()));
        for one in group {
            let (from, to) = (versions(&one.from), versions(&one.to));
            let from = (!one.from.is_empty()).then_some(from);
            let to = (!one.to.is_empty()).then_some(to);
            out.push_str(&line(indent + 2, &one.name, width, from, to, paint));
        }
    }
    out
}

/// The display name of a package manager.
pub(crate) fn kind(ecosystem: Ecosystem) -> &'static str {
    match ecosystem {
        Ecosystem::R => "R",
        other => other.as_str(),
    }
}

fn versions(versions: &[String]) -> String {
    versions.join(", ")
}

fn setting_lines(changes: &[&SettingChange], paint: Paint) -> String {
    let name = |one: &SettingChange| match &one.name {
        Some(name) if one.kind == "label" => name.clone(),
        Some(name) => format!("{} {name}", one.kind),
        None => one.kind.to_owned(),
    };
    let width = width(changes.iter().map(|one| name(one)));
    changes.iter().map(|one| line(2, &name(one), width, one.from.clone(), one.to.clone(), paint)).collect()
}

/// `~ name  from → to`, on two lines if one would be too long.
fn line(
    indent: usize,
    name: &str,
    width: usize,
    from: Option<String>,
    to: Option<String>,
    paint: Paint,
) -> String {
    let blank = " ".repeat(indent);
    let name = escape(name);
    let pad = " ".repeat(width.saturating_sub(name.width()));
    let short = |text: &str| match text.len() {
        // gzip in base64, as in the label of a build spec: unreadable for people.
        bytes if bytes > LONGEST && text.starts_with("H4sI") => format!("(packed, {bytes} bytes)"),
        _ => shortened(&escape(text)),
    };
    let value = |text: &str| if text.is_empty() { String::new() } else { format!("{pad}  {}", short(text)) };
    match (from, to) {
        (None, to) => {
            let to = to.unwrap_or_default();
            format!("{blank}{}\n", paint.green(&format!("+ {name}{}", value(&to))))
        }
        (Some(from), None) => format!("{blank}{}\n", paint.red(&format!("- {name}{}", value(&from)))),
        (Some(from), Some(to)) => {
            let quoted = |text: &str| if text.is_empty() { "(empty)".to_owned() } else { short(text) };
            let (from, to) = (quoted(&from), quoted(&to));
            if from.width() + to.width() <= LONGEST {
                format!("{blank}~ {name}{pad}  {from} → {to}\n")
            } else {
                let below = " ".repeat(indent + 2 + name.width() + pad.len());
                format!("{blank}~ {name}{pad}  {from}\n{below}→ {to}\n")
            }
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn width<S: AsRef<str>>(names: impl Iterator<Item = S>) -> usize {
    names.map(|name| escape(name.as_ref()).width()).max().unwrap_or_default().min(WIDEST)
}

fn layers(document: &Document, paint: Paint) -> String {
    let shared = document.shared_layers;
    let (gone, new) = (&document.a.layers[shared..], &document.b.layers[shared..]);
    let mut title = format!("layers: {shared} shared");
    let bytes = |layers: &[Layer]| layers.iter().map(|layer| layer.bytes).sum::<Option<u64>>();
    if let Some(bytes) = bytes(&document.a.layers[..shared]).filter(|_| shared > 0) {
        title.push_str(&format!(", {}", size(bytes)));
    }
    let mut out = format!("\n{}\n", paint.bold(&title));
    for (sign, layers) in [("-", gone), ("+", new)] {
        for layer in layers {
            let bytes = layer.bytes.map_or_else(|| "?".to_owned(), size);
            let made_by = layer.made_by.as_deref().map(|made_by| shortened(&escape(&instruction(made_by))));
            let text = format!("{sign} {bytes:>9}  {}", made_by.unwrap_or_else(|| layer.content.clone()));
            let text = if sign == "-" { paint.red(&text) } else { paint.green(&text) };
            out.push_str(&format!("  {}\n", text.trim_end()));
        }
    }
    out
}

/// The instruction of a layer, without the builder's additions.
fn instruction(made_by: &str) -> String {
    let text = made_by.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.strip_suffix(" # buildkit").unwrap_or(&text);
    let text = text.strip_prefix("/bin/sh -c #(nop) ").unwrap_or(text);
    match text.strip_prefix("RUN /bin/sh -c ").or_else(|| text.strip_prefix("/bin/sh -c ")) {
        Some(command) => format!("RUN {command}"),
        None => text.to_owned(),
    }
}
