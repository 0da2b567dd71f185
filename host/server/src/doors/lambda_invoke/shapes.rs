//! What CloudFormation sends to a handler function, and the tools in its place.
//!
//! Nothing here fails: a member of the wrong kind is kept as such, for
//! `convert` to say. Members that are unknown are passed over, as by every
//! official wrapper; one that is null counts as absent.

use std::collections::BTreeMap;

use formwork_host::model::{
    AccountId, Action, BearerToken, Credentials, JsonObject, Region, TypeName,
};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The payload of an invocation, in either of its forms.
pub(super) enum Payload {
    /// What CloudFormation sends, and `cfn test` and `cfn invoke`.
    Production(Box<HandlerRequest>),
    /// What `sam local invoke TestEntrypoint` is given.
    Test(Box<TestRequest>),
}

impl Payload {
    /// Reads a payload. The forms differ in where the states are.
    pub(super) fn read(payload: &JsonObject) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Form {
            request: Option<IgnoredAny>,
            request_data: Option<IgnoredAny>,
        }
        let text = payload.as_str();
        let form: Form = object(text).unwrap_or_default();
        match (form.request, form.request_data) {
            (Some(_), None) => Self::Test(object(text).unwrap_or_default()),
            (_, Some(_)) | (None, None) => Self::Production(object(text).unwrap_or_default()),
        }
    }
}

/// The envelope of the second protocol version; of the first it has what
/// reports need.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct HandlerRequest {
    pub(super) action: Member<Action>,
    pub(super) aws_account_id: Member<AccountId>,
    pub(super) bearer_token: Member<BearerToken>,
    pub(super) region: Member<Region>,
    pub(super) resource_type: Member<TypeName>,
    pub(super) request_data: Member<RequestData>,
    pub(super) stack_id: Member<String>,
    pub(super) callback_context: Member<JsonObject>,
    pub(super) next_token: Member<String>,
    pub(super) max_results: Member<u32>,
    pub(super) response_endpoint: Member<String>,
    pub(super) snapshot_requested: Member<bool>,
    pub(super) rollback: Member<bool>,
    pub(super) driftable: Member<bool>,
    pub(super) features: Member<JsonObject>,
    pub(super) update_policy: Member<JsonObject>,
    pub(super) creation_policy: Member<JsonObject>,
}

/// What the envelope wraps.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RequestData {
    pub(super) caller_credentials: Member<Credentials>,
    pub(super) platform_credentials: Member<Credentials>,
    pub(super) logical_resource_id: Member<String>,
    pub(super) resource_properties: Member<JsonObject>,
    pub(super) previous_resource_properties: Member<JsonObject>,
    pub(super) stack_tags: Member<BTreeMap<String, String>>,
    pub(super) previous_stack_tags: Member<BTreeMap<String, String>>,
    pub(super) system_tags: Member<BTreeMap<String, String>>,
    pub(super) previous_system_tags: Member<BTreeMap<String, String>>,
    pub(super) type_configuration: Member<JsonObject>,
}

/// What a test entry point is given.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TestRequest {
    pub(super) credentials: Member<Credentials>,
    pub(super) action: Member<Action>,
    pub(super) request: Member<ResourceHandlerRequest>,
    pub(super) callback_context: Member<JsonObject>,
    pub(super) region: Member<Region>,
    pub(super) type_configuration: Member<JsonObject>,
}

/// The request in the words of the handler function.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ResourceHandlerRequest {
    pub(super) client_request_token: Member<BearerToken>,
    pub(super) desired_resource_state: Member<JsonObject>,
    pub(super) previous_resource_state: Member<JsonObject>,
    pub(super) logical_resource_identifier: Member<String>,
    pub(super) next_token: Member<String>,
    pub(super) max_results: Member<u32>,
    pub(super) desired_resource_tags: Member<BTreeMap<String, String>>,
    pub(super) previous_resource_tags: Member<BTreeMap<String, String>>,
    pub(super) system_tags: Member<BTreeMap<String, String>>,
    pub(super) previous_system_tags: Member<BTreeMap<String, String>>,
    pub(super) aws_account_id: Member<AccountId>,
    pub(super) stack_id: Member<String>,
    pub(super) region: Member<Region>,
    pub(super) type_configuration: Member<JsonObject>,
    pub(super) snapshot_requested: Member<bool>,
    pub(super) rollback: Member<bool>,
    pub(super) driftable: Member<bool>,
    pub(super) features: Member<JsonObject>,
    pub(super) update_policy: Member<JsonObject>,
    pub(super) creation_policy: Member<JsonObject>,
}

