//! The handler in whole operations, before an S3 of each test's own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::collections::BTreeMap;

use formwork_guest::bindings::formwork::handler::types as wit;
use formwork_guest::testing::Driver;
use formwork_guest::{ErrorCode, HandlerError};
use serde_json::{Value, json};

use super::*;

/// The buckets of a test: their tags and whether they keep versions.
#[derive(Default)]
struct Store {
    buckets: BTreeMap<String, (BTreeMap<String, String>, Option<String>)>,
    /// Answered in place of what follows, the last one first.
    failures: Vec<(&'static str, u16, &'static str)>,
    asked: Vec<String>,
}

thread_local! {
    static STORE: RefCell<Store> = RefCell::default();
}

/// Stands in for S3.
pub(super) fn exchange(
    method: &str,
    url: &str,
    body: Option<String>,
) -> Result<(u16, Vec<u8>), HandlerError> {
    let path = url.strip_prefix("https://s3.eu-central-1.amazonaws.com/");
    let path = path.unwrap_or_else(|| panic!("{url} is not where buckets of the region are"));
    let (status, body) = STORE.with_borrow_mut(|store| store.answer(method, path, body));
    Ok((status, body.into_bytes()))
}

impl Store {
    fn answer(&mut self, method: &str, path: &str, body: Option<String>) -> (u16, String) {
        let asked = format!("{method} {path}");
        self.asked.push(asked.clone());
        if let Some((_, status, code)) = self.failures.pop_if(|(when, ..)| asked.contains(*when)) {
            return no(status, code);
        }
        let (name, what) = path.split_once('?').unwrap_or((path, ""));
        if name.is_empty() {
            return self.listed(what);
        }
        let bucket = self.buckets.get_mut(name);
        match (method, what, bucket) {
            ("PUT", "", Some(_)) => no(409, "BucketAlreadyOwnedByYou"),
            ("PUT", "", None) => {
                assert!(body.unwrap().contains(">eu-central-1<"));
                self.buckets.insert(name.to_owned(), Default::default());
                (200, String::new())
            }
            (_, _, None) => no(404, "NoSuchBucket"),
            ("DELETE", "", Some(_)) => {
                self.buckets.remove(name);
                (204, String::new())
            }
            ("GET", "tagging", Some((tags, _))) if tags.is_empty() => no(404, "NoSuchTagSet"),
            ("GET", "tagging", Some((tags, _))) => {
                let tags: String = tags
                    .iter()
                    .map(|(key, value)| {
                        let (key, value) = (escape(key.as_str()), escape(value.as_str()));
                        format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>")
                    })
                    .collect();
                (200, format!("<Tagging><TagSet>{tags}</TagSet></Tagging>"))
            }
            ("PUT", "tagging", Some((tags, _))) => {
                let tagging: Tagging = quick_xml::de::from_str(&body.unwrap()).unwrap();
                let all = tagging.tag_set.tag.into_iter();
                *tags = all.map(|tag| (tag.key, tag.value)).collect();
                (204, String::new())
            }
            ("GET", "versioning", Some((_, status))) => {
                let status = status.as_deref().map(|it| format!("<Status>{it}</Status>"));
                let status = status.unwrap_or_default();
                let text = format!("<VersioningConfiguration>{status}</VersioningConfiguration>");
                (200, text)
            }
            ("PUT", "versioning", Some((_, status))) => {
                let put: Versioning = quick_xml::de::from_str(&body.unwrap()).unwrap();
                *status = put.status;
                (200, String::new())
            }
            _ => panic!("nobody asks {asked}"),
        }
    }

    /// Lists two buckets at a time.
    fn listed(&self, what: &str) -> (u16, String) {
        let from: usize = what
            .strip_prefix("continuation-token=a%2B")
            .map_or(0, |from| from.parse().unwrap());
        let names = self.buckets.keys().skip(from).take(2);
        let listed: String = names
            .map(|name| format!("<Bucket><Name>{name}</Name></Bucket>"))
            .collect();
        let next = if from + 2 < self.buckets.len() {
            format!("<ContinuationToken>a+{}</ContinuationToken>", from + 2)
        } else {
            String::new()
        };
        let text = format!(
            "<ListAllMyBucketsResult><Buckets>{listed}</Buckets>{next}</ListAllMyBucketsResult>"
        );
        (200, text)
    }
}

fn no(status: u16, code: &str) -> (u16, String) {
    let text = format!("<Error><Code>{code}</Code><Message>It says no.</Message></Error>");
    (status, text)
}

fn driver() -> Driver<Bucket> {
    let mut driver = Driver::new();
    driver.request(|request| {
        request.region = Some("eu-central-1".to_owned());
        request.partition = Some("aws".to_owned());
    });
    driver
}

