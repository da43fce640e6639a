//! What `listen` may hold: `ADDRESS:PORT`, or `localhost:PORT`; and who an address is.
//! It must not know which door listens, nor resolve names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// To whom an address belongs: one customer is given a whole /64 of IPv6.
pub(crate) fn customer(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        address => address,
    }
}

/// Reads it; `localhost` is 127.0.0.1. The error says what is wrong, with an example on this port.
pub(crate) fn parse(text: &str, example_port: u16) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    if let Some(port) = local {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse()
        .map_err(|_| format!("`{text}` is not ADDRESS:PORT, as in 127.0.0.1:{example_port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_customer_and_an_address_has_one_form() {
        for (from, whose) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::"),
            ("::1", "::1"),
        ] {
            assert_eq!(customer(from.parse().unwrap()), whose.parse::<IpAddr>().unwrap(), "{from}");
        }
    }

    #[test]
    fn addresses_and_localhost_are_read_and_nothing_else() {
        for (text, read) in
            [("localhost:1", "127.0.0.1:1"), ("0.0.0.0:2", "0.0.0.0:2"), ("[::1]:3", "[::1]:3")]
        {
            assert_eq!(parse(text, 6390), Ok(read.parse().unwrap()), "{text}");
        }
        for text in ["localhost", "localhost:x", "6390", "example.com:1", "127.0.0.1:70000", ""] {
            let refused = format!("`{text}` is not ADDRESS:PORT, as in 127.0.0.1:6390");
            assert_eq!(parse(text, 6390), Err(refused));
        }
    }
}
