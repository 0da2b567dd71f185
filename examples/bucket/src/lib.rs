//! `Formwork::Examples::Bucket`: a bucket of Amazon S3, over requests that the host
//! signs.
//!
//! A bucket that is made gets a tag with the client request token, so that a create
//! that is repeated finds its own; no answer shows it. Between the look whether a
//! bucket is there and the making of it the invocation ends, so that what is ours
//! afterwards was made by this operation, tag or not.

use std::collections::BTreeMap;

use formwork_guest::{
    Chain, DeleteEvent, ErrorCode, HandlerError, ListRequest, Page, ProgressEvent, Request,
    ResourceHandler, Result, Steps,
};
use quick_xml::escape::escape;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The tag that says which request has made a bucket.
const MADE_BY: &str = "formwork:client-request-token";

/// The region whose buckets name no region.
const FIRST_REGION: &str = "us-east-1";

/// The properties of the schema.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Model {
    name: String,
    versioning: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
    arn: Option<String>,
}

/// One tag.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    key: String,
    value: String,
}

/// The handler.
#[derive(Debug)]
pub struct Bucket;

#[formwork_guest::resource(
    schema = "schema.json",
    outgoing_hosts = [
        "https://*.amazonaws.com",
        "https://*.amazonaws.com.cn",
        "http://127.0.0.1:*",
        "http://localhost:*",
    ]
)]
impl ResourceHandler for Bucket {
    type Model = Model;

    fn create(request: &Request, desired: Model, steps: Steps) -> Result<ProgressEvent<Model>> {
        let s3 = S3::of(request)?;
        Chain::run(request, desired, steps, |chain| {
            let is_free = chain.call("look", |bucket| s3.is_free(bucket, request))?;
            chain.checkpoint("looked", "the name is free")?;
            let bucket = &mut chain.model;
            match s3.make(&bucket.name) {
                Err(error) if is_free && error.says("BucketAlreadyOwnedByYou") => {}
                made => made?,
            }
            request.created(bucket);
            let made_by = request.client_request_token.as_str();
            s3.set_tags(bucket, Some(made_by), request)?;
            s3.set_versioning(bucket)?;
            *bucket = s3.read(&bucket.name, request)?;
            Ok(())
        })
    }

    fn read(request: &Request, identifier: Model) -> Result<Model> {
        S3::of(request)?.read(&identifier.name, request)
    }

    fn update(
        request: &Request,
        desired: Model,
        _: Option<Model>,
        _: Steps,
    ) -> Result<ProgressEvent<Model>> {
        let s3 = S3::of(request)?;
        let tags = s3.tags(&desired.name)?;
        s3.set_tags(&desired, tags.get(MADE_BY).map(String::as_str), request)?;
        s3.set_versioning(&desired)?;
        Ok(ProgressEvent::success(s3.read(&desired.name, request)?))
    }

    fn delete(request: &Request, identifier: Model, _: Steps) -> Result<DeleteEvent<Model>> {
        let s3 = S3::of(request)?;
        s3.ask("DELETE", &format!("/{}", identifier.name), None)?;
        Ok(DeleteEvent::deleted())
    }

    fn list(request: &Request, page: ListRequest) -> Result<Page<Model>> {
        let names = S3::of(request)?.names()?;
        page.page(names, |name| {
            Ok(Some(Model {
                name: name.to_owned(),
                ..Model::default()
            }))
        })
    }
}

/// The configuration of the type.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Settings {
    endpoint: Option<String>,
}

/// S3 in one region, by its REST API.
struct S3 {
    endpoint: String,
    region: String,
}

impl S3 {
    fn of(request: &Request) -> Result<Self> {
        let settings: Settings = request.type_configuration_or_default()?;
        let region = request.region.as_deref().unwrap_or(FIRST_REGION);
        let domain = if region.starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        Ok(Self {
            endpoint: settings
                .endpoint
                .unwrap_or_else(|| format!("https://s3.{region}.{domain}")),
            region: region.to_owned(),
        })
    }

