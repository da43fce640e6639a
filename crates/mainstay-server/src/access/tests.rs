use super::*;

fn users(toml: &[(&str, UserConfig)]) -> BTreeMap<String, UserConfig> {
    toml.iter().map(|(name, config)| ((*name).to_owned(), config.clone())).collect()
}

fn with(password: Option<&str>, token: Option<&str>) -> UserConfig {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    UserConfig { password: owned(password), token: owned(token), ..UserConfig::default() }
}

fn access(given: &[(&str, UserConfig)]) -> Access {
    Access::of(&users(given), &RespConfig::default(), &HttpConfig::default()).unwrap()
}

fn refused(given: &[(&str, UserConfig)]) -> String {
    let built = Access::of(&users(given), &RespConfig::default(), &HttpConfig::default());
    built.unwrap_err().message().to_owned()
}

fn doors(resp: Option<&str>, http: Option<&str>) -> (RespConfig, HttpConfig) {
    let resp = RespConfig { password: resp.map(str::to_owned), ..RespConfig::default() };
    (resp, HttpConfig { token: http.map(str::to_owned), ..HttpConfig::default() })
}

#[test]
fn without_users_each_door_has_its_own_secret() {
    for (password, token) in [(None, None), (Some("geheim"), None), (None, Some("correct-horse"))] {
        let (resp, http) = doors(password, token);
        let access = Access::of(&BTreeMap::new(), &resp, &http).unwrap();
        assert_eq!(access.guards(Door::Resp), password.is_some());
        assert_eq!(access.guards(Door::Http), token.is_some());
    }
    let (resp, http) = doors(Some("geheim"), Some("correct-horse"));
    let access = Access::of(&BTreeMap::new(), &resp, &http).unwrap();
    let name = |user: Option<Arc<User>>| user.map(|user| (user.name().to_owned(), user.role()));
    let admin = Some(("default".to_owned(), Role::Admin));
    assert_eq!(name(access.by_password(b"default", b"geheim")), admin);
    assert_eq!(name(access.by_token(b"correct-horse")), admin);
    assert_eq!(name(access.by_password(b"default", b"correct-horse")), None);
    assert_eq!(name(access.by_token(b"geheim")), None);
    assert_eq!(name(access.by_password(b"other", b"geheim")), None);
}

#[test]
fn a_user_closes_both_doors_to_nobody_in_particular() {
    let access = access(&[("app", with(Some("geheim"), None))]);
    assert!(access.guards(Door::Resp) && access.guards(Door::Http));
    assert!(access.by_password(b"default", b"").is_none());
    assert!(access.by_password(b"app", b"geheim").is_some());
    assert!(access.by_password(b"app", b"").is_none());
}

#[test]
fn a_default_without_secrets_is_who_names_nobody() {
    let access = access(&[
        ("default", with(None, None)),
        ("ops", UserConfig { role: Role::Admin, ..with(None, Some("correct-horse")) }),
    ]);
    for door in [Door::Resp, Door::Http] {
        assert_eq!(access.anonymous(door).unwrap().role(), Role::Read);
    }
    assert!(access.by_password(b"default", b"any").is_some());
    assert!(access.by_password(b"ops", b"any").is_none());
}

#[test]
fn what_is_wrong_is_named() {
    for (given, problem) in [
        (("app", with(None, None)), "users.app: has neither"),
        (("a b", with(Some("x"), None)), "users: a user's name"),
        (("app", with(Some(""), None)), "users.app.password: is empty"),
        (("app", with(None, Some("short"))), "users.app.token: holds at least 8"),
        (
            ("app", UserConfig { password_hashes: vec!["xyz".into()], ..UserConfig::default() }),
            "users.app.password_hashes[0]: is no SHA-256",
        ),
        (
            ("app", UserConfig { prefixes: Some(vec![]), ..with(Some("x"), None) }),
            "users.app.prefixes: names at least one",
        ),
        (
            (
                "app",
                UserConfig {
                    role: Role::Admin,
                    prefixes: Some(vec!["a:".into()]),
                    ..with(Some("x"), None)
                },
            ),
            "users.app.prefixes: do not go with role",
        ),
    ] {
        let message = refused(&[given]);
        assert!(message.starts_with(problem), "{message}");
    }
    let twice = with(None, Some("correct-horse"));
    assert!(
        refused(&[("a", twice.clone()), ("b", twice)]).starts_with("users.b.token: is that of a")
    );
    let (resp, http) = doors(Some("geheim"), None);
    let both = Access::of(&users(&[("default", with(None, None))]), &resp, &http).unwrap_err();
    assert!(both.message().starts_with("users.default: resp.password"), "{both}");
}

#[test]
fn who_changed_is_revoked_and_who_did_not_goes_on() {
    let keeps = with(Some("one"), None);
    let access = access(&[("keeps", keeps.clone()), ("changes", with(Some("two"), None))]);
    let old = [&b"keeps"[..], b"changes"].map(|name| access.users().find(name).unwrap().clone());
    let (resp, http) = doors(None, None);
    let bad = access.replace(&users(&[("bad", with(None, None))]), &resp, &http);
    assert!(bad.is_err() && access.by_password(b"keeps", b"one").is_some());
    let next = users(&[("keeps", keeps), ("changes", with(Some("three"), None))]);
    access.replace(&next, &resp, &http).unwrap();
    assert!(!old[0].is_revoked() && old[1].is_revoked());
    assert!(access.by_password(b"changes", b"two").is_none());
    let new = access.by_password(b"changes", b"three").unwrap();
    assert!(!new.is_revoked());
    assert!(!access.by_password(b"keeps", b"one").unwrap().is_revoked());
}

