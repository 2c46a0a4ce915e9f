//! A private bridge with its own iptables rules. Docker's rules are shared between engines, and the
//! engine that starts later flushes those of the earlier one, so our engines run without Docker's
//! rules.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::engine::{Kind, State};
use crate::{place, process};

const TABLES: [&str; 2] = ["nat", "filter"];
const PODMAN: &str = "NETAVARK";
const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// Network resources that were set up on the machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Network {
    /// Name of the bridge.
    pub(crate) bridge: String,
    /// Its subnet without the last number, for example `172.29.7`.
    pub(crate) prefix: String,
    /// MTU of the machine's default route.
    pub(crate) mtu: String,
    /// Whether xtask enabled IP forwarding in the kernel.
    pub(crate) forwarding: bool,
    /// Whether podman's chains existed before ours.
    #[serde(default)]
    podman_before: bool,
    rules: Vec<Vec<String>>,
}

/// Creates the bridge and the rules. `state` is saved first, with the resources that will exist.
pub(crate) fn make(state: &mut State, own_bridge: bool) -> Result<Network> {
    let bridge = format!("ib{}", place::mark(&state.name));
    let prefix =
        free_prefix(&process::read(Command::new("ip").args(["-4", "-o", "route", "show", "table", "all"]))?)?;
    let forwarding = fs::read_to_string(FORWARD)?.trim() == "0";
    let podman_before = TABLES.iter().any(|table| rules_of(table).iter().any(|rule| rule.contains(PODMAN)));
    let network =
        Network { rules: rules(&bridge, &prefix), mtu: mtu()?, bridge, prefix, forwarding, podman_before };
    state.network = Some(network.clone());
    state.save()?;
    let bridge = &network.bridge;
    if own_bridge {
        process::read(Command::new("ip").args(["link", "add", bridge, "type", "bridge"]))?;
        let address = format!("{}.1/24", network.prefix);
        process::read(Command::new("ip").args(["addr", "add", &address, "dev", bridge]))?;
        process::read(Command::new("ip").args(["link", "set", bridge, "mtu", &network.mtu, "up"]))?;
    }
    for rule in &network.rules {
        process::read(Command::new("iptables").args(["-w", "-I"]).args(rule))?;
    }
    if forwarding {
        fs::write(FORWARD, "1").context("cannot switch forwarding on")?;
    }
    Ok(network)
}

/// Removes the bridge and the rules; missing ones are not an error. Returns what could not be
/// removed.
pub(crate) fn remove(network: &Network, name: &str) -> Vec<String> {
    let mut left = Vec::new();
    for rule in &network.rules {
        let there = || process::quiet(Command::new("iptables").args(["-w", "-C"]).args(rule));
        if there() && !process::quiet(Command::new("iptables").args(["-w", "-D"]).args(rule)) {
            left.push(format!("iptables rule {}", rule.join(" ")));
        }
    }
    for table in TABLES {
        for change in podman_leftovers(&rules_of(table), &network.prefix, network.podman_before) {
            if !process::quiet(Command::new("iptables").args(["-w", "-t", table]).args(&change)) {
                left.push(format!("iptables {}", change.join(" ")));
            }
        }
    }
    let bridge = &network.bridge;
    // An engine that is stopped while it starts a container leaves virtual network interfaces on
    // the bridge.
    for port in fs::read_dir(format!("/sys/class/net/{bridge}/brif")).into_iter().flatten().flatten() {
        process::quiet(Command::new("ip").args(["link", "delete"]).arg(port.file_name()));
    }
    let there = || process::quiet(Command::new("ip").args(["link", "show", bridge]));
    if there() && !process::quiet(Command::new("ip").args(["link", "delete", bridge])) {
        left.push(format!("bridge {bridge}"));
    }
    if network.forwarding && !hand_on_forwarding(name) && fs::write(FORWARD, "0").is_err() {
        left.push("the kernel's forwarding".to_owned());
    }
    left
}

/// Leaves IP forwarding enabled if another engine of this checkout is up, and makes that engine
/// responsible for disabling it.
fn hand_on_forwarding(name: &str) -> bool {
    for kind in Kind::ALL.into_iter().filter(|kind| kind.name() != name) {
        if let Ok(Some(mut other)) = State::read(kind.name())
            && let Some(network) = &mut other.network
        {
            network.forwarding = true;
            return other.save().is_ok();
        }
    }
    false
}

