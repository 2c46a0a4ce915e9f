//! Formats measurements as Markdown tables and as JSON.

use serde::Serialize;

use crate::bench::measure::{Measured, ratio};

/// One group of comparisons.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    /// Heading of the section.
    pub(crate) title: String,
    /// The method, in complete sentences.
    pub(crate) about: String,
    /// The comparisons of the section.
    pub(crate) rows: Vec<Row>,
    /// Notes, one sentence each.
    pub(crate) notes: Vec<String>,
}

/// One comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// The case that is measured, such as a size of the source tree.
    pub(crate) case: String,
    /// The times of our side.
    pub(crate) ours: Measured,
    /// The times of the other side, if there is one.
    pub(crate) other: Option<Measured>,
    /// How many times as long as the other side ours took.
    pub(crate) ratio: Option<f64>,
    /// Peak memory of our side, in MiB.
    pub(crate) peak_mib: Option<f64>,
    /// The bounds, and whether each was met.
    pub(crate) bounds: Vec<Held>,
}

/// A bound, and whether it was met.
#[derive(Debug, Serialize)]
pub(crate) struct Held {
    /// The bound as text.
    pub(crate) bound: String,
    /// Whether the bound was met.
    pub(crate) kept: bool,
}

/// A bound of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    /// At most this multiple of the other side.
    Ratio(f64),
    /// At least this many times as fast as the other side.
    Faster(f64),
    /// At most this time.
    Milliseconds(f64),
    /// At most this much memory.
    Mib(f64),
}

impl Row {
    /// Creates a row from two sides that ran in turns.
    pub(crate) fn of(case: impl Into<String>, ours: &Measured, other: Option<&Measured>) -> Self {
        Self {
            case: case.into(),
            ours: ours.clone(),
            other: other.cloned(),
            ratio: other.map(|other| ratio(ours, other)),
            peak_mib: None,
            bounds: Vec::new(),
        }
    }

    /// Sets the peak memory of our side.
    pub(crate) fn peak(mut self, mib: f64) -> Self {
        self.peak_mib = Some(mib);
        self
    }

    /// Adds a bound. A bound without a measurement counts as not met.
    pub(crate) fn bound(mut self, bound: Bound) -> Self {
        let ratio = self.ratio.unwrap_or(f64::INFINITY);
        let (text, kept) = match bound {
            Bound::Ratio(most) => (format!("≤ {most} ×"), ratio <= most),
            Bound::Faster(least) => (format!("≥ {least} × faster"), ratio <= 1.0 / least),
            Bound::Milliseconds(most) => (format!("≤ {}", time(most)), self.ours.median_ms <= most),
            Bound::Mib(most) => (format!("≤ {most} MiB"), self.peak_mib.is_some_and(|peak| peak <= most)),
        };
        self.bounds.push(Held { bound: text, kept });
        self
    }
}

impl Section {
    /// Formats the section as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n", self.title, self.about);
        if !self.rows.is_empty() {
            let memory = self.rows.iter().any(|row| row.peak_mib.is_some());
            let head = if memory { " memory |" } else { "" };
            let rule = if memory { " ---: |" } else { "" };
            text.push_str(&format!(
                "\n| on | ours | | other side | | ours / other |{head} must hold |\n| --- | --- | ---: | --- | ---: | ---: |{rule} --- |\n"
            ));
            for row in &self.rows {
                text.push_str(&row.markdown(memory));
            }
        }
        for note in &self.notes {
            text.push_str(&format!("\n{note}\n"));
        }
        text
    }
}

impl Row {
    fn markdown(&self, memory: bool) -> String {
        let (other, took) = match &self.other {
            Some(other) => (other.side.as_str(), time(other.median_ms)),
            None => ("", String::new()),
        };
        let ratio = self
            .ratio
            .map(|ratio| if ratio < 0.1 { format!("1 / {:.0}", 1.0 / ratio) } else { format!("{ratio:.2}") });
        let peak = match (memory, self.peak_mib) {
            (false, _) => String::new(),
            (true, Some(mib)) => format!(" {mib:.0} MiB |"),
            (true, None) => " |".to_owned(),
        };
        let held: Vec<_> = self
            .bounds
            .iter()
            .map(|held| format!("{} {}", held.bound, if held.kept { "✓" } else { "**✗**" }))
            .collect();
        format!(
            "| {} | {} | {} | {other} | {took} | {} |{peak} {} |\n",
            self.case,
            self.ours.side,
            time(self.ours.median_ms),
            ratio.unwrap_or_default(),
            held.join(", ")
        )
    }
}

/// Formats milliseconds for people.
pub(crate) fn time(milliseconds: f64) -> String {
    match milliseconds {
        short if short < 10.0 => format!("{short:.1} ms"),
        medium if medium < 1000.0 => format!("{medium:.0} ms"),
        long => format!("{:.2} s", long / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(side: &str, rounds: &[f64]) -> Measured {
        let median_ms = crate::bench::measure::median(rounds);
        Measured { side: side.to_owned(), median_ms, rounds_ms: rounds.to_vec() }
    }

    #[test]
    fn what_is_not_kept_shows() {
        let (ours, other) = (measured("ours", &[4.0, 6.0, 5.0]), measured("git", &[1000.0, 1000.0, 2500.0]));
        let row = Row::of("a tree", &ours, Some(&other)).peak(12.4);
        let row = row.bound(Bound::Faster(100.0)).bound(Bound::Milliseconds(4.5)).bound(Bound::Mib(64.0));
        let section =
            Section { title: "T".into(), about: "A.".into(), rows: vec![row], notes: vec!["N.".into()] };
        assert_eq!(
            section.markdown(),
            "## T\n\nA.\n\n| on | ours | | other side | | ours / other | memory | must hold |\n\
             | --- | --- | ---: | --- | ---: | ---: | ---: | --- |\n\
             | a tree | ours | 5.0 ms | git | 1.00 s | 1 / 250 | 12 MiB | ≥ 100 × faster ✓, ≤ 4.5 ms **✗**, ≤ 64 MiB ✓ |\n\nN.\n"
        );
    }

    #[test]
    fn a_bound_that_nothing_was_measured_for_is_not_kept() {
        let row =
            Row::of("x", &measured("ours", &[1.0]), None).bound(Bound::Ratio(3.0)).bound(Bound::Mib(1.0));
        assert!(row.bounds.iter().all(|held| !held.kept));
    }
}
