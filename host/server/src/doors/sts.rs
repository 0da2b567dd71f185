//! The calls of STS that clients make before they do anything: Terraform asks
//! who it is, and the `cfn` command line asks for a session.
//!
//! Every caller is the account that its key belongs to, and the credentials of a
//! session are new random ones: they serve where a client needs some to sign
//! with, and open nothing; a server that knows its callers by keys denies them.

use std::time::Duration;

use formwork_host::model::{AccountId, Region};
use http::StatusCode;
use uuid::Uuid;

use super::House;
use super::constraint::{Members, ROLE_ARN, SESSION_NAME};
use super::query::{Caller, Form, Node, Refusal};

/// A call of STS that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    GetCallerIdentity,
    GetSessionToken,
    AssumeRole,
}

impl Call {
    const ALL: [Self; 3] = [
        Self::GetCallerIdentity,
        Self::GetSessionToken,
        Self::AssumeRole,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::GetSessionToken => "GetSessionToken",
            Self::AssumeRole => "AssumeRole",
        }
    }

    pub(super) fn named(action: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|call| call.name() == action)
    }
}

/// Answers a call.
pub(super) fn answer(caller: &Caller<'_>, call: Call, form: Form) -> Result<Node, Refusal> {
    let Caller { house, scope, .. } = caller;
    let account = scope.account.as_ref().unwrap_or(&house.settings.account);
    let region = scope.region.as_ref().unwrap_or(&house.settings.region);
    match call {
        Call::GetCallerIdentity => Ok(identity(account, region)),
        Call::GetSessionToken => session(house, form),
        Call::AssumeRole => assume(house, form),
    }
}

fn identity(account: &AccountId, region: &Region) -> Node {
    let partition = region.partition();
    Node::Members(vec![
        ("UserId", Node::text(account.as_str())),
        ("Account", Node::text(account.as_str())),
        (
            "Arn",
            Node::text(format!("arn:{partition}:iam::{account}:root")),
        ),
    ])
}

fn session(house: &House, mut form: Form) -> Result<Node, Refusal> {
    let mut members = Members::default();
    let duration = duration(&mut members, &mut form, 43_200, 129_600)?;
    members.end().map_err(Refusal::invalid)?;
    Ok(Node::Members(vec![(
        "Credentials",
        credentials(house, duration),
    )]))
}

fn assume(house: &House, mut form: Form) -> Result<Node, Refusal> {
    let mut members = Members::default();
    let role = members.required("roleArn", form.take("RoleArn"), &ROLE_ARN);
    let name = members.required(
        "roleSessionName",
        form.take("RoleSessionName"),
        &SESSION_NAME,
    );
    let duration = duration(&mut members, &mut form, 3_600, 43_200)?;
    members.end().map_err(Refusal::invalid)?;
    let (role, name) = role.zip(name).unwrap_or_default();
    let user = role
        .replacen(":iam:", ":sts:", 1)
        .replacen(":role/", ":assumed-role/", 1);
    let id = key("AROA");
    Ok(Node::Members(vec![
        ("Credentials", credentials(house, duration)),
        (
            "AssumedRoleUser",
            Node::Members(vec![
                ("AssumedRoleId", Node::text(format!("{id}:{name}"))),
                ("Arn", Node::text(format!("{user}/{name}"))),
            ]),
        ),
    ]))
}

/// Takes how long a session shall last, in seconds.
fn duration(
    members: &mut Members,
    form: &mut Form,
    default: u32,
    most: u32,
) -> Result<Duration, Refusal> {
    let seconds = form
        .take("DurationSeconds")
        .map(|text| text.parse::<i64>())
        .transpose()
        .map_err(|_| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "MalformedInput",
                "`DurationSeconds` must be a whole number",
            )
        })?;
    let seconds = members.number("durationSeconds", seconds, 900, most);
    Ok(Duration::from_secs(seconds.unwrap_or(default).into()))
}

/// Makes credentials that nobody has had.
fn credentials(house: &House, duration: Duration) -> Node {
    let word = || Uuid::new_v4().simple().to_string();
    Node::Members(vec![
        ("AccessKeyId", Node::Text(key("ASIA"))),
        ("SecretAccessKey", Node::Text(word() + &word()[..8])),
        ("SessionToken", Node::Text(word() + &word())),
        (
            "Expiration",
            Node::moment(house.clock.now().after(duration)),
        ),
    ])
}

/// Makes an id of twenty characters, the first four of which say what it is of.
fn key(kind: &str) -> String {
    let word = Uuid::new_v4().simple().to_string().to_ascii_uppercase();
    format!("{kind}{}", &word[..16])
}
