//! The contract tests, on handlers that keep the contract and on one that does not.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use formwork_faulty_guest::Bug;
use formwork_host::contract::{
    Counts, Finding, InputTexts, Inputs, Outcome, Record, Report, Rule, Suite, Verdict,
};
use formwork_host::engine::Exchanged;
use formwork_host::model::{Call, JsonObject, ProgressEvent};
use formwork_host::registry::TypeSettings;
use formwork_host::sandbox::{DirectoryGrant, Grants};
use formwork_tests::guests;
use formwork_tests::stage::sandbox;
use serde_json::{Value, json};

/// Where the inputs of the guest with bugs are.
const FAULTY: &str = "tests/guests/faulty";

/// Tests a handler with the inputs of a project, with a bug if it has one.
async fn test(guest: &str, project: &str, bug: Option<Bug>, filters: &[&str]) -> Report {
    let directory = tempfile::tempdir().expect("a directory");
    test_in(directory.path(), guest, project, bug, filters).await
}

/// Does so in a directory, which can hold what is not the tests'.
async fn test_in(
    directory: &Path,
    guest: &str,
    project: &str,
    bug: Option<Bug>,
    filters: &[&str],
) -> Report {
    if let Some(bug) = bug {
        std::fs::write(directory.join("bug"), bug.name()).expect("the bug is written");
    }
    let mut grants = Grants::default();
    grants
        .directories
        .push(DirectoryGrant::read_write(directory));
    let mut settings = TypeSettings {
        grants: Arc::new(grants),
        ..TypeSettings::default()
    };
    // One bug is to compute for ever.
    settings.limits.cpu = Duration::from_secs(2);
    let suite = Suite::load(sandbox(), guests::component(guest), settings)
        .await
        .expect("the handler loads")
        .filters(filters.iter().map(|text| (*text).to_owned()).collect());
    // An absolute path takes the place of what it is joined to.
    let project = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(project);
    let texts = InputTexts::of_project(&project).expect("the inputs are read");
    let inputs = Inputs::decide(suite.schema(), &texts, 0).expect("the inputs fit");
    suite
        .run(&inputs.sets, |_| {})
        .await
        .expect("the tests are made")
}

fn findings(verdict: &Verdict) -> &[Finding] {
    match &verdict.outcome {
        Outcome::Failed { findings } => findings,
        Outcome::Passed | Outcome::Skipped { .. } => &[],
    }
}

/// Tells what was found, a line each.
fn told(report: &Report) -> String {
    let mut lines: Vec<String> = Vec::new();
    for verdict in &report.verdicts {
        for finding in findings(verdict) {
            lines.push(format!(
                "  {} [{}] {}",
                verdict.test, finding.rule, finding.what
            ));
        }
    }
    lines.join("\n")
}

fn passed(passed: usize, skipped: usize) -> Counts {
    Counts {
        passed,
        skipped,
        failed: 0,
    }
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "how long it took is worth telling")]
async fn handlers_that_keep_the_contract_pass() {
    for (guest, project, counts) in [
        ("file", "examples/file", passed(32, 10)),
        ("stabilizing", "examples/stabilizing", passed(31, 11)),
        ("faulty-guest", FAULTY, passed(41, 1)),
        ("faulty-assigned-guest", FAULTY, passed(40, 2)),
    ] {
        let report = test(guest, project, None, &[]).await;
        assert_eq!(report.counts(), counts, "{guest}:\n{}", told(&report));
        assert!(report.left_behind.is_empty(), "{guest}");
        let simulated: Duration = report.verdicts.iter().map(|it| it.simulated).sum();
        println!(
            "{guest}: {:?} for {simulated:?} of its own time",
            report.elapsed
        );
    }
}

/// Models that are made from a schema do as well as those that people write.
#[tokio::test]
async fn models_from_the_schema_pass() {
    for guest in [
        "file",
        "stabilizing",
        "faulty-guest",
        "faulty-assigned-guest",
    ] {
        let report = test(guest, "tests/guests", None, &[]).await;
        assert_eq!(report.counts().failed, 0, "{guest}:\n{}", told(&report));
    }
}

/// What is said of a bug: the test that fails, the rule, and a part of the words.
type Named = (&'static str, Rule, &'static str);

