//! Statements that are sent at once, alone or as a transaction, and what becomes of the connection.
//! It must not know what any statement does.

use std::borrow::Cow;

use futures_util::future::{join_all, join3};
use tokio_postgres::{Client, error::SqlState};

use super::{
    super::common::Intent,
    pool::{Connections, Failure, Lease, bounded},
    session::{DriverResult, Form, Session},
};
use crate::{
    clock::Deadline,
    error::{Effect, Error, ErrorKind, Result},
};

pub(super) use super::session::{Answer, Statement};

/// How a transaction begins and ends; with a guard in both, it may be refused there.
pub(super) struct Frame<'a> {
    begin: Cow<'a, str>,
    end: Cow<'static, str>,
}

impl<'a> Frame<'a> {
    /// No guard.
    pub(super) fn plain(all: &'a Connections) -> Self {
        Self { begin: Cow::Borrowed(all.begin()), end: Cow::Borrowed("COMMIT") }
    }

    /// The guard is a statement that fails, by a division by zero, when it refuses. At the end it stands in one message
    /// with the commit: a client that is paused in between cannot commit late.
    pub(super) fn guarded(all: &'a Connections, guard: &str) -> Self {
        Self {
            begin: Cow::Owned(format!("{}; {guard}", all.begin())),
            end: Cow::Owned(format!("{guard}; COMMIT")),
        }
    }
}

/// Performs one statement that commits by itself.
///
/// # Errors
/// Those of the server and the connection; an answer that is lost has the effect of the intent.
pub(super) async fn alone(
    all: &Connections,
    statement: Statement<'_>,
    intent: Intent,
    deadline: Deadline,
) -> Result<Answer> {
    let lease = all.lease(deadline).await?;
    on(lease, &statement, intent, deadline).await
}

/// As `alone`, on this connection.
///
/// # Errors
/// As `alone`.
pub(super) async fn on(
    lease: Lease,
    statement: &Statement<'_>,
    intent: Intent,
    deadline: Deadline,
) -> Result<Answer> {
    let (lease, outcome) = performed(lease, statement, deadline).await?;
    lease.settle(outcome, intent)
}

/// As `on`, for a statement that has a guard in it. `None`: the guard refused, nothing was done.
///
/// # Errors
/// As `alone`; an answer that is lost has `Effect::Unknown`.
pub(super) async fn on_guarded(
    lease: Lease,
    statement: Statement<'_>,
    deadline: Deadline,
) -> Result<Option<Answer>> {
    match performed(lease, &statement, deadline).await? {
        (lease, Err(Failure::Driver(error))) if is_refusal(&error) => {
            lease.settle(Ok(None), Intent::Write)
        }
        (lease, outcome) => lease.settle(outcome.map(Some), Intent::Write),
    }
}

/// What became of one statement, and the connection, to be settled by that. An error before it was sent has no effect, and
/// has settled it.
async fn performed(
    lease: Lease,
    statement: &Statement<'_>,
    deadline: Deadline,
) -> Result<(Lease, std::result::Result<Answer, Failure>)> {
    let form = match bounded(deadline, lease.session().form(statement)).await {
        Ok(form) => form,
        Err(failure) => return lease.settle(Err(failure), Intent::Read),
    };
    let outcome = bounded(deadline, lease.session().perform(statement, form)).await;
    Ok((lease, outcome))
}

