//! What no worker will finish, and a store that does not end it.

use std::sync::Arc;

use formwork_host::engine::LeaseLoss;
use formwork_host::operation::Status;
use formwork_host::registry::TypeSettings;
use formwork_tests::fate::{Asked, Fate};
use formwork_tests::stage::seconds;
use tokio::sync::watch;

use super::{current, kept, stage};

#[tokio::test]
async fn an_operation_that_cannot_be_ended_holds_up_no_other() {
    let (stage, store, _) = stage(TypeSettings::default()).await;
    let stuck = stage.create("a", &["in-progress-no-callback"]).await;
    stage.engine.idle().await;
    let token = stuck.token();
    store.fates().decide(move |asked| match asked {
        Asked::Commit(operation) if operation.token == token => Fate::Damaged,
        _ => Fate::Done,
    });
    stage.clock.set(current(&store, token).await.deadline);
    stage.engine.idle().await;
    let other = stage.create("b", &["in-progress:5", "success"]).await;
    let ended = stage.finish(&other, 20).await;
    assert_eq!(ended.status, Status::Success);
    assert!(!current(&store, token).await.status.is_terminal());
    store.fates().decide(|_| Fate::Done);
    let ended = stage.finish(&stuck, 20).await;
    assert_eq!(ended.status, Status::Failed);
}

#[tokio::test]
async fn operations_that_outlive_their_deadline_together_are_ended_together() {
    let (stage, store, _) = stage(TypeSettings::default()).await;
    let mut waiting = Vec::new();
    for number in 0..700 {
        let name = format!("n{number}");
        waiting.push(stage.create(&name, &["in-progress-no-callback"]).await);
        stage.engine.idle().await;
    }
    let deadline = current(&store, waiting[0].token()).await.deadline;
    stage.clock.set(deadline);
    let next = stage.engine.idle().await;
    assert!(next.is_none_or(|next| next > deadline));
    for handle in waiting {
        let ended = current(&store, handle.token()).await;
        assert_eq!(
            (ended.status, ended.ended_at),
            (Status::Failed, Some(deadline))
        );
    }
}

#[tokio::test]
async fn while_the_store_ends_nothing_no_more_is_tried_until_a_pause_is_over() {
    let (stage, store, _) = stage(TypeSettings::default()).await;
    let mut waiting = Vec::new();
    for number in 0..300 {
        let name = format!("n{number}");
        waiting.push(stage.create(&name, &["in-progress-no-callback"]).await);
        stage.engine.idle().await;
    }
    let tried = watch::Sender::new(0);
    let mut seen = tried.subscribe();
    store.fates().decide(move |asked| match asked {
        Asked::Commit(_) => {
            tried.send_modify(|count| *count += 1);
            Fate::Refused
        }
        _ => Fate::Done,
    });
    let deadline = current(&store, waiting[0].token()).await.deadline;
    stage.clock.set(deadline);
    let any = seen.wait_for(|count| *count > 0).await;
    any.expect("the store is there");
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*seen.borrow(), 256, "one round");
    store.fates().decide(|_| Fate::Done);
    for handle in waiting {
        let ended = stage.as_time_passes(handle.outcome()).await;
        assert_eq!(ended.expect("it ends").status, Status::Failed);
    }
}

#[tokio::test]
async fn a_lease_that_lapsed_before_the_store_had_answered_is_not_swept_beside_the_answer() {
    let (stage, store, heard) = stage(TypeSettings::default()).await;
    let clock = Arc::clone(&stage.clock);
    store.fates().decide(move |asked| match asked {
        Asked::Accept(_) => {
            clock.advance(seconds(31));
            Fate::Late
        }
        _ => Fate::Done,
    });
    let handle = stage.create("a", &["success"]).await;
    let ended = stage.finish(&handle, 5).await;
    assert_eq!((ended.status, ended.attempt), (Status::Success, 1));
    assert!(kept(&heard.losses).is_empty());
}

#[tokio::test]
async fn who_comes_second_in_a_sweep_has_lost_no_answer() {
    let (stage, store, heard) = stage(TypeSettings::default()).await;
    let clock = Arc::clone(&stage.clock);
    let mut beaten = false;
    store.fates().decide(move |asked| match asked {
        // The lease is left to lapse.
        Asked::Accept(_) => {
            clock.advance(seconds(25));
            Fate::Done
        }
        Asked::Renew(_) if !beaten => Fate::Overtaken,
        Asked::Commit(_) if !beaten => {
            beaten = true;
            Fate::Beaten
        }
        _ => Fate::Done,
    });
    let handle = stage.create("a", &["success"]).await;
    let token = handle.token();
    let leased_again = async {
        while current(&store, token).await.attempt < 2 {
            tokio::task::yield_now().await;
        }
    };
    stage.as_time_passes(leased_again).await;
    let ended = stage.finish(&handle, 5).await;
    assert_eq!((ended.status, ended.attempt), (Status::Success, 2));
    assert_eq!(*kept(&heard.losses), [LeaseLoss::Taken], "before it began");
}
