//! Leases, and a store that refuses, does not confirm, is damaged or is overtaken.

mod sweep;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use formwork_host::clock::{Clock as _, ManualClock};
use formwork_host::engine::{
    Engine, Exchange, Happening, InvocationOutcome, LeaseLoss, Observer, Telemetry,
};
use formwork_host::model::RequestToken;
use formwork_host::operation::{Operation, Status};
use formwork_host::registry::TypeSettings;
use formwork_host::store::MemoryStore;
use formwork_tests::crash::CrashingStore;
use formwork_tests::fate::{Asked, Fate};
use formwork_tests::guests;
use formwork_tests::stage::{RecordingReporter, START, Stage, sandbox, seconds};
use tokio::sync::watch;

/// Counts invocations, and keeps what became of them and of leases.
#[derive(Default)]
struct Heard {
    invoked: AtomicUsize,
    outcomes: Mutex<Vec<InvocationOutcome>>,
    losses: Mutex<Vec<LeaseLoss>>,
    ended: AtomicUsize,
}

impl Heard {
    /// Waits until so many invocations have come to their end. Time may pass meanwhile
    /// only if none of their guests still runs: it would be cut.
    async fn settled(&self, count: usize) {
        while kept(&self.outcomes).len() < count {
            tokio::task::yield_now().await;
        }
    }
}

impl Observer for Heard {
    fn invoked(&self, _: &Exchange) {
        self.invoked.fetch_add(1, Ordering::SeqCst);
    }
}

