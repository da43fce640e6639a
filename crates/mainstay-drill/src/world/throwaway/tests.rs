use super::*;
use mainstay::config::RouteConfig;

fn engines(config: &Config) -> Vec<(&str, Option<Engine>)> {
    config.backends.iter().map(|(name, backend)| (name.as_str(), backend.engine())).collect()
}

#[test]
fn a_configuration_without_backends_gets_a_redis_and_a_database() {
    for (database, engine) in [
        (Database::Postgres, Engine::Postgres),
        (Database::MariaDb, Engine::Mysql),
        (Database::Sqlite, Engine::Sqlite),
    ] {
        let mut config = Config::default();
        fill_in(&mut config, &Options { database: Some(database), ..Options::default() });
        let expected = [("db", Some(engine)), ("redis", Some(Engine::Redis))];
        assert_eq!(engines(&config), expected);
        config.validate().unwrap();
    }
    let mut config = Config::default();
    config.backends.insert("mine".into(), BackendConfig::at("redis://elsewhere"));
    fill_in(&mut config, &Options::default());
    assert_eq!(engines(&config), [("mine", Some(Engine::Redis))]);
}

#[test]
fn routes_over_tables_of_the_users_are_left_out_and_that_is_said() {
    let mut config = Config::default();
    let record = RouteConfig { record: Some("db".into()), ..RouteConfig::default() };
    let text = "prefix = 'user:'\n[source]\nbackend = 'db'\nquery = 'select 1'\n";
    let rows: RouteConfig = toml::from_str(text).unwrap();
    config.routes = vec![record.clone(), rows];
    let mut notes = Vec::new();
    leave_out_sources(&mut config, &mut notes);
    assert_eq!(config.routes, [record]);
    assert!(notes[0].contains("user:"), "{notes:?}");
}

#[test]
fn what_is_not_as_configured_is_said() {
    let behind = |engine: &str, real| describe("a", engine, "what it is", real);
    let of = |wanted, behind: &StandsBehind| note("a", Some(wanted), behind, &Options::default());
    assert_eq!(of(Engine::Redis, &behind("redis", true)), None);
    assert_eq!(of(Engine::Sqlite, &behind("sqlite", false)), None);
    assert!(of(Engine::Redis, &behind("redis", false)).unwrap().contains("not installed"));
    assert!(of(Engine::Postgres, &behind("sqlite", false)).is_some());
    assert!(plain("a", "redis-sentinel://x").unwrap().contains("redis-sentinel:"));
    assert_eq!(plain("a", "redis://x"), None);
}

#[tokio::test]
async fn a_file_has_a_place_and_a_target_has_a_word() {
    let mut config = Config::default();
    config.backends.insert("first".into(), BackendConfig::at("sqlite:mine.db"));
    let mut notes = Vec::new();
    let (mut world, customs) =
        Throwaway::start(&mut config, &Options::default(), &mut notes).await.unwrap();
    assert!(config.backends.is_empty() && notes.is_empty(), "{notes:?}");
    assert!(customs[0].0 == "first" && !customs[0].2.url.contains("mine.db"));
    let targets = |word: &str| world.targets(word);
    assert_eq!(targets("db").unwrap(), ["first"]);
    assert_eq!(targets("all").unwrap(), ["first"]);
    assert_eq!(targets("first").unwrap(), ["first"]);
    assert!(targets("redis").unwrap_err().to_string().contains("there are first"));
    let first = ["first".to_owned()];
    world.inject(&first, &Fault::Refuse).await.unwrap();
    world.heal(&first, &Fault::Refuse).await.unwrap();
    assert!(world.inject(&first, &Fault::Auth).await.is_err());
    assert_eq!(world.ended(), None);
}
