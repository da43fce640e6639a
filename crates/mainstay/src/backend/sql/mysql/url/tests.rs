use super::*;

fn of(url: &str) -> Result<Opts> {
    options(&BackendConfig::at(url))
}

#[test]
fn both_schemes_are_understood_and_the_session_is_set_up() {
    for url in ["mysql://u:p@h:3307/d", "mariadb://u:p@h:3307/d"] {
        let options = of(url).unwrap();
        assert_eq!((options.ip_or_hostname(), options.tcp_port()), ("h", 3307));
        assert_eq!(options.db_name(), Some("d"));
        assert!(!options.pool_opts().reset_connection());
        assert_eq!(options.pool_opts().constraints().max(), 25);
        assert!(!options.client_found_rows());
        assert!(options.setup().iter().any(|sql| sql.contains("READ COMMITTED")), "{options:?}");
        assert!(options.setup().iter().any(|sql| sql.contains("max_statement_time = 2 ")));
    }
}

#[test]
fn each_ssl_mode_says_what_to_verify() {
    assert!(of("mysql://h/d").unwrap().ssl_opts().is_none());
    assert!(of("mysql://h/d?ssl-mode=DISABLED").unwrap().ssl_opts().is_none());
    for (mode, any_certificate, any_name) in [
        ("NO-VERIFY", true, true),
        ("REQUIRED", false, false),
        ("VERIFY_CA", false, true),
        ("VERIFY_IDENTITY", false, false),
    ] {
        let options = of(&format!("mysql://h/d?ssl-mode={mode}&ssl-ca=/ca.pem")).unwrap();
        let ssl = options.ssl_opts().unwrap();
        assert_eq!(ssl.accept_invalid_certs(), any_certificate, "{mode}");
        assert_eq!(ssl.skip_domain_validation(), any_name, "{mode}");
        assert_eq!(ssl.root_certs().len(), 1);
    }
    let ours = of("mysql://h/d?ssl-mode=REQUIRED&ssl-cert=/c.pem&ssl-key=/k.pem").unwrap();
    assert!(ours.ssl_opts().unwrap().client_identity().is_some());
    let own = of("mysql://h/d?require_ssl=true&verify_identity=false").unwrap();
    assert!(own.ssl_opts().unwrap().skip_domain_validation());
}

#[test]
fn a_wrong_url_is_refused_without_repeating_it() {
    for url in [
        "mysql://u:secret@h",
        "mysql://u:secret@h:port/d",
        "mysql://u:secret@h/d?ssl-mode=maybe",
        "mysql://u:secret@h/d?ssl-ca=/ca.pem",
        "mysql://u:secret@h/d?ssl-mode=REQUIRED&ssl-cert=/c.pem",
        "mysql://u:secret@h/d?nonsense=1",
    ] {
        let error = of(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{url}");
        assert!(!error.message().contains("secret"), "{error}");
    }
}
