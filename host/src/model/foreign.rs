//! Words that somebody else has written, where people read them.

/// Tells whether a character steers a terminal, or changes the order in which others are
/// shown: controls, and the marks of Unicode for two directions of writing.
#[must_use]
pub const fn steers(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_control_steers() {
        for character in '\0'..='\u{ffff}' {
            assert!(
                steers(character) || !character.is_control(),
                "{character:?}"
            );
        }
        assert!(steers('\u{202e}') && !steers('ü') && !steers('\u{fffd}'));
    }
}