/// Performs these statements as one transaction in one round trip. `None`: the guard refused, nothing was done.
///
/// # Errors
/// Those of the server and the connection; a commit whose answer is lost has `Effect::Unknown`.
pub(super) async fn whole(
    lease: Lease,
    frame: &Frame<'_>,
    statements: &[Statement<'_>],
    deadline: Deadline,
) -> Result<Option<Vec<Answer>>> {
    end(lease, Some(&frame.begin), statements, &frame.end, deadline).await
}

/// A transaction under way. Dropped, its connection is closed, and the server rolls it back.
pub(super) struct Transaction {
    lease: Lease,
    deadline: Deadline,
}

impl Transaction {
    /// Begins one and performs the first statements in the same round trip. `None`: the guard refused.
    ///
    /// # Errors
    /// Those of the server and the connection; none has an effect.
    pub(super) async fn begin(
        all: &Connections,
        frame: &Frame<'_>,
        statements: &[Statement<'_>],
        deadline: Deadline,
    ) -> Result<Option<(Self, Vec<Answer>)>> {
        let transaction = Self { lease: all.lease(deadline).await?, deadline };
        transaction.go_on(Some(&frame.begin), statements).await
    }

    /// Performs more statements.
    ///
    /// # Errors
    /// Those of the server and the connection; none has an effect.
    pub(super) async fn send(self, statements: &[Statement<'_>]) -> Result<(Self, Vec<Answer>)> {
        let sent = self.go_on(None, statements).await?;
        sent.ok_or_else(|| Error::new(ErrorKind::Internal, "a statement divided by zero"))
    }

    /// Performs the last statements and commits, in one round trip. `None`: the guard refused, nothing was done.
    ///
    /// # Errors
    /// Those of the server and the connection; a commit whose answer is lost has `Effect::Unknown`.
    pub(super) async fn commit(
        self,
        frame: &Frame<'_>,
        statements: &[Statement<'_>],
    ) -> Result<Option<Vec<Answer>>> {
        end(self.lease, None, statements, &frame.end, self.deadline).await
    }

    /// Ends it without effect.
    pub(super) async fn roll_back(self) {
        self.lease.roll_back(self.deadline).await;
    }

    async fn go_on(
        self,
        begin: Option<&str>,
        statements: &[Statement<'_>],
    ) -> Result<Option<(Self, Vec<Answer>)>> {
        let Self { lease, deadline } = self;
        let call = async {
            let forms = forms(lease.session(), statements).await?;
            pipeline(lease.session(), begin, statements, &forms, None).await.0
        };
        match bounded(deadline, call).await {
            Ok(answers) => Ok(Some((Self { lease, deadline }, answers))),
            Err(Failure::Driver(error)) if is_refusal(&error) => {
                lease.roll_back(deadline).await;
                Ok(None)
            }
            Err(failure) => Err(lease.undo(failure, Intent::Read, deadline).await),
        }
    }
}

async fn end(
    lease: Lease,
    begin: Option<&str>,
    statements: &[Statement<'_>],
    end: &str,
    deadline: Deadline,
) -> Result<Option<Vec<Answer>>> {
    let forms = match bounded(deadline, forms(lease.session(), statements)).await {
        Ok(forms) => forms,
        // Nothing of this was sent. What was begun before ends with the connection, or here.
        Err(failure) => return Err(lease.undo(failure, Intent::Read, deadline).await),
    };
    let call = async { Ok(pipeline(lease.session(), begin, statements, &forms, Some(end)).await) };
    match bounded(deadline, call).await {
        Err(failure) => lease.settle(Err(failure), Intent::Write),
        Ok((Ok(answers), Ok(()))) => lease.settle(Ok(Some(answers)), Intent::Write),
        Ok((Err(error), _) | (Ok(_), Err(error))) if is_refusal(&error) => {
            lease.roll_back(deadline).await;
            Ok(None)
        }
        // After an error the commit is a rollback.
        Ok((Err(error), _)) => {
            Err(lease.undo(Failure::Driver(error), Intent::Write, deadline).await)
        }
        Ok((Ok(_), Err(error))) => {
            let error = lease.undo(Failure::Driver(error), Intent::Write, deadline).await;
            Err(match error.kind() {
                ErrorKind::Conflict => error,
                _ => error.with_effect(Effect::Unknown),
            })
        }
    }
}

/// The forms of all of them, before anything is sent: preparing one must not stand between a beginning and an end.
async fn forms(session: Session<'_>, statements: &[Statement<'_>]) -> DriverResult<Vec<Form>> {
    let mut forms = Vec::with_capacity(statements.len());
    for statement in statements {
        forms.push(session.form(statement).await?);
    }
    Ok(forms)
}

/// Sends everything at once, in this order: the answers, or the first error before the end, and how it ended. Few
/// statements: of many, `join_all` would not keep the order.
async fn pipeline(
    session: Session<'_>,
    begin: Option<&str>,
    statements: &[Statement<'_>],
    forms: &[Form],
    end: Option<&str>,
) -> (DriverResult<Vec<Answer>>, DriverResult<()>) {
    let sent = statements.iter().zip(forms).map(|(statement, form)| session.send(statement, form));
    let client = session.client();
    let (begun, answers, ended) =
        join3(batch(client, begin), join_all(sent), batch(client, end)).await;
    (begun.and_then(|()| answers.into_iter().collect()), ended)
}

async fn batch(client: &Client, sql: Option<&str>) -> DriverResult<()> {
    match sql {
        Some(sql) => client.batch_execute(sql).await,
        None => Ok(()),
    }
}

/// Whether a guard refused.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::DIVISION_BY_ZERO)
}
