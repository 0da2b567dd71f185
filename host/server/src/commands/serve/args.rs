//! The arguments of `formwork serve`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use formwork_host::model::Region;

use crate::grants::Grant;

const EXAMPLES: &str = "\
Examples:
  Serve a handler where the contract tests of the CloudFormation CLI look for it:
    formwork serve file.wasm --grant dir=./data
    cfn test

  Make one invocation, and accept an operation to be run and reported:
    aws lambda invoke --endpoint-url http://127.0.0.1:3001 --no-sign-request \\
      --function-name TypeFunction --payload fileb://request.json answer.json
    aws lambda invoke ... --invocation-type Event

  Create a resource, as with AWS's Cloud Control API:
    export AWS_ENDPOINT_URL=http://127.0.0.1:3001
    aws cloudcontrol create-resource --type-name Acme::Storage::File \\
      --desired-state '{\"Name\":\"a\"}'

  Complete an operation whose work is finished elsewhere:
    aws cloudformation record-handler-progress --endpoint-url http://127.0.0.1:3001 \\
      --bearer-token T --operation-status SUCCESS --resource-model '{\"Name\":\"a\"}'";

const STOPPING: &str = "\
Ctrl-C:
  No more requests are taken, and running invocations are waited for; with
  --data, operations go on when the directory is served again. A second Ctrl-C
  leaves at once, as a crash would.

Exit status:
  0    stopped, and nothing was left running
  2    could not serve: wrong arguments, a component that cannot be loaded, an
       address or a data directory that is in use
  130  stopped by a second Ctrl-C, or before a running invocation had answered";

/// Serves handlers over HTTP, as Cloud Control, CloudFormation and Lambda do
///
/// `POST /` takes the calls of the Cloud Control API, those of CloudFormation's
/// registry and of STS that its clients need, and RecordHandlerProgress for
/// operations of this server. The region of a resource is the one that its
/// request is signed for, else us-east-1; the account is 000000000000.
///
/// `POST /2015-03-31/functions/NAME/invocations` invokes a handler. NAME is a
/// resource type name such as `Acme::Storage::File`, or `Acme-Storage-File`, or
/// `TypeFunction` where one type is served. A `RequestResponse` is one
/// invocation, answered by its progress event; an `Event` is a whole operation,
/// run here and reported by RecordHandlerProgress.
#[derive(Debug, Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{STOPPING}\n\n{}", super::super::ENVIRONMENT))]
pub(in crate::commands) struct ServeArgs {
    /// The handlers: `.wasm` components, each of another resource type
    #[arg(required = true, value_name = "COMPONENT")]
    pub(super) components: Vec<PathBuf>,

    /// Where to listen; port 0 is any free port
    ///
    /// A loopback address: this version knows no callers apart, so that whoever
    /// reaches it may do all that the handlers are granted.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:3001",
        value_parser = address
    )]
    pub(super) listen: SocketAddr,

    /// Keeps operations in this directory, made if it is missing
    ///
    /// Unfinished operations in it go on. Without it, operations are lost with
    /// the process.
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,

    /// Lets the handlers reach something; can be given several times
    ///
    /// `dir=PATH` is a directory, to read and write; `dir=PATH:ro` only to
    /// read. A handler sees it as `/` and the last name of PATH, and the first
    /// one as `/` too. `credentials` passes on the caller's credentials of each
    /// request. Without any, a handler reaches nothing.
    #[arg(long = "grant", value_name = "GRANT")]
    pub(super) grants: Vec<Grant>,

    /// Fails a success that breaks the handler contract, in place of warning
    #[arg(long)]
    pub(super) strict: bool,

    /// Reports operations whose request names no endpoint to this one
    ///
    /// Signed with the credentials of the request, or else with those that the
    /// AWS tools would use.
    #[arg(long, value_name = "URL", help_heading = "Reports")]
    pub(super) report_endpoint: Option<String>,

    /// Signs reports of operations whose request names no region for this one
    #[arg(
        long,
        value_name = "REGION",
        default_value = "us-east-1",
        help_heading = "Reports"
    )]
    pub(super) report_region: Region,
}

/// Reads where to listen.
fn address(text: &str) -> Result<SocketAddr, String> {
    let address = match text.strip_prefix("localhost:") {
        Some(port) => port
            .parse()
            .ok()
            .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        None => text.parse().ok(),
    };
    let address: SocketAddr =
        address.ok_or("it must be an address and a port, such as `127.0.0.1:3001`")?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(
            "it is no loopback address, and this version knows no callers apart: whoever reached \
             it could do all that the handlers are granted; listen on `127.0.0.1` and put a proxy \
             that authenticates in front of it"
                .to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loopback_address_is_listened_on() {
        for (text, good) in [
            ("127.0.0.1:3001", true),
            ("127.8.8.8:0", true),
            ("[::1]:3001", true),
            ("localhost:3001", true),
            ("0.0.0.0:3001", false),
            ("[::]:3001", false),
            ("192.168.0.1:3001", false),
            ("127.0.0.1", false),
            ("3001", false),
            ("localhost:x", false),
            ("example.com:3001", false),
            ("", false),
        ] {
            assert_eq!(address(text).is_ok(), good, "{text}");
        }
    }
}
