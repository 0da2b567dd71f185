//! How many operations of each type may begin now.

use std::collections::HashMap;

use crate::model::TypeName;
use crate::store::Share;

/// One type's claim to invocations.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    pub(super) type_name: TypeName,
    /// How many of the type may run at once.
    pub(super) limit: usize,
}

/// Divides the free slots among the types.
///
/// No type starves another: one that is busy leaves a slot for each other type
/// (while there are more slots than types), and the type that is asked first
/// changes with each `turn`. Shares may add up to more than `slots` minus what
/// runs, so a claim asks type by type, each time with what is left.
pub(super) fn shares(
    demands: &[Demand],
    running: &HashMap<TypeName, usize>,
    slots: usize,
    turn: usize,
) -> Vec<Share> {
    let busy: usize = running.values().sum();
    let free = slots.saturating_sub(busy);
    let most = slots.saturating_sub(demands.len().saturating_sub(1)).max(1);
    let mut shares: Vec<Share> = demands
        .iter()
        .map(|demand| {
            let runs = running.get(&demand.type_name).copied().unwrap_or(0);
            let limit = demand.limit.min(most).saturating_sub(runs).min(free);
            Share {
                type_name: demand.type_name.clone(),
                limit,
            }
        })
        .collect();
    if !shares.is_empty() {
        let first = turn % shares.len();
        shares.rotate_left(first);
    }
    shares.retain(|share| share.limit > 0);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(letter: char) -> TypeName {
        format!("Acme::Test::{letter}{letter}")
            .parse()
            .expect("a type name")
    }

    /// Lists shares as `A4 B2` for limits and running counts by type.
    fn check(types: &[(char, usize, usize)], slots: usize, turn: usize) -> String {
        let demands: Vec<Demand> = types
            .iter()
            .map(|(letter, limit, _)| Demand {
                type_name: name(*letter),
                limit: *limit,
            })
            .collect();
        let running = types
            .iter()
            .map(|(letter, _, runs)| (name(*letter), *runs))
            .collect();
        let shares = shares(&demands, &running, slots, turn);
        let texts: Vec<String> = shares
            .iter()
            .map(|share| format!("{}{}", &share.type_name.as_str()[12..13], share.limit))
            .collect();
        texts.join(" ")
    }

    #[test]
    fn a_type_gets_its_limit_and_what_is_free_at_most() {
        assert_eq!(check(&[('A', 4, 0)], 10, 0), "A4");
        assert_eq!(check(&[('A', 4, 3)], 10, 0), "A1");
        assert_eq!(check(&[('A', 40, 0)], 10, 0), "A10");
        assert_eq!(check(&[('A', 4, 4)], 10, 0), "");
    }

    #[test]
    fn a_busy_type_leaves_a_slot_for_each_other_type() {
        assert_eq!(
            check(&[('A', 99, 8), ('B', 99, 0), ('C', 99, 0)], 10, 0),
            "B2 C2"
        );
        assert_eq!(
            check(&[('A', 99, 7), ('B', 99, 0), ('C', 99, 0)], 10, 0),
            "A1 B3 C3"
        );
    }

    #[test]
    fn each_type_is_first_in_turn() {
        let types = [('A', 1, 0), ('B', 1, 0), ('C', 1, 0)];
        assert_eq!(check(&types, 1, 0), "A1 B1 C1");
        assert_eq!(check(&types, 1, 1), "B1 C1 A1");
        assert_eq!(check(&types, 1, 5), "C1 A1 B1");
    }
}
