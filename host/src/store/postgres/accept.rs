//! Accepts, several in a transaction.
//!
//! *Invariant*: a write that is refused has changed nothing.
//!
//! *Invariant*: who is late in a race of two hosts for a key or a resource meets
//! the other's row: one that was there is locked before it is judged, and one that
//! was not breaks its primary key, so that the batch is judged anew.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::model::{RequestToken, Scope, Timestamp};
use crate::operation::Transition;
use crate::store::fingerprint::{Claim, Fingerprint, Held};
use crate::store::resource::Resource;
use crate::store::row;
use crate::store::sealed::Sealed;
use crate::store::{Accept, AcceptError, Accepted, Basis};

use super::Context;
use super::columns::{Changing, Events, resource, small, token, uuid};
use super::connections::Connection;
use super::events;
use super::fault::Fault;
use super::gather::{Kind, Name, name};
use super::locks::{self, Locks};
use super::read;
use super::transaction::step;

const CLIENT_TOKENS: &str = "
    SELECT t.account, t.region, t.client_token, t.token, t.fingerprint, t.used_at,
           EXISTS (SELECT 1 FROM operation o WHERE o.token = t.token)
    FROM unnest($1::text[], $2::text[], $3::text[]) AS k (account, region, client_token)
    JOIN client_token t
      ON t.account = k.account AND t.region = k.region AND t.client_token = k.client_token
    ORDER BY 1, 2, 3 FOR UPDATE OF t";

const BEARER_TOKENS: &str = "
    SELECT t.bearer_token, t.token, t.fingerprint,
           EXISTS (SELECT 1 FROM operation o WHERE o.token = t.token)
    FROM bearer_token t WHERE t.bearer_token = ANY ($1)
    ORDER BY 1 FOR UPDATE OF t";

const KNOWN: &str = "SELECT token FROM operation WHERE token = ANY ($1)";

const DROP_CLIENT_TOKENS: &str = "
    DELETE FROM client_token t
    USING unnest($1::text[], $2::text[], $3::text[]) AS k (account, region, client_token)
    WHERE t.account = k.account AND t.region = k.region AND t.client_token = k.client_token";

const ADD_CLIENT_TOKENS: &str = "
    INSERT INTO client_token (account, region, client_token, token, fingerprint, used_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::bytea[], $6::bigint[])";

const DROP_BEARER_TOKENS: &str = "DELETE FROM bearer_token WHERE bearer_token = ANY ($1)";

const ADD_BEARER_TOKENS: &str = "
    INSERT INTO bearer_token (bearer_token, token, fingerprint)
    SELECT * FROM unnest($1::bytea[], $2::uuid[], $3::bytea[])";

const ADD: &str = "
    INSERT INTO operation (token, resource, identifier, status, live, version, due, attempt,
                           ended_at, deadline, component, mutation, account, region, type,
                           lease_number, lease_until, lease_host)
    SELECT i.*, CASE WHEN i.lease_number IS NOT NULL THEN $18::uuid END
    FROM unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::smallint[], $5::boolean[], $6::bigint[],
        $7::bigint[], $8::integer[], $9::bigint[], $10::bigint[], $11::bigint[],
        $12::smallint[], $13::text[], $14::text[], $15::text[], $16::bigint[], $17::bigint[])
        AS i (token, resource, identifier, status, live, version, due, attempt, ended_at,
              deadline, component, mutation, account, region, type, lease_number, lease_until)";

const ADD_SEALED: &str = "
    INSERT INTO sealed (token, version, record, target)
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[])";

/// A request to accept, sealed.
pub(super) struct Accepting {
    sealed: Sealed,
    resource: Option<Resource>,
    claim: Option<Claim>,
    basis: Option<Basis>,
    tokens_expired: i64,
}

impl Accepting {
    pub(super) fn new(context: &Context, accept: Accept) -> Self {
        let Accept {
            transition,
            key,
            basis,
            tokens_expired,
        } = accept;
        let fingerprints = context.sealer.fingerprints();
        let claim = key.map(|(key, request)| fingerprints.claim(key, &request));
        Self::sealed(context, transition, claim, basis, tokens_expired)
    }

