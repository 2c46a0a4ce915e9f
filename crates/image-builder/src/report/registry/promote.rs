//! Reports a promotion: its preview, its progress, and its result.

use executor::promote::{BlobCounts, Copying, Event, Item, MoveState, Promotion};

use crate::cli::escape::escape;
use crate::report::text::columns::{Colour, plain, table};
use crate::report::text::format::{Paint, count, duration, list, size};
use crate::report::text::problems;

/// The preview of a promotion.
pub(crate) fn outlook(promotion: &Promotion, paint: Paint) -> String {
    let mut out = format!("from {} to {}\n", escape(&promotion.from), paint.bold(&escape(&promotion.to)));
    for note in &promotion.notes {
        out.push_str(&problems::note(note));
    }
    if promotion.images.is_empty() || !promotion.missing.is_empty() || !promotion.conflicts.is_empty() {
        return out;
    }
    out.push('\n');
    let rows: Vec<Vec<(String, Colour)>> = promotion.images.iter().map(row).collect();
    for line in table(&rows, &[], paint).lines() {
        out.push_str(&format!("  {}\n", line.trim_end()));
    }
    out.push_str(&format!("\n{}\n", sentence(promotion)));
    out
}

fn row(item: &Item) -> Vec<(String, Colour)> {
    let (what, colour): (String, Colour) = match item.state {
        Copying::There => ("is there".to_owned(), Paint::dim),
        Copying::ToCopy => {
            (format!("to copy, at most {}", size(item.bytes.unwrap_or_default())), Paint::green)
        }
        Copying::Copied => ("copied".to_owned(), Paint::green),
        Copying::Failed => ("failed".to_owned(), Paint::red),
        Copying::Skipped => ("not begun".to_owned(), Paint::yellow),
    };
    let tag = match &item.moving {
        None => String::new(),
        Some(moving) => {
            let shows =
                moving.shows.as_deref().map_or_else(|| "is new".to_owned(), |shows| format!("shows {shows}"));
            match moving.state {
                MoveState::Kept => format!("{} shows it", moving.tag),
                _ => format!("{} {shows}, will show it", moving.tag),
            }
        }
    };
    vec![
        (escape(&format!("{}:{}", item.image, item.build_tag)).into_owned(), Paint::bold),
        (what, colour),
        (escape(&tag).into_owned(), plain),
    ]
}

/// Summarises the work in one sentence.
fn sentence(promotion: &Promotion) -> String {
    let images = &promotion.images;
    let copies: Vec<&Item> = images.iter().filter(|item| item.state == Copying::ToCopy).collect();
    let bytes = copies.iter().filter_map(|item| item.bytes).fold(0, u64::saturating_add);
    let moves = |state| {
        images.iter().filter_map(|item| item.moving.as_ref()).filter(|moving| moving.state == state).count()
    };
    let products = list(&promotion.products);
    if promotion.is_done() {
        return format!("nothing to do for {products}: all is there");
    }
    let copies = match copies.len() {
        0 => "nothing to copy".to_owned(),
        n => format!(
            "{} to copy (at most {}, less what is there in other images)",
            count(n, "build"),
            size(bytes)
        ),
    };
    format!("for {products}: {copies}, {} to move", count(moves(MoveState::ToMove), "tag"))
}

/// The lines for an event; none for events that only `-v` shows.
pub(crate) fn lines(event: &Event, paint: Paint) -> String {
    match event {
        Event::CopyStarted { .. } | Event::Blob { .. } => String::new(),
        Event::Copied { image, build_tag, blobs, seconds, .. } => format!(
            "{}: {} in {}, {}\n",
            escape(&format!("{image}:{build_tag}")),
            paint.green("copied"),
            duration(*seconds),
            tally(blobs)
        ),
        Event::Moved { tag, build_tag, .. } => {
            format!("{}: {} {}\n", escape(tag), paint.green("shows"), escape(build_tag))
        }
        Event::Retry { what, error, attempts, wait } => format!(
            "{}: attempt {attempts} failed, the next one in {}: {}\n",
            escape(what),
            duration(*wait),
            escape(error)
        ),
        Event::Failed { what, error } => {
            format!("{}: {}: {}\n", escape(what), paint.red("failed"), escape(error))
        }
        Event::Note { message } => problems::note(message),
    }
}

/// Whether `--progress quiet` prints it.
pub(crate) fn is_failure(event: &Event) -> bool {
    matches!(event, Event::Failed { .. } | Event::Note { .. })
}

