//! A granter that leaves out a rule: what the rules of `semantics::locks` are there for.

use std::sync::Mutex;

use super::*;

/// Releases and renews whatever is held, whoever asks.
#[derive(Debug)]
struct Careless {
    granter: Arc<Granter>,
    holder: Mutex<u128>,
}

impl Careless {
    async fn run(&self, op: &Op, deadline: Deadline) -> Result<Reply> {
        let mut op = op.clone();
        match &mut op {
            Op::Lock(LockOp::Release { holder, .. } | LockOp::Renew { holder, .. }) => {
                *holder = *self.holder.lock().unwrap();
                self.granter.run(&op, deadline).await
            }
            Op::Lock(LockOp::Acquire { holder, .. }) => {
                let holder = *holder;
                let reply = self.granter.run(&op, deadline).await?;
                if let Reply::Lock(crate::reply::Locked::Granted { .. }) = &reply {
                    *self.holder.lock().unwrap() = holder;
                }
                Ok(reply)
            }
            _ => self.granter.run(&op, deadline).await,
        }
    }
}

impl Backend for Careless {
    fn engine(&self) -> &'static str {
        self.granter.engine()
    }

    fn capabilities(&self) -> Capabilities {
        self.granter.capabilities()
    }

    fn connect(&self, deadline: Deadline) -> BoxFuture<'_, Result<()>> {
        self.granter.connect(deadline)
    }

    fn execute<'a>(&'a self, op: &'a Op, deadline: Deadline) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(self.run(op, deadline))
    }

    fn probe(&self, depth: ProbeDepth, deadline: Deadline) -> BoxFuture<'_, Result<ProbeReport>> {
        self.granter.probe(depth, deadline)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.granter.close()
    }
}

/// Whether two hold the lock when one that has lost it gives it back.
async fn two_hold_it(backend: Arc<dyn Backend>, clock: Clock) -> bool {
    let mut storages = Vec::new();
    for seed in 1..=2 {
        let builder = Storage::builder(Config::default()).clock(clock.clone());
        let builder = builder.entropy(Entropy::seeded(seed));
        let builder = builder.backend("db", Arc::clone(&backend), BackendConfig::default());
        storages.push(builder.open().await.unwrap());
    }
    let locks = storages[0].locks();
    let Asked::Granted(first) = locks.ask("a", &at_once(ttl(2))).await.unwrap() else {
        unreachable!("it is free")
    };
    tokio::time::sleep(Duration::from_secs(3)).await;
    let second = storages[1].lock_with("a", ttl(30)).await.unwrap().unwrap();
    locks.release(&first.claim).await.unwrap();
    let third = locks.ask("a", &at_once(ttl(30))).await.unwrap();
    second.check().unwrap();
    matches!(third, Asked::Granted(_))
}

#[tokio::test(start_paused = true)]
async fn a_release_that_does_not_look_who_holds_it_gives_a_lock_out_twice() {
    let clock = clock();
    let careful = Granter::new(&clock, true);
    assert!(!two_hold_it(careful, clock.clone()).await);
    let (granter, holder) = (Granter::new(&clock, true), Mutex::default());
    assert!(two_hold_it(Arc::new(Careless { granter, holder }), clock).await);
}
