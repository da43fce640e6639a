use tokio_postgres::config::TargetSessionAttrs;

use super::*;

fn target(url: &str) -> Result<Target> {
    Target::of(&BackendConfig::at(url))
}

#[test]
fn several_hosts_and_the_wish_for_the_primary_are_understood() {
    let target =
        target("postgres://u:p@a:1,b:2/d?target_session_attrs=read-write&pgbouncer=true").unwrap();
    assert_eq!(target.config.get_hosts().len(), 2);
    assert_eq!(target.config.get_ports(), [1, 2]);
    assert_eq!(target.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
    assert_eq!(target.config.get_application_name(), Some("mainstay"));
    assert!(target.config.get_tcp_user_timeout().is_some());
}

#[test]
fn each_sslmode_says_whether_to_encrypt_and_what_to_verify() {
    for (mode, ssl, verify) in [
        ("disable", SslMode::Disable, Verify::Nothing),
        ("prefer", SslMode::Prefer, Verify::Nothing),
        ("no-verify", SslMode::Require, Verify::Nothing),
        ("require", SslMode::Require, Verify::Full),
        ("verify-ca", SslMode::Require, Verify::Issuer),
        ("verify-full", SslMode::Require, Verify::Full),
    ] {
        let target = target(&format!("postgresql://h/d?sslmode={mode}")).unwrap();
        assert_eq!((target.config.get_ssl_mode(), target.tls.verify), (ssl, verify), "{mode}");
    }
    let plain = target("postgres://h/d").unwrap();
    assert_eq!(plain.config.get_ssl_mode(), SslMode::Prefer);
    let rooted = target("postgres://h/d?sslmode=require&sslrootcert=/a%20b.pem").unwrap();
    assert_eq!(rooted.tls.verify, Verify::Full);
    assert_eq!(rooted.tls.root_cert, Some(PathBuf::from("/a b.pem")));
}

#[test]
fn whoever_names_an_issuer_or_a_certificate_is_never_downgraded() {
    for query in [
        "sslrootcert=/ca.pem",
        "sslrootcert=system",
        "sslcert=/c&sslkey=/k",
        "sslrootcert=system&sslmode=verify-full",
        "sslmode=require&sslrootcert=system",
    ] {
        let target = target(&format!("postgres://h/d?{query}")).unwrap();
        let got = (target.config.get_ssl_mode(), target.tls.verify);
        assert_eq!(got, (SslMode::Require, Verify::Full), "{query}");
    }
    for query in [
        "sslrootcert=/ca.pem&sslmode=prefer",
        "sslmode=disable&sslrootcert=/ca.pem",
        "sslmode=allow&sslcert=/c&sslkey=/k",
        "sslrootcert=system&sslmode=no-verify",
        "sslmode=no-verify&sslrootcert=system",
        "sslmode=verify-ca&sslrootcert=system",
        "sslmode=prefer&sslrootcert=system",
    ] {
        let error = target(&format!("postgres://h/d?{query}")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{query}");
    }
    let issuer = target("postgres://h/d?sslrootcert=/ca.pem&sslmode=verify-ca").unwrap();
    assert_eq!(issuer.tls.verify, Verify::Issuer);
}

#[test]
fn a_wrong_url_is_refused_without_repeating_it() {
    for url in [
        "postgres://u:secret@/d",
        "postgres://u:secret@h:port/d",
        "postgres://u:secret@h/d?sslmode=maybe",
        "postgres://u:secret@h/d?nonsense=1",
        "postgres://u:secret@h/d?sslcert=/only-one",
    ] {
        let error = target(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{url}");
        assert!(!error.message().contains("secret"), "{error}");
    }
}

#[test]
fn a_password_may_hold_a_question_mark() {
    let target = target("postgres://u:a?b=c@h/d?sslmode=disable").unwrap();
    assert_eq!(target.config.get_password(), Some(&b"a?b=c"[..]));
    assert_eq!(target.config.get_ssl_mode(), SslMode::Disable);
}
