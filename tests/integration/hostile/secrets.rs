//! Attacks on what other invocations leave in the slot that they ran in.

use formwork_host::model::Action;
use formwork_tests::hostile::Text;
use serde_json::json;

use super::attack::{Attack, call, refused};
use super::scene::Scene;

pub(super) fn attacks() -> Vec<Attack> {
    vec![Attack::play(
        "memory-of-others",
        "to find the marks that another component has left in memory, tables, globals and \
             stack, in the same slot",
        |scene| Box::pin(seek(scene)),
        &["hides", "seeks"],
        "found nothing in 24 invocations",
    )]
}

/// Has one component hide and another one seek, in every slot.
async fn seek(scene: &Scene) -> String {
    let load = async |name: &str| scene.sandbox.load(Text::file(name).component()).await;
    let (hides, seeks) = match (load("hides").await, load("seeks").await) {
        (Ok(hides), Ok(seeks)) => (hides, seeks),
        (Err(refusal), _) | (_, Err(refusal)) => return refused(&refusal),
    };
    let mut environment = scene.environment();
    environment.limits.memory_bytes = 16 << 20;
    let mut sought = 0;
    for _ in 0..8 {
        let hidden = call(&hides, Action::Create, &json!({}), &environment).await;
        if hidden != "answered: {}" {
            return format!("could not hide: {hidden}");
        }
        // The slot that was left last is given out first; three times, since the
        // neighbour takes one now and then.
        for _ in 0..3 {
            let found = call(&seeks, Action::Create, &json!({}), &environment).await;
            if found != "answered: {}" {
                return format!("found a mark: {found}");
            }
            sought += 1;
        }
    }
    format!("found nothing in {sought} invocations")
}