/// The way from one secret to the next: nobody is asked before the old one is taken out.
#[test]
fn a_further_secret_asks_nobody_and_one_that_is_taken_out_asks_all() {
    let (resp, http) = doors(None, None);
    let hash = |secret: &str| match secret {
        "old" => "cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4",
        _ => "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437",
    };
    let holding = |secrets: &[&str]| {
        let password_hashes = secrets.iter().map(|secret| hash(secret).to_owned()).collect();
        users(&[("app", UserConfig { password_hashes, ..with(None, None) })])
    };
    let access = Access::of(&holding(&["old"]), &resp, &http).unwrap();
    let before = access.by_password(b"app", b"old").unwrap();
    access.replace(&holding(&["old", "new"]), &resp, &http).unwrap();
    let after = access.by_password(b"app", b"new").unwrap();
    assert!(!before.is_revoked() && !after.is_revoked());
    // The first of all is still known after the second replacement.
    access.replace(&holding(&["new"]), &resp, &http).unwrap();
    assert!(before.is_revoked() && after.is_revoked());
    assert!(access.by_password(b"app", b"old").is_none());
    assert!(!access.by_password(b"app", b"new").unwrap().is_revoked());
}

#[test]
fn a_door_that_closes_asks_those_inside() {
    let (resp, http) = doors(None, None);
    let access = access(&[]);
    let before = access.anonymous(Door::Resp).unwrap();
    access.replace(&users(&[("app", with(Some("x"), None))]), &resp, &http).unwrap();
    assert!(before.is_revoked());
}

#[test]
fn secrets_are_never_printed() {
    let config = UserConfig {
        password_hashes: vec!["ab".repeat(32)],
        token_hashes: vec!["cd".repeat(32)],
        ..with(Some("geheim"), Some("correct-horse"))
    };
    let shown = format!("{config:?}{}", serde_json::to_string(&config).unwrap());
    for secret in ["geheim", "correct-horse", "abab", "cdcd"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.contains("***"));
    let shown = format!("{:?}", access(&[("app", UserConfig { role: Role::Write, ..config })]));
    assert!(!shown.contains("geheim"), "{shown}");
}

#[test]
fn a_door_that_the_world_reaches_is_never_opened_to_it() {
    let (resp, http) = doors(None, None);
    let (app, nobody) = (with(Some("geheim"), None), with(None, None));
    let access = access(&[("app", app.clone())]);
    access.keep_guarded(Door::Resp).unwrap();
    let before = access.by_password(b"app", b"geheim").unwrap();
    for open in [users(&[]), users(&[("default", nobody), ("app", with(Some("other"), None))])] {
        let refused = access.replace(&open, &resp, &http).unwrap_err();
        assert!(refused.message().starts_with("resp.listen: is reachable"), "{refused}");
        assert!(access.guards(Door::Resp) && !before.is_revoked());
    }
    // The other door does not stand open to the world: only its own secret is missing.
    let (resp, http) = doors(Some("geheim"), None);
    access.replace(&BTreeMap::new(), &resp, &http).unwrap();
    assert!(access.guards(Door::Resp) && !access.guards(Door::Http));
    let refused = access.keep_guarded(Door::Http).unwrap_err();
    assert!(refused.message().starts_with("http.listen"), "{refused}");
}

#[test]
fn who_goes_is_revoked_only_when_the_next_have_come() {
    let (resp, http) = doors(None, None);
    let of = |password| Users::of(&users(&[("app", with(Some(password), None))]), &resp, &http);
    let (before, mut next) = (of("one").unwrap(), of("two").unwrap());
    let gone = next.succeed(&before);
    assert_eq!(gone.len(), 1);
    assert!(Arc::ptr_eq(&gone[0], before.find(b"app").unwrap()) && !gone[0].is_revoked());
}

#[test]
fn of_many_generations_at_once_only_the_last_is_left() {
    let access = access(&[("app", with(Some("first"), None))]);
    let (resp, http) = doors(None, None);
    let replace_often = |name: &str| -> Vec<Arc<User>> {
        let often = 0..300;
        let seen = often.map(|n| {
            let next = users(&[("app", with(Some(&format!("{name}{n}")), None))]);
            access.replace(&next, &resp, &http).unwrap();
            access.users().find(b"app").unwrap().clone()
        });
        seen.collect()
    };
    let seen = std::thread::scope(|scope| {
        let threads = ["a", "b", "c"].map(|name| scope.spawn(move || replace_often(name)));
        threads.map(|thread| thread.join().unwrap()).concat()
    });
    let last = access.users().find(b"app").unwrap().clone();
    let left = seen.iter().filter(|user| !user.is_revoked());
    assert!(left.clone().all(|user| Arc::ptr_eq(user, &last)), "{} are left", left.count());
}
