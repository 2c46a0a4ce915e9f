//! Checks ports of `EXPOSE` (`nat.ParsePortSpec`): `80`, `8000-8010/udp`, `[[address:]host:]80`.

/// Whether a text is a valid port specification.
pub(in crate::parse::dockerfile) fn is_port(text: &str) -> bool {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let is_protocol = ["", "tcp", "udp", "sctp"].iter().any(|known| protocol.eq_ignore_ascii_case(known));
    let (host, container) = match ports.rsplit_once(':') {
        Some((host, container)) => (host.rsplit_once(':').map_or(host, |(_, port)| port), container),
        None => ("", ports),
    };
    is_protocol && range(container) && (host.is_empty() || range(host))
}

/// Whether a text is a port or a range of ports.
fn range(text: &str) -> bool {
    let number =
        |text: &str| text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten();
    match text.split_once('-') {
        Some((first, last)) => {
            matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last)
        }
        None => number(text).is_some(),
    }
}
