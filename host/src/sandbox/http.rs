//! Outgoing HTTP: each request is refused, since there is no grant for it yet.
//!
//! The interfaces are linked all the same, since runtimes of languages import
//! them whether or not a handler uses them.

use http::{Request, Response};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

type Transmission = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Box<dyn Future<Output = Result<(Response<WasiBody>, Transmission), Error>> + Send>;

/// Refuses every request.
pub(super) struct Refuse;

impl WasiHttpHooks for Refuse {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _transmission: Transmission,
    ) -> Answer {
        // The path and the query may hold secrets, the origin does not.
        let uri = request.uri();
        let refusal = format!(
            "{} {}://{} is refused: this version of the host grants no outgoing HTTP",
            request.method(),
            uri.scheme_str().unwrap_or("https"),
            uri.authority().map_or("", |authority| authority.as_str()),
        );
        Box::new(async move { Err(Error::InternalError(Some(refusal))) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_names_the_request_and_promises_no_setting() {
        let request = Request::get("https://api.example.com/v1?key=s3cr3t")
            .body(WasiBody::default())
            .expect("a request");
        let answer = Refuse.send_request(request, None, Box::new(async { Ok(()) }));
        let refusal = Box::into_pin(answer)
            .await
            .map(|_| ())
            .expect_err("refused")
            .to_string();
        assert!(
            refusal.contains("GET https://api.example.com is refused"),
            "{refusal}"
        );
        assert!(
            refusal.contains("grants no outgoing HTTP") && !refusal.contains("s3cr3t"),
            "{refusal}"
        );
    }
}
