//! `top`: the state of the server at a terminal, as long as it is wanted.
//! It must not change anything at the server, nor leave the terminal other than it found it.

use std::time::Duration;

use clap::Args;
use crossterm::event::{Event, EventStream};
use futures_util::StreamExt;
use mainstay::{Clock, config::text::parse_duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc::{Receiver, channel},
};

use crate::{
    args::{Common, Target},
    client::Client,
    exit::{Exit, Failure},
    output::{self, Format, Output},
};

mod document;
mod draw;
mod feed;
mod keys;
mod rates;
mod screen;
mod state;

use draw::Look;
use feed::News;
use screen::Screen;
use state::State;

/// News that wait for being shown.
const NEWS_MAX: usize = 256;

/// Countdowns go on between two answers of the server.
const REDRAW: Duration = Duration::from_secs(1);

/// A server need not be asked more often.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Watches it all at a terminal: state, key figures, backends, routes, events.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// How often to ask for the status, at least 100ms
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    interval: Duration,
    #[command(flatten)]
    target: Target,
}

impl Top {
    /// Until a key or a signal ends it. A server that does not answer at the beginning is a failure; one that is lost
    /// later is waited for.
    pub(crate) async fn run(self, common: &Common, output: Output) -> Result<Exit, Failure> {
        if output.format != Format::Text {
            return Err(Failure::usage("top draws for people")
                .hint("for programs: mainstay status -o json, mainstay events --follow -o json"));
        }
        if !Screen::is_there() {
            return Err(Failure::usage("top needs a terminal to draw on and to read keys from")
                .hint("mainstay status shows the same once, mainstay events --follow goes on"));
        }
        let client = Client::open(common, &self.target)?;
        let first = feed::status(&client).await?;
        let clock = Clock::system();
        let state = State::new(client.authority(), self.interval, first, clock.unix_ms());
        let (sender, receiver) = channel(NEWS_MAX);
        let signals = Signals::listen()?;
        let watch = Watch { screen: Screen::open()?, state, clock };
        tokio::select! {
            ended = watch.run(receiver, signals) => ended,
            () = feed::statuses(&client, self.interval, &sender) => Ok(Exit::Ok),
            () = feed::events(&client, &sender) => Ok(Exit::Ok),
        }
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text).map_err(|error| error.to_string())?;
    if interval < INTERVAL_MIN { Err("at least 100ms".to_owned()) } else { Ok(interval) }
}

/// What is on the terminal.
struct Watch {
    screen: Screen,
    state: State,
    clock: Clock,
}

impl Watch {
    /// Draws, waits for something, takes it in.
    async fn run(
        mut self,
        mut news: Receiver<News>,
        mut signals: Signals,
    ) -> Result<Exit, Failure> {
        let mut keys = EventStream::new();
        let mut redraw = tokio::time::interval(REDRAW);
        loop {
            self.draw()?;
            tokio::select! {
                () = signals.any() => return Ok(Exit::Ok),
                event = keys.next() => match event {
                    Some(Ok(event)) if self.takes(&event) => {}
                    Some(Ok(_)) | None => return Ok(Exit::Ok),
                    Some(Err(error)) => {
                        return Err(Failure::new(format!("cannot read keys: {error}")));
                    }
                },
                Some(first) = news.recv() => self.learn(first, &mut news),
                _ = redraw.tick() => {}
            }
        }
    }

    fn draw(&mut self) -> Result<(), Failure> {
        let look = Look { color: output::wants_color(&std::io::stdout()) };
        let (state, now) = (&self.state, self.clock.unix_ms());
        let mut rows = 0;
        self.screen.draw(|frame| {
            rows = draw::draw(state, now, look, frame.area(), frame.buffer_mut());
        })?;
        self.state.shown(rows);
        Ok(())
    }

    /// All that waits is taken in before it is drawn once.
    fn learn(&mut self, first: News, more: &mut Receiver<News>) {
        let now = self.clock.unix_ms();
        self.state.learn(first, now);
        for _ in 0..NEWS_MAX {
            let Ok(news) = more.try_recv() else { return };
            self.state.learn(news, now);
        }
    }

    /// False: it means the end. A change of the terminal's size needs nothing but drawing.
    fn takes(&mut self, event: &Event) -> bool {
        let action = event.as_key_event().and_then(keys::action);
        action.is_none_or(|action| self.state.act(action, self.clock.unix_ms()))
    }
}

/// The signals that end it; Ctrl-C is a key while it runs.
struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::new(format!("cannot catch signals: {error}")))
        };
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self([listen(terminate)?, listen(interrupt)?, listen(SignalKind::hangup())?]))
    }

    async fn any(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
