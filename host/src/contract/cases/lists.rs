//! LIST: its pages, and what it names.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::contract::Rule;
use crate::contract::stage::{End, Listing, Made, Stage, Step};
use crate::model::{ListRequest, PropertyPath};

/// How many resources pages are tried with.
const RESOURCES: usize = 3;

/// How many listed resources are read at most: an account can hold many.
const READ_AT_MOST: usize = 20;

/// A list with more resources than this is not taken one by one.
const SHORT_LIST: usize = 50;

/// A text that no handler gives as a token.
const NO_TOKEN: &str = "formwork-no-such-token";

pub(super) async fn pages(stage: &mut Stage) -> Step {
    let mut made = vec![stage.make().await?];
    while made.len() < RESOURCES {
        let Some(input) = stage.other_input(made.len()) else {
            break;
        };
        // What a handler thinks of inputs that we made up is no rule's matter.
        match stage.make_from(&input).await? {
            Ok(other) => made.push(other),
            Err(_) => break,
        }
    }
    let whole = stage.list(None).await?;
    for resource in &made {
        let times = stage.times_listed(&whole, &resource.model);
        if times == 0 {
            let what = format!(
                "LIST has {}, and lacks one that exists",
                resources(whole.models.len())
            );
            stage.found(Rule::CreatedIsListed, whole.from, what);
        } else if times > 1 {
            stage.found(
                Rule::PagesJoin,
                whole.from,
                format!("LIST has one and the same resource {times} times"),
            );
        }
    }
    let sizes: Vec<u32> = if whole.models.len() <= SHORT_LIST {
        vec![1, 2]
    } else {
        vec![u32::try_from(whole.models.len() / 2).unwrap_or(u32::MAX)]
    };
    for size in sizes {
        let joined = stage.list(Some(size)).await?;
        compare(stage, &whole, &joined, size);
    }
    keeps_filter(stage, &made).await?;
    let list = ListRequest {
        filter: stage.list_filter(),
        next_token: Some(NO_TOKEN.to_owned()),
        max_results: None,
    };
    let (answer, from) = stage.list_page(list).await?;
    if let Err(end @ End::Trapped(_)) = answer {
        stage.found(
            Rule::PagesJoin,
            from,
            format!("LIST with a next token that it never gave {end}; it should be InvalidRequest"),
        );
    }
    if made.len() < 2 && whole.models.len() < 2 && !stage.has_found() {
        return stage.skip("only one resource could be made, and it takes two to turn a page");
    }
    Ok(())
}

/// Makes a resource that the filter of a LIST leaves out, where the type demands a
/// filter, and sees to it that LIST leaves it out.
async fn keeps_filter(stage: &mut Stage, made: &[Made]) -> Step {
    let Some(filter) = stage.list_filter().map(|filter| filter.to_map()) else {
        return Ok(());
    };
    for name in filter.keys() {
        let path = PropertyPath::of_property(name);
        // A second resource differs from the first in all that it may, so that
        // nothing but the filter is why it could be left out.
        let base = stage.other_input(made.len() + 1);
        let base = base.unwrap_or_else(|| stage.inputs().create.clone());
        let Some(input) = stage.another(&base, &path) else {
            continue;
        };
        // Another parent may not be there, say: that is no rule's matter.
        let Ok(outsider) = stage.make_from(&input).await? else {
            continue;
        };
        if outsider.model.get(name) != input.get(name) {
            continue;
        }
        let listing = stage.list(None).await?;
        if stage.times_listed(&listing, &outsider.model) > 0 {
            stage.found(
                Rule::ListKeepsFilter,
                listing.from,
                format!("LIST by `{name}` has a resource with another `{name}`"),
            );
        }
    }
    Ok(())
}

fn resources(count: usize) -> String {
    match count {
        1 => "1 resource".to_owned(),
        _ => format!("{count} resources"),
    }
}

fn compare(stage: &mut Stage, whole: &Listing, joined: &Listing, size: u32) {
    let names = |listing: &Listing| -> Vec<String> {
        listing
            .models
            .iter()
            .map(|model| name(stage, model))
            .collect()
    };
    let all: BTreeSet<String> = names(whole).into_iter().collect();
    let parts = names(joined);
    let seen: BTreeSet<String> = parts.iter().cloned().collect();
    let mut wrong = Vec::new();
    let lost: Vec<&String> = all.difference(&seen).collect();
    if !lost.is_empty() {
        wrong.push(format!("{} of {} are lost", lost.len(), all.len()));
    }
    let added = seen.difference(&all).count();
    if added > 0 {
        wrong.push(format!("{added} are in no other list"));
    }
    if parts.len() > seen.len() {
        wrong.push(format!("{} are there twice", parts.len() - seen.len()));
    }
    if !wrong.is_empty() {
        let what = format!(
            "LIST in {} pages of at most {size} is not the whole list: {}",
            joined.pages,
            wrong.join(", ")
        );
        stage.found(Rule::PagesJoin, joined.from, what);
    }
}

/// Names a listed resource, by its whole model if it does not name itself.
fn name(stage: &Stage, model: &Map<String, Value>) -> String {
    stage.identifier(model).map_or_else(
        || Value::Object(model.clone()).to_string(),
        |identifier| identifier.to_string(),
    )
}

pub(super) async fn readable(stage: &mut Stage) -> Step {
    let made = stage.make().await?;
    let listing = stage.list(None).await?;
    let ours = stage.identifier(&made.model);
    let (own, others): (Vec<_>, Vec<_>) = listing
        .models
        .iter()
        .partition(|model| stage.identifier(model) == ours);
    if listing.models.is_empty() {
        return stage.skip("LIST has no resource that could be read");
    }
    for model in own.into_iter().chain(others).take(READ_AT_MOST) {
        let name = stage.name_of(model);
        if name.is_empty() {
            stage.found(
                Rule::NamesResource,
                listing.from,
                "LIST has a model without the whole primary identifier",
            );
            continue;
        }
        let ended = stage.read(&name).await?;
        if !matches!(ended.end, End::Success(_)) {
            let what = "READ of a listed resource";
            stage.found_end(Rule::ListedIsReadable, what, &ended.end, ended.from);
        }
    }
    Ok(())
}
