//! What a create has to refuse.

use serde_json::Value;

use crate::contract::Rule;
use crate::contract::stage::{End, Made, Stage, Step};
use crate::contract::values::put;
use crate::contract::walk::{Times, Walk};
use crate::model::{Action, HandlerErrorCode, Mutation, PropertyPath, RequestToken};

pub(super) async fn invalid_input(stage: &mut Stage) -> Step {
    let invalid = stage.invalid_inputs();
    if invalid.is_empty() {
        return stage.skip(
            "there is no invalid input; what breaks the schema is refused before it reaches a \
             handler",
        );
    }
    let mut asked = false;
    for (model, words) in invalid {
        // A long LIST for what no handler sees would be for nothing.
        if stage.refuses_create(&model) {
            continue;
        }
        let before = stage.listed().await?;
        let ended = stage.create(&model).await?;
        asked |= !matches!(ended.end, End::Refused(_));
        match &ended.end {
            End::Refused(_) => continue,
            end if end.is_failed(HandlerErrorCode::InvalidRequest) => {}
            end => {
                let what = format!("CREATE of {words}");
                stage.found_end(Rule::RefusesInvalid, &what, end, ended.from);
            }
        }
        let new = stage.new_since(&before).await?;
        let made = !new.is_empty() && !matches!(ended.end, End::Success(_));
        stage.adopt_new(new, &model, ended.from).await?;
        if made {
            stage.found(
                Rule::RefusesInvalid,
                ended.from,
                format!(
                    "CREATE of {words} {}, but it made a resource: LIST has one more",
                    ended.end
                ),
            );
        }
    }
    if asked {
        Ok(())
    } else {
        stage.skip("the host's own check refuses each of them before the handler is invoked")
    }
}

/// An operation refuses a read-only property before a handler sees it, so that
/// the chains of this test are made by hand, as a caller who chains by himself
/// makes them: there a handler is on its own.
pub(super) async fn read_only_refused(stage: &mut Stage) -> Step {
    if !stage.schema().handles(Action::Delete) {
        return stage.skip("without a delete handler only one resource can be made");
    }
    let made = stage.make().await?;
    let set = other_read_only(stage, &made);
    if set.is_empty() {
        return stage.skip(
            "the resource has no read-only property, beside its primary identifier, whose value \
             another could replace",
        );
    }
    stage.unmake(&made).await?;
    let mut judged = false;
    for (path, value) in set {
        let mut state = stage.fresh_input()?;
        put(&mut state, path.steps(), value.clone());
        let walk = Walk {
            mutation: Mutation::Create,
            state,
            previous: None,
            token: RequestToken::random(),
            times: Times::Once,
        };
        let ended = stage.walk(&walk).await?;
        let model = match &ended.end {
            // Whether a resource is in the way says nothing of the property.
            End::Refused(_) => continue,
            end if end.is_failed(HandlerErrorCode::AlreadyExists) => continue,
            end if end.is_failed(HandlerErrorCode::InvalidRequest) => {
                judged = true;
                continue;
            }
            End::Success(model) => model,
            end => {
                judged = true;
                let what = format!("CREATE that sets the read-only `{path}`");
                stage.found_end(Rule::RefusesReadOnly, &what, end, ended.from);
                continue;
            }
        };
        judged = true;
        let mut shown = path.get(model) == Some(&value);
        if stage.schema().handles(Action::Read)
            && let End::Success(read) = stage.read(model).await?.end
        {
            shown |= path.get(&read) == Some(&value);
        }
        if shown {
            let what = format!(
                "CREATE that sets the read-only `{path}` answered SUCCESS, and the resource has \
                 the value that was asked for"
            );
            stage.found(Rule::RefusesReadOnly, ended.from, what);
        }
        // What stays is in the way of the next, and is told of at the end.
        stage.delete(model).await?;
    }
    if judged {
        Ok(())
    } else {
        stage.skip("no create with a read-only property came before the handler's own check of it")
    }
}

/// Gives the read-only properties that a resource has a value for, each with
/// another valid one, which the handler would not come to by itself.
///
/// Without those of the primary identifier: an answer with another identifier
/// than the request's ends a chain, whoever is right.
fn other_read_only(stage: &Stage, made: &Made) -> Vec<(PropertyPath, Value)> {
    let schema = stage.schema();
    let identifies = |path: &PropertyPath| {
        (schema.primary_identifier().iter())
            .any(|other| other.contains(path) || path.contains(other))
    };
    schema
        .read_only()
        .iter()
        .filter(|path| !identifies(path))
        .filter_map(|path| {
            let other = stage.another(&made.model, path)?;
            Some((path.clone(), path.get(&other)?.clone()))
        })
        .collect()
}
