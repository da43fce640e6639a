//! The scenarios there are, by name and by file; and two reports beside each other.
//! It must not run any.

use std::path::Path;

use mainstay::config::text::format_duration;
use mainstay_drill::{
    report::{self, Report},
    scenario::{Scenario, builtin, named},
};
use serde_json::json;

use crate::{
    exit::{Exit, Failure},
    output::{Format, Output},
};

/// The scenario of this name, or in this file.
pub(super) fn find(name: &str) -> Result<Scenario, Failure> {
    if let Some(scenario) = named(name) {
        return Ok(scenario);
    }
    let path = Path::new(name);
    if path.extension().is_some_and(|extension| extension == "toml") {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("{name}: {error}")))?;
        return Scenario::parse(&text).map_err(|error| Failure::usage(format!("{name}: {error}")));
    }
    let near = builtin().into_iter().map(|scenario| scenario.name);
    let near: Vec<String> = near.filter(|known| is_near(known, name)).collect();
    let hint = match near.as_slice() {
        [] => "mainstay drill list; a file ends with .toml".to_owned(),
        near => format!("is it {}?", near.join(" or ")),
    };
    Err(Failure::usage(format!("there is no scenario `{name}`")).hint(hint))
}

/// One word of the two is the same.
fn is_near(known: &str, name: &str) -> bool {
    known.split('-').any(|word| word.len() > 2 && name.split('-').any(|other| other == word))
}

pub(super) fn list(output: Output) -> Result<Exit, Failure> {
    let all = builtin();
    let text = || {
        let width = all.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
        let line =
            |scenario: &Scenario| format!("{:<width$}  {}", scenario.name, scenario.description);
        all.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    output.show(text, &json!(all))?;
    Ok(Exit::Ok)
}

pub(super) fn show(name: &str, output: Output) -> Result<Exit, Failure> {
    let scenario = find(name)?;
    let toml = scenario.to_toml().map_err(Failure::new)?;
    let times = || {
        let hold = format_duration(scenario.hold);
        format!(
            "# mainstay drill ./{name}.toml   holds for {hold}, unless --for says otherwise\n{}",
            toml.trim_end()
        )
    };
    output.show(times, &json!(scenario))?;
    Ok(Exit::Ok)
}

pub(super) fn compare(first: &Path, second: &Path, output: Output) -> Result<Exit, Failure> {
    let (first, second) = (read(first)?, read(second)?);
    if output.format == Format::Json {
        output.line(&json!({ "first": first, "second": second }).to_string())?;
    } else if output.format == Format::Text {
        output.line(report::compare(&first, &second).trim_end())?;
    }
    Ok(Exit::Ok)
}

fn read(path: &Path) -> Result<Report, Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{name}: {error}")))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::usage(format!("{name} is no report: {error}"))
            .hint("mainstay drill NAME --output json > FILE writes one")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_found_by_name_and_a_near_one_is_named() {
        assert_eq!(find("redis-hang").unwrap().name, "redis-hang");
        let failure = find("postgres-slow").unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.hint.unwrap().contains("db-slow"));
        assert!(find("./nowhere.toml").unwrap_err().message.contains("nowhere.toml"));
    }
}
