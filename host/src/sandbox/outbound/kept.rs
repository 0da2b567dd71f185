//! What the host keeps of requests that a guest has begun: their fields, methods,
//! authorities, paths and bodies, until they are sent.
//!
//! *Invariant*: whatever makes that more passes through here, and all of it is
//! summed over all handles of the guest.

use wasmtime::StoreContextMut;
use wasmtime::component::{
    ComponentNamedList, ComponentType, Lift, LinkerInstance, Lower, Resource, ResourceTable,
};
use wasmtime_wasi_http::p2::bindings::http::types::{
    self, Host as _, HostFields, HostOutgoingRequest as _, Method, Scheme,
};
use wasmtime_wasi_http::p2::body::HostOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostOutgoingRequest, HostOutgoingResponse};
use wasmtime_wasi_http::p2::{HeaderError, HeaderResult};
use wasmtime_wasi_http::{FieldMap, WasiHttpCtxView, WasiHttpView as _};

use super::exchange::Outgoing;
use crate::sandbox::wasi::State;

/// How much of the body of a request the host keeps until it is sent, twice over.
pub(super) const BODY_CHUNK: usize = 64 * 1024;

/// What a field takes besides its name and its value.
const FIELD: usize = 160;

type Fields = Resource<FieldMap>;
type Request = Resource<HostOutgoingRequest>;
type Response = Resource<HostOutgoingResponse>;

impl Outgoing {
    /// Tells whether a guest may have the host keep what `table` holds.
    pub(in crate::sandbox) fn may_keep(&self, table: &mut ResourceTable) -> bool {
        kept(table) <= self.limits().http_kept_bytes
    }
}

/// Sums what the host keeps, in bytes.
fn kept(table: &mut ResourceTable) -> usize {
    let entries = table.iter_mut().map(|entry| {
        if let Some(map) = entry.downcast_ref() {
            fields(map)
        } else if let Some(request) = entry.downcast_ref() {
            whole_request(request)
        } else if let Some(HostOutgoingResponse { headers, body, .. }) = entry.downcast_ref() {
            fields(headers) + body.as_ref().map_or(0, |_| 2 * BODY_CHUNK)
        } else {
            0
        }
    });
    entries.sum()
}

fn whole_request(request: &HostOutgoingRequest) -> usize {
    let HostOutgoingRequest {
        method,
        scheme,
        authority,
        path_with_query,
        headers,
        body,
    } = request;
    let method = match method {
        Method::Other(name) => name.len(),
        _ => 0,
    };
    let scheme = match scheme {
        Some(Scheme::Other(name)) => name.len(),
        _ => 0,
    };
    let texts = [authority, path_with_query];
    let texts: usize = texts
        .iter()
        .filter_map(|text| text.as_ref())
        .map(String::len)
        .sum();
    let body = body.as_ref().map_or(0, |_| 2 * BODY_CHUNK);
    method + scheme + texts + fields(headers) + body
}

fn fields(map: &FieldMap) -> usize {
    map.iter()
        .map(|(name, value)| FIELD + name.as_str().len() + value.len())
        .sum()
}

