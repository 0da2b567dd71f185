//! Each code by its name, each answer by a table.

use super::*;

#[test]
fn every_error_code_is_taken_over_under_its_own_name() {
    let codes = [
        wit::ErrorCode::NotUpdatable,
        wit::ErrorCode::InvalidRequest,
        wit::ErrorCode::AccessDenied,
        wit::ErrorCode::InvalidCredentials,
        wit::ErrorCode::AlreadyExists,
        wit::ErrorCode::NotFound,
        wit::ErrorCode::ResourceConflict,
        wit::ErrorCode::Throttling,
        wit::ErrorCode::ServiceLimitExceeded,
        wit::ErrorCode::NotStabilized,
        wit::ErrorCode::GeneralServiceException,
        wit::ErrorCode::ServiceInternalError,
        wit::ErrorCode::NetworkFailure,
        wit::ErrorCode::InternalFailure,
        wit::ErrorCode::InvalidTypeConfiguration,
        wit::ErrorCode::HandlerInternalFailure,
        wit::ErrorCode::NonCompliant,
        wit::ErrorCode::UnsupportedTarget,
        wit::ErrorCode::Unknown,
        wit::ErrorCode::UnauthorizedTaggingOperation,
        wit::ErrorCode::ServiceTimeout,
    ];
    assert_eq!(
        codes.map(error_code),
        HandlerErrorCode::ALL,
        "the order of the contract"
    );
    for code in codes {
        let name = format!("{code:?}");
        assert!(
            name.ends_with(&format!("::{}", error_code(code))),
            "{name} became {}",
            error_code(code)
        );
    }
}

#[test]
fn of_a_long_message_its_beginning_is_kept() {
    for (letter, bytes) in [("x", 8_192), ("ü", 8_192), ("€", 8_190)] {
        let message = letter.repeat(400_000);
        let failure = failed(wit::Failure {
            code: wit::ErrorCode::NotFound,
            message: message.clone(),
            model: None,
        });
        let Ok(ProgressEvent::Failed { message: kept, .. }) = failure else {
            panic!("{failure:?}");
        };
        assert_eq!(kept, format!("{}…", &message[..bytes]));
    }
    assert_eq!(said("short".to_owned()), "short");
}

fn object_of(text: &str) -> JsonObject {
    JsonObject::parse(text).expect(text)
}

fn in_progress_of(callback: wit::Callback) -> wit::InProgress {
    wit::InProgress {
        callback,
        callback_context: Some(r#"{"step":1}"#.to_owned()),
        message: Some("waiting".to_owned()),
        model: Some(r#"{"Id":"x"}"#.to_owned()),
    }
}

#[test]
fn every_event_is_taken_over_with_all_its_members() {
    let waiting = |callback| ProgressEvent::InProgress {
        callback,
        callback_context: Some(object_of(r#"{"step":1}"#)),
        message: Some("waiting".to_owned()),
        model: Some(object_of(r#"{"Id":"x"}"#)),
    };
    let failure = |message: &str| wit::Failure {
        code: wit::ErrorCode::Throttling,
        message: message.to_owned(),
        model: Some("{}".to_owned()),
    };
    let failed_with = |message: &str| ProgressEvent::Failed {
        code: HandlerErrorCode::Throttling,
        message: message.to_owned(),
        model: Some(object_of("{}")),
    };
    let after = wit::Callback::After(u32::MAX);
    let after_model = Callback::After(Duration::from_secs(u32::MAX.into()));
    for (event, expected) in [
        (
            wit::ProgressEvent::InProgress(in_progress_of(after)),
            waiting(after_model),
        ),
        (
            wit::ProgressEvent::InProgress(in_progress_of(wit::Callback::None)),
            waiting(Callback::None),
        ),
        (
            wit::ProgressEvent::Success(wit::Success {
                model: r#"{"Id":"x"}"#.to_owned(),
                message: Some(String::new()),
            }),
            ProgressEvent::Success {
                message: None,
                model: Some(object_of(r#"{"Id":"x"}"#)),
            },
        ),
        (
            wit::ProgressEvent::Failed(failure("slow down")),
            failed_with("slow down"),
        ),
        (wit::ProgressEvent::Failed(failure("  ")), failed_with("  ")),
    ] {
        assert_eq!(progress_event(event).ok(), Some(expected));
    }
    for (event, expected) in [
        (
            wit::DeleteEvent::InProgress(in_progress_of(after)),
            waiting(after_model),
        ),
        (
            wit::DeleteEvent::Deleted(wit::Deleted {
                message: Some("gone".to_owned()),
            }),
            ProgressEvent::Success {
                message: Some("gone".to_owned()),
                model: None,
            },
        ),
        (
            wit::DeleteEvent::Failed(failure("slow down")),
            failed_with("slow down"),
        ),
    ] {
        assert_eq!(delete_event(event).ok(), Some(expected));
    }
}

#[test]
fn an_answer_that_is_not_json_names_its_member() {
    let broken = |context: &str, model: &str| {
        let mut event = in_progress_of(wit::Callback::None);
        event.callback_context = Some(context.to_owned());
        event.model = Some(model.to_owned());
        progress_event(wit::ProgressEvent::InProgress(event))
            .expect_err("not an object")
            .to_string()
    };
    for (context, model, expected) in [
        (
            "[]",
            "{}",
            "`callback-context` of the answer is not the text of one JSON object",
        ),
        (
            "{}",
            "",
            "`model` of the answer is not the text of one JSON object",
        ),
    ] {
        assert_eq!(broken(context, model), expected);
    }
    let page = wit::Page {
        models: vec!["{}".to_owned(), "x".to_owned()],
        next_token: None,
    };
    let refused = list_answer(Ok(page)).expect_err("not an object");
    assert!(refused.to_string().starts_with("`models`"), "{refused}");
}

#[test]
fn all_text_of_an_answer_counts() {
    let event = wit::ProgressEvent::InProgress(in_progress_of(wit::Callback::None));
    assert_eq!(event.text_bytes(), 10 + 7 + 10);
    let page = wit::Page {
        models: vec!["{}".to_owned(); 3],
        next_token: Some("next".to_owned()),
    };
    assert_eq!(Ok::<_, wit::ReadFailure>(page).text_bytes(), 10);
    let description = wit::Description {
        schema: "{}".to_owned(),
        outgoing_hosts: vec!["https://a".to_owned()],
    };
    assert_eq!(description.text_bytes(), 11);
}
