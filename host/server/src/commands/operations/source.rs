//! Where operations are: in a store, or at a server.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::Args;
use formwork_host::clock::{Clock, SystemClock};
use formwork_host::engine::clock_of;
use formwork_host::model::{RequestToken, Timestamp};
use formwork_host::operation::{CancelReason, Input, Operation, Policy, Refusal, Status};
use formwork_host::store::{CommitError, Store};

use super::super::setup;
use super::client::{Server, ServerUrl};
use crate::data::Data;
use crate::environment::Environment;
use crate::operations::{Criteria, Details, Found, Reach, search};

/// How many operations are looked at for one answer, where many are left out.
const LOOKS: usize = 4_096;

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Where {
    /// The data directory, or the URL of the database, as given to `formwork run` and
    /// `formwork serve`
    #[arg(long, value_name = "DIR|URL")]
    data: Option<Data>,
    /// A running server, such as `http://127.0.0.1:3001`
    ///
    /// One whose callers have keys is asked with the credentials of the environment
    /// (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`), and tells
    /// what the key may see: the operations of its account whose actions it may ask for.
    #[arg(long, value_name = "URL")]
    server: Option<ServerUrl>,
}

/// What is asked for operations.
pub(super) enum Source {
    Store {
        store: Arc<dyn Store>,
        data: Data,
        /// The one that the engines on the store go by.
        clock: Arc<dyn Clock>,
    },
    Server(Box<Server>),
}

/// What became of a cancel.
pub(super) enum Cancelled {
    /// It is, or will be when its invocation has answered.
    Yes(Box<Operation>),
    /// It stays as it is.
    No { status: Status, why: String },
}

impl Where {
    pub(super) async fn open(&self, environment: &Environment) -> anyhow::Result<Source> {
        match (&self.data, &self.server) {
            (_, Some(url)) => {
                let server = Server::new(url.clone(), environment.credentials.clone())?;
                Ok(Source::Server(Box::new(server)))
            }
            (Some(data), None) => {
                let store = setup::attach(data, environment).await?;
                Ok(Source::Store {
                    clock: clock_of(&store),
                    data: data.clone(),
                    store,
                })
            }
            (None, None) => unreachable!("one of them has to be given"),
        }
    }
}

impl Source {
    /// Gives the time, where the operations are if that is known.
    pub(super) fn now(&self) -> Timestamp {
        match self {
            Self::Store { clock, .. } => clock.now(),
            Self::Server(_) => SystemClock::new().now(),
        }
    }

    /// Gives the newest operations that are meant, at most `limit`.
    pub(super) async fn list(
        &self,
        criteria: &Criteria,
        limit: usize,
    ) -> anyhow::Result<Vec<Operation>> {
        let mut operations = Vec::new();
        let mut before = None;
        loop {
            let reach = Reach {
                before,
                limit: limit - operations.len(),
                looks: LOOKS,
            };
            let Found {
                operations: more,
                next,
            } = match self {
                Self::Store { store, .. } => search(store.as_ref(), criteria, reach, |_| true)
                    .await
                    .context("cannot list the operations")?,
                Self::Server(server) => server.list(criteria, reach).await?,
            };
            operations.extend(more);
            if next.is_none() || operations.len() >= limit {
                return Ok(operations);
            }
            before = next;
        }
    }

    /// Gives an operation with its chain, or none.
    pub(super) async fn find(&self, token: RequestToken) -> anyhow::Result<Option<Details>> {
        match self {
            Self::Store { store, .. } => Details::of(store.as_ref(), token)
                .await
                .context("cannot read the operation"),
            Self::Server(server) => server.find(token).await,
        }
    }

    /// Reads what has changed of an operation and its chain, and says so if it is
    /// gone.
    pub(super) async fn look_again(&self, details: &mut Details) -> anyhow::Result<()> {
        let token = details.operation.token;
        match self {
            Self::Store { store, .. } => {
                let is_there = details.look_again(store.as_ref()).await;
                if !is_there.context("cannot read the operation")? {
                    return Err(self.missing(token));
                }
            }
            Self::Server(_) => *details = self.get(token).await?,
        }
        Ok(())
    }

    /// Gives an operation with its chain, or says that there is none.
    pub(super) async fn get(&self, token: RequestToken) -> anyhow::Result<Details> {
        let found = self.find(token).await?;
        found.ok_or_else(|| self.missing(token))
    }

    pub(super) async fn cancel(&self, token: RequestToken) -> anyhow::Result<Cancelled> {
        match self {
            Self::Store { store, clock, .. } => {
                match cancel(store.as_ref(), clock.as_ref(), token).await? {
                    Some(cancelled) => Ok(cancelled),
                    None => Err(self.missing(token)),
                }
            }
            Self::Server(server) => match server.cancel(token).await? {
                Some(operation) => Ok(match operation.status {
                    Status::Success | Status::Failed => Cancelled::No {
                        status: operation.status,
                        why: Refusal::Ended.to_string(),
                    },
                    Status::Pending
                    | Status::InProgress
                    | Status::CancelInProgress
                    | Status::CancelComplete => Cancelled::Yes(Box::new(operation)),
                }),
                None => Err(self.missing(token)),
            },
        }
    }

    pub(super) fn missing(&self, token: RequestToken) -> anyhow::Error {
        let option = match self {
            Self::Store { data, .. } => format!("--data {}", data.display()),
            Self::Server(server) => format!("--server {}", server.url()),
        };
        anyhow!("there is no operation {token} in {self}; see `formwork operations list {option}`")
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store { data, .. } => write!(f, "`{}`", data.display()),
            Self::Server(server) => write!(f, "{}", server.url()),
        }
    }
}

/// Cancels in a store, beside the engine that may run there. Gives none if there
/// is no such operation.
async fn cancel(
    store: &dyn Store,
    clock: &dyn Clock,
    token: RequestToken,
) -> anyhow::Result<Option<Cancelled>> {
    loop {
        let Some(operation) = store.get(token).await? else {
            return Ok(None);
        };
        let asked = Input::CancelAsked(CancelReason::Caller);
        let transition = match operation.apply(asked, clock.now(), &Policy::default()) {
            Ok(transition) => transition,
            Err(Refusal::AlreadyCancelling) => {
                return Ok(Some(Cancelled::Yes(Box::new(operation))));
            }
            Err(refusal) => {
                return Ok(Some(Cancelled::No {
                    status: operation.status,
                    why: refusal.to_string(),
                }));
            }
        };
        let changed = transition.operation.clone();
        match store.commit(transition).await {
            Ok(()) => return Ok(Some(Cancelled::Yes(Box::new(changed)))),
            Err(CommitError::Conflict { expected: _ }) => {}
            Err(error) => return Err(error).context("cannot cancel the operation"),
        }
    }
}
