//! Whether what runs now belongs to an operation that is traced, so that everything else costs a look at one flag.
//! It must not know spans' names, nor who records them.

use std::{
    cell::Cell,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tracing::{Instrument, Span, instrument::Instrumented};

thread_local! {
    static TRACED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a span of ours is around what runs now.
pub(super) fn is_traced() -> bool {
    TRACED.get()
}

pin_project! {
    /// Work within a span of ours.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Traced<F> {
        #[pin]
        work: Instrumented<F>,
    }
}

impl<F: Future> Traced<F> {
    /// The work within this span: what it does is traced as well.
    pub fn new(span: Span, work: F) -> Self {
        Self { work: work.instrument(span) }
    }
}

impl<F: Future> Future for Traced<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<F::Output> {
        let _within = Within::enter();
        self.project().work.poll(task)
    }
}

/// Sets the flag, and puts it back as it was.
struct Within(bool);

impl Within {
    fn enter() -> Self {
        Self(TRACED.replace(true))
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        TRACED.set(self.0);
    }
}
