//! The rules that a handler is judged by, each with what to do about a breach.

use std::fmt;

/// A rule of the handler contract.
///
/// Most are of the page "Resource type handler contract" of the CloudFormation
/// CLI's user guide; some only the official contract tests hold a handler to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "`Rule::statement` says what each demands")]
pub enum Rule {
    EndsWithSuccess,
    Answers,
    AnswersInTime,
    EndsInTime,
    NamesResource,
    InProgressNamesResource,
    KeepsIdentifier,
    HoldsInput,
    ReadsAsAnswered,
    CreatedIsReadable,
    CreatedIsListed,
    RefusesExisting,
    AbsentIsNotFound,
    DeletedIsNotListed,
    DeletedCanBeMadeAgain,
    UpdateMakesNothing,
    HidesWriteOnly,
    HasNoNulls,
    FitsSchema,
    ExplainsFailure,
    OneTokenOneResource,
    Repeatable,
    TakesIdentifierAlone,
    TakesAdditionalIdentifier,
    KeepsCreateOnly,
    RefusesInvalid,
    RefusesReadOnly,
    PagesJoin,
    ListKeepsFilter,
    ListedIsReadable,
    AppliesTags,
    InputsHaveTags,
    ReplacesCollections,
    ShowsDefaults,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 34] = [
        Self::EndsWithSuccess,
        Self::Answers,
        Self::AnswersInTime,
        Self::EndsInTime,
        Self::NamesResource,
        Self::InProgressNamesResource,
        Self::KeepsIdentifier,
        Self::HoldsInput,
        Self::ReadsAsAnswered,
        Self::CreatedIsReadable,
        Self::CreatedIsListed,
        Self::RefusesExisting,
        Self::AbsentIsNotFound,
        Self::DeletedIsNotListed,
        Self::DeletedCanBeMadeAgain,
        Self::UpdateMakesNothing,
        Self::HidesWriteOnly,
        Self::HasNoNulls,
        Self::FitsSchema,
        Self::ExplainsFailure,
        Self::OneTokenOneResource,
        Self::Repeatable,
        Self::TakesIdentifierAlone,
        Self::TakesAdditionalIdentifier,
        Self::KeepsCreateOnly,
        Self::RefusesInvalid,
        Self::RefusesReadOnly,
        Self::PagesJoin,
        Self::ListKeepsFilter,
        Self::ListedIsReadable,
        Self::AppliesTags,
        Self::InputsHaveTags,
        Self::ReplacesCollections,
        Self::ShowsDefaults,
    ];

    /// Gives the rule's name, for programs and filters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EndsWithSuccess => "ends-with-success",
            Self::Answers => "answers",
            Self::AnswersInTime => "answers-in-time",
            Self::EndsInTime => "ends-in-time",
            Self::NamesResource => "names-resource",
            Self::InProgressNamesResource => "in-progress-names-resource",
            Self::KeepsIdentifier => "keeps-identifier",
            Self::HoldsInput => "holds-input",
            Self::ReadsAsAnswered => "reads-as-answered",
            Self::CreatedIsReadable => "created-is-readable",
            Self::CreatedIsListed => "created-is-listed",
            Self::RefusesExisting => "refuses-existing",
            Self::AbsentIsNotFound => "absent-is-not-found",
            Self::DeletedIsNotListed => "deleted-is-not-listed",
            Self::DeletedCanBeMadeAgain => "deleted-can-be-made-again",
            Self::UpdateMakesNothing => "update-makes-nothing",
            Self::HidesWriteOnly => "hides-write-only",
            Self::HasNoNulls => "has-no-nulls",
            Self::FitsSchema => "fits-schema",
            Self::ExplainsFailure => "explains-failure",
            Self::OneTokenOneResource => "one-token-one-resource",
            Self::Repeatable => "repeatable",
            Self::TakesIdentifierAlone => "takes-identifier-alone",
            Self::TakesAdditionalIdentifier => "takes-additional-identifier",
            Self::KeepsCreateOnly => "keeps-create-only",
            Self::RefusesInvalid => "refuses-invalid",
            Self::RefusesReadOnly => "refuses-read-only",
            Self::PagesJoin => "pages-join",
            Self::ListKeepsFilter => "list-keeps-filter",
            Self::ListedIsReadable => "listed-is-readable",
            Self::AppliesTags => "applies-tags",
            Self::InputsHaveTags => "inputs-have-tags",
            Self::ReplacesCollections => "replaces-collections",
            Self::ShowsDefaults => "shows-defaults",
        }
    }

    /// Says what the rule demands.
    #[must_use]
    pub const fn statement(self) -> &'static str {
        match self {
            Self::EndsWithSuccess => "a create, update or delete of valid input ends with SUCCESS",
            Self::Answers => "every invocation answers: it does not panic or break a limit",
            Self::AnswersInTime => {
                "a create, update or delete answers within 60 seconds, a READ or LIST within 30"
            }
            Self::EndsInTime => {
                "an operation ends before the `timeoutInMinutes` of its handler in the schema; one \
                 that cannot is FAILED NotStabilized by its handler"
            }
            Self::NamesResource => {
                "every model of a SUCCESS, a READ and a LIST has the whole primary identifier"
            }
            Self::InProgressNamesResource => {
                "every IN_PROGRESS event has a model with the primary identifier, no part of it \
                 empty, 0 or false"
            }
            Self::KeepsIdentifier => {
                "the primary identifier is the same in all events of an operation, and that of the \
                 request"
            }
            Self::HoldsInput => {
                "the model of a SUCCESS has every property of the input that is not write-only, \
                 with the same value"
            }
            Self::ReadsAsAnswered => {
                "READ gives the state that the create or update before answered, and its input"
            }
            Self::CreatedIsReadable => {
                "SUCCESS comes when the resource is stable: a READ right after it succeeds"
            }
            Self::CreatedIsListed => {
                "LIST, all pages together, has each resource that was made, right after SUCCESS"
            }
            Self::RefusesExisting => {
                "a create of what exists, with another token, is FAILED AlreadyExists"
            }
            Self::AbsentIsNotFound => {
                "READ, UPDATE and DELETE of a resource that does not exist are FAILED NotFound"
            }
            Self::DeletedIsNotListed => "LIST does not have a resource that was deleted",
            Self::DeletedCanBeMadeAgain => {
                "a resource can be made again after it was deleted, with the same identifiers"
            }
            Self::UpdateMakesNothing => {
                "an update of a resource that does not exist makes nothing: no upsert"
            }
            Self::HidesWriteOnly => "a write-only property is in no terminal event, READ or LIST",
            Self::HasNoNulls => "a property without a value is left out of a model, never null",
            Self::FitsSchema => "every model that a handler answers fits the resource type schema",
            Self::ExplainsFailure => "every failure has a message",
            Self::OneTokenOneResource => {
                "creates with the same client request token make one resource, and answer the same"
            }
            Self::Repeatable => {
                "an invocation that is repeated with the same token, state and callback context, \
                 as after a crash of the host, leads to the same end"
            }
            Self::TakesIdentifierAlone => {
                "READ, UPDATE and DELETE need nothing but the primary identifier to find a resource"
            }
            Self::TakesAdditionalIdentifier => {
                "READ, UPDATE and DELETE find a resource by each of its additional identifiers"
            }
            Self::KeepsCreateOnly => {
                "an update that changes a create-only property is FAILED NotUpdatable and changes \
                 nothing"
            }
            Self::RefusesInvalid => {
                "a create of an invalid model is FAILED InvalidRequest and makes nothing"
            }
            Self::RefusesReadOnly => {
                "a create that sets a read-only property is FAILED InvalidRequest, or the handler \
                 sets a value of its own"
            }
            Self::PagesJoin => {
                "the pages of a LIST, whatever their size, are together the whole list: nothing \
                 twice, nothing lost, and an end"
            }
            Self::ListKeepsFilter => {
                "LIST gives no resource but those that have the properties of its filter"
            }
            Self::ListedIsReadable => "every resource that LIST gives can be read",
            Self::AppliesTags => {
                "a taggable resource has the tags that it was given, those of its stack too"
            }
            Self::InputsHaveTags => {
                "the inputs of a taggable type have its tag property, or its tags are not tested"
            }
            Self::ReplacesCollections => {
                "an update replaces a collection as a whole: what it leaves out is gone"
            }
            Self::ShowsDefaults => {
                "a property with a `default` that was left out has the default in the model"
            }
        }
    }

    /// Says what to change in a handler that breaks the rule.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::EndsWithSuccess => {
                "Look at the code and the message of the answer; if the input is at fault, change \
                 the inputs or the overrides."
            }
            Self::Answers => {
                "Turn the error into a FAILED answer with the code that fits; the handler's log \
                 (`--verbose`) says more."
            }
            Self::AnswersInTime => {
                "Do not wait inside of an invocation: answer IN_PROGRESS with a callback delay and \
                 a callback context, and go on in the next one."
            }
            Self::EndsInTime => {
                "Find out why the handler still answers IN_PROGRESS; answer FAILED NotStabilized \
                 before the deadline of the request, or raise `timeoutInMinutes` in the schema."
            }
            Self::NamesResource => {
                "Put every property of the schema's `primaryIdentifier` into the model."
            }
            Self::InProgressNamesResource => {
                "Give a model with the primary identifier from the first event on; without it a \
                 create that fails later leaves a resource that nobody can delete."
            }
            Self::KeepsIdentifier => {
                "Choose the identifier once, derive it from the client request token or keep it in \
                 the callback context, and give it in every event."
            }
            Self::HoldsInput => {
                "Answer with what was asked for, of the same type and in the same order. If the \
                 service changes a value, say so with `propertyTransform`; if the order means \
                 nothing, with `insertionOrder: false`; if it sets the value, with \
                 `readOnlyProperties`."
            }
            Self::ReadsAsAnswered => {
                "Build the model of SUCCESS and that of READ with the same code, from the resource \
                 as it is; answer IN_PROGRESS while they differ."
            }
            Self::CreatedIsReadable => {
                "Answer IN_PROGRESS until the resource can be read and listed."
            }
            Self::CreatedIsListed => {
                "List every resource of the type, follow the next tokens of the service, and answer \
                 IN_PROGRESS until a new resource is in the list."
            }
            Self::RefusesExisting => {
                "Look whether the resource is there before it is made, and answer AlreadyExists \
                 unless the same client request token made it."
            }
            Self::AbsentIsNotFound => {
                "Look whether the resource is there first, and answer NotFound if it is not, also \
                 while a trace of a deleted one can still be described."
            }
            Self::DeletedIsNotListed => {
                "Leave deleted resources out of LIST, and answer SUCCESS to the delete only when \
                 they are."
            }
            Self::DeletedCanBeMadeAgain => {
                "Answer SUCCESS to a delete only when nothing stands in the way of a new resource \
                 with the same identifiers."
            }
            Self::UpdateMakesNothing => {
                "Look whether the resource is there before anything is written."
            }
            Self::HidesWriteOnly => {
                "Remove the schema's `writeOnlyProperties` from every model of SUCCESS, FAILED, \
                 READ and LIST; an empty text in their place is a value too."
            }
            Self::HasNoNulls => {
                "Leave the property out where it has no value (in Rust serde's \
                 `skip_serializing_if`)."
            }
            Self::FitsSchema => "Change the answer, or the schema if it is the one in the wrong.",
            Self::ExplainsFailure => {
                "Say in the message what is wrong, with the value, and what to do."
            }
            Self::OneTokenOneResource => {
                "Derive the identifier from the client request token, or keep the token with the \
                 resource and look for it before a new one is made; a repeat by the same token is \
                 answered as the first time, not with AlreadyExists."
            }
            Self::Repeatable => {
                "Make each step so that it can be done twice: look first whether it is done, and \
                 do not count on what an invocation before has left undone."
            }
            Self::TakesIdentifierAlone => {
                "Look up what else is needed by the primary identifier; other properties may be \
                 missing from the request."
            }
            Self::TakesAdditionalIdentifier => {
                "Look the resource up by whichever identifier the request has, or remove the \
                 schema's `additionalIdentifiers`."
            }
            Self::KeepsCreateOnly => {
                "Compare the desired state with the resource as it is, and answer NotUpdatable \
                 before anything is changed."
            }
            Self::RefusesInvalid => {
                "Check the desired state before anything is made, and answer InvalidRequest."
            }
            Self::RefusesReadOnly => {
                "Answer InvalidRequest if a create sets one of the schema's `readOnlyProperties`, \
                 or do not look at what the request has there."
            }
            Self::PagesJoin => {
                "Sort the resources, begin each page after the one that the token names, and give \
                 no token on the last page."
            }
            Self::ListKeepsFilter => {
                "Compare each resource with the model of the LIST request, and leave out what has \
                 another value for one of its properties."
            }
            Self::ListedIsReadable => {
                "List only what READ finds, with the primary identifier that READ takes."
            }
            Self::AppliesTags => {
                "Apply the tags of the request, its desired tags and those of the model, and give \
                 all of them in the tag property; on an update remove those that are gone. If the \
                 type cannot, say so in the schema's `tagging`."
            }
            Self::InputsHaveTags => {
                "Add the tag property to the inputs, or set `taggable` (or `tagUpdatable`) to \
                 false in the schema's `tagging`."
            }
            Self::ReplacesCollections => {
                "Remove the members that the desired state does not have, instead of adding to \
                 what is there."
            }
            Self::ShowsDefaults => {
                "Give every property that has a value in the model, the defaulted ones too, or \
                 remove the `default` from the schema."
            }
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
