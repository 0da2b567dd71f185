//! The calls of STS that clients make before they do anything: Terraform asks
//! who it is, and the `cfn` command line asks for a session.
//!
//! Every caller is the account that its key belongs to, and a session may do what
//! its caller may, whatever role it takes: this server knows no roles. One that a
//! session asks for ends with that one.

use std::time::Duration;

use formwork_host::model::{AccountId, Region};
use http::StatusCode;
use uuid::Uuid;

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
        // As AWS: else a session could be made to last for ever.
        Call::GetSessionToken if caller.identity.is_session() => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            "Cannot call GetSessionToken with session credentials",
        )),
        Call::GetSessionToken => session(caller, form),
        Call::AssumeRole => assume(caller, form),
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

fn session(caller: &Caller<'_>, mut form: Form) -> Result<Node, Refusal> {
    let mut members = Members::default();
    let duration = duration(&mut members, &mut form, 43_200, 129_600)?;
    members.end().map_err(Refusal::invalid)?;
    Ok(Node::Members(vec![(
        "Credentials",
        credentials(caller, duration),
    )]))
}

fn assume(caller: &Caller<'_>, mut form: Form) -> Result<Node, Refusal> {
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
    let id = format!(
        "AROA{}",
        &Uuid::new_v4().simple().to_string().to_ascii_uppercase()[..16]
    );
    Ok(Node::Members(vec![
        ("Credentials", credentials(caller, duration)),
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

/// Begins a session.
fn credentials(caller: &Caller<'_>, duration: Duration) -> Node {
    let house = caller.house;
    let until = house.clock.now().after(duration);
    let session = house.access.begin(&caller.identity, until);
    Node::Members(vec![
        ("AccessKeyId", Node::Text(session.id)),
        ("SecretAccessKey", Node::Text(session.secret.0)),
        ("SessionToken", Node::Text(session.token.0)),
        ("Expiration", Node::moment(session.until)),
    ])
}
