//! `Formwork::Tests::Hostile`: a guest that attacks its host as its desired state
//! says, and tells what it found.
//!
//! `Do` holds attacks, `VERB ARGUMENT`, made one after the other; `Found` has what
//! came of each. The first verbs do not end by themselves.
//!
//! | attack | |
//! | --- | --- |
//! | `loop`, `call-clock`, `call-yield`, `call-log` | computes, or calls into the host, for ever |
//! | `sleep` | waits for ever |
//! | `fill` | fills its memory over and over with single instructions |
//! | `recurse-calling` | recurses and calls into the host at each depth |
//! | `hog` | takes memory until there is none, and aborts |
//! | `touch MEBIBYTES` | takes so much and uses all of it |
//! | `pollables N`, `fields N`, `streams N` | takes handles and keeps them |
//! | `poll N`, `poll-none` | waits for so many things at once |
//! | `forge N`, `drop-twice` | uses a handle that it was not given |
//! | `full-fields N` | keeps so many sets of fields that are as large as one may be |
//! | `random BYTES`, `fields-bytes BYTES` | asks the host for so much at once |
//! | `log-line BYTES`, `log-lines N`, `stderr BYTES` | says so much |
//! | `answer BYTES` | answers so much |
//! | `exit STATUS` | ends its process, which it does not have |
//! | `surroundings` | tells all that it can see unasked |
//! | `socket`, `look-up NAME` | reaches for the network without HTTP |
//! | `request METHOD SCHEME AUTHORITY PATH [NAME=VALUE…]` | see `requests` |
//! | `begin N BYTES`, `bodies N`, `ask N BYTES` | see `requests` |
//! | `read PATH`, `write PATH`, … | see `files` |

mod files;
mod flood;
mod requests;
mod spin;

use formwork_guest::{DeleteEvent, ProgressEvent, Request, ResourceHandler, Result, Steps};

/// The model.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attack {
    name: String,
    #[serde(default, rename = "Do", skip_serializing_if = "Vec::is_empty")]
    attacks: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    found: Vec<String>,
}

/// The guest.
#[derive(Debug)]
pub struct Hostile;

#[formwork_guest::resource(
    schema = "schema.json",
    outgoing_hosts = ["http://*:*", "https://*:*"]
)]
impl ResourceHandler for Hostile {
    type Model = Attack;

    fn create(_: &Request, mut desired: Attack, _: Steps) -> Result<ProgressEvent<Attack>> {
        desired.found = desired.attacks.iter().map(|attack| found(attack)).collect();
        Ok(ProgressEvent::success(desired))
    }

    fn read(_: &Request, found: Attack) -> Result<Attack> {
        Ok(found)
    }

    fn delete(_: &Request, _: Attack, _: Steps) -> Result<DeleteEvent<Attack>> {
        Ok(DeleteEvent::deleted())
    }
}

fn found(attack: &str) -> String {
    let (verb, argument) = attack.split_once(' ').unwrap_or((attack, ""));
    None.or_else(|| spin::attack(verb, argument))
        .or_else(|| flood::attack(verb, argument))
        .or_else(|| requests::attack(verb, argument))
        .or_else(|| files::attack(verb, argument))
        .unwrap_or_else(|| panic!("there is no attack {verb:?}"))
}