/// Gives what names a bug. Each has to have a line.
#[expect(clippy::too_many_lines, reason = "it is a table, a line for each bug")]
const fn named(bug: Bug) -> Named {
    use Rule as R;
    match bug {
        Bug::LeaksWriteOnly => (
            "formwork_write_only_not_returned",
            R::HidesWriteOnly,
            "CREATE answered SUCCESS with a model that has the write-only `/properties/Secret`",
        ),
        Bug::LeaksNestedWriteOnly => (
            "contract_create_delete",
            R::HidesWriteOnly,
            "has the write-only `/properties/Settings/Password`; the value is not shown here",
        ),
        Bug::LeaksWriteOnlyInRead => (
            "contract_create_read",
            R::HidesWriteOnly,
            "READ answered a model that has the write-only `/properties/Secret`",
        ),
        Bug::LeaksWriteOnlyInList => (
            "formwork_write_only_not_returned",
            R::HidesWriteOnly,
            "LIST answered a model that has the write-only `/properties/Secret`",
        ),
        Bug::NullProperty => ("formwork_no_nulls", R::HasNoNulls, "has null at `/Comment`"),
        Bug::NestedNull => (
            "formwork_no_nulls",
            R::HasNoNulls,
            "has null at `/Settings/Note`",
        ),
        Bug::WrongType => (
            "formwork_models_fit_schema",
            R::FitsSchema,
            "`/Revision` breaks `/properties/Revision/type`",
        ),
        Bug::OutOfBounds => (
            "formwork_models_fit_schema",
            R::FitsSchema,
            "`/Revision` breaks `/properties/Revision/minimum`",
        ),
        Bug::ExtraProperty => (
            "formwork_models_fit_schema",
            R::FitsSchema,
            "'Extra' was unexpected",
        ),
        Bug::AnswersIdentifierOnly => (
            "contract_create_delete",
            R::HoldsInput,
            "`/Kind` is missing; it was \"plain\"",
        ),
        Bug::NoIdentifier => (
            "contract_create_delete",
            R::NamesResource,
            "CREATE answered SUCCESS without the whole primary identifier",
        ),
        Bug::ChangesIdentifier => (
            "formwork_identifier_in_progress",
            R::KeepsIdentifier,
            "CREATE answered with the identifier",
        ),
        Bug::ChangesIdentifierInUpdate => (
            "contract_update_read",
            R::KeepsIdentifier,
            "it changed the primary identifier",
        ),
        Bug::NoIdentifierInProgress | Bug::EmptyIdentifierInProgress => (
            "formwork_identifier_in_progress",
            R::InProgressNamesResource,
            "CREATE answered IN_PROGRESS with a model that has no value for",
        ),
        Bug::NoModelInProgress => (
            "formwork_identifier_in_progress",
            R::InProgressNamesResource,
            "CREATE answered IN_PROGRESS without a model",
        ),
        Bug::ForgetsDefault => (
            "formwork_defaults_present",
            R::ShowsDefaults,
            "the schema's default is 10, and the model has nothing",
        ),
        Bug::ReordersOrderedList => (
            "contract_create_delete",
            R::HoldsInput,
            "`/Steps/0` is \"switch on\", not \"plug in\"",
        ),
        Bug::ReadDiffers => (
            "contract_create_read",
            R::ReadsAsAnswered,
            "`/Size` is 19, not 20",
        ),
        Bug::TakesReadOnly => (
            "formwork_read_only_refused",
            R::RefusesReadOnly,
            "the read-only `/properties/Revision` answered SUCCESS, and the resource has the value",
        ),
        Bug::CreateTwice => (
            "formwork_create_same_token",
            R::OneTokenOneResource,
            "with the same token",
        ),
        Bug::AlreadyExistsOk => (
            "contract_create_create",
            R::RefusesExisting,
            "a second CREATE of the same model, with another token, answered SUCCESS",
        ),
        Bug::AlreadyExistsWrongCode => (
            "contract_create_create",
            R::RefusesExisting,
            "answered FAILED InvalidRequest",
        ),
        Bug::LeavesRubbish => (
            "formwork_invalid_input",
            R::RefusesInvalid,
            "but it made a resource: LIST has one more",
        ),
        Bug::SuccessBeforeDone => (
            "contract_create_read",
            R::CreatedIsReadable,
            "READ right after a CREATE answered FAILED NotFound",
        ),
        Bug::DeleteBlocksName => (
            "contract_create_create",
            R::DeletedCanBeMadeAgain,
            "CREATE of a resource whose DELETE answered SUCCESS or FAILED NotFound answered FAILED AlreadyExists",
        ),
        Bug::NeverStabilizes => (
            "formwork_deadline",
            R::EndsInTime,
            "still answered IN_PROGRESS when it was ended",
        ),
        Bug::ReadNeedsWholeModel => (
            "formwork_read_by_identifier_alone",
            R::TakesIdentifierAlone,
            "READ by the primary identifier alone answered FAILED InvalidRequest",
        ),
        Bug::IgnoresAdditionalIdentifier => (
            "formwork_read_by_additional_identifier",
            R::TakesAdditionalIdentifier,
            "READ by the additional identifier `/properties/Alias` answered FAILED",
        ),
        Bug::NotFoundWrongCode => (
            "contract_delete_read",
            R::AbsentIsNotFound,
            "READ of a deleted resource answered FAILED InternalFailure",
        ),
        Bug::Upsert => (
            "formwork_update_no_upsert",
            R::UpdateMakesNothing,
            "LIST has one more",
        ),
        Bug::UpdateNotFoundOk => (
            "contract_update_without_create",
            R::AbsentIsNotFound,
            "UPDATE of what never was answered SUCCESS",
        ),
        Bug::UpdateNotKept => (
            "contract_update_read",
            R::ReadsAsAnswered,
            "READ after an UPDATE differs from the input",
        ),
        Bug::IgnoresCreateOnly | Bug::DropsCreateOnly => (
            "formwork_update_create_only",
            R::KeepsCreateOnly,
            "UPDATE that changes the create-only `/properties/Kind` answered SUCCESS",
        ),
        Bug::CreateOnlyWrongCode => (
            "formwork_update_create_only",
            R::KeepsCreateOnly,
            "UPDATE that changes the create-only `/properties/Kind` answered FAILED InvalidRequest",
        ),
        Bug::UpdateMergesCollections => (
            "formwork_update_replaces_collections",
            R::ReplacesCollections,
            "UPDATE that leaves members of `/properties/Labels` out did not replace the whole",
        ),
        Bug::LosesProperty => (
            "contract_update_read",
            R::HoldsInput,
            "`/Comment` is missing",
        ),
        Bug::DeleteMissingOk => (
            "contract_delete_delete",
            R::AbsentIsNotFound,
            "DELETE of a deleted resource answered SUCCESS",
        ),
        Bug::DeleteKeeps | Bug::DeleteKeepsReadable | Bug::DeleteBeforeGone => (
            "contract_delete_read",
            R::AbsentIsNotFound,
            "READ of a deleted resource answered SUCCESS",
        ),
        Bug::DeleteKeepsListed => (
            "contract_delete_list",
            R::DeletedIsNotListed,
            "LIST has a resource whose DELETE answered SUCCESS",
        ),
        Bug::DeleteNeedsWholeModel => (
            "formwork_delete_by_identifier_alone",
            R::TakesIdentifierAlone,
            "DELETE by the primary identifier alone answered FAILED InvalidRequest",
        ),
        Bug::ListMissing => (
            "contract_create_list",
            R::CreatedIsListed,
            "LIST right after a CREATE does not have the resource",
        ),
        Bug::ListRepeatsToken => (
            "formwork_list_pages",
            R::PagesJoin,
            "LIST gave the same next token again",
        ),
        Bug::ListLosesPages => ("formwork_list_pages", R::PagesJoin, "2 of 3 are lost"),
        Bug::ListDuplicates => (
            "formwork_list_pages",
            R::PagesJoin,
            "LIST has one and the same resource 2 times",
        ),
        Bug::ListModelsWithoutIdentifier => (
            "formwork_identifier_in_models",
            R::NamesResource,
            "LIST answered a model that has no value for",
        ),
        Bug::ListEmptyFails => (
            "contract_delete_list",
            R::PagesJoin,
            "LIST answered FAILED NotFound",
        ),
        Bug::InvalidAccepted => (
            "formwork_invalid_input",
            R::RefusesInvalid,
            "CREATE of the invalid input of set 1, which fits the schema, answered SUCCESS",
        ),
        Bug::InvalidWrongCode => (
            "formwork_invalid_input",
            R::RefusesInvalid,
            "answered FAILED InternalFailure",
        ),
        Bug::EmptyMessage => (
            "formwork_failure_has_message",
            R::ExplainsFailure,
            "READ answered FAILED NotFound with an empty message",
        ),
        Bug::IgnoresTags => (
            "contract_create_delete",
            R::HoldsInput,
            "`/Tags` is missing",
        ),
        Bug::IgnoresStackTags => (
            "formwork_tags",
            R::AppliesTags,
            "of the stack, and `/properties/Tags` does not have it",
        ),
        Bug::TagsNotUpdatable => ("contract_update_read", R::HoldsInput, "`/Tags` is"),
        Bug::RepeatFails => (
            "formwork_repeat_after_crash",
            R::Repeatable,
            "CREATE whose invocations are each made twice answered FAILED InternalFailure",
        ),
        Bug::RepeatDoubles => (
            "formwork_repeat_after_crash",
            R::Repeatable,
            "resources more than before, not one",
        ),
        Bug::SlowInvocation => (
            "formwork_deadline",
            R::AnswersInTime,
            "CREATE did not answer: trap (wall limit): the handler did not answer within 60s",
        ),
        Bug::SlowRead => (
            "formwork_deadline",
            R::AnswersInTime,
            "READ did not answer: trap (wall limit)",
        ),
        Bug::PanicsOnDelete => (
            "formwork_no_traps",
            R::Answers,
            "DELETE did not answer: trap (panic)",
        ),
        Bug::Loops => (
            "formwork_deadline",
            R::AnswersInTime,
            "CREATE did not answer: trap (CPU budget)",
        ),
        Bug::EatsMemory => (
            "formwork_no_traps",
            R::Answers,
            "CREATE did not answer: trap (memory limit)",
        ),
    }
}