    fn sealed(
        context: &Context,
        transition: Transition,
        claim: Option<Claim>,
        basis: Option<Basis>,
        tokens_expired: Timestamp,
    ) -> Self {
        let sealed = Sealed::new(&context.sealer, transition);
        Self {
            resource: Resource::of(&sealed.operation),
            sealed,
            claim,
            basis,
            tokens_expired: row::number(tokens_expired.as_millis()),
        }
    }

    fn token(&self) -> RequestToken {
        self.sealed.operation.token
    }

    fn has_ended(&self) -> bool {
        self.sealed.operation.status.is_terminal()
    }

    fn key(&self) -> Option<Key> {
        let claim = self.claim.as_ref()?;
        Some(Key::of(&self.sealed.operation.scope, &claim.key))
    }
}

/// An idempotency key where it holds.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Client(String, String, String),
    Bearer(Fingerprint),
}

impl Key {
    pub(super) fn of(scope: &Scope, held: &Held) -> Self {
        match held {
            Held::Client(client) => {
                let (account, region) = row::scope_columns(scope);
                Self::Client(
                    account.to_owned(),
                    region.to_owned(),
                    client.as_str().to_owned(),
                )
            }
            Held::Bearer(bearer) => Self::Bearer(*bearer),
        }
    }
}

/// What an idempotency key stands for.
pub(super) struct Holder {
    pub(super) token: RequestToken,
    /// The fingerprint of its request.
    pub(super) request: Vec<u8>,
    /// When it was first used, if it expires.
    pub(super) used_at: Option<i64>,
    /// Whether its operation is kept.
    pub(super) is_kept: bool,
}

impl Holder {
    /// Tells whether the key is taken.
    pub(super) fn stands(&self, tokens_expired: i64) -> bool {
        self.is_kept && self.used_at.is_none_or(|used| used >= tokens_expired)
    }
}

/// What is thought of a request.
enum Verdict {
    New,
    /// It is a repeat of this operation's.
    Replay(RequestToken),
    No(AcceptError),
}

impl Kind for Accepting {
    type Outcome = Result<Accepted, AcceptError>;

    fn about(&self) -> Vec<Name> {
        let mut about = vec![name(self.token())];
        about.extend(self.key().map(name));
        about.extend(self.resource.as_ref().map(|it| name(it.token())));
        about
    }

    fn bytes(&self) -> usize {
        self.sealed.bytes()
    }

    async fn write(
        context: &Context,
        on: &Connection,
        batch: &[Arc<Self>],
        again: bool,
    ) -> Result<Vec<Self::Outcome>, Fault> {
        let found = Found::read(on, batch).await?;
        let verdicts: Vec<Verdict> = batch
            .iter()
            .map(|accepting| found.judge(accepting, again))
            .collect();
        let new: Vec<&Accepting> = batch
            .iter()
            .zip(&verdicts)
            .filter(|(_, verdict)| matches!(verdict, Verdict::New))
            .map(|(accepting, _)| &**accepting)
            .filter(|accepting| !found.known.contains_key(&accepting.token()))
            .collect();
        if new.is_empty() {
            on.undo().await?;
        } else {
            found.write(context, on, &new).await?;
        }
        let mut outcomes = Vec::with_capacity(batch.len());
        for verdict in verdicts {
            outcomes.push(match verdict {
                Verdict::New => Ok(Accepted::New),
                Verdict::No(error) => Err(error),
                Verdict::Replay(token) => match read::get(on, context, token).await {
                    Ok(Some(kept)) => Ok(Accepted::Replayed(kept)),
                    // It was forgotten just now, and can be asked for again.
                    Ok(None) => Err(Fault::crowded().into_error(&context.place).into()),
                    Err(fault @ Fault::Lost { .. }) => return Err(fault.in_commit()),
                    Err(fault) => Err(fault.into_error(&context.place).into()),
                },
            });
        }
        Ok(outcomes)
    }
}