    /// Looks whether a bucket can be made, or was made for the same request, and
    /// fails if it is another's. Gives whether that can be told at all: who may not
    /// see the tags of a bucket learns it when they make it.
    fn is_free(&self, bucket: &Model, request: &Request) -> Result<bool> {
        // What S3 keeps for itself; some that speak its protocol take it.
        let name = bucket.name.as_str();
        if name.starts_with("xn--") || name.starts_with("sthree-") || name.ends_with("-s3alias") {
            return Err(HandlerError::invalid_request(format!(
                "Name is {name:?}, which S3 keeps for itself; take another beginning and end"
            )));
        }
        match self.tags(&bucket.name) {
            Err(error) if error.says("NoSuchBucket") => Ok(true),
            Err(error) if error.code == ErrorCode::AccessDenied => Ok(false),
            Ok(tags) if tags.get(MADE_BY) == Some(&request.client_request_token) => Ok(true),
            Ok(_) => Err(HandlerError::already_exists(format!(
                "there is a bucket named {} already",
                bucket.name
            ))),
            Err(error) => Err(error.into()),
        }
    }

    fn make(&self, name: &str) -> Result<(), Failure> {
        let configuration = (self.region != FIRST_REGION).then(|| {
            format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
                escape(self.region.as_str())
            )
        });
        self.ask("PUT", &format!("/{name}"), configuration)?;
        Ok(())
    }

    fn read(&self, name: &str, request: &Request) -> Result<Model> {
        let tags = self.tags(name)?;
        let versioning: Versioning = self.get(&format!("/{name}?versioning"))?;
        let partition = request.partition.as_deref().unwrap_or("aws");
        Ok(Model {
            name: name.to_owned(),
            versioning: Some(versioning.status.unwrap_or_else(|| "Suspended".to_owned())),
            tags: tags
                .into_iter()
                .filter(|(key, _)| key != MADE_BY)
                .map(|(key, value)| Tag { key, value })
                .collect(),
            arn: Some(format!("arn:{partition}:s3:::{name}")),
        })
    }

    /// Gives the tags of a bucket, that of its maker among them.
    fn tags(&self, name: &str) -> Result<BTreeMap<String, String>, Failure> {
        let tagging: Tagging = match self.get(&format!("/{name}?tagging")) {
            Err(failure) if failure.says("NoSuchTagSet") => Tagging::default(),
            tagging => tagging?,
        };
        let tags = tagging.tag_set.tag.into_iter();
        Ok(tags.map(|tag| (tag.key, tag.value)).collect())
    }

    /// Gives a bucket the tags of its model and of the stack; the model wins.
    fn set_tags(&self, bucket: &Model, made_by: Option<&str>, request: &Request) -> Result<()> {
        let mut tags = request.desired_tags.clone();
        let own = bucket.tags.iter();
        tags.extend(own.map(|tag| (tag.key.clone(), tag.value.clone())));
        tags.extend(made_by.map(|token| (MADE_BY.to_owned(), token.to_owned())));
        let tags: String = tags
            .iter()
            .map(|(key, value)| {
                let (key, value) = (escape(key.as_str()), escape(value.as_str()));
                format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>")
            })
            .collect();
        let tagging = format!(
            "<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet>{tags}</TagSet></Tagging>"
        );
        self.ask("PUT", &format!("/{}?tagging", bucket.name), Some(tagging))?;
        Ok(())
    }

    fn set_versioning(&self, bucket: &Model) -> Result<()> {
        let path = format!("/{}?versioning", bucket.name);
        let wanted = bucket.versioning.as_deref().unwrap_or("Suspended");
        let found: Versioning = self.get(&path)?;
        if found.status.as_deref().unwrap_or("Suspended") == wanted {
            return Ok(());
        }
        let configuration = format!(
            "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <Status>{}</Status></VersioningConfiguration>",
            escape(wanted)
        );
        self.ask("PUT", &path, Some(configuration))?;
        Ok(())
    }

    /// Gives the names of all buckets.
    fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut next = String::new();
        loop {
            let page: Listed = self.get(&format!("/{next}"))?;
            names.extend(page.buckets.bucket.into_iter().map(|it| it.name));
            match page.continuation_token {
                Some(token) if !token.is_empty() => {
                    next = format!("?continuation-token={}", percent_encoded(&token));
                }
                Some(_) | None => return Ok(names),
            }
        }
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let body = self.ask("GET", path, None)?;
        quick_xml::de::from_reader(body.as_slice()).map_err(|error| Failure {
            code: ErrorCode::GeneralServiceException,
            said: String::new(),
            message: format!("GET {path} was answered with what is not S3's: {error}"),
        })
    }

    /// Makes a request, and gives the body of its answer.
    fn ask(&self, method: &str, path: &str, body: Option<String>) -> Result<Vec<u8>, Failure> {
        let url = format!("{}{path}", self.endpoint);
        let (status, body) = exchange(method, &url, body)?;
        match status {
            200..300 => Ok(body),
            _ => Err(Failure::read(method, path, status, &body)),
        }
    }
}