/// Tells why a bug was not named, if it was not.
fn unnamed(bug: Bug, report: &Report) -> Option<String> {
    let (test, rule, words) = named(bug);
    let is_named = report.verdicts.iter().any(|verdict| {
        verdict.test == test
            && findings(verdict)
                .iter()
                .any(|finding| finding.rule == rule && finding.what.contains(words))
    });
    (!is_named).then(|| {
        format!(
            "{} is not named by {test} as [{rule}] {words:?}:\n{}",
            bug.name(),
            told(report)
        )
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_bug_is_named_in_a_whole_run() {
    let runs: Vec<_> = Bug::ALL
        .iter()
        .map(|bug| {
            tokio::spawn(async { (*bug, test("faulty-guest", FAULTY, Some(*bug), &[]).await) })
        })
        .collect();
    let mut unknown = Vec::new();
    for run in runs {
        let (bug, report) = run.await.expect("the run ends");
        unknown.extend(unnamed(bug, &report));
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

/// With an identifier that the handler chooses, three of the bugs cannot show:
/// they are about creates of an identifier that is taken.
#[tokio::test]
async fn each_bug_is_named_where_the_handler_chooses_the_identifier() {
    let mut unknown = Vec::new();
    for bug in Bug::ALL.iter().copied() {
        let hidden = matches!(
            bug,
            Bug::AlreadyExistsOk | Bug::AlreadyExistsWrongCode | Bug::DeleteBlocksName
        );
        let (test_name, ..) = named(bug);
        let report = test("faulty-assigned-guest", FAULTY, Some(bug), &[test_name]).await;
        if hidden {
            assert_eq!(report.counts().failed, 0, "{}", told(&report));
        } else {
            unknown.extend(unnamed(bug, &report));
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

/// Gives the texts of the models of an exchange.
fn models(record: &Record) -> String {
    let asked = match &record.exchange.invocation.call {
        Call::Create { desired_state, .. } => desired_state.as_str(),
        Call::Read { identifier } => identifier.as_str(),
        Call::Update { desired_state, .. } => desired_state.as_str(),
        Call::Delete { state, .. } => state.as_str(),
        Call::List(_) => "",
    };
    let answered: String = match &record.exchange.outcome {
        Exchanged::Event(
            ProgressEvent::InProgress { model, .. }
            | ProgressEvent::Success { model, .. }
            | ProgressEvent::Failed { model, .. },
        ) => model.iter().map(JsonObject::as_str).collect(),
        Exchanged::Read(Ok(model)) => model.as_str().to_owned(),
        Exchanged::Listed(Ok(page)) => page.models.iter().map(JsonObject::as_str).collect(),
        Exchanged::Read(Err(_)) | Exchanged::Listed(Err(_)) | Exchanged::Trapped(_) => {
            String::new()
        }
    };
    format!("{asked}{answered}")
}

/// A write-only value is nowhere in a report, also where a handler leaks it.
#[tokio::test]
async fn a_report_holds_no_secret() {
    for bug in [
        Bug::LeaksWriteOnly,
        Bug::LeaksNestedWriteOnly,
        Bug::LeaksWriteOnlyInList,
    ] {
        let report = test("faulty-guest", FAULTY, Some(bug), &[]).await;
        let shown: String = report
            .verdicts
            .iter()
            .flat_map(findings)
            .flat_map(|finding| &finding.exchanges)
            .map(|record| format!("{:?} {}", record.exchange, models(record)))
            .collect();
        assert!(shown.contains("on the desk"), "{shown}");
        for secret in ["correct horse", "battery staple"] {
            assert!(!shown.contains(secret), "{}", bug.name());
        }
    }
}

/// Puts a thing of somebody else's into the directory of the guest.
fn put_stranger(directory: &Path, key: &str, thing: &Value) -> PathBuf {
    let place = directory.join(format!("{key}.json"));
    let record = json!({"thing": thing, "created_by": "a stranger", "changed_by": "a stranger"});
    std::fs::write(&place, record.to_string()).expect("the thing is written");
    place
}

/// Gives the things that are there, by the names of their files.
fn things(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("the directory is there");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name())
        .filter_map(|name| Some(name.to_str()?.strip_suffix(".json")?.to_owned()))
        .collect();
    names.sort();
    names
}

/// What the nearest other names stand for is somebody else's, and stays as it is.
#[tokio::test]
async fn a_strangers_resource_is_not_taken_for_one_that_never_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let strangers: Vec<(PathBuf, Vec<u8>)> = ["lamq", "lamr"]
        .map(|name| {
            let thing = json!({"Name": name, "Id": format!("th-{:016x}", name.len()), "Size": 1});
            let place = put_stranger(directory.path(), name, &thing);
            let text = std::fs::read(&place).expect("the thing is there");
            (place, text)
        })
        .into();
    let filters = ["unknown_not_found", "no_upsert", "update_without_create"];
    let report = test_in(directory.path(), "faulty-guest", FAULTY, None, &filters).await;
    assert_eq!(report.counts(), passed(3, 0), "{}", told(&report));
    for (place, text) in strangers {
        assert_eq!(std::fs::read(place).expect("it is still there"), text);
    }
    assert_eq!(things(directory.path()), ["lamq", "lamr"]);
}

/// What appears in LIST is deleted if it is what a test made, and left if it may
/// be another's.
#[tokio::test]
async fn what_appears_is_deleted_only_if_it_is_the_tests_own() {
    let filters = ["repeat_after_crash", "same_token", "invalid_input"];
    for (guest, bug, leaves) in [
        // It holds the input of the test.
        ("faulty-guest", Bug::LeavesRubbish, false),
        // Its identifiers are answered, one after the other.
        ("faulty-assigned-guest", Bug::CreateTwice, false),
        // It has another name than was asked for, and nobody answered it.
        ("faulty-guest", Bug::RepeatDoubles, true),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let report = test_in(directory.path(), guest, FAULTY, Some(bug), &filters).await;
        assert!(report.counts().failed > 0, "{}", bug.name());
        let mut named: Vec<String> = report
            .left_behind
            .iter()
            .map(|left| {
                left.model.to_map()["Name"]
                    .to_string()
                    .trim_matches('"')
                    .to_owned()
            })
            .collect();
        named.sort();
        assert_eq!(named, things(directory.path()), "{}", bug.name());
        assert_eq!(!named.is_empty(), leaves, "{}", bug.name());
    }
}

/// A repeat that answers another resource than the first invocation breaks a rule.
#[tokio::test]
async fn a_repeat_that_names_another_resource_is_found() {
    let filters = ["formwork_repeat_after_crash"];
    let bug = Some(Bug::CreateTwice);
    let report = test("faulty-assigned-guest", FAULTY, bug, &filters).await;
    let is_found = report.verdicts.iter().flat_map(findings).any(|finding| {
        finding.rule == Rule::Repeatable && finding.what.contains("its repeat another one")
    });
    assert!(is_found, "{}", told(&report));
}

/// The time of an exchange counts from the beginning of its set of inputs, as its
/// number does.
#[tokio::test]
async fn each_set_of_inputs_begins_at_its_own_time() {
    let project = tempfile::tempdir().expect("a directory");
    let inputs = project.path().join("inputs");
    std::fs::create_dir(&inputs).expect("a directory");
    let tags = json!([{"Key": "team", "Value": "blue"}]);
    for set in [1, 2] {
        let create = json!({"Name": format!("lamp-{set}"), "Delay": 60, "Tags": tags});
        let place = inputs.join(format!("inputs_{set}_create.json"));
        std::fs::write(place, create.to_string()).expect("the input is written");
    }
    let project = project.path().to_str().expect("UTF-8");
    let filters = ["contract_create_delete"];
    let report = test("faulty-guest", project, Some(Bug::IgnoresTags), &filters).await;
    let times: Vec<(u32, usize, Duration)> = report
        .verdicts
        .iter()
        .map(|verdict| {
            let record = &findings(verdict)[0].exchanges[0];
            (verdict.set, record.number, record.at)
        })
        .collect();
    assert_eq!(times, [(1, 1, Duration::ZERO), (2, 1, Duration::ZERO)]);
}
