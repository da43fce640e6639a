//! Somebody who only sees the RESP port counts the same requests as the report.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::Stdio,
};

use crate::support::Scratch;

const QUIET: &str = "name = 'quiet'\ndescription = 'x'\ntarget = 'redis'\nthresholds = ['failed >= 0', 'lost == 0']\n\
                     [fault]\nkind = 'refuse'\n[load]\nrate = 50\nclients = 8\n";

#[test]
fn an_outside_observer_counts_the_same_requests() {
    let scratch = Scratch::new();
    scratch.write("quiet.toml", QUIET);
    let args = ["drill", "./quiet.toml", "--for", "2s", "--stand-ins", "--database", "sqlite"];
    let mut child =
        scratch.command(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    let address = first.trim().rsplit("redis://").next().unwrap().to_owned();
    let counted = observe(&address);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
    let line = |label: &str| rest.lines().find(|line| line.contains(label)).unwrap().to_owned();
    let requests = number_behind(&line("failed requests"), " of ");
    let lost = line("acknowledged writes lost");
    let read_back = number_behind(&lost, ", ");
    assert!(
        (requests..=requests + read_back).contains(&counted),
        "{counted} commands were seen; {requests} requests and {read_back} keys read back\n{rest}"
    );
}

/// The commands that the server had performed when it closed, without our own.
#[expect(clippy::disallowed_methods, reason = "a test without a runtime looks again and again")]
fn observe(address: &str) -> u64 {
    let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
    let (mut own, mut seen) = (0, 0);
    loop {
        own += 1;
        if stream.get_mut().write_all(b"INFO stats\r\n").is_err() {
            return seen;
        }
        let Some(text) = bulk(&mut stream) else { return seen };
        let line = text.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        let total: u64 = line.unwrap().parse().unwrap();
        // Whether the one that asks is counted in its own answer, only the next answer shows.
        seen = seen.max(total.saturating_sub(own));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn bulk(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    stream.read_line(&mut head).ok()?;
    let length: usize = head.trim().strip_prefix('$')?.parse().ok()?;
    let mut text = vec![0; length + 2];
    stream.read_exact(&mut text).ok()?;
    String::from_utf8(text).ok()
}

/// `1,517` behind this word.
fn number_behind(line: &str, word: &str) -> u64 {
    let text = line.rsplit_once(word).unwrap().1;
    let digits: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
    digits.replace(',', "").parse().unwrap()
}