fn tally(blobs: &BlobCounts) -> String {
    let all = blobs.found + blobs.mounted + blobs.streamed;
    let mut parts = Vec::new();
    if blobs.found > 0 {
        parts.push(format!("{} there", blobs.found));
    }
    if blobs.mounted > 0 {
        parts.push(format!("{} mounted", blobs.mounted));
    }
    if blobs.streamed > 0 {
        parts.push(format!("{} through here, {}", blobs.streamed, size(blobs.bytes)));
    }
    format!("{} ({})", count(all, "blob"), parts.join(", "))
}

/// The progress of a promotion, for a live view.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    to_copy: usize,
    copied: usize,
    to_move: usize,
    moved: usize,
    blobs: usize,
    running: Vec<String>,
}

impl Progress {
    pub(crate) fn new(promotion: &Promotion) -> Self {
        let copies = promotion.images.iter().filter(|item| item.state == Copying::ToCopy).count();
        let moving = promotion.images.iter().filter_map(|item| item.moving.as_ref());
        let to_move = moving.filter(|moving| moving.state == MoveState::ToMove).count();
        Self { to_copy: copies, to_move, ..Self::default() }
    }

    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::CopyStarted { image, .. } => self.running.push(image.clone()),
            Event::Copied { image, .. } => {
                self.copied += 1;
                self.running.retain(|running| running != image);
            }
            Event::Blob { .. } => self.blobs += 1,
            Event::Moved { .. } => self.moved += 1,
            _ => {}
        }
    }

    /// Formats the progress on one line; `bytes` were streamed through this process in `seconds`.
    pub(crate) fn line(&self, bytes: u64, seconds: f64) -> String {
        let speed = if seconds > 0.0 { (bytes as f64 / seconds) as u64 } else { 0 };
        format!(
            "{} of {} copied, {}, {} through here, {}/s; {} of {} moved  {}",
            self.copied,
            count(self.to_copy, "build"),
            count(self.blobs, "blob"),
            size(bytes),
            size(speed),
            self.moved,
            count(self.to_move, "tag"),
            escape(&self.running.join(" ")),
        )
    }
}

/// Summarises the result in one sentence.
pub(crate) fn closing(promotion: &Promotion, seconds: f64, paint: Paint) -> String {
    let images = &promotion.images;
    let copied = |state| images.iter().filter(|item| item.state == state).count();
    let moved = |state| {
        images.iter().filter_map(|item| item.moving.as_ref()).filter(|moving| moving.state == state).count()
    };
    let open = copied(Copying::Failed)
        + copied(Copying::Skipped)
        + moved(MoveState::Failed)
        + moved(MoveState::Skipped);
    let what = format!(
        "{} copied, {} moved",
        count(copied(Copying::Copied), "build"),
        count(moved(MoveState::Moved), "tag")
    );
    if open == 0 {
        return format!("{} in {}: {what}\n", paint.green("done"), duration(seconds));
    }
    let left = match moved(MoveState::Moved) {
        0 => "no tag moved; the copies stay, and the next promote finds them",
        _ => "the next promote continues where this one stopped",
    };
    format!("{} in {}: {what}; {left}\n", paint.red("not done"), duration(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_line_tells_how_far_it_is() {
        let mut progress = Progress { to_copy: 2, to_move: 1, ..Progress::default() };
        let (image, build_tag, digest) =
            ("sci/a\n".to_owned(), "1.0-1-aaaaaaa".to_owned(), "sha256:1".to_owned());
        progress.event(&Event::CopyStarted { image: image.clone(), build_tag: build_tag.clone() });
        let blob = Event::Blob { image: image.clone(), digest: digest.clone(), bytes: 7, how: "mounted" };
        progress.event(&blob);
        assert_eq!(
            progress.line(3_000_000, 2.0),
            "0 of 2 builds copied, 1 blob, 3.0 MB through here, 1.5 MB/s; 0 of 1 tag moved  sci/a\\n"
        );
        let blobs = BlobCounts { found: 1, mounted: 2, streamed: 3, bytes: 1_500 };
        progress.event(&Event::Copied { image, build_tag, digest, blobs, seconds: 1.0 });
        assert_eq!(
            progress.line(0, 0.0),
            "1 of 2 builds copied, 1 blob, 0 B through here, 0 B/s; 0 of 1 tag moved  "
        );
        assert_eq!(tally(&blobs), "6 blobs (1 there, 2 mounted, 3 through here, 1.5 kB)");
    }

    #[test]
    fn what_others_wrote_is_told_escaped() {
        let event = Event::Failed { what: "r/x:1.0".to_owned(), error: "\u{1b}[31m".to_owned() };
        assert_eq!(lines(&event, Paint::Plain), "r/x:1.0: failed: \\x1b[31m\n");
        assert!(is_failure(&event));
    }
}
