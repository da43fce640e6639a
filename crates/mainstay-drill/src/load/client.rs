//! One client of a load: draws, waits until the request is due, asks, judges, counts.
//! It must not know how the numbers are shown.

use std::{io, sync::Arc, time::Duration};

use mainstay_servers::resp::{Client, Value};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    PATIENCE, Shared,
    register::{Found, Register},
    tally::{Ask, End, Taken},
};

/// After a connection that could not be made.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn run(shared: Arc<Shared>, id: usize, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut connection = None;
    while !shared.stop.is_cancelled() {
        let due = shared.due();
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep_until(due) => {}
        }
        let (ask, key) = draw(&shared, &mut random, id);
        let (end, judged) = perform(&shared, &mut connection, ask, key).await;
        let broken = matches!(end, End::Broken(_));
        shared.take(&Taken {
            ask,
            due: due.saturating_duration_since(shared.began),
            latency: shared.clock.now().saturating_duration_since(due),
            end,
            judgement: judged,
            key,
        });
        if broken {
            connection = None;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn draw(shared: &Shared, random: &mut StdRng, id: usize) -> (Ask, usize) {
    let options = &shared.options;
    let (key, dice) = (shared.keys.draw(random), random.random::<f64>());
    if dice < options.reads {
        return (Ask::Read, key);
    }
    let own = shared.keys.own(key, id, options.clients as usize);
    let delete = dice < options.reads + options.deletes;
    (if delete { Ask::Delete } else { Ask::Write }, own)
}

type Judged = (End, Option<super::register::Judgement>);

async fn perform(shared: &Shared, connection: &mut Option<Client>, ask: Ask, key: usize) -> Judged {
    let name = shared.name(key);
    let (before, number) = {
        let mut register = shared.register(key);
        let number = (ask != Ask::Read).then(|| register.begin(ask == Ask::Delete));
        (*register, number.unwrap_or(0))
    };
    let value = value_of(number, shared.options.value as usize);
    let words: &[&[u8]] = match ask {
        Ask::Read => &[b"GET", name.as_bytes()],
        Ask::Write => &[b"SET", name.as_bytes(), value.as_bytes()],
        Ask::Delete => &[b"DEL", name.as_bytes()],
    };
    let reply = tokio::time::timeout(PATIENCE, exchange(shared, connection, words)).await;
    match reply {
        Err(_) => (End::Broken(format!("no answer within {PATIENCE:?}")), None),
        Ok(Err(error)) => (End::Broken(format!("connection: {error}")), None),
        Ok(Ok(Value::Error(text))) => (End::Refused(text), None),
        Ok(Ok(reply)) if ask == Ask::Read => {
            let register = *shared.register(key);
            (End::Answered, Some(register.judge(&before, found(&reply))))
        }
        Ok(Ok(_)) => {
            shared.register(key).acknowledge(number, ask == Ask::Delete);
            (End::Answered, None)
        }
    }
}

/// Sends one command over the connection, made anew where there is none.
pub(super) async fn exchange(
    shared: &Shared,
    connection: &mut Option<Client>,
    words: &[&[u8]],
) -> io::Result<Value> {
    // Taken out: a connection whose call is dropped half way is of no more use.
    let mut client = match connection.take() {
        Some(client) => client,
        None => Client::connect(shared.address).await?,
    };
    let reply = client.command(words).await?;
    *connection = Some(client);
    Ok(reply)
}

/// `number:` and as much behind it as the value is to be long.
fn value_of(number: u64, length: usize) -> String {
    let mut value = format!("{number}:");
    let fill = length.saturating_sub(value.len());
    value.extend(std::iter::repeat_n('x', fill));
    value
}

/// The number in an answer.
pub(super) fn found(reply: &Value) -> Found {
    match reply {
        Value::Bulk(None) => Found::Absent,
        Value::Bulk(Some(bytes)) => {
            let text = std::str::from_utf8(bytes).ok().and_then(|text| text.split_once(':'));
            let number = text.and_then(|(number, _)| number.parse().ok());
            number.map_or(Found::Foreign, Found::Number)
        }
        Value::Simple(_) | Value::Error(_) | Value::Integer(_) | Value::Array(_) => Found::Foreign,
    }
}

/// What stands there when nothing is known of it yet.
pub(super) fn final_register(shared: &Shared, key: usize) -> Register {
    *shared.register(key)
}