fn input(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn create_input() -> Value {
    input(include_str!("../inputs/inputs_1_create.json"))
}

fn tags_in_store() -> BTreeMap<String, String> {
    STORE.with_borrow(|store| store.buckets["formwork-example-bucket"].0.clone())
}

/// Has S3 fail the next request that contains `when`.
fn fail(when: &'static str, status: u16, code: &'static str) {
    STORE.with_borrow_mut(|store| store.failures.push((when, status, code)));
}

#[test]
fn a_bucket_lives_from_create_to_delete() {
    let mut driver = driver();
    let run = driver.create(create_input());
    let created = run.success().clone();
    let expected = json!({
        "Name": "formwork-example-bucket",
        "Versioning": "Enabled",
        "Tags": [{"Key": "stage", "Value": "test"}],
        "Arn": "arn:aws:s3:::formwork-example-bucket",
    });
    assert_eq!(created, expected);
    let name = json!({"Name": "formwork-example-bucket"});
    assert_eq!(driver.read(&name).unwrap(), expected);
    let desired = input(include_str!("../inputs/inputs_1_update.json"));
    let run = driver.update(created, desired);
    assert_eq!(
        run.success()["Tags"],
        json!([{"Key": "owner", "Value": "ops"}, {"Key": "stage", "Value": "live & well"}])
    );
    assert_eq!(run.success()["Versioning"], "Suspended");
    assert!(
        tags_in_store().contains_key(MADE_BY),
        "it stays its maker's"
    );
    driver.delete(&name).deleted();
    let error = driver.read(&name).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert_eq!(driver.delete(&name).failure().code(), ErrorCode::NotFound);
}

#[test]
fn a_bucket_that_is_there_is_not_taken_over() {
    let mut driver = driver();
    driver.create(create_input()).success();
    driver.token("another");
    let run = driver.create(create_input());
    assert_eq!(run.failure().code(), ErrorCode::AlreadyExists);
}

#[test]
fn a_create_that_is_repeated_finds_its_own() {
    let mut driver = driver();
    driver.token("one");
    let first = driver.create(create_input()).success().clone();
    driver.token("one");
    assert_eq!(driver.create(create_input()).success(), &first);
}

#[test]
fn a_create_that_was_cut_off_goes_on() {
    let mut driver = driver();
    driver.repeat_each(2);
    driver.create(create_input()).success();
    let made = STORE.with_borrow(|store| {
        let puts = store.asked.iter();
        puts.filter(|asked| *asked == "PUT formwork-example-bucket")
            .count()
    });
    assert_eq!(made, 2, "what was made before the cut is taken for its own");
}

#[test]
fn tags_of_the_stack_come_to_those_of_the_model() {
    let mut driver = driver();
    driver.request(|request| {
        let tag = |key: &str, value: &str| wit::Tag {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        request.desired_tags = vec![tag("stage", "of the stack"), tag("team", "a")];
    });
    let run = driver.create(create_input());
    assert_eq!(
        run.success()["Tags"],
        json!([{"Key": "stage", "Value": "test"}, {"Key": "team", "Value": "a"}])
    );
}

#[test]
fn buckets_are_listed_page_by_page() {
    STORE.with_borrow_mut(|store| {
        for name in ["a", "b", "c", "d", "e"] {
            store.buckets.insert(name.to_owned(), Default::default());
        }
    });
    let listed = driver().list(3).unwrap();
    let names: Vec<_> = listed
        .models()
        .iter()
        .map(|model| model["Name"].clone())
        .collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
}

#[test]
fn what_s3_says_is_said_in_the_words_of_the_contract() {
    for (status, code, expected) in [
        (403, "AccessDenied", ErrorCode::AccessDenied),
        (503, "SlowDown", ErrorCode::Throttling),
        (409, "BucketAlreadyExists", ErrorCode::AlreadyExists),
        (409, "OperationAborted", ErrorCode::ResourceConflict),
        (400, "TooManyBuckets", ErrorCode::ServiceLimitExceeded),
        (400, "InvalidBucketName", ErrorCode::InvalidRequest),
        (403, "InvalidAccessKeyId", ErrorCode::InvalidCredentials),
        (400, "ExpiredToken", ErrorCode::InvalidCredentials),
        (404, "", ErrorCode::NotFound),
        (500, "InternalError", ErrorCode::ServiceInternalError),
        (301, "PermanentRedirect", ErrorCode::GeneralServiceException),
    ] {
        assert_eq!(meaning(code, status), expected, "{status} {code}");
    }
    fail("DELETE", 409, "BucketNotEmpty");
    let run = driver().delete(json!({"Name": "full"}));
    let failure = run.failure();
    assert_eq!(failure.code(), ErrorCode::GeneralServiceException);
    assert_eq!(failure.message(), "It says no. (BucketNotEmpty)");
}

#[test]
fn a_name_that_s3_keeps_is_refused_before_anything_is_asked() {
    let run = driver().create(input(include_str!("../inputs/inputs_1_invalid.json")));
    assert_eq!(run.failure().code(), ErrorCode::InvalidRequest);
    STORE.with_borrow(|store| assert!(store.asked.is_empty()));
}
