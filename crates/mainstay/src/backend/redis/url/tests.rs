use super::*;

fn tcp(name: &str, port: u16) -> Host {
    Host { name: name.to_owned(), port }
}

fn problem(url: &str) -> String {
    let error = parse(url).expect_err(url);
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{url}");
    error.message().to_owned()
}

#[test]
fn one_server() {
    let target = parse("redis://user:p%40ss@10.0.0.1:7000/3").expect("a good URL");
    assert_eq!(target.place, Place::Tcp(tcp("10.0.0.1", 7000)));
    assert_eq!(target.login.user.as_deref(), Some("user"));
    assert_eq!(target.login.password.as_deref(), Some("p@ss"));
    assert_eq!((target.db, target.tls), (3, None));

    let target = parse("valkeys://:secret@[::1]").expect("a good URL");
    assert_eq!(target.place, Place::Tcp(tcp("::1", 6379)));
    assert_eq!(target.login, Login { user: None, password: Some("secret".to_owned()) });
    assert_eq!(target.tls, Some(Tls::default()));
}

#[test]
fn a_socket() {
    let target = parse("redis+unix:///run/my%20redis.sock?db=2&pass=x").expect("a good URL");
    assert_eq!(target.place, Place::Unix("/run/my redis.sock".into()));
    assert_eq!((target.db, target.login.password.as_deref()), (2, Some("x")));
    assert_eq!(
        parse("unix:/run/redis.sock").expect("a good URL").place,
        Place::Unix("/run/redis.sock".into())
    );
}

#[test]
fn sentinels() {
    let url = "redis-sentinel://u:p@a:1,b/main/5?sentinel_password=q";
    let target = parse(url).expect("a good URL");
    let login = Login { user: None, password: Some("q".to_owned()) };
    let sentinels = vec![tcp("a", 1), tcp("b", 26379)];
    assert_eq!(target.place, Place::Sentinel { sentinels, service: "main".to_owned(), login });
    assert_eq!((target.db, target.login.user.as_deref()), (5, Some("u")));
}

#[test]
fn a_cluster_with_tls() {
    let url = "rediss-cluster://a:1,b:2?tls_ca_file=/ca.pem&tls_cert_file=/c&tls_key_file=/k";
    let target = parse(url).expect("a good URL");
    assert_eq!(target.place, Place::Cluster(vec![tcp("a", 1), tcp("b", 2)]));
    let tls = target.tls.expect("TLS");
    assert_eq!(tls.ca_file, Some("/ca.pem".into()));
    assert_eq!(tls.key_file, Some("/k".into()));
    assert!(!tls.insecure);
    assert!(parse("rediss://h?tls_insecure").expect("a good URL").tls.expect("TLS").insecure);
    assert!(parse("rediss://h#insecure").expect("a good URL").tls.expect("TLS").insecure);
}

#[test]
fn what_is_wrong_is_named() {
    assert!(problem("redis://h/x").contains("database"));
    assert!(problem("redis://h:0").contains("port"));
    assert!(problem("redis://h:99999").contains("port"));
    assert!(problem("redis://").contains("host"));
    assert!(problem("redis://a,b").contains("redis-cluster"));
    assert!(problem("redis-sentinel://a").contains("mymaster"));
    assert!(problem("redis-cluster://a/1").contains("database 0"));
    assert!(problem("redis+unix://").contains("path"));
    assert!(problem("redis://h?colour=red").contains("`colour`"));
    assert!(problem("redis://h?tls_insecure").contains("rediss"));
    assert!(problem("rediss://h?tls_cert_file=/c").contains("tls_key_file"));
    assert!(problem("redis://:%zz@h").contains("%25"));
    assert!(problem("redis://h?protocol=4").contains("2 or 3"));
}

#[test]
fn a_password_is_never_shown() {
    let target = parse("redis-sentinel://u:hidden@a/main?sentinel_password=hidden");
    assert!(!format!("{target:?}").contains("hidden"));
    assert!(!problem("redis://u:hidden@h:x").contains("hidden"));
}
