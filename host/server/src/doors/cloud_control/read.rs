//! The calls that read.

use formwork_host::engine::{ListQuery, ReadError, ReadQuery};
use formwork_host::model::{
    Action, HandlerErrorCode, JsonObject, ListRequest, RequestDetails, TypeSchema,
};
use serde_json::Value;

use super::super::constraint::HANDLER_NEXT_TOKEN;
use super::super::crowd::{self, Waiting};
use super::convert::{Get, List};
use super::refusal::{Exception, Refusal};
use super::shapes::{GetResourceOutput, ListResourcesOutput, ResourceDescription};
use super::{Caller, identifier, unsupported, violation};

/// Gives the state of a resource.
pub(super) async fn get(caller: &Caller<'_>, get: Get) -> Result<GetResourceOutput, Refusal> {
    let got = find(caller, get).await;
    got.map_err(|mut refusal| {
        if refusal.exception != Exception::ResourceNotFound {
            refusal.message = unmistakable(&refusal.message);
        }
        refusal
    })
}

async fn find(caller: &Caller<'_>, get: Get) -> Result<GetResourceOutput, Refusal> {
    let version = caller.version(&get.target)?;
    let schema = version.schema();
    caller.supports(schema, Action::Read)?;
    let named = identifier::model(schema, &get.identifier)?;
    let model = current(caller, schema, &named).await?;
    let mut resource_description = description(schema, &model);
    // Whoever asks knows the name, also where the handler leaves it out.
    resource_description
        .identifier
        .get_or_insert(get.identifier);
    Ok(GetResourceOutput {
        type_name: schema.type_name().to_string(),
        resource_description,
    })
}

/// Reads the state of the resource that `named` names.
pub(super) async fn current(
    caller: &Caller<'_>,
    schema: &TypeSchema,
    named: &JsonObject,
) -> Result<JsonObject, Refusal> {
    let query = ReadQuery {
        type_name: schema.type_name().clone(),
        scope: caller.scope.clone(),
        identifier: named.clone(),
        token: caller.token(),
        details: RequestDetails::default(),
    };
    let _waiting = waiting(caller, schema)?;
    let read = caller.house.engine.read(query).await;
    read.map_err(|error| refused(caller, schema, error))
}

/// Gives a page of the resources of a type.
pub(super) async fn list(caller: &Caller<'_>, list: List) -> Result<ListResourcesOutput, Refusal> {
    let version = caller.version(&list.target)?;
    let schema = version.schema();
    caller.supports(schema, Action::List)?;
    let filter = list.resource_model.map(JsonObject::parse).transpose();
    let filter = filter.map_err(|error| {
        Refusal::new(
            Exception::InvalidRequest,
            format!("Invalid resource model: {}", super::super::why(&error)),
        )
    })?;
    require(schema, filter.as_ref())?;
    let query = ListQuery {
        type_name: schema.type_name().clone(),
        scope: caller.scope.clone(),
        list: ListRequest {
            filter,
            next_token: list.next_token,
            max_results: list.max_results,
        },
        token: caller.token(),
        details: RequestDetails::default(),
    };
    let _waiting = waiting(caller, schema)?;
    let page = caller.house.engine.list(query).await;
    let page = page.map_err(|error| refused(caller, schema, error))?;
    let next_token = page.next_token.filter(|token| !token.is_empty());
    if next_token
        .as_deref()
        .is_some_and(|token| !HANDLER_NEXT_TOKEN.allows(token))
    {
        return Err(Refusal::new(
            Exception::HandlerFailure,
            "The handler gave a token of the next page that is no line of at most 4096 characters",
        ));
    }
    Ok(ListResourcesOutput {
        type_name: schema.type_name().to_string(),
        resource_descriptions: page
            .models
            .iter()
            .map(|model| description(schema, model))
            .collect(),
        next_token,
    })
}

/// Waits with the others for an invocation, if not too many do.
fn waiting<'a>(caller: &'a Caller<'_>, schema: &TypeSchema) -> Result<Waiting<'a>, Refusal> {
    let crowd = &caller.house.crowd;
    crowd
        .enter(schema.type_name())
        .ok_or_else(|| Refusal::new(Exception::Throttling, crowd::MESSAGE))
}

/// Refuses a LIST without what the schema says that it needs.
fn require(schema: &TypeSchema, filter: Option<&JsonObject>) -> Result<(), Refusal> {
    let required = schema
        .list_schema()
        .and_then(|schema| schema.get("required"))
        .and_then(Value::as_array);
    let given = filter.map(JsonObject::to_map).unwrap_or_default();
    let missing: Vec<_> = required
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|name| !given.contains_key(*name))
        .map(|name| format!("#: required key [{name}] not found"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(
        Exception::InvalidRequest,
        format!(
            "Missing or invalid ResourceModel property in {} list handler request input. Required property: ({})",
            schema.type_name(),
            missing.join("\n")
        ),
    ))
}

fn description(schema: &TypeSchema, model: &JsonObject) -> ResourceDescription {
    ResourceDescription {
        identifier: schema
            .identifier(&model.to_map())
            .map(|identifier| identifier.to_string()),
        properties: model.as_str().to_owned(),
    }
}

fn refused(caller: &Caller<'_>, schema: &TypeSchema, error: ReadError) -> Refusal {
    match error {
        ReadError::UnknownType { type_name } => Refusal::no_type(&type_name),
        ReadError::Unsupported { type_name, action } => unsupported(&type_name, action),
        ReadError::Invalid { source, .. } => violation::uncoercible(&source),
        ReadError::Failed(failure) => Refusal::new(
            Exception::of(failure.code),
            says(caller, schema, failure.code, &failure.message),
        ),
        ReadError::Trapped(trap) => {
            let code = HandlerErrorCode::InternalFailure;
            Refusal::new(
                Exception::HandlerFailure,
                says(caller, schema, code, &trap.to_string()),
            )
        }
        error => Refusal::host(&error),
    }
}

/// Gives what a handler said, in AWS's form.
fn says(caller: &Caller<'_>, schema: &TypeSchema, code: HandlerErrorCode, message: &str) -> String {
    format!(
        "{} Handler returned status FAILED: {message} (HandlerErrorCode: {code}, RequestToken: {})",
        schema.type_name(),
        caller.id
    )
}

/// Leaves out the words by which Terraform takes a resource for gone.
fn unmistakable(message: &str) -> String {
    const GONE: &str = "not found";
    let mut said = String::with_capacity(message.len());
    let mut end = 0;
    // Lower case of ASCII is as long as what it is of.
    for (at, gone) in message.to_ascii_lowercase().match_indices(GONE) {
        said.push_str(&message[end..at]);
        said.push_str("missing");
        end = at + gone.len();
    }
    said + &message[end..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_sounds_as_if_the_resource_were_gone() {
        for (message, said) in [
            ("role not found", "role missing"),
            ("Not Found: ä not found.", "missing: ä missing."),
            ("notfound", "notfound"),
            ("", ""),
        ] {
            assert_eq!(unmistakable(message), said);
        }
    }
}
