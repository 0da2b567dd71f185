//! Tokens of pages of requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use formwork_host::model::RequestToken;

use super::refusal::{Exception, Refusal};

/// The first byte of a token, so that a later shape can be told from this one.
const SHAPE: u8 = 1;

/// Where a page ended: behind the request of this token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position(pub(super) RequestToken);

impl Position {
    /// Prints the position as a token, whose inside is nobody's business.
    pub(super) fn print(self) -> String {
        let mut bytes = vec![SHAPE];
        bytes.extend_from_slice(self.0.as_bytes());
        STANDARD.encode(bytes)
    }

    /// Reads a token that was printed.
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let position = STANDARD.decode(text).ok().and_then(|bytes| {
            let (shape, token) = bytes.split_first()?;
            let token = token.try_into().ok()?;
            (*shape == SHAPE).then(|| Self(RequestToken::from_bytes(token)))
        });
        position.ok_or_else(|| {
            Refusal::new(
                Exception::Validation,
                "Invalid NextToken: give the one that the page before came with",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::constraint::NEXT_TOKEN;
    use super::*;

    #[test]
    fn a_position_survives_its_token() {
        let position = Position(RequestToken::random());
        let token = position.print();
        assert!(NEXT_TOKEN.allows(&token), "{token}");
        assert_eq!(Position::read(&token).ok(), Some(position));
        for other in ["", "a", "AAAA", &token[4..], "AgAAAAAAAAAAAAAAAAAAAAAA"] {
            assert!(Position::read(other).is_err(), "{other}");
        }
    }
}
