use formwork_guest::{Page, ListRequest, Request, ResourceHandler, Result};

struct Notes;

#[formwork_guest::resource(
    schema_inline = r#"{"typeName": "Acme", "properties": {"Name": {}}, "handlers": {}}"#,
    outgoing_hosts = ["example.com"],
    color = "red"
)]
impl ResourceHandler for Notes {
    type Model = serde_json::Value;
}

struct Others;

#[formwork_guest::resource(schema_inline = r#"{
    "typeName": "Acme::Desk::Note",
    "properties": {"Name": {}},
    "primaryIdentifier": ["/properties/Name"],
    "additionalProperties": false,
    "handlers": {"read": {"permissions": []}}
}"#)]
impl ResourceHandler for Others {
    type Model = serde_json::Value;

    fn list(_: &Request, _: ListRequest) -> Result<Page<Self::Model>> {
        Ok(Page::last(Vec::new()))
    }
}

struct Broken;

#[formwork_guest::resource(schema_inline = "{")]
impl ResourceHandler for Broken {
    type Model = serde_json::Value;
}

struct Bare;

#[formwork_guest::resource]
impl ResourceHandler for Bare {
    type Model = serde_json::Value;
}

fn main() {}
