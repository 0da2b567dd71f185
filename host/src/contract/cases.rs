//! The tests, as a table.

mod changes;
mod identifiers;
mod lists;
mod observed;
mod official;
mod refusals;
mod repeats;
mod tags;

use std::future::ready;
use std::pin::Pin;

use crate::model::Action;
use crate::model::Action::{Create, Delete, List, Read, Update};

use super::stage::{Stage, Step};

/// A test.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// What it is about, in a sentence.
    pub(super) about: &'static str,
    /// The actions that it needs; without one of them it is skipped.
    pub(super) needs: &'static [Action],
    pub(super) run: Run,
}

type Run = for<'a> fn(&'a mut Stage) -> Pin<Box<dyn Future<Output = Step> + Send + 'a>>;

/// Writes a row: the name, the actions that it needs, its function, and what it
/// is about.
macro_rules! case {
    ($name:literal, [$($need:ident),*], $module:ident::$function:ident, $about:literal) => {
        Case {
            name: $name,
            about: $about,
            needs: &[$($need),*],
            run: |stage| Box::pin($module::$function(stage)),
        }
    };
    ($name:literal, [$($need:ident),*], at once $module:ident::$function:ident, $about:literal) => {
        Case {
            name: $name,
            about: $about,
            needs: &[$($need),*],
            run: |stage| Box::pin(ready($module::$function(stage))),
        }
    };
}

