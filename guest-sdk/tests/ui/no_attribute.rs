use formwork_guest::{ResourceHandler, Steps};

struct Notes;

impl ResourceHandler for Notes {
    type Model = serde_json::Value;
    type Identifier = serde_json::Value;
    type CallbackContext = Steps;
}

fn main() {}