/// A payload that is compressed, left from the first protocol version, which
/// had to fit events of 8 KiB.
#[derive(Default, Deserialize)]
pub(super) struct Compressed {
    #[serde(rename = "__COMPRESSED__", default)]
    pub(super) payload: Member<String>,
    #[serde(rename = "__COMPRESSION_METHOD__", default)]
    pub(super) method: Member<String>,
}

impl Compressed {
    /// Reads the envelope of a compressed payload, if it is one.
    pub(super) fn read(payload: &JsonObject) -> Option<Self> {
        let envelope: Self = object(payload.as_str())?;
        match envelope.payload {
            Member::Absent => None,
            Member::Given(_) | Member::Wrong => Some(envelope),
        }
    }
}

/// A member of an object.
#[derive(Default)]
pub(super) enum Member<T> {
    /// It is not there, or null.
    #[default]
    Absent,
    /// It is as it must be.
    Given(T),
    /// It is there and breaks [`Wire::RULE`].
    Wrong,
}

impl<'de, T: Wire> Deserialize<'de> for Member<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Option::<Box<RawValue>>::deserialize(deserializer)?;
        Ok(raw.map_or(Self::Absent, |raw| {
            T::read(raw.get()).map_or(Self::Wrong, Self::Given)
        }))
    }
}

/// What a member can be.
pub(super) trait Wire: Sized {
    /// What it must be, to follow "it must be".
    const RULE: &'static str;

    /// Reads the JSON text of a value that is not null; none if it breaks the rule.
    fn read(json: &str) -> Option<Self>;
}

impl Wire for String {
    const RULE: &'static str = "a string";

    fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

impl Wire for bool {
    const RULE: &'static str = "true or false";

    fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

impl Wire for u32 {
    const RULE: &'static str = "a whole number from 0 to 4294967295";

    fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

impl Wire for JsonObject {
    const RULE: &'static str = "a JSON object";

    fn read(json: &str) -> Option<Self> {
        Self::parse(json).ok()
    }
}

impl Wire for BTreeMap<String, String> {
    const RULE: &'static str = "a JSON object of strings";

    fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

impl Wire for Action {
    const RULE: &'static str = "one of CREATE, READ, UPDATE, DELETE and LIST";

    fn read(json: &str) -> Option<Self> {
        let text = String::read(json)?;
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

impl Wire for TypeName {
    const RULE: &'static str =
        "a resource type name, three parts of 2 to 64 letters and digits joined by `::`";

    fn read(json: &str) -> Option<Self> {
        String::read(json)?.parse().ok()
    }
}

impl Wire for AccountId {
    const RULE: &'static str = "a string of 12 digits";

    fn read(json: &str) -> Option<Self> {
        String::read(json)?.parse().ok()
    }
}

impl Wire for Region {
    const RULE: &'static str = "the name of a region, such as `eu-central-1`";

    fn read(json: &str) -> Option<Self> {
        String::read(json)?.parse().ok()
    }
}

impl Wire for BearerToken {
    const RULE: &'static str = "a string of 1 to 128 characters";

    fn read(json: &str) -> Option<Self> {
        String::read(json)?.parse().ok()
    }
}

impl Wire for Credentials {
    const RULE: &'static str = "a JSON object with the strings `accessKeyId` and \
         `secretAccessKey`, and `sessionToken` if there is one";

    fn read(json: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shape {
            access_key_id: String,
            secret_access_key: String,
            session_token: Option<String>,
        }
        let shape: Shape = object(json)?;
        Some(Self {
            access_key_id: shape.access_key_id,
            secret_access_key: shape.secret_access_key,
            session_token: shape.session_token,
        })
    }
}

impl Wire for RequestData {
    const RULE: &'static str = "a JSON object";

    fn read(json: &str) -> Option<Self> {
        object(json)
    }
}

impl Wire for ResourceHandlerRequest {
    const RULE: &'static str = "a JSON object";

    fn read(json: &str) -> Option<Self> {
        object(json)
    }
}

/// Reads a JSON object. Where a struct is asked for, the library would take an
/// array as well.
fn object<T: DeserializeOwned>(json: &str) -> Option<T> {
    json.trim_start()
        .starts_with('{')
        .then(|| serde_json::from_str(json).ok())
        .flatten()
}
