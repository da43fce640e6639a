//! Reads by a caller that has many keys: what this process keeps, at once, and several as one.
//! It must not know how they are made.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{Answer, CallOptions, Storage, limits};
use crate::{
    entry::Key,
    error::Result,
    exec::{self, each},
    op::Op,
    trace::{self, Traced},
};

/// The names of the two, for traces.
const GET: &str = "get";
const GET_EACH: &str = "get_each";

impl Storage {
    /// What this process itself keeps of a key, where it may be served now: no backend is asked, and nothing waited for.
    /// `None` says nothing about the key: `execute` knows. Of the options the session counts.
    pub fn get_local(&self, key: &Key, options: &CallOptions) -> Option<Answer> {
        let road = &self.0.road;
        if road.tasks.is_closing() || !self.fits(key) {
            return None;
        }
        let route = road.table.of(key);
        let served = exec::get_local(road, route, key, options.session.as_ref())?;
        let answer = self.answer(served);
        if let Some(span) = trace::operation(&self.0.traces, GET, None) {
            trace::ended(&span, Some(&route.label), Ok(answer.told()));
        }
        Some(answer)
    }

    /// Whether `get_each` reads these keys in one operation, and that has paid of late: not where much is missing or long, or
    /// was refused. Asked before each of them; otherwise an `Op::Get` for each key is the better way.
    pub fn reads_as_one<'k>(&self, keys: impl ExactSizeIterator<Item = &'k Key>) -> bool {
        let road = &self.0.road;
        keys.len() <= self.0.settings.limits.keys_max()
            && each::one_route(road, keys).is_some_and(|route| road.together[route.id].pays())
    }

    /// Reads several keys, each with an answer of its own, in their order: what an `Op::Get` of each says (without its time to
    /// live). It is one operation where all take one failover route whose first backend is well and answers for all of them;
    /// of a key of which that says nothing, another one. Else each is read alone, 64 at a time.
    pub async fn get_each(&self, keys: Vec<Key>, options: &CallOptions) -> Vec<Result<Answer>> {
        let Some(span) = trace::operation(&self.0.traces, GET_EACH, None) else {
            return self.each(keys, options).await;
        };
        span.record("db.operation.batch.size", keys.len());
        let route = each::one_route(&self.0.road, &keys).map(|route| Arc::clone(&route.label));
        let answers = Box::pin(Traced::new(span.clone(), self.each(keys, options))).await;
        // The first that failed, else the first.
        let shown = answers.iter().find(|answer| answer.is_err()).or(answers.first());
        if let Some(shown) = shown {
            trace::ended(&span, route.as_deref(), shown.as_ref().map(Answer::told));
        }
        answers
    }

    async fn each(&self, keys: Vec<Key>, options: &CallOptions) -> Vec<Result<Answer>> {
        let (road, deadline) = (&self.0.road, self.due(options));
        let few = keys.len() <= self.0.settings.limits.keys_max();
        if few && !road.tasks.is_closing() && keys.iter().all(|key| self.fits(key)) {
            let served = exec::each::get(road, keys, deadline, options.session.as_ref()).await;
            return served.into_iter().map(|served| Ok(self.answer(served?))).collect();
        }
        let mut answers = Vec::with_capacity(keys.len());
        for some in keys.chunks(each::ALONE_MAX) {
            let alone = some.iter().map(async |key| {
                let op = Op::Get { key: key.clone(), with_ttl: false };
                let options = CallOptions { deadline: Some(deadline), ..options.clone() };
                self.perform(&op, options).await
            });
            answers.extend(join_all(alone).await);
        }
        answers
    }

    fn fits(&self, key: &Key) -> bool {
        limits::fits(key, &self.0.settings.limits)
    }
}
