//! From the bytes of a payload to one JSON object.

use std::error::Error as _;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::bufread::GzDecoder;
use formwork_host::model::JsonObject;

use super::refusal::Refusal;
use super::shapes::{Compressed, Member};

/// Reads a payload, and the one in it if it is compressed. Neither may have
/// more than `limit` bytes.
pub(super) fn open(body: &[u8], limit: usize) -> Result<JsonObject, Refusal> {
    let payload = parse(body)?;
    match Compressed::read(&payload) {
        Some(envelope) => parse(&decompress(envelope, limit)?),
        None => Ok(payload),
    }
}

/// Gives how many bytes the payload in a body has at most: a short body can be
/// compressed, and that is known only by its word for that.
pub(super) fn largest(body: &[u8], limit: usize) -> usize {
    const WORD: &[u8] = b"__COMPRESSED__";
    if body.windows(WORD.len()).any(|bytes| bytes == WORD) {
        limit
    } else {
        body.len()
    }
}

fn parse(bytes: &[u8]) -> Result<JsonObject, Refusal> {
    let text = str::from_utf8(bytes)
        .map_err(|error| Refusal::Content(format!("it is not UTF-8: {error}")))?;
    JsonObject::parse(text).map_err(|error| {
        let place = error.source().map(|source| format!(": {source}"));
        Refusal::Content(format!("{error}{}", place.unwrap_or_default()))
    })
}

fn decompress(envelope: Compressed, limit: usize) -> Result<Vec<u8>, Refusal> {
    let wrong = |what: &str| Refusal::Content(what.to_owned());
    match envelope.method {
        Member::Given(method) if method == "gzip_base64" => {}
        Member::Given(_) | Member::Absent | Member::Wrong => {
            return Err(wrong("`__COMPRESSION_METHOD__` must be `gzip_base64`"));
        }
    }
    let Member::Given(text) = envelope.payload else {
        return Err(wrong("`__COMPRESSED__` must be a string"));
    };
    let compressed = STANDARD
        .decode(text)
        .map_err(|_| wrong("`__COMPRESSED__` must be base64"))?;
    let mut payload = Vec::new();
    // One byte more than is allowed tells whether there is more.
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut decoder = GzDecoder::new(compressed.as_slice());
    (&mut decoder)
        .take(bound)
        .read_to_end(&mut payload)
        .map_err(|_| wrong("`__COMPRESSED__` must be the base64 of a gzip stream"))?;
    if payload.len() > limit {
        return Err(Refusal::TooLarge {
            limit,
            what: "a decompressed payload",
        });
    }
    // Nobody sends more than one member, and thousands of empty ones cost much.
    if !decoder.into_inner().is_empty() {
        return Err(wrong(
            "`__COMPRESSED__` must be one gzip member with nothing after it",
        ));
    }
    Ok(payload)
}