/// What the first half of the transaction has found and locked.
struct Found {
    keys: HashMap<Key, Holder>,
    known: HashMap<RequestToken, ()>,
    locks: Locks,
}

impl Found {
    async fn read(on: &Connection, batch: &[Arc<Accepting>]) -> Result<Self, Fault> {
        let mut clients = ClientTokens::default();
        let mut bearers: Vec<Fingerprint> = Vec::new();
        for key in batch.iter().filter_map(|accepting| accepting.key()) {
            match key {
                Key::Client(account, region, client) => clients.push(account, region, client),
                Key::Bearer(bearer) => bearers.push(bearer),
            }
        }
        let bearers: Vec<&[u8]> = bearers.iter().map(<[u8; 32]>::as_slice).collect();
        let tokens: Vec<Uuid> = batch.iter().map(|it| uuid(it.token())).collect();
        let named = batch.iter().filter_map(|it| it.resource.as_ref());
        let resources: Vec<Uuid> = named.map(resource).collect();
        let found = on
            .begin(vec![
                step(
                    CLIENT_TOKENS,
                    &[&clients.account, &clients.region, &clients.client],
                ),
                step(BEARER_TOKENS, &[&bearers]),
                step(KNOWN, &[&tokens]),
                step(locks::FIND, &[&resources]),
            ])
            .await?;
        on.or_undo(Self::of(&found)).await
    }

