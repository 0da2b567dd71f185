//! Whatever happens, both stores show the same.

use proptest::prelude::*;

use super::*;
use crate::model::Mutation;
use crate::operation::{CancelReason, Input, NewOperation, Policy, Status, WriteOnly};
use crate::store::IdempotencyKey;
use crate::store::MemoryStore;
use crate::store::conformance::{
    LEASE, at, create, failure, full, id, object, observed, other_thing, progress, reported,
    success, thing,
};

#[derive(Clone, Debug)]
enum Step {
    Accept {
        shape: u8,
        name: Option<u8>,
        client: Option<(u8, u8)>,
    },
    Claim {
        limit: usize,
    },
    Sweep {
        limit: usize,
    },
    Input {
        which: prop::sample::Index,
        kind: u8,
        name: Option<u8>,
        stale: bool,
    },
    Settle {
        which: prop::sample::Index,
        version: u64,
        kind: u8,
    },
    Unpark {
        which: prop::sample::Index,
    },
    Prune {
        limit: usize,
    },
    Forget {
        which: prop::sample::Index,
    },
    Later {
        seconds: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<prop::sample::Index>;
    let name = || prop::option::of(0..3_u8);
    prop_oneof![
        3 => (0..5_u8, name(), prop::option::of((0..3_u8, 0..2_u8)))
            .prop_map(|(shape, name, client)| Step::Accept { shape, name, client }),
        4 => (0..4_usize).prop_map(|limit| Step::Claim { limit }),
        1 => (0..4_usize).prop_map(|limit| Step::Sweep { limit }),
        6 => (which(), 0..8_u8, name(), prop::bool::weighted(0.1))
            .prop_map(|(which, kind, name, stale)| Step::Input { which, kind, name, stale }),
        4 => (which(), 1..8_u64, 0..4_u8)
            .prop_map(|(which, version, kind)| Step::Settle { which, version, kind }),
        1 => which().prop_map(|which| Step::Unpark { which }),
        1 => (0..4_usize).prop_map(|limit| Step::Prune { limit }),
        1 => which().prop_map(|which| Step::Forget { which }),
        2 => prop_oneof![Just(1), Just(31), Just(7200)]
            .prop_map(|seconds| Step::Later { seconds }),
    ]
}

/// How long everything is kept: less than the steps take together.
const RETENTION: Duration = Duration::from_secs(3600);

fn name(number: u8) -> Option<PrimaryIdentifier> {
    id(&format!("name-{number}"))
}

struct Pair {
    memory: MemoryStore,
    sqlite: SqliteStore,
    tokens: Vec<RequestToken>,
    seconds: u64,
}

impl Pair {
    fn now(&self) -> Timestamp {
        at(self.seconds)
    }

    fn token(&self, which: prop::sample::Index) -> Option<RequestToken> {
        (!self.tokens.is_empty()).then(|| *which.get(&self.tokens))
    }

