use super::*;
use crate::model::ModelBackend;
use bytes::Bytes;
use mainstay::{Clock, Condition, Key, TtlChange};

struct Stage {
    backend: Arc<FaultBackend>,
    clock: Clock,
}

async fn stage() -> Stage {
    let model = Arc::new(ModelBackend::default());
    let behind = Arc::clone(&model);
    let backend = FaultBackend::new(model, 7).with_restart(move || behind.forget());
    let stage = Stage { backend: Arc::new(backend), clock: Clock::system() };
    stage.backend.connect(stage.deadline()).await.unwrap();
    stage
}

impl Stage {
    fn deadline(&self) -> Deadline {
        self.clock.deadline_in(Duration::from_secs(1))
    }

    async fn set(&self, value: &'static str) -> Result<Reply> {
        let (key, value) = (Key::from("k"), Bytes::from(value));
        let (ttl, condition) = (TtlChange::Clear, Condition::Always);
        let op = Op::Set { key, value, ttl, condition, want_previous: false };
        self.backend.execute(&op, self.deadline()).await
    }

    async fn get(&self) -> Result<Option<Bytes>> {
        let op = Op::Get { key: Key::from("k"), with_ttl: false };
        let reply = self.backend.execute(&op, self.deadline()).await?;
        Ok(reply.into_record()?.map(|record| record.value))
    }
}

#[tokio::test(start_paused = true)]
async fn without_faults_everything_passes() {
    let stage = stage().await;
    stage.set("v").await.unwrap();
    assert_eq!(stage.get().await.unwrap(), Some(Bytes::from("v")));
    assert_eq!((stage.backend.calls(), stage.backend.applied(), stage.backend.struck()), (2, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn down_refuses_everything_and_applies_nothing() {
    let stage = stage().await;
    stage.backend.set(Faults::down());
    let error = stage.set("v").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Disconnected, Effect::None));
    assert!(stage.backend.connect(stage.deadline()).await.is_err());
    assert!(stage.backend.probe(ProbeDepth::Ping, stage.deadline()).await.is_err());
    stage.backend.heal();
    assert_eq!(stage.get().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_leaves_the_write_applied() {
    let stage = stage().await;
    stage.backend.set(Faults::losing_replies());
    let error = stage.set("v").await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
    assert_eq!(stage.get().await.unwrap(), Some(Bytes::from("v")), "reads are not struck");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_ends_at_its_deadline() {
    let stage = stage().await;
    stage.backend.set(Faults::hanging());
    let begun = stage.clock.now();
    let error = stage.set("v").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
    assert_eq!(stage.clock.now() - begun, Duration::from_secs(1));
    stage.backend.heal();
    assert_eq!(stage.get().await.unwrap(), None);
    stage.backend.set(Faults { hang: Hang::AfterApply, ..Faults::default() });
    assert_eq!(stage.set("v").await.unwrap_err().kind(), ErrorKind::Timeout);
    stage.backend.heal();
    assert_eq!(
        stage.get().await.unwrap(),
        Some(Bytes::from("v")),
        "applied, though the reply was lost"
    );
}

#[tokio::test(start_paused = true)]
async fn a_hang_that_is_lifted_goes_on() {
    let stage = stage().await;
    stage.backend.set(Faults::hanging());
    let healed = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        stage.backend.heal();
    };
    let (set, ()) = tokio::join!(stage.set("v"), healed);
    assert!(set.is_ok());
}

#[tokio::test(start_paused = true)]
async fn slow_is_late_and_too_slow_is_a_timeout() {
    let stage = stage().await;
    stage.backend.set(Faults::slow(Duration::from_millis(200)));
    let begun = stage.clock.now();
    stage.set("v").await.unwrap();
    assert_eq!(stage.clock.now() - begun, Duration::from_millis(200));
    stage.backend.set(Faults::slow(Duration::from_secs(2)));
    assert_eq!(stage.get().await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_share_is_struck_and_the_same_seed_strikes_the_same() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let stage = stage().await;
        let before = Some(Failure::none(ErrorKind::Overloaded));
        stage.backend.set(Faults { before, share: 0.3, ..Faults::default() });
        let mut struck = Vec::new();
        for _ in 0..1000 {
            struck.push(stage.get().await.is_err());
        }
        runs.push(struck);
    }
    let count = runs[0].iter().filter(|struck| **struck).count();
    assert!((200..400).contains(&count), "about three in ten: {count}");
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test(start_paused = true)]
async fn restarting_empty_forgets() {
    let stage = stage().await;
    stage.set("v").await.unwrap();
    stage.backend.restart_empty();
    assert_eq!(stage.get().await.unwrap(), None);
}
