//! With whose credentials requests are signed, and when others take over.
//!
//! *Invariant*: what one server says of credentials changes what requests to that
//! server are signed with by the same grant, and no others.
//!
//! *Invariant*: sources are used in the order of their grant, and one is passed over
//! for good when it has no credentials, or when a server has refused those that it
//! gave and, of the operator's, the others that it was asked for then.

use std::fmt;
use std::sync::Arc;

use super::{SigningGrant, SigningSource};
use crate::model::Credentials;
use crate::sandbox::outbound::CredentialsSource;

/// How far the sources of one grant have been gone through for one server, in one
/// invocation.
#[derive(Default)]
pub(in crate::sandbox::outbound) struct Succession {
    /// The number of the source; behind the last one there are no more.
    source: usize,
    /// Its credentials that are in use.
    used: Option<Credentials>,
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

impl Succession {
    /// Gives what is to be done next to sign a request, with these credentials of the
    /// caller's.
    pub(in crate::sandbox::outbound) fn step<'g>(
        &mut self,
        caller: Option<&Credentials>,
        grant: &'g SigningGrant,
    ) -> Step<'g> {
        if let Some(used) = &self.used {
            // Whoever takes over makes good what was lacking.
            self.lack = None;
            return Step::Sign(used.clone());
        }
        let Some(source) = grant.sources.get(self.source) else {
            return Step::Nothing;
        };
        let code = self.refused.as_ref().map(|(_, code)| *code);
        let lack = match (source, code) {
            (SigningSource::Caller, Some(code)) => Lack::CallersRefused { code },
            (SigningSource::Caller, None) => match caller {
                Some(credentials) => {
                    self.used = Some(credentials.clone());
                    self.lack = None;
                    return Step::Sign(credentials.clone());
                }
                None => Lack::NoCallers,
            },
            (SigningSource::Operator(source), _) if !self.spent => {
                let refused = self.refused.as_ref().map(|(refused, _)| refused.clone());
                return Step::Ask(source, refused);
            }
            (SigningSource::Operator(_), Some(code)) => Lack::OperatorsRefused { code },
            (SigningSource::Operator(_), None) => Lack::NoOperators,
        };
        self.pass(lack);
        Step::Tell(source, lack)
    }

    /// Hears what a source of the operator's has said.
    pub(in crate::sandbox::outbound) fn hear(&mut self, said: Option<Credentials>) {
        let refused = self.refused.as_ref().map(|(refused, _)| refused);
        let others = said.filter(|said| refused != Some(said));
        self.spent = refused.is_some() || others.is_none();
        self.used = others;
    }

    /// Notes that the server refuses `used` by a code.
    pub(in crate::sandbox::outbound) fn turn_down(
        &mut self,
        used: &Credentials,
        code: &'static str,
    ) {
        // Another request of the invocation may have found that out already.
        if self.used.as_ref() == Some(used) {
            self.used = None;
            self.refused = Some((used.clone(), code));
        }
    }

    /// Says why requests could not be signed with credentials that are accepted, if
    /// that was so.
    pub(in crate::sandbox::outbound) const fn lack(&self) -> Option<Lack> {
        self.lack
    }

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