/// Every test, in the order in which they are made: the official ones first; last
/// those that judge what all others have seen.
pub(super) const CASES: &[Case] = &[
    case!(
        "contract_create_delete",
        [Create, Delete],
        official::create_delete,
        "a create and a delete succeed"
    ),
    case!(
        "contract_create_create",
        [Create],
        official::create_create,
        "a second create of the same resource is AlreadyExists"
    ),
    case!(
        "contract_create_read",
        [Create, Read],
        official::create_read,
        "READ gives what was created"
    ),
    case!(
        "contract_create_list",
        [Create, Read, List],
        official::create_list,
        "LIST has what was created"
    ),
    case!(
        "contract_create_taggable",
        [Create],
        at once official::create_taggable,
        "the inputs of a taggable type have tags"
    ),
    case!(
        "contract_delete_read",
        [Create, Delete, Read],
        official::delete_read,
        "READ of a deleted resource is NotFound"
    ),
    case!(
        "contract_delete_list",
        [Create, Delete, List],
        official::delete_list,
        "LIST has no deleted resource"
    ),
    case!(
        "contract_delete_update",
        [Create, Delete, Update],
        official::delete_update,
        "an update of a deleted resource is NotFound"
    ),
    case!(
        "contract_delete_delete",
        [Create, Delete],
        official::delete_delete,
        "a delete of a deleted resource is NotFound"
    ),
    case!(
        "contract_delete_create",
        [Create, Delete],
        official::delete_create,
        "a deleted resource can be created again"
    ),
    case!(
        "contract_check_asserts_work",
        [],
        at once official::asserts_work,
        "the tests find what is wrong"
    ),
    case!(
        "contract_update_read",
        [Create, Update, Read],
        official::update_read,
        "READ gives what was updated"
    ),
    case!(
        "contract_update_list",
        [Create, Update, List],
        official::update_list,
        "LIST has what was updated"
    ),
    case!(
        "contract_update_tag_updatable",
        [Create, Update],
        at once official::update_tag_updatable,
        "the update inputs of a type with updatable tags have tags"
    ),
    case!(
        "contract_update_without_create",
        [Update],
        official::update_without_create,
        "an update of what never was is NotFound"
    ),
    case!(
        "formwork_create_same_token",
        [Create],
        repeats::same_token,
        "two creates with the same token make one resource"
    ),
    case!(
        "formwork_repeat_after_crash",
        [Create],
        repeats::after_crash,
        "each invocation of a chain can be repeated"
    ),
    case!(
        "formwork_read_by_identifier_alone",
        [Create, Read],
        identifiers::read_alone,
        "READ needs the primary identifier and nothing else"
    ),
    case!(
        "formwork_update_by_identifier_alone",
        [Create, Update],
        identifiers::update_alone,
        "an update needs no read-only values beside the identifier"
    ),
    case!(
        "formwork_delete_by_identifier_alone",
        [Create, Delete],
        identifiers::delete_alone,
        "a delete needs the primary identifier and nothing else"
    ),
    case!(
        "formwork_read_by_additional_identifier",
        [Create, Read],
        identifiers::read_additional,
        "READ by each additional identifier"
    ),
    case!(
        "formwork_update_by_additional_identifier",
        [Create, Update],
        identifiers::update_additional,
        "an update by each additional identifier"
    ),
    case!(
        "formwork_delete_by_additional_identifier",
        [Create, Delete],
        identifiers::delete_additional,
        "a delete by each additional identifier"
    ),
    case!(
        "formwork_unknown_not_found",
        [],
        identifiers::unknown,
        "READ and DELETE of what never was are NotFound"
    ),
    case!(
        "formwork_update_no_upsert",
        [Update],
        changes::no_upsert,
        "an update of what never was makes nothing"
    ),
    case!(
        "formwork_update_create_only",
        [Create, Update],
        changes::create_only,
        "an update of each create-only property is NotUpdatable"
    ),
    case!(
        "formwork_update_replaces_collections",
        [Create, Update],
        changes::replaces_collections,
        "an update replaces collections as a whole"
    ),
    case!(
        "formwork_delete_create",
        [Create, Delete],
        changes::delete_create,
        "a resource can be made, deleted and made again"
    ),
    case!(
        "formwork_invalid_input",
        [Create],
        refusals::invalid_input,
        "an invalid model is InvalidRequest, and nothing is made"
    ),
    case!(
        "formwork_read_only_refused",
        [Create],
        refusals::read_only_refused,
        "a create cannot set read-only properties"
    ),
    case!(
        "formwork_defaults_present",
        [Create],
        changes::defaults,
        "defaults of properties that were left out are in the model"
    ),
    case!(
        "formwork_list_pages",
        [Create, List],
        lists::pages,
        "pages of every size are together the whole list"
    ),
    case!(
        "formwork_list_readable",
        [Create, Read, List],
        lists::readable,
        "each listed resource can be read"
    ),
    case!(
        "formwork_tags",
        [Create],
        tags::applied,
        "the tags of the stack reach the resource"
    ),
    case!(
        "formwork_models_fit_schema",
        [],
        observed::fits_schema,
        "every model fits the schema"
    ),
    case!(
        "formwork_no_nulls",
        [],
        observed::no_nulls,
        "no model has a null"
    ),
    case!(
        "formwork_write_only_not_returned",
        [],
        observed::write_only,
        "no answer has a write-only property"
    ),
    case!(
        "formwork_identifier_in_models",
        [],
        observed::identifier_in_models,
        "every answered model has the primary identifier"
    ),
    case!(
        "formwork_identifier_in_progress",
        [],
        observed::identifier_in_progress,
        "every IN_PROGRESS event has the primary identifier, the same all along"
    ),
    case!(
        "formwork_failure_has_message",
        [],
        observed::failure_has_message,
        "every failure has a message"
    ),
    case!(
        "formwork_no_traps",
        [],
        observed::no_traps,
        "no invocation panics or breaks a limit"
    ),
    case!(
        "formwork_deadline",
        [],
        observed::deadline,
        "invocations and operations end in time"
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_whose_they_are() {
        let mut names: Vec<_> = CASES.iter().map(|case| case.name).collect();
        assert!(
            names
                .iter()
                .all(|name| name.starts_with("contract_") || name.starts_with("formwork_"))
        );
        let official = names
            .iter()
            .filter(|name| name.starts_with("contract_"))
            .count();
        assert_eq!(official, 15);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CASES.len());
    }
}
