//! What is asked twice: with the same token, and after a crash of the host.

use serde_json::{Map, Value};

use crate::contract::Rule;
use crate::contract::stage::{End, Made, Stage, Step};
use crate::contract::walk::{Times, Walk};
use crate::model::{Action, HandlerErrorCode, Mutation, RequestToken};

pub(super) async fn same_token(stage: &mut Stage) -> Step {
    let input = stage.fresh_input()?;
    let before = stage.listed().await?;
    let walk = Walk {
        mutation: Mutation::Create,
        state: input,
        previous: None,
        token: RequestToken::random(),
        times: Times::Once,
    };
    let first = stage.walk(&walk).await?;
    let End::Success(model) = &first.end else {
        return stage.fail_end(Rule::EndsWithSuccess, "CREATE of the inputs", &first);
    };
    let second = stage.walk(&walk).await?;
    match &second.end {
        End::Success(again) if stage.identifier(again) == stage.identifier(model) => {
            let unlike = stage.unlike(model, again);
            if !unlike.is_empty() {
                let what = format!(
                    "a second CREATE with the same token answered another model than the first: {}",
                    unlike.join("; ")
                );
                stage.found(Rule::OneTokenOneResource, first.from, what);
            }
        }
        End::Success(_) => {
            return stage.fail(
                Rule::OneTokenOneResource,
                first.from,
                "a second CREATE with the same token made a second resource: it answered another \
                 primary identifier",
            );
        }
        _ => {
            let what = "after a CREATE that answered SUCCESS, a second one with the same token";
            return stage.fail_end(Rule::OneTokenOneResource, what, &second);
        }
    }
    one_more(
        stage,
        &before,
        &walk.state,
        Rule::OneTokenOneResource,
        first.from,
        "two CREATEs with one token",
    )
    .await
}

/// Sees to it that LIST has no more than one resource more than before the
/// creates of `input`.
async fn one_more(
    stage: &mut Stage,
    before: &[Map<String, Value>],
    input: &Map<String, Value>,
    rule: Rule,
    from: usize,
    after: &str,
) -> Step {
    let mut new = stage.new_since(before).await?;
    new.retain(|model| stage.identifier(model).is_some());
    // Whether it is listed at all is another test's matter.
    if new.len() <= 1 {
        return Ok(());
    }
    let count = new.len();
    stage.adopt_new(new, input, from).await?;
    stage.fail(
        rule,
        from,
        format!("after {after} LIST has {count} resources more than before, not one"),
    )
}

pub(super) async fn after_crash(stage: &mut Stage) -> Step {
    let made = repeated_create(stage).await?;
    if stage.schema().handles(Action::Update)
        && let Ok(desired) = stage.update_input(&made)
    {
        repeated_update(stage, &made, desired).await?;
    }
    if stage.schema().handles(Action::Delete) {
        repeated_delete(stage, &made).await?;
    }
    Ok(())
}

async fn repeated_create(stage: &mut Stage) -> Step<Made> {
    // A create that never succeeds is another test's matter.
    let made = stage.make().await?;
    if !stage.schema().handles(Action::Delete) {
        return stage.skip("without a delete handler only one resource can be made");
    }
    is_plainly_made(stage, &made).await?;
    stage.unmake(&made).await?;
    is_plainly_gone(stage, &made).await?;
    let before = stage.listed().await?;
    let walk = Walk {
        mutation: Mutation::Create,
        state: made.input.clone(),
        previous: None,
        token: RequestToken::random(),
        times: Times::Twice,
    };
    let ended = stage.walk(&walk).await?;
    let End::Success(model) = &ended.end else {
        let what = "CREATE whose invocations are each made twice";
        return stage.fail_end(Rule::Repeatable, what, &ended);
    };
    let when = "CREATE whose invocations are each made twice";
    let rule = Rule::Repeatable;
    one_more(stage, &before, &walk.state, rule, ended.from, when).await?;
    let made = Made {
        input: made.input,
        model: model.clone(),
        from: ended.from,
    };
    if let Some((from, what)) = unheld(stage, &made, "CREATE").await? {
        return stage.fail(Rule::Repeatable, from, what);
    }
    Ok(made)
}

/// Leaves a create that goes wrong without any repetition to other tests.
async fn is_plainly_made(stage: &mut Stage, made: &Made) -> Step {
    if !stage.schema().handles(Action::Read) {
        return Ok(());
    }
    if let End::Success(read) = stage.read(&made.model).await?.end
        && stage.unlike(&made.input, &read).is_empty()
    {
        return Ok(());
    }
    stage.skip("READ after the plain CREATE fails already: see contract_create_read")
}

/// Leaves a delete that goes wrong without any repetition to other tests.
async fn is_plainly_gone(stage: &mut Stage, made: &Made) -> Step {
    if !stage.schema().handles(Action::Read) {
        return Ok(());
    }
    let read = stage.read(&made.model).await?;
    if read.end.is_failed(HandlerErrorCode::NotFound) {
        return Ok(());
    }
    stage.skip("READ after the plain DELETE fails already: see contract_delete_read")
}

async fn repeated_update(stage: &mut Stage, made: &Made, desired: Map<String, Value>) -> Step {
    let walk = Walk {
        mutation: Mutation::Update,
        state: desired.clone(),
        previous: Some(made.model.clone()),
        token: RequestToken::random(),
        times: Times::Twice,
    };
    let ended = stage.walk(&walk).await?;
    let End::Success(model) = &ended.end else {
        stage.must_change(made).await?;
        let what = "UPDATE whose invocations are each made twice";
        return stage.fail_end(Rule::Repeatable, what, &ended);
    };
    let changed = Made {
        input: desired,
        model: model.clone(),
        from: ended.from,
    };
    let Some((from, what)) = unheld(stage, &changed, "UPDATE").await? else {
        return Ok(());
    };
    stage.must_change(&changed).await?;
    stage.fail(Rule::Repeatable, from, what)
}

/// Says how a resource is not what was asked for, and which exchange began it.
async fn unheld(stage: &mut Stage, made: &Made, action: &str) -> Step<Option<(usize, String)>> {
    if !stage.schema().handles(Action::Read) {
        return Ok(None);
    }
    let when = format!("after {action} whose invocations are each made twice");
    let read = stage.read(&made.model).await?;
    let End::Success(model) = &read.end else {
        return Ok(Some((made.from, format!("READ {when} {}", read.end))));
    };
    let unlike = stage.unlike(&made.input, model);
    Ok((!unlike.is_empty()).then(|| {
        let what = format!("READ {when} differs from its input: {}", unlike.join("; "));
        (made.from, what)
    }))
}

async fn repeated_delete(stage: &mut Stage, made: &Made) -> Step {
    let walk = Walk {
        mutation: Mutation::Delete,
        state: made.model.clone(),
        previous: None,
        token: RequestToken::random(),
        times: Times::Twice,
    };
    let ended = stage.walk(&walk).await?;
    if !matches!(ended.end, End::Success(_)) {
        let what = "DELETE whose invocations are each made twice";
        return stage.fail_end(Rule::Repeatable, what, &ended);
    }
    if stage.schema().handles(Action::Read) {
        let read = stage.read(&made.model).await?;
        if !read.end.is_failed(HandlerErrorCode::NotFound) {
            let what = "READ after DELETE whose invocations are each made twice";
            return stage.fail_end(Rule::Repeatable, what, &read);
        }
    }
    Ok(())
}