    fn of(found: &[Vec<tokio_postgres::Row>]) -> Result<Self, Fault> {
        let [clients, bearers, known, locks] = found else {
            return Err(Fault::silent());
        };
        let mut keys = HashMap::new();
        for row in clients {
            let key = Key::Client(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let holder = Holder {
                token: token(row.try_get(3)?),
                request: row.try_get(4)?,
                used_at: Some(row.try_get(5)?),
                is_kept: row.try_get(6)?,
            };
            keys.insert(key, holder);
        }
        for row in bearers {
            let bearer: &[u8] = row.try_get(0)?;
            let Ok(bearer) = bearer.try_into() else {
                continue;
            };
            let holder = Holder {
                token: token(row.try_get(1)?),
                request: row.try_get(2)?,
                used_at: None,
                is_kept: row.try_get(3)?,
            };
            keys.insert(Key::Bearer(bearer), holder);
        }
        let known = known.iter().map(|row| Ok((token(row.try_get(0)?), ())));
        Ok(Self {
            keys,
            known: known.collect::<Result<_, Fault>>()?,
            locks: Locks::of(locks)?,
        })
    }

    fn judge(&self, accepting: &Accepting, again: bool) -> Verdict {
        let own = accepting.token();
        if again && self.known.contains_key(&own) {
            // An earlier try was committed after all.
            return Verdict::New;
        }
        if let Some(claim) = &accepting.claim
            && let Some(key) = accepting.key()
            && let Some(holder) = self.keys.get(&key)
            && holder.stands(accepting.tokens_expired)
        {
            return if holder.request == claim.request {
                Verdict::Replay(holder.token)
            } else {
                let holder = holder.token;
                Verdict::No(AcceptError::TokenReused { holder })
            };
        }
        if self.known.contains_key(&own) {
            return Verdict::Replay(own);
        }
        if let Some(resource) = &accepting.resource {
            let now = match self.locks.basis(resource) {
                Ok(now) => now,
                Err(error) => return Verdict::No(error),
            };
            if let Some(by) = accepting.basis.and_then(|basis| basis.overtaken_by(now)) {
                return Verdict::No(AcceptError::Overtaken { by });
            }
        }
        Verdict::New
    }

    /// Writes what is new, and commits.
    async fn write(
        &self,
        context: &Context,
        on: &Connection,
        new: &[&Accepting],
    ) -> Result<(), Fault> {
        let mut stale = ClientTokens::default();
        let mut clients = ClientTokens::default();
        let (mut client_of, mut client_request, mut used_at) = (vec![], vec![], vec![]);
        let mut stale_bearers: Vec<&[u8]> = Vec::new();
        let (mut bearers, mut bearer_of, mut bearer_request) = (vec![], vec![], vec![]);
        let mut changing = Changing::default();
        let (mut deadline, mut component, mut mutation) = (vec![], vec![], vec![]);
        let (mut account, mut region, mut type_name) = (vec![], vec![], vec![]);
        let (mut record, mut target): (Vec<&[u8]>, Vec<Option<&[u8]>>) = (vec![], vec![]);
        let mut events = Events::default();
        let mut taken = locks::Taken::default();
        for accepting in new {
            let operation = &accepting.sealed.operation;
            let own = uuid(operation.token);
            if let Some(claim) = &accepting.claim
                && let Some(key) = accepting.key()
            {
                let is_stale = self.keys.contains_key(&key);
                match (key, &claim.key) {
                    (Key::Client(account, region, client), _) => {
                        if is_stale {
                            stale.push(account.clone(), region.clone(), client.clone());
                        }
                        clients.push(account, region, client);
                        client_of.push(own);
                        client_request.push(claim.request.as_slice());
                        used_at.push(row::number(operation.accepted_at.as_millis()));
                    }
                    (Key::Bearer(_), Held::Bearer(bearer)) => {
                        if is_stale {
                            stale_bearers.push(bearer);
                        }
                        bearers.push(bearer.as_slice());
                        bearer_of.push(own);
                        bearer_request.push(claim.request.as_slice());
                    }
                    (Key::Bearer(_), Held::Client(_)) => {}
                }
            }
            if let Some(named) = &accepting.resource
                && !accepting.has_ended()
            {
                taken.push(&self.locks, named, operation.token);
            }
            changing.push(operation);
            deadline.push(row::number(operation.deadline.as_millis()));
            component.push(row::component_number(operation.component));
            mutation.push(small(row::mutation_number(operation.mutation)));
            let scope = row::scope_columns(&operation.scope);
            account.push(scope.0);
            region.push(scope.1);
            type_name.push(operation.type_name.as_str());
            record.push(accepting.sealed.record.as_slice());
            target.push(accepting.sealed.target.as_deref());
            events.push(&accepting.sealed);
        }
        let mut steps = Vec::new();
        if !stale.account.is_empty() {
            steps.push(step(
                DROP_CLIENT_TOKENS,
                &[&stale.account, &stale.region, &stale.client],
            ));
        }
        if !clients.account.is_empty() {
            steps.push(step(
                ADD_CLIENT_TOKENS,
                &[
                    &clients.account,
                    &clients.region,
                    &clients.client,
                    &client_of,
                    &client_request,
                    &used_at,
                ],
            ));
        }
        if !stale_bearers.is_empty() {
            steps.push(step(DROP_BEARER_TOKENS, &[&stale_bearers]));
        }
        if !bearers.is_empty() {
            steps.push(step(
                ADD_BEARER_TOKENS,
                &[&bearers, &bearer_of, &bearer_request],
            ));
        }
        taken.steps(&mut steps);
        steps.push(step(
            ADD,
            &[
                &changing.token,
                &changing.resource,
                &changing.identifier,
                &changing.status,
                &changing.live,
                &changing.version,
                &changing.due,
                &changing.attempt,
                &changing.ended_at,
                &deadline,
                &component,
                &mutation,
                &account,
                &region,
                &type_name,
                &changing.lease_number,
                &changing.lease_until,
                &context.host,
            ],
        ));
        steps.push(step(
            ADD_SEALED,
            &[&changing.token, &changing.version, &record, &target],
        ));
        events::steps(&events, &mut steps);
        on.commit(steps).await?;
        Ok(())
    }
}

/// Client tokens, each column a list for `unnest`.
#[derive(Default)]
pub(super) struct ClientTokens {
    pub(super) account: Vec<String>,
    pub(super) region: Vec<String>,
    pub(super) client: Vec<String>,
}

impl ClientTokens {
    fn push(&mut self, account: String, region: String, client: String) {
        self.account.push(account);
        self.region.push(region);
        self.client.push(client);
    }
}
