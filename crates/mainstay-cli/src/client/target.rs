//! Which address to connect to: from an URL, or from what the server listens on.
//! It must not connect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hyper::Uri;

use crate::exit::Failure;

/// `host:port`, and what stands before the paths.
type Place = (String, String);

/// Reads `http://host:port/base`, the same with `https`, or `host:port`; true: it is encrypted.
pub(crate) fn parse(url: &str) -> Result<(Place, bool), Failure> {
    let spoken = "only http:// and https:// are spoken";
    match url.strip_prefix("https://") {
        Some(rest) => Ok((read("--url", &format!("http://{rest}"), 443, spoken)?, true)),
        None => Ok((read("--url", url, 80, spoken)?, false)),
    }
}

/// The same without encryption, where `name` is what holds the URL.
pub(crate) fn parse_of(name: &str, url: &str) -> Result<Place, Failure> {
    read(name, url, 80, "only http:// is spoken; TLS ends at a proxy in front of the server")
}

fn read(name: &str, url: &str, port: u16, spoken: &str) -> Result<Place, Failure> {
    let refuse = |problem: &str| Failure::usage(format!("{name}: {problem}"));
    let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = full
        .parse()
        .map_err(|_| refuse("it reads http://HOST:PORT, as in http://127.0.0.1:6391"))?;
    if uri.scheme_str() != Some("http") {
        return Err(refuse(spoken));
    }
    let Some(authority) = uri.authority() else { return Err(refuse("it names no host")) };
    if authority.as_str().contains('@') {
        return Err(refuse(
            "it holds a user, which is not sent; a token goes into --token-file or MAINSTAY_TOKEN",
        ));
    }
    let port = authority.port_u16().unwrap_or(port);
    Ok((format!("{}:{port}", authority.host()), uri.path().trim_end_matches('/').to_owned()))
}

/// The address under which a server that listens here is reached from this host.
pub(crate) fn of_listen(listen: &str) -> Result<Place, Failure> {
    let Ok(address) = listen.parse::<SocketAddr>() else {
        return Ok((listen.to_owned(), String::new()));
    };
    if address.port() == 0 {
        return Err(Failure::usage("http.listen has port 0: the server's port is not known")
            .hint("name the server with --url"));
    }
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok((SocketAddr::new(ip, address.port()).to_string(), String::new()))
}

/// Whether it is this host by an address that nobody else can have.
pub(crate) fn is_loopback((authority, _): &Place) -> bool {
    match authority.parse::<SocketAddr>() {
        Ok(address) => address.ip().is_loopback(),
        Err(_) => authority.starts_with("localhost:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (url, place) in [
            ("http://127.0.0.1:6391", Ok(("127.0.0.1:6391", "", false))),
            ("http://h/", Ok(("h:80", "", false))),
            ("h:1/base/", Ok(("h:1", "/base", false))),
            ("http://[::1]:2", Ok(("[::1]:2", "", false))),
            ("https://h", Ok(("h:443", "", true))),
            ("https://h:8443/base", Ok(("h:8443", "/base", true))),
            ("ftp://h", Err("only http://")),
            ("http://u:p@h", Err("it holds a user")),
            ("http://", Err("it reads http://")),
        ] {
            match (parse(url), place) {
                (Ok(((authority, base), encrypted)), Ok(expected)) => {
                    assert_eq!((authority.as_str(), base.as_str(), encrypted), expected);
                }
                (Err(failure), Err(expected)) => {
                    assert!(failure.message.contains(expected), "{}", failure.message);
                }
                (_, expected) => panic!("{url}: expected {expected:?}"),
            }
        }
    }

    #[test]
    fn every_address_listened_on_can_be_reached() {
        let place = |listen| of_listen(listen).map(|(authority, _)| authority);
        assert_eq!(place("127.0.0.1:6391"), Ok("127.0.0.1:6391".to_owned()));
        assert_eq!(place("0.0.0.0:1"), Ok("127.0.0.1:1".to_owned()));
        assert_eq!(place("[::]:1"), Ok("[::1]:1".to_owned()));
        assert_eq!(place("localhost:6391"), Ok("localhost:6391".to_owned()));
        assert!(place("127.0.0.1:0").is_err());
    }

    #[test]
    fn this_host_is_told_from_others() {
        let is_own = |listen| is_loopback(&of_listen(listen).unwrap());
        for own in ["127.0.0.1:1", "0.0.0.0:1", "[::]:1", "localhost:1"] {
            assert!(is_own(own), "{own}");
        }
        assert!(!is_own("192.0.2.1:1") && !is_own("[2001:db8::1]:1"));
    }
}
