//! With whose credentials requests are signed, and when others take over.
//!
//! *Invariant*: what one server says of credentials changes what requests to that
//! server are signed with by the same grant, and no others.
//!
//! *Invariant*: sources are used in the order of their grant, and one is passed over
//! for good when it has no credentials, or when a server has refused those that it
//! gave and, of the operator's, the others that it was asked for then.
//!
//! *Invariant*: credentials with which a request has had success are not given up for
//! what a guest can bring about by how it makes another one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::rejection;
use super::{SigningGrant, SigningSource};
use crate::model::Credentials;
use crate::sandbox::outbound::CredentialsSource;

/// Where credentials are used: the number of a grant, and a server.
pub(in crate::sandbox::outbound) type Place = (usize, String);

/// What the requests of one invocation are signed with, at each place.
pub(in crate::sandbox::outbound) struct Successions {
    caller: Option<Credentials>,
    places: BTreeMap<Place, Succession>,
}

/// How far the sources of one grant have been gone through for one server.
#[derive(Default)]
struct Succession {
    /// The number of the source; behind the last one there are no more.
    source: usize,
    /// Its credentials that are in use.
    used: Option<Credentials>,
    /// Whether a request that was signed with them had success.
    proven: bool,
    /// Its credentials that were refused last, and how.
    refused: Option<(Credentials, &'static str)>,
    /// Whether it has been asked for others, or had none.
    spent: bool,
    lack: Option<Lack>,
}

/// What is to be done to sign a request.
pub(in crate::sandbox::outbound) enum Step<'g> {
    /// Sign it with these.
    Sign(Credentials),
    /// Ask the operator's source, for others than these, and hand in what it says.
    Ask(&'g Arc<dyn CredentialsSource>, Option<Credentials>),
    /// Tell that a source is passed over, and go on.
    Tell(&'g SigningSource, Lack),
    /// There is nothing to sign it with.
    Nothing,
}

/// Why a source is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox::outbound) enum Lack {
    NoCallers,
    CallersRefused { code: &'static str },
    NoOperators,
    OperatorsRefused { code: &'static str },
}

impl Successions {
    /// Begins an invocation, for a caller with or without credentials.
    pub(in crate::sandbox::outbound) fn new(caller: Option<Credentials>) -> Self {
        Self {
            caller,
            places: BTreeMap::new(),
        }
    }

    /// Gives what is to be done next to sign a request at a place.
    pub(in crate::sandbox::outbound) fn step<'g>(
        &mut self,
        place: &Place,
        grant: &'g SigningGrant,
    ) -> Step<'g> {
        let at = self.places.entry(place.clone()).or_default();
        if let Some(used) = &at.used {
            // Whoever takes over makes good what was lacking.
            at.lack = None;
            return Step::Sign(used.clone());
        }
        let Some(source) = grant.sources.get(at.source) else {
            return Step::Nothing;
        };
        let code = at.refused.as_ref().map(|(_, code)| *code);
        let lack = match (source, code) {
            (SigningSource::Caller, Some(code)) => Lack::CallersRefused { code },
            (SigningSource::Caller, None) => match &self.caller {
                Some(credentials) => {
                    at.used = Some(credentials.clone());
                    at.lack = None;
                    return Step::Sign(credentials.clone());
                }
                None => Lack::NoCallers,
            },
            (SigningSource::Operator(source), _) if !at.spent => {
                let refused = at.refused.as_ref().map(|(refused, _)| refused.clone());
                return Step::Ask(source, refused);
            }
            (SigningSource::Operator(_), Some(code)) => Lack::OperatorsRefused { code },
            (SigningSource::Operator(_), None) => Lack::NoOperators,
        };
        at.pass(lack);
        Step::Tell(source, lack)
    }

    /// Hears what a source of the operator's has said.
    pub(in crate::sandbox::outbound) fn hear(&mut self, place: &Place, said: Option<Credentials>) {
        let at = self.places.entry(place.clone()).or_default();
        let refused = at.refused.as_ref().map(|(refused, _)| refused);
        let others = said.filter(|said| refused != Some(said));
        at.spent = refused.is_some() || others.is_none();
        at.used = others;
    }

    /// Notes that a request had success which was signed with `used`.
    pub(in crate::sandbox::outbound) fn prove(&mut self, place: &Place, used: &Credentials) {
        let at = self.places.entry(place.clone()).or_default();
        at.proven |= at.used.as_ref() == Some(used);
    }

    /// Notes that a server refuses `used` by a code, and tells whether the request is
    /// to be signed with others.
    pub(in crate::sandbox::outbound) fn refuse(
        &mut self,
        place: &Place,
        used: &Credentials,
        code: &'static str,
    ) -> bool {
        let at = self.places.entry(place.clone()).or_default();
        // Another request of the invocation may have found that out already.
        if at.used.as_ref() != Some(used) {
            return true;
        }
        // What was good is good still: the guest has made its request so.
        if at.proven && rejection::can_be_of_the_request(code) {
            return false;
        }
        (at.used, at.proven) = (None, false);
        at.refused = Some((used.clone(), code));
        true
    }

    /// Says why requests could not be signed with credentials that are accepted, if
    /// that was so.
    pub(in crate::sandbox::outbound) fn lack(&self) -> Option<String> {
        let lack = self.places.values().find_map(|at| at.lack);
        lack.map(|lack| lack.to_string())
    }
}

impl Succession {
    /// Goes on to the next source. What is lacking of the caller is kept, since the
    /// caller can change it.
    fn pass(&mut self, lack: Lack) {
        let of_callers = self.lack.filter(|it| it.is_of_callers());
        *self = Self {
            source: self.source + 1,
            lack: of_callers.filter(|_| !lack.is_of_callers()).or(Some(lack)),
            ..Self::default()
        };
    }
}

impl Lack {
    const fn is_of_callers(self) -> bool {
        matches!(self, Self::NoCallers | Self::CallersRefused { .. })
    }
}

impl fmt::Display for Lack {
    /// Says it to the caller.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCallers => f.write_str("the request brings no credentials to sign with"),
            Self::CallersRefused { code } => {
                write!(f, "the credentials of the request are refused ({code})")
            }
            Self::NoOperators | Self::OperatorsRefused { .. } => f.write_str(
                "the credentials that the server signs with are not to be had, or refused",
            ),
        }
    }
}

#[cfg(test)]
mod tests;