impl Telemetry for Heard {
    fn happened(&self, what: &Happening<'_>) {
        match what {
            Happening::Invoked(invoked) => kept(&self.outcomes).push(invoked.outcome),
            Happening::LeaseLost { loss, .. } => kept(&self.losses).push(*loss),
            Happening::Ended { .. } => {
                self.ended.fetch_add(1, Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

fn kept<T>(list: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stage on a store whose fates a test decides, and who hears of it.
async fn stage(settings: TypeSettings) -> (Stage, Arc<CrashingStore>, Arc<Heard>) {
    stage_of(128, settings).await
}

/// The same with so many places for invocations.
async fn stage_of(
    places: usize,
    settings: TypeSettings,
) -> (Stage, Arc<CrashingStore>, Arc<Heard>) {
    let store = Arc::new(CrashingStore::never(Arc::new(MemoryStore::default())));
    let heard = Arc::<Heard>::default();
    let clock = Arc::new(ManualClock::new(START));
    let reports = Arc::<RecordingReporter>::default();
    let engine = Engine::builder(sandbox())
        .store(Arc::clone(&store) as _)
        .clock(Arc::clone(&clock) as _)
        .reporter(Arc::clone(&reports) as _)
        .observer(Arc::clone(&heard) as _)
        .telemetry(Arc::clone(&heard) as _)
        .concurrency(places)
        .start();
    let stage = Stage {
        engine,
        clock,
        reports,
    };
    load(&stage, settings).await;
    (stage, store, heard)
}

async fn load(stage: &Stage, settings: TypeSettings) {
    let component = guests::component("scripted-guest");
    let loaded = stage.engine.load(component, settings).await;
    loaded.expect("the guest loads");
}

async fn current(store: &CrashingStore, token: RequestToken) -> Operation {
    let found = store.inner().get(token).await;
    found.expect("readable").expect("it is there")
}

fn leases(operation: &Operation) -> bool {
    let lease = operation.lease;
    lease.is_some_and(|lease| lease.number == operation.version)
}

#[tokio::test]
async fn while_the_store_takes_no_answer_no_more_are_called_than_there_is_room_for() {
    let (stage, store, heard) = stage_of(2, TypeSettings::default()).await;
    store.fates().decide(|asked| match asked {
        Asked::Commit(_) => Fate::Refused,
        _ => Fate::Done,
    });
    let mut handles = Vec::new();
    for number in 0..9 {
        handles.push(stage.create(&format!("n{number}"), &["success"]).await);
    }
    while heard.invoked.load(Ordering::SeqCst) < 4 {
        tokio::task::yield_now().await;
    }
    let outage = async {
        while stage.clock.now() < START.after(seconds(60)) {
            tokio::task::yield_now().await;
        }
    };
    stage.as_time_passes(outage).await;
    let mut leased = 0;
    for handle in &handles {
        let operation = current(&store, handle.token()).await;
        leased += usize::from(operation.lease.is_some());
    }
    assert_eq!(leased, 4, "two that have answered, and as many again");
    store.fates().decide(|_| Fate::Done);
    // No pause between two tries is longer.
    stage.clock.advance(seconds(5));
    for handle in handles {
        let ended = stage.finish(&handle, 5).await;
        assert_eq!((ended.status, ended.attempt), (Status::Success, 1));
    }
    assert_eq!(heard.invoked.load(Ordering::SeqCst), 9);
    assert!(kept(&heard.losses).is_empty());
}

#[tokio::test]
async fn an_answer_that_can_never_be_committed_holds_up_no_stop() {
    let (stage, store, heard) = stage(TypeSettings::default()).await;
    store.fates().decide(|asked| match asked {
        Asked::Commit(_) => Fate::Damaged,
        _ => Fate::Done,
    });
    stage.create("a", &["success"]).await;
    assert!(stage.engine.shutdown(seconds(10)).await);
    assert_eq!(*kept(&heard.outcomes), [InvocationOutcome::Lost]);
    assert_eq!(heard.ended.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_wins_however_often_its_commit_has_failed_when_its_lease_lapses() {
    let (stage, store, heard) = stage(TypeSettings::default()).await;
    let clock = Arc::clone(&stage.clock);
    store.fates().decide(move |asked| {
        let late = clock.now() > START.after(seconds(40));
        match asked {
            Asked::Commit(operation) if leases(operation) && !late => Fate::Refused,
            Asked::Renew(_) if !late => Fate::Refused,
            // Whoever sweeps could commit all the time.
            _ => Fate::Done,
        }
    });
    let handle = stage.create("a", &["in-progress:0", "success"]).await;
    while heard.invoked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    stage.as_time_passes(heard.settled(1)).await;
    let ended = stage.finish(&handle, 5).await;
    assert_eq!(ended.status, Status::Success);
    let transcript = stage.transcript(&handle).await;
    assert!(!transcript.contains("retried"), "{transcript}");
}

#[tokio::test]
async fn a_lease_that_ran_out_while_its_request_was_written_is_renewed_before_it_is_used() {
    let (stage, store, heard) = stage(TypeSettings::default()).await;
    let renewed = Arc::new(Mutex::new(Vec::new()));
    let (clock, count) = (Arc::clone(&stage.clock), Arc::clone(&renewed));
    let invoked = Arc::clone(&heard);
    store.fates().decide(move |asked| {
        match asked {
            Asked::Accept(_) => clock.advance(seconds(25)),
            Asked::Renew(_) => kept(&count).push(invoked.invoked.load(Ordering::SeqCst)),
            _ => {}
        }
        Fate::Done
    });
    let handle = stage.create("a", &["success"]).await;
    let ended = handle.outcome().await.expect("it ends");
    assert_eq!((ended.status, ended.attempt), (Status::Success, 1));
    assert_eq!(kept(&renewed).first(), Some(&0), "before it is invoked");
}

#[tokio::test]
async fn nobody_is_invoked_on_a_lease_that_was_lost_before() {
    let (stage, store, heard) = stage(TypeSettings::default()).await;
    let clock = Arc::clone(&stage.clock);
    store.fates().decide(move |asked| match asked {
        Asked::Accept(_) => {
            clock.advance(seconds(25));
            Fate::Done
        }
        Asked::Renew(_) => Fate::Overtaken,
        _ => Fate::Done,
    });
    let handle = stage.create("a", &["success"]).await;
    stage.engine.idle().await;
    assert_eq!(heard.invoked.load(Ordering::SeqCst), 0);
    assert_eq!(*kept(&heard.losses), [LeaseLoss::Taken]);
    // Nobody had it after all, and so the lease lapses.
    let ended = stage.finish(&handle, 5).await;
    assert_eq!((ended.status, ended.attempt), (Status::Success, 2));
}

#[tokio::test]
async fn a_call_whose_lease_is_lost_is_cut_and_told_of() {
    let (stage, store, heard) = stage(TypeSettings::default()).await;
    store.fates().decide(|asked| match asked {
        Asked::Renew(_) => Fate::Overtaken,
        _ => Fate::Done,
    });
    let handle = stage.create("a", &["sleep:50000 & success"]).await;
    stage.engine.idle().await;
    let cut = async {
        while kept(&heard.losses).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    stage.as_time_passes(cut).await;
    store.fates().decide(|_| Fate::Done);
    assert_eq!(*kept(&heard.losses), [LeaseLoss::Taken]);
    assert_eq!(*kept(&heard.outcomes), [InvocationOutcome::Lost]);
    drop(handle);
}

#[tokio::test]
async fn who_goes_on_by_a_commit_that_was_not_confirmed_goes_on_also_without_a_place() {
    let settings = TypeSettings {
        concurrency: 2,
        ..TypeSettings::default()
    };
    let (stage, store, heard) = stage(settings.clone()).await;
    let unconfirmed = watch::Sender::new(0);
    let mut doubted = unconfirmed.subscribe();
    store.fates().decide(move |asked| match asked {
        Asked::Commit(operation) if leases(operation) && *unconfirmed.borrow() < 2 => {
            unconfirmed.send_modify(|count| *count += 1);
            Fate::Unconfirmed
        }
        _ => Fate::Done,
    });
    let script = ["in-progress:0", "success"];
    let handles = [
        stage.create("a", &script).await,
        stage.create("b", &script).await,
    ];
    let both = doubted.wait_for(|count| *count == 2).await;
    both.expect("the store is there");
    // From here on there is one place for the two of them.
    let one = TypeSettings {
        concurrency: 1,
        ..settings
    };
    load(&stage, one).await;
    stage.as_time_passes(heard.settled(2)).await;
    for handle in handles {
        let ended = stage.finish(&handle, 5).await;
        assert_eq!(ended.status, Status::Success);
        let transcript = stage.transcript(&handle).await;
        assert!(!transcript.contains("retried"), "{transcript}");
    }
    assert_eq!(heard.invoked.load(Ordering::SeqCst), 4);
    assert!(kept(&heard.losses).is_empty());
}

#[tokio::test]
async fn an_end_that_was_not_confirmed_is_told_of_as_the_end_it_is() {
    let (stage, store, heard) = stage(TypeSettings::default()).await;
    let mut doubted = false;
    store.fates().decide(move |asked| match asked {
        Asked::Commit(_) if !doubted => {
            doubted = true;
            Fate::Unconfirmed
        }
        _ => Fate::Done,
    });
    let handle = stage.create("a", &["success"]).await;
    while heard.invoked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let settled = async {
        handle.outcome().await.expect("it ends");
        stage.engine.idle().await;
    };
    stage.as_time_passes(settled).await;
    assert_eq!(*kept(&heard.outcomes), [InvocationOutcome::Success]);
    assert_eq!(heard.ended.load(Ordering::SeqCst), 1);
    assert!(kept(&heard.losses).is_empty());
}

#[tokio::test]
async fn an_answer_that_was_not_confirmed_counts_also_if_others_have_gone_on_from_it() {
    let (stage, store, heard) = stage(TypeSettings::default()).await;
    let unconfirmed = watch::Sender::new(false);
    let mut doubted = unconfirmed.subscribe();
    store.fates().decide(move |asked| match asked {
        Asked::Commit(_) if !unconfirmed.send_replace(true) => Fate::Unconfirmed,
        _ => Fate::Done,
    });
    let handle = stage.create("a", &["in-progress:600", "success"]).await;
    let doubt = doubted.wait_for(|is_there| *is_there).await;
    doubt.expect("the store is there");
    handle.cancel().await.expect("nothing runs any more");
    stage.as_time_passes(heard.settled(1)).await;
    assert_eq!(*kept(&heard.outcomes), [InvocationOutcome::InProgress]);
    assert_eq!(heard.ended.load(Ordering::SeqCst), 1);
    assert!(kept(&heard.losses).is_empty());
}

#[tokio::test]
async fn a_request_whose_acceptance_was_not_confirmed_is_begun_at_once() {
    let (stage, store, _) = stage(TypeSettings::default()).await;
    store.fates().decide(|asked| match asked {
        Asked::Accept(_) => Fate::Unconfirmed,
        _ => Fate::Done,
    });
    let handle = stage.create("a", &["success"]).await;
    let ended = handle.outcome().await.expect("it ends");
    assert_eq!((ended.status, ended.attempt), (Status::Success, 1));
    assert_eq!(stage.clock.now(), START, "no lease had to lapse");
}

#[tokio::test]
async fn a_lease_outlives_a_renewal_that_is_never_answered() {
    let (stage, store, _) = stage(TypeSettings::default()).await;
    let mut renewals = 0;
    store.fates().decide(move |asked| {
        renewals += usize::from(matches!(asked, Asked::Renew(_)));
        match asked {
            Asked::Renew(_) if renewals % 2 == 1 => Fate::Silence,
            _ => Fate::Done,
        }
    });
    let handle = stage.create("a", &["sleep:50000 & success"]).await;
    stage.engine.idle().await;
    let token = handle.token();
    let held = async {
        while stage.clock.now() < START.after(seconds(45)) {
            let lease = current(&store, token).await.lease;
            let until = lease.expect("it is held").until;
            assert!(stage.clock.now() < until, "it has lapsed");
            tokio::task::yield_now().await;
        }
    };
    stage.as_time_passes(held).await;
    assert_eq!(current(&store, token).await.attempt, 1);
}

#[tokio::test]
async fn a_lease_outlives_its_time_also_while_nobody_knows_which_commit_has_made_it() {
    let (stage, store, heard) = stage(TypeSettings::default()).await;
    let unconfirmed = watch::Sender::new(false);
    let mut doubted = unconfirmed.subscribe();
    store.fates().decide(move |asked| match asked {
        Asked::Commit(_) if !unconfirmed.send_replace(true) => Fate::Unconfirmed,
        // From here on not even a conflict is told of.
        Asked::Commit(_) => Fate::Refused,
        _ => Fate::Done,
    });
    let handle = stage.create("a", &["in-progress:0", "success"]).await;
    let token = handle.token();
    let doubt = doubted.wait_for(|is_there| *is_there).await;
    doubt.expect("the store is there");
    let held = async {
        while stage.clock.now() < START.after(seconds(100)) {
            let lease = current(&store, token).await.lease;
            let until = lease.expect("it is held").until;
            assert!(stage.clock.now() < until, "it has lapsed");
            tokio::task::yield_now().await;
        }
    };
    stage.as_time_passes(held).await;
    store.fates().decide(|_| Fate::Done);
    stage.as_time_passes(heard.settled(1)).await;
    let ended = stage.finish(&handle, 5).await;
    assert_eq!(ended.status, Status::Success);
    let transcript = stage.transcript(&handle).await;
    assert!(!transcript.contains("retried"), "{transcript}");
}

#[tokio::test]
async fn all_that_wait_for_a_renewal_wait_for_the_same_one() {
    let (stage, store, heard) = stage(TypeSettings::default()).await;
    let clock = Arc::clone(&stage.clock);
    let renewals = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&renewals);
    let mut is_done = false;
    store.fates().decide(move |asked| {
        match asked {
            Asked::Claim if clock.now() >= START.after(seconds(5)) && !is_done => {
                is_done = true;
                clock.advance(seconds(25));
            }
            Asked::Renew(_) if is_done => {
                count.fetch_add(1, Ordering::SeqCst);
            }
            _ => {}
        }
        Fate::Done
    });
    let mut handles = Vec::new();
    for number in 0..20 {
        let name = format!("n{number}");
        handles.push(stage.create(&name, &["in-progress:5", "success"]).await);
    }
    for handle in &handles {
        let ended = stage.finish(handle, 20).await;
        assert_eq!(ended.status, Status::Success);
    }
    assert_eq!(heard.invoked.load(Ordering::SeqCst), 40);
    let renewals = renewals.load(Ordering::SeqCst);
    assert!((1..=3).contains(&renewals), "{renewals} for twenty");
}

#[tokio::test]
async fn a_report_is_not_sent_on_a_lease_that_has_lapsed() {
    let (stage, store, _) = stage(TypeSettings::default()).await;
    let given = Arc::new(Mutex::new(Vec::new()));
    let (clock, all) = (Arc::clone(&stage.clock), Arc::clone(&given));
    store.fates().decide(move |asked| {
        if let Asked::Reports(reports) = asked
            && let Some(report) = reports.first()
        {
            // Whoever was given the first one is stopped until others have it.
            let mut all = kept(&all);
            if all.is_empty() {
                clock.advance(seconds(31));
            }
            all.push(report.event.version);
        }
        Fate::Done
    });
    let handle = stage.create("a", &["success"]).await;
    handle.outcome().await.expect("it ends");
    stage.engine.idle().await;
    let sent: Vec<u64> = stage
        .reports
        .delivered()
        .iter()
        .map(|it| it.event.version)
        .collect();
    assert_eq!(sent, [1, 2], "each once, in order");
    assert_eq!(*kept(&given), [1, 1, 2], "the first was asked for anew");
}
