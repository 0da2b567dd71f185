//! Writes that wait together are committed together.
//!
//! *Invariant*: an answer is given after the commit that it depends on.
//!
//! *Invariant*: what one write does wrong undoes that write alone: a batch that
//! the server refuses is tried again in halves.
//!
//! *Invariant*: a write that a try of may have been committed is never said to be
//! undone, whatever has become of the tries after it.
//!
//! *Invariant*: no two writes of a batch are about the same thing, so each has
//! the answer that it would have alone; those about the same thing keep their order.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::Context;
use super::connections::{Connection, Connections};
use super::fault::Fault;
use crate::store::StoreError;
use crate::store::pressure::{QUEUE, WAIT};

/// How many writes share a commit at most: bounds what a failing commit takes
/// with it, and how long the first of them waits for the others.
const GROUP: usize = 512;

/// How many bytes share a commit at most, unless one write has more: what a slow
/// line carries before the server loses its patience.
const BYTES: usize = 8 << 20;

/// How often a batch is tried again after another host was in its way.
const COLLISIONS: u32 = 8;

/// How often a batch is tried again after its connection broke.
const LOSSES: u32 = 2;

/// One kind of write.
pub(super) trait Kind: Send + Sync + 'static {
    type Outcome: Send + 'static;

    /// Gives what the write is about.
    fn about(&self) -> Vec<Name>;

    /// Gives about how many bytes are sent for it.
    fn bytes(&self) -> usize;

    /// Writes a batch in a transaction, and gives what came of each. With `again`
    /// an earlier try may have been committed without our learning so.
    fn write(
        context: &Context,
        on: &Connection,
        batch: &[Arc<Self>],
        again: bool,
    ) -> impl Future<Output = Result<Vec<Self::Outcome>, Fault>> + Send;
}

/// Stands for what a write is about. Two things may share one; then one waits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name(u64);

/// Names a thing.
pub(super) fn name(thing: impl Hash) -> Name {
    let mut hasher = DefaultHasher::new();
    thing.hash(&mut hasher);
    Name(hasher.finish())
}

/// Takes writes of one kind, and has them committed together.
pub(super) struct Gatherer<K: Kind> {
    queue: mpsc::Sender<Waiting<K>>,
    context: Arc<Context>,
}

struct Waiting<K: Kind> {
    write: Arc<K>,
    reply: oneshot::Sender<Result<K::Outcome, StoreError>>,
}

impl<K: Kind> Gatherer<K> {
    /// Begins to gather. Ends once it is dropped and all that waits is written.
    pub(super) fn start(context: Arc<Context>, connections: Arc<Connections>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(run(Arc::clone(&context), connections, waiting));
        Self { queue, context }
    }

    /// Writes, and gives what came of it once it is committed.
    pub(super) async fn write(&self, write: K) -> Result<K::Outcome, StoreError> {
        let place = &self.context.place;
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting {
            write: Arc::new(write),
            reply,
        };
        match tokio::time::timeout(WAIT, self.queue.send(waiting)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(Fault::crowded().into_error(place)),
        }
        answer.await.unwrap_or_else(|_| {
            Err(StoreError::Unknown {
                place: place.clone(),
                source: "the program is ending".into(),
            })
        })
    }
}

async fn run<K: Kind>(
    context: Arc<Context>,
    connections: Arc<Connections>,
    mut queue: mpsc::Receiver<Waiting<K>>,
) {
    let mut waiting: VecDeque<Waiting<K>> = VecDeque::new();
    loop {
        if waiting.is_empty() {
            match queue.recv().await {
                Some(first) => waiting.push_back(first),
                None => return,
            }
        }
        while waiting.len() < GROUP
            && let Ok(more) = queue.try_recv()
        {
            waiting.push_back(more);
        }
        let batch = batch(&mut waiting);
        write(&context, &connections, batch).await;
    }
}

/// Takes out what can be written together.
fn batch<K: Kind>(waiting: &mut VecDeque<Waiting<K>>) -> Vec<Waiting<K>> {
    let mut taken = HashSet::new();
    let mut batch = Vec::new();
    let mut bytes = 0;
    for one in std::mem::take(waiting) {
        let about = one.write.about();
        let size = one.write.bytes();
        let has_room = batch.len() < GROUP && (batch.is_empty() || bytes + size <= BYTES);
        let is_free = has_room && about.iter().all(|name| !taken.contains(name));
        // What comes later about the same waits behind it.
        taken.extend(about);
        if is_free {
            bytes += size;
            batch.push(one);
        } else {
            waiting.push_back(one);
        }
    }
    batch
}

async fn write<K: Kind>(
    context: &Arc<Context>,
    connections: &Arc<Connections>,
    batch: Vec<Waiting<K>>,
) {
    let mut parts = vec![(batch, false)];
    while let Some((mut part, mut again)) = parts.pop() {
        let writes: Vec<Arc<K>> = part.iter().map(|one| Arc::clone(&one.write)).collect();
        match attempt(context, connections, &writes, &mut again).await {
            Ok(outcomes) => {
                for (one, outcome) in part.into_iter().zip(outcomes) {
                    // Whoever asked may have gone away.
                    let _ = one.reply.send(Ok(outcome));
                }
            }
            Err(Fault::Refused(_) | Fault::Damaged { .. }) if part.len() > 1 => {
                let half = part.split_off(part.len() / 2);
                parts.push((half, again));
                parts.push((part, again));
            }
            Err(fault) => {
                let fault = if again { fault.in_doubt() } else { fault };
                for one in part {
                    let error = fault.clone().into_error(&context.place);
                    let _ = one.reply.send(Err(error));
                }
            }
        }
    }
}

/// Writes a batch, however often somebody is in the way, and again when the
/// connection broke. Says in `again` whether a try may have been committed.
async fn attempt<K: Kind>(
    context: &Arc<Context>,
    connections: &Arc<Connections>,
    writes: &[Arc<K>],
    again: &mut bool,
) -> Result<Vec<K::Outcome>, Fault> {
    let (mut collisions, mut losses) = (0, 0);
    loop {
        let taken = connections.take().await?;
        let outcome = K::write(context, &taken, writes, *again).await;
        match taken.done(outcome) {
            Err(fault) if fault.is_collision() && collisions < COLLISIONS => {
                tracing::debug!(?fault, "another host was in the way");
                collisions += 1;
            }
            Err(Fault::Lost { unsure, source }) if losses < LOSSES => {
                tracing::debug!(error = %source, unsure, "the connection to the database broke");
                losses += 1;
                *again |= unsure;
            }
            outcome => return outcome,
        }
    }
}
