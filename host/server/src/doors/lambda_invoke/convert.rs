//! From a payload to what the engine is asked.
//!
//! *Invariant*: total: there is an answer for each payload, and all that is
//! wrong with one is said at once, without repeating a value.

use std::fmt;

use formwork_host::engine::{ListQuery, ReadQuery, Request};
use formwork_host::model::{
    Action, BearerToken, Credentials, JsonObject, ListRequest, RequestDetails, RequestToken, Scope,
    TypeName,
};

use super::shapes::{HandlerRequest, Member, Payload, TestRequest, Wire};

/// What a payload asks for.
pub(super) struct Asked {
    /// The action, unless it is missing or wrong.
    pub(super) action: Option<Action>,
    /// CloudFormation's capability for reporting, from which the handler's
    /// idempotency token is derived.
    pub(super) token: Option<BearerToken>,
    /// The endpoint to report to, if the request names one.
    pub(super) endpoint: Option<String>,
    /// The credentials to sign reports with, if the request brings some.
    pub(super) platform_credentials: Option<Credentials>,
    /// What the event before gave back.
    pub(super) callback_context: Option<JsonObject>,
    /// What is wrong with what reports need.
    pub(super) unreportable: Faults,
    /// What is wrong with the rest.
    pub(super) faults: Faults,
    parts: Parts,
}

/// What there is to ask the engine.
pub(super) enum Question {
    /// To change a resource.
    Change(Request),
    /// To read one.
    Read(ReadQuery),
    /// To list them.
    List(ListQuery),
}

/// What the forms of a payload have besides, under whatever names.
#[derive(Default)]
struct Parts {
    scope: Scope,
    state: Option<JsonObject>,
    previous_state: Option<JsonObject>,
    next_token: Option<String>,
    max_results: Option<u32>,
    details: RequestDetails,
}

/// An empty context is what some callers send for none.
fn context(context: Option<JsonObject>) -> Option<JsonObject> {
    context.filter(|context| !context.to_map().is_empty())
}

impl Asked {
    /// Reads a payload for the handler of `type_name`.
    pub(super) fn of(payload: Payload, type_name: &TypeName) -> Self {
        match payload {
            Payload::Production(request) => production(*request, type_name),
            Payload::Test(request) => test(*request),
        }
    }

    /// Gives the handler's idempotency token: always the same one for a bearer
    /// token.
    pub(super) fn request_token(&self) -> RequestToken {
        let bearer = self.token.as_ref();
        bearer.map_or_else(RequestToken::random, |bearer| {
            RequestToken::derived(bearer.reveal())
        })
    }

    /// Gives what to ask, where nothing is wrong with it but what the engine
    /// finds; where something is, a request that stands for it.
    pub(super) fn question(self, type_name: TypeName, action: Action) -> Question {
        let token = self.request_token();
        let Parts {
            scope,
            state,
            previous_state,
            next_token,
            max_results,
            details,
        } = self.parts;
        let named = || {
            state
                .clone()
                .unwrap_or_else(|| JsonObject::from_map(&serde_json::Map::new()))
        };
        let mut request = match action {
            Action::Create => Request::create(type_name, named()),
            Action::Update => Request::update(type_name, named(), previous_state),
            Action::Delete => Request::delete(type_name, named()),
            Action::Read => {
                return Question::Read(ReadQuery {
                    type_name,
                    scope,
                    identifier: named(),
                    token,
                    details,
                });
            }
            Action::List => {
                return Question::List(ListQuery {
                    type_name,
                    scope,
                    list: ListRequest {
                        filter: state,
                        next_token,
                        max_results,
                    },
                    token,
                    details,
                });
            }
        };
        request.scope = scope;
        request.details = details;
        Question::Change(request)
    }
}

fn production(request: HandlerRequest, type_name: &TypeName) -> Asked {
    let mut unreportable = Faults::default();
    let mut faults = Faults::default();
    let action = faults.need("action", request.action);
    if let Some(named) = faults.take("resourceType", request.resource_type)
        && named != *type_name
    {
        faults.add(format!(
            "`resourceType` is {named}, and this function handles {type_name}"
        ));
    }
    let data = faults.need("requestData", request.request_data);
    // Where there is no data at all, that is all there is to say.
    let needed = action.filter(|_| data.is_some());
    let data = data.unwrap_or_default();
    let parts = Parts {
        scope: Scope {
            account: faults.take("awsAccountId", request.aws_account_id),
            region: faults.take("region", request.region),
        },
        state: faults.state(
            "requestData.resourceProperties",
            data.resource_properties,
            needed,
        ),
        previous_state: faults.take(
            "requestData.previousResourceProperties",
            data.previous_resource_properties,
        ),
        next_token: faults.take("nextToken", request.next_token),
        max_results: faults.take("maxResults", request.max_results),
        details: RequestDetails {
            stack_id: faults.take("stackId", request.stack_id),
            logical_resource_id: faults
                .take("requestData.logicalResourceId", data.logical_resource_id),
            desired_tags: faults
                .take("requestData.stackTags", data.stack_tags)
                .unwrap_or_default(),
            previous_tags: faults
                .take("requestData.previousStackTags", data.previous_stack_tags)
                .unwrap_or_default(),
            system_tags: faults
                .take("requestData.systemTags", data.system_tags)
                .unwrap_or_default(),
            previous_system_tags: faults
                .take("requestData.previousSystemTags", data.previous_system_tags)
                .unwrap_or_default(),
            type_configuration: faults
                .take("requestData.typeConfiguration", data.type_configuration),
            credentials: faults.take("requestData.callerCredentials", data.caller_credentials),
            snapshot_requested: faults.take("snapshotRequested", request.snapshot_requested),
            rollback: faults.take("rollback", request.rollback),
            driftable: faults.take("driftable", request.driftable),
            features: faults.take("features", request.features),
            update_policy: faults.take("updatePolicy", request.update_policy),
            creation_policy: faults.take("creationPolicy", request.creation_policy),
        },
    };
    Asked {
        action,
        token: unreportable.take("bearerToken", request.bearer_token),
        endpoint: unreportable.take("responseEndpoint", request.response_endpoint),
        platform_credentials: unreportable
            .take("requestData.platformCredentials", data.platform_credentials),
        callback_context: context(faults.take("callbackContext", request.callback_context)),
        unreportable,
        faults,
        parts,
    }
}

