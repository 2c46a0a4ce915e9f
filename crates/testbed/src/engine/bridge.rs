//! A bridge for one engine, on an unused subnet; removed when dropped.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::process::{quiet, run};

#[derive(Debug)]
pub(super) struct Bridge {
    name: String,
}

impl Bridge {
    pub(super) fn make() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // The kernel takes 15 characters.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let bridge = Self { name: format!("tb{:x}x{count:x}", std::process::id()) };
        run("ip", &["link", "add", &bridge.name, "type", "bridge"]);
        let routes = run("ip", &["-4", "-o", "route", "show", "table", "all"]);
        let address = format!("{}.1/24", free_prefix(&routes));
        run("ip", &["addr", "add", &address, "dev", &bridge.name]);
        run("ip", &["link", "set", &bridge.name, "up"]);
        bridge
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // An engine that was killed while it started a container leaves the ends of its cable here.
        let ports = fs::read_dir(format!("/sys/class/net/{}/brif", self.name));
        for port in ports.into_iter().flatten().flatten() {
            quiet("ip", &["link", "delete", &port.file_name().to_string_lossy()]);
        }
        quiet("ip", &["link", "delete", &self.name]);
    }
}

/// The first three numbers of a subnet that no route names. Random, so that two concurrent tests
/// rarely choose the same.
fn free_prefix(routes: &str) -> String {
    let prefixes =
        std::iter::repeat_with(|| format!("10.{}.{}", fastrand::u8(100..250), fastrand::u8(1..250)));
    let free = prefixes.take(1000).find(|prefix| {
        let wide = prefix.rsplit_once('.').map_or("", |(wide, _)| wide);
        !routes
            .split_whitespace()
            .any(|word| word.starts_with(&format!("{prefix}.")) || word.starts_with(&format!("{wide}.0.0/")))
    });
    free.expect("no subnet of 10.0.0.0/8 is free")
}
