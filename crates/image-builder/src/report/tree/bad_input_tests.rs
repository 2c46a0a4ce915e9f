//! Checks that every mistake of the grammar is rejected quickly, with text that no terminal or CI
//! system interprets as a command.

use std::collections::BTreeMap;
use std::panic;
use std::time::{Duration, Instant};

use fuzzing::mistakes::{self, Mistake};
use testbed::time_scale;

use crate::report::text::format::Paint;
use crate::report::text::problems::problems;

/// Time limit of a rejection; measured twice, since the machine may be busy.
const LONGEST: Duration = Duration::from_secs(1);

/// The planner's response to a mistake.
enum PlannerResponse {
    /// Contains the report.
    Refused(String),
    Accepted,
    Panicked,
}

fn take(mistake: &Mistake) -> (PlannerResponse, Duration) {
    let (inputs, request) = (mistake.inputs(), mistake.request());
    let start = Instant::now();
    let taken = panic::catch_unwind(|| match planner::plan(&inputs, &request) {
        Ok(_) => PlannerResponse::Accepted,
        Err(found) => PlannerResponse::Refused(problems(&found, Paint::Plain)),
    });
    (taken.unwrap_or(PlannerResponse::Panicked), start.elapsed())
}

/// The verdict on one mistake.
struct CheckedTree {
    /// The defect in the response, if there is one.
    wrong: Option<String>,
    took: Duration,
    panicked: bool,
}

/// Whether a terminal or a CI system would interpret a part of the text as a command. Does not use
/// `escape`, which is being tested.
fn is_obeyed(text: &str) -> bool {
    let hidden = |c: char| {
        let code = u32::from(c);
        c != '\n' && c.is_control()
            || [0xad, 0x61c, 0x180e, 0xfeff].contains(&code)
            || [0x200b..0x2010, 0x2028..0x202f, 0x2060..0x2070, 0xfff9..0xfffc, 0xe0000..0xe0080]
                .iter()
                .any(|range| range.contains(&code))
    };
    text.contains(hidden)
        || text.lines().any(|line| line.trim_start().starts_with("::"))
        || text.contains("##vso[")
}

fn judge(mistake: &Mistake) -> CheckedTree {
    let (taken, mut took) = take(mistake);
    if took > LONGEST {
        took = took.min(take(mistake).1);
    }
    let panicked = matches!(taken, PlannerResponse::Panicked);
    let what = match taken {
        PlannerResponse::Panicked => "panicked".to_owned(),
        PlannerResponse::Accepted => "accepted".to_owned(),
        PlannerResponse::Refused(text) if is_obeyed(&text) => format!("obeyed by terminals: {text:?}"),
        PlannerResponse::Refused(text) if !text.contains("error: ") || !text.contains("help: ") => {
            "no words".to_owned()
        }
        PlannerResponse::Refused(_) if took > LONGEST => format!("{took:?}"),
        PlannerResponse::Refused(_) => return CheckedTree { wrong: None, took, panicked },
    };
    let right = mistakes::right();
    let differs = mistake.files.iter().filter(|(path, text)| right.files.get(*path) != Some(*text));
    let differs: Vec<String> = differs.take(2).map(|(path, text)| format!("{path}: {text:.300?}")).collect();
    let wrong = Some(format!("{what}: {} {:?} {}", mistake.kind, mistake.flags, differs.join("; ")));
    CheckedTree { wrong, took, panicked }
}

#[test]
fn ten_thousand_mistakes_are_refused_in_words_and_soon() {
    let right = mistakes::right();
    assert!(
        planner::plan(&right.inputs(), &right.request()).is_ok(),
        "the tree without a mistake is planned"
    );
    // A quick run takes half of the mistakes, spread over all kinds; a long run takes all.
    let share = time_scale::quick_or_long(2, 1);
    let mut all = mistakes::all();
    all.retain(|mistake| mistake.hash() % share == 0);
    let chunk = all.len().div_ceil(std::thread::available_parallelism().map_or(1, usize::from));
    let judged: Vec<CheckedTree> = std::thread::scope(|scope| {
        let judge = |mistakes: &'_ [Mistake]| mistakes.iter().map(judge).collect::<Vec<_>>();
        let workers: Vec<_> =
            all.chunks(chunk).map(|mistakes| scope.spawn(move || judge(mistakes))).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("panics are caught")).collect()
    });
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut slowest = (Duration::ZERO, "");
    for (mistake, judged) in all.iter().zip(&judged) {
        *kinds.entry(mistake.kind).or_default() += 1;
        slowest = slowest.max((judged.took, mistake.kind));
    }
    let panics = judged.iter().filter(|judged| judged.panicked).count();
    let mut wrong: Vec<String> = judged.into_iter().filter_map(|judged| judged.wrong).collect();
    println!("{} mistakes, {panics} panics, the slowest took {slowest:?}: {kinds:#?}", all.len());
    let figures = serde_json::json!({
        "distinct": all.len(), "not_refused_rightly": wrong.len(), "panics": panics,
        "slowest_seconds": slowest.0.as_secs_f64(), "slowest_kind": slowest.1, "kinds": kinds,
    });
    time_scale::record("bad-inputs", &figures);
    let count = wrong.len();
    wrong.truncate(40);
    assert!(wrong.is_empty(), "{count} of {}:\n{}", all.len(), wrong.join("\n"));
    assert!(all.len() >= 10_000, "{} mistakes", all.len());
}
