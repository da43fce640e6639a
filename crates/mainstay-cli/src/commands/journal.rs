//! `journal`: the writes that wait for a record, over HTTP or in the folder of a process that does not run.
//! It must not change a folder: only a server does.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value as Json, json};

use crate::{
    args::{Common, Target},
    client::{self, Call, Client},
    exit::{Exit, Failure},
    output::Output,
};

/// Entries that are asked for at once.
const PAGE: usize = 100;

/// Shows and tends the writes that wait for a record.
#[derive(Debug, Subcommand)]
pub(crate) enum Journal {
    /// Show what waits, and the dead letters with their reasons
    Show(Look),
    /// Print every entry and dead letter as a line of JSON
    Export(Look),
    /// Have what waits tried again now
    Replay(Replay),
    /// Forget a dead letter for ever
    Discard(Discard),
}

/// Where to look.
#[derive(Debug, Args)]
pub(crate) struct Look {
    /// The folder of a process that does not run, read without changing it. Default: the server is asked
    #[arg(long, value_name = "PATH")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

/// What is said with it.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Why; it goes to the log
    #[arg(long, value_name = "TEXT", default_value = "by hand")]
    reason: String,
    #[command(flatten)]
    target: Target,
}

/// Which one.
#[derive(Debug, Args)]
pub(crate) struct Discard {
    /// The entry's number
    #[arg(value_name = "SEQ")]
    seq: u64,
    /// Why; it goes to the log and the events
    #[arg(long, value_name = "TEXT", default_value = "by hand")]
    reason: String,
    #[command(flatten)]
    target: Target,
}

/// What was found.
struct Found {
    entries: Vec<Json>,
    dead_letters: Vec<Json>,
    unreadable_bytes: u64,
}

impl Journal {
    /// Does what the command says.
    pub(crate) async fn run(self, common: &Common, output: Output) -> Result<Exit, Failure> {
        match self {
            Journal::Show(look) => {
                let found = look.find(common).await?;
                output.show(|| found.page(), &found.document())?;
            }
            Journal::Export(look) => {
                let found = look.find(common).await?;
                for line in found.entries.iter().chain(&found.dead_letters) {
                    output.line(&line.to_string())?;
                }
            }
            Journal::Replay(Replay { reason, target }) => {
                let client = Client::open(common, &target)?;
                let call = Call::new(Method::POST, "/v1/journal/replay");
                let status = client.json(call.json(&json!({"reason": reason}))?).await?;
                output.show(|| format!("{} wait, tried again now", status["depth"]), &status)?;
            }
            Journal::Discard(Discard { seq, reason, target }) => {
                let client = Client::open(common, &target)?;
                let reason = client::escape(reason.as_bytes());
                let path = format!("/v1/journal/dead-letters/{seq}?reason={reason}");
                client.send(Call::new(Method::DELETE, path)).await?;
                output.show(|| format!("{seq}: discarded"), &json!({"discarded": seq}))?;
            }
        }
        Ok(Exit::Ok)
    }
}

impl Look {
    async fn find(&self, common: &Common) -> Result<Found, Failure> {
        match &self.dir {
            Some(dir) => in_folder(dir),
            None => over_http(&Client::open(common, &self.target)?).await,
        }
    }
}

fn in_folder(dir: &Path) -> Result<Found, Failure> {
    let found = mainstay::inspect_journal(dir)?;
    let parsed = |lines: &[String]| {
        let lines = lines.iter().map(|line| serde_json::from_str(line));
        lines.collect::<Result<Vec<Json>, _>>()
    };
    Ok(Found {
        entries: parsed(&found.entries)?,
        dead_letters: parsed(&found.dead_letters)?,
        unreadable_bytes: found.unreadable_bytes,
    })
}

async fn over_http(client: &Client) -> Result<Found, Failure> {
    let mut found = Found { entries: Vec::new(), dead_letters: Vec::new(), unreadable_bytes: 0 };
    let mut path = format!("/v1/journal?limit={PAGE}");
    loop {
        let mut page = client.json(Call::get(path)).await?;
        let list = |of: &mut Json| of.as_array_mut().map(std::mem::take).unwrap_or_default();
        found.entries.extend(list(&mut page["entries"]));
        found.dead_letters = list(&mut page["dead_letters"]);
        found.unreadable_bytes = page["status"]["damaged_bytes"].as_u64().unwrap_or(0);
        match page["next"].as_u64() {
            Some(next) => path = format!("/v1/journal?limit={PAGE}&after={next}"),
            None => return Ok(found),
        }
    }
}

impl Found {
    fn document(&self) -> Json {
        json!({
            "entries": self.entries,
            "dead_letters": self.dead_letters,
            "unreadable_bytes": self.unreadable_bytes,
        })
    }

    fn page(&self) -> String {
        let (waiting, dead) = (self.entries.len(), self.dead_letters.len());
        let mut lines = vec![format!("{waiting} wait, {dead} dead letters")];
        if self.unreadable_bytes > 0 {
            lines.push(format!("{} bytes cannot be read", self.unreadable_bytes));
        }
        lines.extend(self.entries.iter().map(|entry| format!("waits  {}", words(entry))));
        let dead = |letter: &Json| format!("dead   {}: {}", words(letter), text(&letter["reason"]));
        lines.extend(self.dead_letters.iter().map(dead));
        lines.join("\n")
    }
}

/// `17  set  user:1`
fn words(entry: &Json) -> String {
    let named = ["key", "key_base64"].iter().find_map(|name| entry[*name].as_str());
    let many = ["entries", "keys"].iter().find_map(|name| entry[*name].as_array());
    let keys = match (named, many) {
        (Some(key), _) => key.escape_default().to_string(),
        (None, Some(keys)) => format!("{} keys", keys.len()),
        (None, None) => String::new(),
    };
    format!("{}  {}  {keys}", entry["seq"], text(&entry["op"]))
}

/// On one line, whatever stands in it.
fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_line_for_each() {
        let found = Found {
            entries: vec![
                json!({"seq": 7, "op": "set", "key": "a\nb"}),
                json!({"seq": 8, "op": "delete_many", "keys": [{"key": "a"}, {"key": "b"}]}),
            ],
            dead_letters: vec![
                json!({"seq": 3, "op": "delete", "key": "c", "reason": "somebody else"}),
            ],
            unreadable_bytes: 0,
        };
        let page = found.page();
        assert_eq!(
            page,
            "2 wait, 1 dead letters\nwaits  7  set  a\\nb\nwaits  8  delete_many  2 keys\ndead   3  delete  c: somebody else"
        );
    }
}