fn test(test: TestRequest) -> Asked {
    let mut unreportable = Faults::default();
    let mut faults = Faults::default();
    let action = faults.need("action", test.action);
    let request = faults.need("request", test.request);
    let needed = action.filter(|_| request.is_some());
    let request = request.unwrap_or_default();
    let outer_configuration = faults.take("typeConfiguration", test.type_configuration);
    let outer_region = faults.take("region", test.region);
    let parts = Parts {
        scope: Scope {
            account: faults.take("request.awsAccountId", request.aws_account_id),
            region: faults
                .take("request.region", request.region)
                .or(outer_region),
        },
        state: faults.state(
            "request.desiredResourceState",
            request.desired_resource_state,
            needed,
        ),
        previous_state: faults.take(
            "request.previousResourceState",
            request.previous_resource_state,
        ),
        next_token: faults.take("request.nextToken", request.next_token),
        max_results: faults.take("request.maxResults", request.max_results),
        details: RequestDetails {
            stack_id: faults.take("request.stackId", request.stack_id),
            logical_resource_id: faults.take(
                "request.logicalResourceIdentifier",
                request.logical_resource_identifier,
            ),
            desired_tags: faults
                .take("request.desiredResourceTags", request.desired_resource_tags)
                .unwrap_or_default(),
            previous_tags: faults
                .take(
                    "request.previousResourceTags",
                    request.previous_resource_tags,
                )
                .unwrap_or_default(),
            system_tags: faults
                .take("request.systemTags", request.system_tags)
                .unwrap_or_default(),
            previous_system_tags: faults
                .take("request.previousSystemTags", request.previous_system_tags)
                .unwrap_or_default(),
            type_configuration: faults
                .take("request.typeConfiguration", request.type_configuration)
                .or(outer_configuration),
            credentials: faults.take("credentials", test.credentials),
            snapshot_requested: faults
                .take("request.snapshotRequested", request.snapshot_requested),
            rollback: faults.take("request.rollback", request.rollback),
            driftable: faults.take("request.driftable", request.driftable),
            features: faults.take("request.features", request.features),
            update_policy: faults.take("request.updatePolicy", request.update_policy),
            creation_policy: faults.take("request.creationPolicy", request.creation_policy),
        },
    };
    Asked {
        action,
        token: unreportable.take("request.clientRequestToken", request.client_request_token),
        endpoint: None,
        platform_credentials: None,
        callback_context: context(faults.take("callbackContext", test.callback_context)),
        unreportable,
        faults,
        parts,
    }
}

/// What is wrong with a payload. Its text is all of it; empty if nothing is.
#[derive(Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, fault: String) {
        self.0.push(fault);
    }

    /// Takes over what is wrong with another part.
    pub(super) fn extend(&mut self, faults: Self) {
        self.0.extend(faults.0);
    }

    /// Gives a member, or none if it is absent or wrong.
    fn take<T: Wire>(&mut self, name: &str, member: Member<T>) -> Option<T> {
        match member {
            Member::Absent => None,
            Member::Given(value) => Some(value),
            Member::Wrong => {
                self.add(format!("`{name}` must be {}", T::RULE));
                None
            }
        }
    }

    /// Gives a member that must be there, or none.
    fn need<T: Wire>(&mut self, name: &str, member: Member<T>) -> Option<T> {
        if matches!(member, Member::Absent) {
            self.add(format!("`{name}` is missing: it must be {}", T::RULE));
        }
        self.take(name, member)
    }

    /// Gives the state that is asked for. Only a LIST, where it is a filter, can
    /// do without.
    fn state(
        &mut self,
        name: &str,
        member: Member<JsonObject>,
        action: Option<Action>,
    ) -> Option<JsonObject> {
        match action {
            Some(Action::Create | Action::Read | Action::Update | Action::Delete) => {
                self.need(name, member)
            }
            Some(Action::List) | None => self.take(name, member),
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}
