//! What accompanies an invocation, unless a test says otherwise.

use crate::bindings::formwork::handler::types as wit;

/// Makes a request of an account and a region, outside of a stack.
pub(super) fn request(type_name: String) -> wit::Request {
    wit::Request {
        client_request_token: String::new(),
        type_name,
        start_time: 0,
        deadline: 0,
        invocation: 1,
        attempt: 1,
        region: Some("us-east-1".to_owned()),
        account_id: Some("123456789012".to_owned()),
        partition: Some("aws".to_owned()),
        stack_id: None,
        logical_resource_id: None,
        desired_tags: Vec::new(),
        previous_tags: Vec::new(),
        system_tags: Vec::new(),
        previous_system_tags: Vec::new(),
        type_configuration: None,
        credentials: None,
        snapshot_requested: None,
        rollback: None,
        driftable: None,
        features: None,
        update_policy: None,
        creation_policy: None,
    }
}