fn rules(bridge: &str, prefix: &str) -> Vec<Vec<String>> {
    let subnet = format!("{prefix}.0/24");
    let texts = [
        format!("POSTROUTING -t nat -s {subnet} ! -o {bridge} -j MASQUERADE"),
        format!("FORWARD -i {bridge} -j ACCEPT"),
        format!("FORWARD -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
        format!("FORWARD -i {bridge} -o {bridge} -j ACCEPT"),
    ];
    texts.iter().map(|text| text.split(' ').map(str::to_owned).collect()).collect()
}

fn rules_of(table: &str) -> Vec<String> {
    let text = process::read_within(
        Command::new("iptables").args(["-w", "-t", table, "-S"]),
        Duration::from_secs(10),
    );
    text.unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Returns the commands that remove the rules that podman left for our subnet, and also podman's
/// chains if they did not exist before ours.
fn podman_leftovers(rules: &[String], prefix: &str, podman_before: bool) -> Vec<Vec<String>> {
    let words = |text: &str| text.replace('"', "").split(' ').map(str::to_owned).collect::<Vec<_>>();
    let chains =
        || rules.iter().filter_map(|rule| rule.strip_prefix("-N ")).filter(|name| name.starts_with(PODMAN));
    let ours = |rule: &&String| rule.contains(PODMAN) && rule.contains(&format!(" {prefix}."));
    let mut changes = Vec::new();
    if podman_before {
        // The machine has another podman: delete only the rules that name our subnet.
        let added = rules.iter().filter(ours).filter_map(|rule| rule.strip_prefix("-A "));
        changes.extend(added.map(|rule| [vec!["-D".to_owned()], words(rule)].concat()));
        return changes;
    }
    // Quotes in a rule's comment are for the shell, so such a rule cannot be deleted by its text:
    // the chain that contains it is flushed.
    changes.extend(chains().map(|chain| words(&format!("-F {chain}"))));
    let mut places = std::collections::BTreeMap::new();
    let mut jumps = Vec::new();
    for rule in rules.iter().filter_map(|rule| rule.strip_prefix("-A ")) {
        let chain = rule.split(' ').next().unwrap_or_default();
        let place = places.entry(chain).or_insert(0);
        *place += 1;
        if !chain.starts_with(PODMAN) && rule.contains(&format!("-j {PODMAN}")) {
            jumps.push(words(&format!("-D {chain} {place}")));
        }
    }
    // From the last to the first, so that the rule numbers stay valid.
    changes.extend(jumps.into_iter().rev());
    changes.extend(chains().map(|chain| words(&format!("-X {chain}"))));
    changes
}

/// Returns a subnet that overlaps no route of the machine.
fn free_prefix(routes: &str) -> Result<String> {
    let taken = |prefix: &str| routes.split_whitespace().any(|word| word.starts_with(&format!("{prefix}.")));
    for second in (16..=31).rev() {
        // A wide route can cover the whole range without naming the subnet.
        let wide = format!("172.{second}.0.0/");
        if routes.contains(&wide) || routes.contains("172.16.0.0/12") {
            continue;
        }
        for third in 60..70 {
            let prefix = format!("172.{second}.{third}");
            if !taken(&prefix) {
                return Ok(prefix);
            }
        }
    }
    bail!("no free subnet below 172.16.0.0/12")
}

fn mtu() -> Result<String> {
    let route = process::read(Command::new("ip").args(["-4", "-o", "route", "show", "default"]))?;
    let device = route.split_whitespace().skip_while(|word| *word != "dev").nth(1);
    let Some(device) = device else { return Ok("1500".to_owned()) };
    let mtu =
        fs::read_to_string(format!("/sys/class/net/{device}/mtu")).unwrap_or_else(|_| "1500".to_owned());
    Ok(mtu.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_that_came_with_us_go_with_us() {
        let rules =
            ["-N NETAVARK-1", "-A POSTROUTING -j OTHER", "-A POSTROUTING -s 172.31.60.0/24 -j NETAVARK-1"];
        let rules = rules.map(str::to_owned);
        let check = |before| -> Vec<String> {
            podman_leftovers(&rules, "172.31.60", before).iter().map(|change| change.join(" ")).collect()
        };
        assert_eq!(check(false), ["-F NETAVARK-1", "-D POSTROUTING 2", "-X NETAVARK-1"]);
        assert_eq!(check(true), ["-D POSTROUTING -s 172.31.60.0/24 -j NETAVARK-1"]);
    }

    #[test]
    fn a_subnet_in_use_is_not_taken() {
        let check = |routes: &str| free_prefix(routes).map_err(|error| error.to_string());
        assert_eq!(check("default via 192.0.2.1 dev eth0").as_deref(), Ok("172.31.60"));
        assert_eq!(check("172.31.60.0/24 dev br0 scope link").as_deref(), Ok("172.31.61"));
        assert_eq!(check("172.31.0.0/16 dev br0").as_deref(), Ok("172.30.60"));
        assert_eq!(check("172.16.0.0/12 dev vpn").unwrap_err(), "no free subnet below 172.16.0.0/12");
    }
}