/// Links the functions by which a guest has the host keep more, in place of the
/// library's, which bound each handle by itself or not at all.
pub(super) fn add_to_linker(types: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    hold(
        types,
        "[static]fields.from-list",
        |http, (entries,): (Vec<(String, Vec<u8>)>,)| {
            let made = http.from_list(entries);
            answered(http, made)
        },
    )?;
    hold(
        types,
        "[method]fields.clone",
        |http, (fields,): (Fields,)| HostFields::clone(http, fields),
    )?;
    hold(
        types,
        "[method]fields.append",
        |http, (fields, name, value): (Fields, String, Vec<u8>)| {
            let done = http.append(fields, name, value);
            answered(http, done)
        },
    )?;
    hold(
        types,
        "[method]fields.set",
        |http, (fields, name, values): (Fields, String, Vec<Vec<u8>>)| {
            let done = http.set(fields, name, values);
            answered(http, done)
        },
    )?;
    hold(
        types,
        "[method]outgoing-request.set-method",
        |http, (request, method): (Request, Method)| http.set_method(request, method),
    )?;
    hold(
        types,
        "[method]outgoing-request.set-scheme",
        |http, (request, scheme): (Request, Option<Scheme>)| http.set_scheme(request, scheme),
    )?;
    hold(
        types,
        "[method]outgoing-request.set-authority",
        |http, (request, authority): (Request, Option<String>)| {
            http.set_authority(request, authority)
        },
    )?;
    hold(
        types,
        "[constructor]outgoing-request",
        |http, (fields,): (Fields,)| {
            let request = types::HostOutgoingRequest::new(http, fields)?;
            // The library has a request without a path fail, and the log say so each time.
            http.table.get_mut(&request)?.path_with_query = Some("/".to_owned());
            Ok(request)
        },
    )?;
    hold(
        types,
        "[method]outgoing-request.set-path-with-query",
        |http, (request, path): (Request, Option<String>)| {
            let path = path.unwrap_or_else(|| "/".to_owned());
            http.set_path_with_query(request, Some(path))
        },
    )?;
    hold(
        types,
        "[method]outgoing-request.body",
        |http, (request,): (Request,)| types::HostOutgoingRequest::body(http, request),
    )?;
    types.func_wrap(
        "[static]outgoing-body.finish",
        |mut store: StoreContextMut<'_, State>,
         (body, trailers): (Resource<HostOutgoingBody>, Option<Fields>)| {
            let mut http = store.data_mut().http();
            // They are never sent, so they are not kept until then either.
            if let Some(trailers) = trailers {
                http.table.delete(trailers)?;
            }
            let finished = types::HostOutgoingBody::finish(&mut http, body, None);
            let finished = finished
                .map(Ok)
                .or_else(|error| http.convert_error_code(error).map(Err))?;
            Ok((finished,))
        },
    )?;
    hold(
        types,
        "[method]outgoing-response.body",
        |http, (response,): (Response,)| types::HostOutgoingResponse::body(http, response),
    )
}

/// Links a function of the library, behind which the sum is looked at.
fn hold<P, A>(
    types: &mut LinkerInstance<'_, State>,
    name: &str,
    call: fn(&mut WasiHttpCtxView<'_>, P) -> wasmtime::Result<A>,
) -> wasmtime::Result<()>
where
    P: ComponentNamedList + Lift + 'static,
    A: ComponentType + Lower + 'static,
{
    types.func_wrap(
        name,
        move |mut store: StoreContextMut<'_, State>, parameters: P| {
            let state = store.data_mut();
            let answer = call(&mut state.http(), parameters)?;
            state.hold_requests()?;
            Ok((answer,))
        },
    )
}

/// Puts an error as the guest is given it, or as the trap that it is.
fn answered<T>(
    http: &mut WasiHttpCtxView<'_>,
    answer: HeaderResult<T>,
) -> wasmtime::Result<Result<T, types::HeaderError>> {
    answer
        .map(Ok)
        .or_else(|error: HeaderError| http.convert_header_error(error).map(Err))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::sandbox::Limits;
    use crate::sandbox::outbound::{HttpGrants, OnBehalf};

    fn request(method: &str, path: &str) -> HostOutgoingRequest {
        HostOutgoingRequest {
            method: Method::Other(method.to_owned()),
            scheme: None,
            authority: None,
            path_with_query: Some(path.to_owned()),
            headers: FieldMap::default(),
            body: None,
        }
    }

    fn field(bytes: usize) -> FieldMap {
        let mut map = FieldMap::new_mutable(usize::MAX);
        let value = HeaderValue::from_bytes(&vec![b'x'; bytes]).expect("a value");
        map.append_raw(HeaderName::from_static("x-a"), value)
            .expect("room");
        map
    }

    #[test]
    fn what_is_kept_is_summed_over_all_handles() {
        const MIB: usize = 1 << 20;
        let (grants, limits) = (HttpGrants::default(), Limits::default());
        let outgoing = Outgoing::new(None, &grants, &limits, None, OnBehalf::default());
        let mut table = ResourceTable::new();
        for _ in 0..3 {
            table
                .push(request(&"A".repeat(MIB), &"/".repeat(MIB)))
                .expect("room");
        }
        table.push(field(MIB)).expect("room");
        assert!(outgoing.may_keep(&mut table), "7 of 8 MiB");
        let last = table.push(HostOutgoingRequest {
            headers: field(MIB),
            ..request("A", "/")
        });
        assert!(
            !outgoing.may_keep(&mut table),
            "8 MiB and what fields take besides"
        );
        drop(table.delete(last.expect("room")).expect("it is there"));
        assert!(
            outgoing.may_keep(&mut table),
            "what is given back is kept no more"
        );
    }
}
