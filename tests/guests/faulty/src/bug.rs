//! The bugs that the handler can be given.

use std::fs;
use std::io;

use crate::root;

macro_rules! bugs {
    ($($(#[$doc:meta])+ $variant:ident $name:literal,)+) => {
        /// What the handler does wrong. The comment of each says what it does;
        /// the rule that this breaks is one of the handler contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug {
            $($(#[$doc])+ $variant,)+
        }

        impl Bug {
            /// Every bug.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Gives its name, as it stands in the file `bug`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

bugs! {
    // What a model holds.
    /// The success of a create or an update holds the write-only `Secret`.
    LeaksWriteOnly "leaks-write-only",
    /// The success of a create or an update holds the write-only `Settings/Password`.
    LeaksNestedWriteOnly "leaks-nested-write-only",
    /// A READ gives the write-only `Secret`.
    LeaksWriteOnlyInRead "leaks-write-only-in-read",
    /// A LIST gives the write-only `Secret` of each thing.
    LeaksWriteOnlyInList "leaks-write-only-in-list",
    /// Every success and READ has null for a property without a value.
    NullProperty "null-property",
    /// Every success and READ has null inside of `Settings`.
    NestedNull "nested-null",
    /// Every success and READ gives the integer `Revision` as a string.
    WrongType "wrong-type",
    /// Every success and READ gives a `Revision` below its minimum.
    OutOfBounds "out-of-bounds",
    /// Every success and READ has a property that the schema lacks.
    ExtraProperty "extra-property",
    /// The success of a create or an update has only the primary identifier.
    AnswersIdentifierOnly "answers-identifier-only",
    /// The success of a create or an update lacks the primary identifier.
    NoIdentifier "no-identifier",
    /// The success that ends a create's chain has another primary identifier.
    ChangesIdentifier "changes-identifier",
    /// The success of an update has another primary identifier.
    ChangesIdentifierInUpdate "changes-identifier-in-update",
    /// An in-progress event's model lacks the primary identifier.
    NoIdentifierInProgress "no-identifier-in-progress",
    /// An in-progress event's model has an empty primary identifier.
    EmptyIdentifierInProgress "empty-identifier-in-progress",
    /// An in-progress event has no model.
    NoModelInProgress "no-model-in-progress",
    /// A create leaves `Size` without its default.
    ForgetsDefault "forgets-default",
    /// Every success and READ gives the ordered `Steps` in reverse.
    ReordersOrderedList "reorders-ordered-list",
    /// A READ gives another `Size` than the create answered.
    ReadDiffers "read-differs",

    // CREATE.
    /// A create takes over the read-only `Revision` that the caller asks for.
    TakesReadOnly "takes-read-only",
    /// A create that is repeated under its token does not know the first one: it
    /// makes another thing where the handler assigns the identifier, and fails
    /// with `AlreadyExists` where it does not.
    CreateTwice "create-twice",
    /// A create takes the place of what exists, where the caller names it.
    AlreadyExistsOk "already-exists-ok",
    /// A create of what exists fails with `InvalidRequest`, where the caller names it.
    AlreadyExistsWrongCode "already-exists-wrong-code",
    /// A create makes a thing before it looks at its input, and fails without
    /// naming it.
    LeavesRubbish "leaves-rubbish",
    /// A create succeeds before the first READ can find the thing.
    SuccessBeforeDone "success-before-done",
    /// A create of what was deleted fails with `AlreadyExists`, where the caller
    /// names it.
    DeleteBlocksName "delete-blocks-name",
    /// A create stays in progress for ever, a minute at a time.
    NeverStabilizes "never-stabilizes",

    // READ.
    /// A READ by the identifier alone fails with `InvalidRequest`.
    ReadNeedsWholeModel "read-needs-whole-model",
    /// READ, UPDATE and DELETE find nothing by an additional identifier.
    IgnoresAdditionalIdentifier "ignores-additional-identifier",
    /// READ, UPDATE and DELETE of what is not there fail with `InternalFailure`.
    NotFoundWrongCode "not-found-wrong-code",

    // UPDATE.
    /// An update of what is not there creates it.
    Upsert "upsert",
    /// An update of what is not there succeeds, and does nothing.
    UpdateNotFoundOk "update-not-found-ok",
    /// An update succeeds and is not kept.
    UpdateNotKept "update-not-kept",
    /// An update changes the create-only `Kind`.
    IgnoresCreateOnly "ignores-create-only",
    /// An update to another create-only `Kind` succeeds, and does not change it.
    DropsCreateOnly "drops-create-only",
    /// An update to another create-only `Kind` fails with `InvalidRequest`.
    CreateOnlyWrongCode "create-only-wrong-code",
    /// An update adds to `Labels` instead of replacing them.
    UpdateMergesCollections "update-merges-collections",
    /// An update drops `Comment`, whatever it is asked for.
    LosesProperty "loses-property",

    // DELETE.
    /// A delete of what is not there succeeds.
    DeleteMissingOk "delete-missing-ok",
    /// A delete succeeds and deletes nothing.
    DeleteKeeps "delete-keeps",
    /// A READ still finds what was deleted.
    DeleteKeepsReadable "delete-keeps-readable",
    /// A LIST still holds what was deleted.
    DeleteKeepsListed "delete-keeps-listed",
    /// A delete succeeds before the thing is gone: the first READ still finds it.
    DeleteBeforeGone "delete-before-gone",
    /// A delete by the identifier alone fails with `InvalidRequest`.
    DeleteNeedsWholeModel "delete-needs-whole-model",

    // LIST.
    /// A LIST lacks the first thing.
    ListMissing "list-missing",
    /// Each page of a LIST is followed by itself.
    ListRepeatsToken "list-repeats-token",
    /// A LIST ends after its first page.
    ListLosesPages "list-loses-pages",
    /// A LIST gives each thing twice.
    ListDuplicates "list-duplicates",
    /// A LIST gives things without their primary identifier.
    ListModelsWithoutIdentifier "list-models-without-identifier",
    /// A LIST that finds nothing fails with `NotFound`.
    ListEmptyFails "list-empty-fails",

    // Failures.
    /// A `Comment` that is forbidden is taken.
    InvalidAccepted "invalid-accepted",
    /// A `Comment` that is forbidden fails with `InternalFailure`.
    InvalidWrongCode "invalid-wrong-code",
    /// Every failure is without words.
    EmptyMessage "empty-message",

    // Tags.
    /// A create keeps no tags.
    IgnoresTags "ignores-tags",
    /// Only the tags of the model are kept, none of the stack's.
    IgnoresStackTags "ignores-stack-tags",
    /// An update keeps the tags as they were.
    TagsNotUpdatable "tags-not-updatable",

    // Invocations.
    /// An invocation of a create, an update or a delete fails when it is repeated.
    RepeatFails "repeat-fails",
    /// An invocation of a create that is repeated makes another thing.
    RepeatDoubles "repeat-doubles",
    /// One invocation of a create takes 90 seconds.
    SlowInvocation "slow-invocation",
    /// A READ takes 45 seconds.
    SlowRead "slow-read",
    /// A delete panics.
    PanicsOnDelete "panics-on-delete",
    /// A create computes for ever.
    Loops "loops",
    /// A create takes all memory.
    EatsMemory "eats-memory",
}

impl Bug {
    /// Gives the bug that the handler has, if any.
    ///
    /// # Panics
    ///
    /// When the file `bug` cannot be read or names none: a test must not take
    /// the correct handler for a faulty one.
    pub(crate) fn active() -> Option<Self> {
        let name = match fs::read_to_string(root().join("bug")) {
            Ok(name) => name,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => panic!("cannot read the file `bug`: {error}; grant a directory"),
        };
        let name = name.trim();
        let bug = Self::ALL.iter().find(|bug| bug.name() == name);
        Some(*bug.unwrap_or_else(|| {
            let all: Vec<&str> = Self::ALL.iter().map(|bug| bug.name()).collect();
            panic!("there is no bug {name:?}; there are {}", all.join(" "))
        }))
    }

    /// Says whether the handler has this bug.
    pub(crate) fn is_on(self) -> bool {
        Self::active() == Some(self)
    }
}
