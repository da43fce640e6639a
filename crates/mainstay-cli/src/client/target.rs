//! Which address to connect to: from an URL, or from what the server listens on.
//! It must not connect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hyper::Uri;

use crate::exit::Failure;

/// `host:port`, and what stands before the paths.
type Place = (String, String);

/// Reads `http://host:port/base` or `host:port`.
pub(crate) fn parse(url: &str) -> Result<Place, Failure> {
    let refuse = |problem: &str| Failure::usage(format!("--url: {problem}"));
    let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = full
        .parse()
        .map_err(|_| refuse("it reads http://HOST:PORT, as in http://127.0.0.1:6391"))?;
    if uri.scheme_str() != Some("http") {
        return Err(refuse("only http:// is spoken; TLS ends at a proxy in front of the server"));
    }
    let Some(authority) = uri.authority() else { return Err(refuse("it names no host")) };
    if authority.as_str().contains('@') {
        return Err(refuse("it holds a user; the token goes into --token-file or MAINSTAY_TOKEN"));
    }
    let port = authority.port_u16().unwrap_or(80);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (url, place) in [
            ("http://127.0.0.1:6391", Ok(("127.0.0.1:6391", ""))),
            ("http://h/", Ok(("h:80", ""))),
            ("h:1/base/", Ok(("h:1", "/base"))),
            ("http://[::1]:2", Ok(("[::1]:2", ""))),
            ("https://h", Err("only http://")),
            ("http://u:p@h", Err("it holds a user")),
            ("http://", Err("it reads http://")),
        ] {
            match (parse(url), place) {
                (Ok((authority, base)), Ok(expected)) => {
                    assert_eq!((authority.as_str(), base.as_str()), expected);
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
}
