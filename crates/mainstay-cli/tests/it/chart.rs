//! The Helm chart: what its templates read is in its values, what they say the binary understands.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Run, Scratch};

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/helm/mainstay")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(chart().join(name)).unwrap()
}

fn templates() -> Vec<(String, String)> {
    let files = std::fs::read_dir(chart().join("templates")).unwrap().flatten();
    let read =
        |path: PathBuf| (path.display().to_string(), std::fs::read_to_string(&path).unwrap());
    files.map(|entry| read(entry.path())).collect()
}

/// The paths of the keys of a block of YAML without lists: `service.resp`.
fn keys(yaml: &str) -> BTreeSet<String> {
    let mut above: Vec<(usize, String)> = Vec::new();
    let mut found = BTreeSet::new();
    for line in yaml.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let indent = line.len() - line.trim_start().len();
        let Some((key, _)) = line.trim().split_once(':') else { continue };
        if !key.chars().all(char::is_alphanumeric) {
            continue;
        }
        above.retain(|(depth, _)| *depth < indent);
        above.push((indent, key.to_owned()));
        found.insert(above.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>().join("."));
    }
    found
}

#[test]
fn templates_read_only_values_that_there_are() {
    let values = keys(&text("values.yaml"));
    for (name, template) in templates() {
        for part in template.split(".Values.").skip(1) {
            let end = part.find(|c: char| !c.is_alphanumeric() && c != '.').unwrap_or(part.len());
            let path = part[..end].trim_end_matches('.');
            assert!(values.contains(path), "{name}: .Values.{path} is not in values.yaml");
        }
        let count = |word: &str| {
            let actions = template
                .split("{{")
                .skip(1)
                .map(|action| action.trim_start_matches('-').trim_start());
            actions.filter(|action| action.split([' ', '}', '-']).next() == Some(word)).count()
        };
        let opened: usize = ["if", "with", "range", "define"].into_iter().map(count).sum();
        assert_eq!(opened, count("end"), "{name}: every block ends");
    }
}

#[test]
fn the_chart_has_the_version_of_the_binary() {
    let chart = text("Chart.yaml");
    assert!(chart.contains(concat!("\nappVersion: ", env!("CARGO_PKG_VERSION"), "\n")), "{chart}");
}

#[test]
fn the_binary_takes_the_configuration_and_the_variables_of_the_chart() {
    let scratch = Scratch::new();
    let values = text("values.yaml");
    let config = values.split("config: |\n").nth(1).unwrap();
    let config: String = config
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("  "))
        .map(|line| format!("{}\n", line.trim()))
        .collect();
    for (name, secret) in [
        ("db", "postgres://app@127.0.0.1/app"),
        ("password", "a-long-secret"),
        ("token", "a-long-random-token"),
    ] {
        scratch.write(name, secret);
    }
    let here = scratch.path().to_str().unwrap();
    scratch.write("mainstay.toml", &config.replace("/run/secrets/mainstay", here));
    let helpers = text("templates/_helpers.tpl");
    let mut command = scratch.command(&["config", "check"]);
    let mut variables = 0;
    let lines: Vec<&str> = helpers.lines().map(str::trim).collect();
    for pair in lines.windows(2) {
        let Some(name) = pair[0].strip_prefix("- name: MAINSTAY__") else { continue };
        let value = pair[1].strip_prefix("value: ").unwrap().trim_matches('\'');
        let value = value.replace("{{ .Values.drainWait | quote }}", "5s");
        let value = value
            .replace("{{ include \"mainstay.name\" . }}", "m")
            .replace("{{ .Release.Namespace }}", "ns");
        command.env(format!("MAINSTAY__{name}"), value.replace("/run/secrets/mainstay", here));
        variables += 1;
    }
    assert_eq!(variables, 6);
    assert!(Run::of(&mut command).ok().starts_with("valid"));
}

#[test]
fn helm_renders_both_forms_where_it_is_installed() {
    let has = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    if !has("helm") {
        return;
    }
    for mode in ["standalone", "sidecar"] {
        let set = format!("mode={mode},existingSecret=s");
        let mut lint = Command::new("helm");
        Run::of(lint.args(["lint", "--strict", "--set", &set]).arg(chart())).ok();
        let rendered =
            Run::of(Command::new("helm").args(["template", "demo", "--set", &set]).arg(chart()))
                .ok();
        assert_eq!(rendered.contains("kind: StatefulSet"), mode == "standalone", "{rendered}");
    }
}
