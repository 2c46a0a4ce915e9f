//! Runs independent work on as many threads as the machine has processors. Results keep the order
//! of the items, so that the number of threads has no effect on them.

use std::sync::OnceLock;

use rayon::ThreadPool;
use rayon::prelude::*;

/// More threads do not help: the work takes milliseconds.
const MOST: usize = 8;

/// Calls `work` for chunks of `size` items, on several threads. `start` creates the state that is
/// passed to `work`; one thread may use several states. Propagates panics.
pub(crate) fn each<Item: Sync, State, Answer: Send>(
    items: &[Item],
    size: usize,
    start: impl Fn() -> State + Send + Sync,
    work: impl Fn(&mut State, &[Item]) -> Answer + Send + Sync,
) -> Vec<Answer> {
    let size = size.max(1);
    match pool() {
        Some(pool) if items.len() > size => {
            pool.install(|| items.par_chunks(size).map_init(start, work).collect())
        }
        _ => {
            let mut state = start();
            items.chunks(size).map(|share| work(&mut state, share)).collect()
        }
    }
}

/// Runs two independent closures in parallel, or one after the other if they are not `worth` a
/// thread. Propagates panics.
pub(crate) fn both<A: Send, B: Send>(
    worth: bool,
    first: impl FnOnce() -> A + Send,
    second: impl FnOnce() -> B + Send,
) -> (A, B) {
    match worth.then(pool).flatten() {
        Some(pool) => pool.join(first, second),
        None => (first(), second()),
    }
}

/// Returns the thread pool; `None` if the machine runs only one thread at once, or if the pool
/// cannot be created.
fn pool() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let start = || {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST);
        let pool = || rayon::ThreadPoolBuilder::new().num_threads(threads).build().ok();
        if threads > 1 { pool() } else { None }
    };
    POOL.get_or_init(start).as_ref()
}

#[cfg(test)]
mod tests {
    use super::each;

    #[test]
    fn answers_come_in_order_from_every_thing_once() {
        for (items, size) in [(0, 1), (1, 64), (63, 64), (64, 64), (65, 64), (1000, 1), (1000, 64), (7, 0)] {
            let numbers: Vec<usize> = (0..items).collect();
            let answers = each(&numbers, size, || (), |(), share| share.to_vec());
            assert_eq!(answers.len(), items.div_ceil(size.max(1)), "{items}, {size}");
            assert_eq!(answers.concat(), numbers, "{items}, {size}");
        }
    }

    #[test]
    #[should_panic(expected = "of the last")]
    fn a_panic_is_not_lost() {
        let numbers: Vec<usize> = (0..1000).collect();
        each(&numbers, 1, || (), |(), share| assert!(!share.contains(&999), "of the last"));
    }
}