    async fn step(&mut self, step: Step) {
        let now = self.now();
        match step {
            Step::Later { seconds } => self.seconds += seconds,
            Step::Accept {
                shape,
                name: number,
                client,
            } => {
                let new = match shape {
                    0 => create(),
                    1 | 4 => full(),
                    2 => reported(),
                    _ => NewOperation {
                        type_name: other_thing(),
                        ..reported()
                    },
                };
                let new = NewOperation {
                    identifier: number.and_then(name),
                    deadline: now.after(conformance::TIME),
                    ..new
                };
                let mut bytes = [0; 16];
                bytes[0] = u8::try_from(self.tokens.len()).expect("few");
                let token = RequestToken::from_bytes(bytes);
                self.tokens.push(token);
                let accept = Accept {
                    transition: if shape == 4 {
                        Operation::unchanged(token, new, object("{}"), now)
                    } else if self.seconds.is_multiple_of(3) {
                        Operation::accept(token, new, now).leased(now.after(LEASE), now)
                    } else {
                        Operation::accept(token, new, now)
                    },
                    basis: None,
                    tokens_expired: now.before(RETENTION),
                    key: client.map(|(key, request)| {
                        let key = format!("key{key}").parse().expect("a token");
                        (IdempotencyKey::Client(key), vec![request])
                    }),
                };
                let memory = self.memory.accept(accept.clone()).await;
                let sqlite = self.sqlite.accept(accept).await;
                assert_eq!(format!("{memory:?}"), format!("{sqlite:?}"));
            }
            Step::Claim { limit } => {
                let share = |type_name| Share {
                    type_name,
                    limit: 2,
                };
                let shares = [share(thing()), share(other_thing())];
                let memory = self.memory.claim(&shares, limit, now, LEASE).await;
                let sqlite = self.sqlite.claim(&shares, limit, now, LEASE).await;
                assert_eq!(memory.expect("claimed"), sqlite.expect("claimed"));
            }
            Step::Sweep { limit } => {
                let memory = self.memory.sweep(now, limit).await.expect("readable");
                let sqlite = self.sqlite.sweep(now, limit).await.expect("readable");
                assert_eq!(memory, sqlite);
                for operation in memory {
                    for input in [Input::LeaseLapsed, Input::DeadlinePassed] {
                        self.apply(&operation, input).await;
                    }
                }
            }
            Step::Input {
                which,
                kind,
                name: number,
                stale,
            } => {
                let Some(token) = self.token(which) else {
                    return;
                };
                let Some(operation) = self.memory.get(token).await.expect("readable") else {
                    return;
                };
                let named = number.and_then(name);
                let input = match kind {
                    0 => Input::CancelAsked(CancelReason::Caller),
                    1 => Input::CancelAsked(CancelReason::Superseded),
                    2 => failure(),
                    3 => success(named),
                    4 => match success(named) {
                        Input::Answered(answer) => Input::Recorded {
                            answer,
                            client_token: "key".parse().ok(),
                        },
                        other => other,
                    },
                    5 => Input::HostFailed {
                        message: "no memory".to_owned(),
                    },
                    _ => progress(u64::from(kind % 2), named),
                };
                self.apply(&operation, input.clone()).await;
                if stale {
                    self.apply(&operation, input).await;
                }
            }
            Step::Settle {
                which,
                version,
                kind,
            } => {
                let Some(token) = self.token(which) else {
                    return;
                };
                let reason = "why".to_owned();
                let settlement = match kind {
                    0 => Settlement::Superseded,
                    1 => Settlement::Parked { reason },
                    2 => Settlement::Retry {
                        due: now.after(LEASE),
                        ambiguous: version % 2 == 0,
                        reason,
                    },
                    _ => Settlement::Delivered { at: at(7) },
                };
                for store in self.stores() {
                    let settled = store.settle(token, version, settlement.clone());
                    settled.await.expect("settled");
                }
            }
            Step::Forget { which } => {
                let Some(token) = self.token(which) else {
                    return;
                };
                let memory = self.memory.forget(token).await;
                let sqlite = self.sqlite.forget(token).await;
                assert_eq!(format!("{memory:?}"), format!("{sqlite:?}"));
            }
            Step::Prune { limit } => {
                let horizon = Horizon {
                    ended: now.before(RETENTION),
                    client_tokens: now.before(RETENTION),
                    parked: now.before(RETENTION),
                };
                for store in self.stores() {
                    store.prune(&horizon, limit).await.expect("pruned");
                }
            }
            Step::Unpark { which } => {
                let Some(token) = self.token(which) else {
                    return;
                };
                let memory = self.memory.unpark(token, now).await;
                let sqlite = self.sqlite.unpark(token, now).await;
                assert_eq!(memory.expect("unparked"), sqlite.expect("unparked"));
            }
        }
    }

    fn stores(&self) -> [&dyn Store; 2] {
        [&self.memory, &self.sqlite]
    }

    async fn apply(&self, operation: &Operation, input: Input) {
        let Ok(mut transition) = operation.apply(input, self.now(), &Policy::default()) else {
            return;
        };
        if self.seconds.is_multiple_of(3) {
            transition = transition.leased(self.now().after(LEASE), self.now());
        }
        if transition.write_only == WriteOnly::Forget && self.seconds.is_multiple_of(2) {
            let values = format!(r#"{{"Password":"{}"}}"#, operation.token);
            transition.write_only = WriteOnly::Keep(object(&values));
        }
        let memory = self.memory.commit(transition.clone()).await;
        let sqlite = self.sqlite.commit(transition).await;
        assert_eq!(format!("{memory:?}"), format!("{sqlite:?}"));
    }

    async fn compare(&self) {
        let [memory, sqlite] = self.stores();
        for token in &self.tokens {
            assert_eq!(
                observed(memory, *token).await,
                observed(sqlite, *token).await
            );
        }
        for number in 0..3 {
            let named = name(number).expect("an identifier");
            for type_name in [thing(), other_thing()] {
                let scope = create().scope;
                assert_eq!(
                    memory.write_only(&scope, &type_name, &named).await.ok(),
                    sqlite.write_only(&scope, &type_name, &named).await.ok()
                );
            }
        }
        let far = at(1_000_000);
        let some = Filter {
            scope: Some(create().scope),
            statuses: vec![Status::InProgress, Status::Failed],
            mutations: vec![Mutation::Create],
            type_name: Some(thing()),
            limit: 2,
            ..Filter::default()
        };
        let mut seen = Vec::new();
        for store in self.stores() {
            seen.push((
                store.list(&Filter::default()).await.expect("readable"),
                store.list(&some).await.expect("readable"),
                store.sweep(far, 100).await.expect("readable"),
                store.due_reports(far, 100).await.expect("readable"),
                store
                    .next_report(Timestamp::from_millis(0))
                    .await
                    .expect("readable"),
                store
                    .upcoming(&[thing(), other_thing()], Timestamp::from_millis(0), 5)
                    .await
                    .expect("readable"),
                store
                    .upcoming(&[], self.now(), 100)
                    .await
                    .expect("readable"),
            ));
        }
        assert_eq!(seen[0], seen[1]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_show_the_same_after_whatever_happens(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let directory = Directory::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            let mut pair = Pair {
                memory: MemoryStore::new(),
                sqlite: directory.store(),
                tokens: Vec::new(),
                seconds: 0,
            };
            for (number, step) in steps.into_iter().enumerate() {
                pair.step(step).await;
                if number % 8 == 7 {
                    pair.compare().await;
                }
            }
            pair.compare().await;
        });
    }
}