/// Sends a request, and gives the status and the body of its answer.
#[cfg(not(test))]
fn exchange(method: &str, url: &str, body: Option<String>) -> Result<(u16, Vec<u8>)> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use formwork_guest::http;
    use sha2::{Digest as _, Sha256};

    let mut request = http::Request::new(method, url);
    if let Some(body) = body {
        // S3 wants a checksum of what changes a bucket.
        let checksum = STANDARD.encode(Sha256::digest(&body));
        request = request
            .header("content-type", "application/xml")
            .header("x-amz-checksum-sha256", checksum)
            .body(body);
    }
    let response = request.send()?;
    Ok((response.status(), response.body().to_owned()))
}

#[cfg(test)]
use tests::exchange;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Versioning {
    status: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Tagging {
    tag_set: TagSet,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TagSet {
    tag: Vec<Tag>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Listed {
    buckets: Buckets,
    continuation_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Buckets {
    bucket: Vec<Listing>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    name: String,
}

/// An error as S3 writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Answer {
    code: String,
    message: String,
}

/// Why S3 says no.
#[derive(Debug)]
struct Failure {
    code: ErrorCode,
    /// S3's own code.
    said: String,
    message: String,
}

impl Failure {
    fn read(method: &str, path: &str, status: u16, body: &[u8]) -> Self {
        let Answer { code, message } = quick_xml::de::from_reader(body).unwrap_or_default();
        let message = if code.is_empty() {
            format!("{method} {path} was answered with status {status}")
        } else {
            format!("{message} ({code})")
        };
        Self {
            code: meaning(&code, status),
            said: code,
            message,
        }
    }

    fn says(&self, code: &str) -> bool {
        self.said == code
    }
}

impl From<Failure> for HandlerError {
    fn from(failure: Failure) -> Self {
        Self::new(failure.code, failure.message)
    }
}

impl From<HandlerError> for Failure {
    fn from(error: HandlerError) -> Self {
        Self {
            code: error.code(),
            said: String::new(),
            message: error.message().to_owned(),
        }
    }
}

/// Gives the code of the handler contract for one of S3, or for a status without one.
fn meaning(code: &str, status: u16) -> ErrorCode {
    match (code, status) {
        ("BucketAlreadyExists" | "BucketAlreadyOwnedByYou", _) => ErrorCode::AlreadyExists,
        ("NoSuchBucket", _) => ErrorCode::NotFound,
        ("AccessDenied" | "AllAccessDisabled" | "AccountProblem", _) => ErrorCode::AccessDenied,
        (
            "ExpiredToken"
            | "InvalidAccessKeyId"
            | "InvalidToken"
            | "SignatureDoesNotMatch"
            | "TokenRefreshRequired",
            _,
        ) => ErrorCode::InvalidCredentials,
        ("SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded", _) => {
            ErrorCode::Throttling
        }
        ("TooManyBuckets", _) => ErrorCode::ServiceLimitExceeded,
        ("OperationAborted", _) => ErrorCode::ResourceConflict,
        // It does not pass by waiting.
        ("BucketNotEmpty", _) => ErrorCode::GeneralServiceException,
        (_, 403) => ErrorCode::AccessDenied,
        (_, 404) => ErrorCode::NotFound,
        (_, 429) => ErrorCode::Throttling,
        (_, 400 | 409) => ErrorCode::InvalidRequest,
        (_, 500..) => ErrorCode::ServiceInternalError,
        (_, _) => ErrorCode::GeneralServiceException,
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests;
