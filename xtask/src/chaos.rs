//! The long form of the chaos suite: the suite's own test, in release mode, as long as one likes.
//! It must not know what is broken or judged.

use crate::step::{cargo, finish, seconds, timed};
use std::path::Path;
use std::process::ExitCode;

/// The test that reads the variables.
const TEST: &str =
    "test --release --package mainstay-cli --test it -- chaos::long --exact --ignored --nocapture";
/// One history is no longer than this: a longer time becomes several runs.
const RUN_MAX: u64 = 60;

/// What is passed on, as variables.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    seconds: Option<u64>,
    runs: Option<u64>,
    rest: Vec<(&'static str, String)>,
}

/// Runs it; it prints a report of each run and a summary, and names the files with the same as JSON.
pub(crate) fn run(root: &Path, arguments: &[String]) -> ExitCode {
    let wanted = match parse(arguments) {
        Ok(wanted) => wanted,
        Err(problem) => return crate::usage(&format!("chaos: {problem}")),
    };
    let outcome = timed("the chaos suite", || {
        finish(cargo().args(TEST.split(' ')).envs(wanted.variables()), root)
    });
    outcome.map_or_else(|code| code, |()| ExitCode::SUCCESS)
}

fn parse(arguments: &[String]) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("`{word}` takes a value"))?;
        let time = || {
            let problem = || format!("--for: `{value}` is not written as 90s, 10m or 1h");
            seconds(value).ok_or_else(problem)
        };
        let number = || value.parse::<u64>().map_err(|_| format!("{word}: `{value}` is no number"));
        match word.as_str() {
            "--for" => wanted.seconds = Some(time()?),
            "--runs" => wanted.runs = Some(number()?),
            "--seed" => wanted.rest.push(("MAINSTAY_CHAOS_SEED", number()?.to_string())),
            "--fault" => wanted.rest.push(("MAINSTAY_CHAOS_FAULT", value.clone())),
            "--record" if ["postgres", "mariadb", "sqlite"].contains(&value.as_str()) => {
                wanted.rest.push(("MAINSTAY_CHAOS_RECORD", value.clone()));
            }
            "--consistency" if ["strict", "bounded"].contains(&value.as_str()) => {
                wanted.rest.push(("MAINSTAY_CHAOS_CONSISTENCY", value.clone()));
            }
            _ => return Err(format!("unknown argument `{word} {value}`")),
        }
    }
    Ok(wanted)
}

impl Wanted {
    /// Without `--runs`, the whole time is cut into runs.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let seconds = self.seconds.unwrap_or(RUN_MAX);
        let (runs, each) = match self.runs {
            Some(runs) => (runs, seconds),
            None => (seconds.div_ceil(RUN_MAX), seconds.min(RUN_MAX)),
        };
        let mut variables = self.rest.clone();
        variables.push(("MAINSTAY_CHAOS_RUNS", runs.to_string()));
        variables.push(("MAINSTAY_CHAOS_SECONDS", each.to_string()));
        variables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Vec<(&'static str, String)>, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words).map(|wanted| wanted.variables())
    }

    fn of(runs: &str, seconds: &str) -> Vec<(&'static str, String)> {
        let runs = ("MAINSTAY_CHAOS_RUNS", runs.to_owned());
        vec![runs, ("MAINSTAY_CHAOS_SECONDS", seconds.to_owned())]
    }

    #[test]
    fn a_long_time_becomes_runs_of_a_minute() {
        assert_eq!(parsed(""), Ok(of("1", "60")));
        assert_eq!(parsed("--for 30s"), Ok(of("1", "30")));
        assert_eq!(parsed("--for 10m"), Ok(of("10", "60")));
        assert_eq!(parsed("--for 90s --runs 20"), Ok(of("20", "90")));
    }

    #[test]
    fn what_it_does_not_know_it_refuses() {
        for line in ["--for", "--for 10", "--for 0s", "--seed x", "--record redis", "--fast 1"] {
            assert!(parsed(line).is_err(), "{line}");
        }
        assert!(parsed("--record sqlite --consistency bounded --seed 7").is_ok());
    }
}
