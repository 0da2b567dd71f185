//! Which properties are left out of a model.

use crate::model::PropertyPath;

/// The property paths that begin at one place of a model.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Paths {
    rests: Vec<Vec<String>>,
}

impl Paths {
    /// Takes the paths as they begin at the model itself.
    pub(in super::super) fn new<'a>(paths: impl IntoIterator<Item = &'a PropertyPath>) -> Self {
        Self {
            rests: paths
                .into_iter()
                .map(|path| path.steps().to_vec())
                .collect(),
        }
    }

    /// Goes to a member of an object, or gives none if a path ends there.
    pub(in super::super) fn member(&self, name: &str) -> Option<Self> {
        self.beyond(|rest| match rest.split_first() {
            Some((first, rest)) if first == name || first == "*" => Some(rest),
            Some(_) | None => None,
        })
    }

    /// Goes to the members of an array, or gives none if a path ends there; a
    /// path needs no `*` for them.
    pub(in super::super) fn item(&self) -> Option<Self> {
        self.beyond(|rest| match rest.split_first() {
            Some((first, rest)) if first == "*" => Some(rest),
            Some(_) | None => Some(rest),
        })
    }

    /// Tells whether no path goes on from here.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.rests.is_empty()
    }

    fn beyond(&self, go: impl Fn(&[String]) -> Option<&[String]>) -> Option<Self> {
        let rests: Vec<&[String]> = self.rests.iter().filter_map(|rest| go(rest)).collect();
        if rests.iter().any(|rest| rest.is_empty()) {
            return None;
        }
        Some(Self {
            rests: rests.into_iter().map(<[String]>::to_vec).collect(),
        })
    }
}
