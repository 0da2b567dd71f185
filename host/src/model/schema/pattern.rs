//! The regular expressions of a schema.
//!
//! They are those of ECMA 262, look-around included, and match anywhere in a
//! text. The engine takes the stricter grammar that ECMA 262 has for its `u`
//! flag; what the other one allows besides is rewritten. Published schemas have
//! expressions of other languages too, such as `\A` and `(?s)`: those are not
//! enforced, with a warning.

use serde_json::{Map, Value, json};

use super::bounded::Validator;
use super::check::options;
use super::problem::{SchemaOddity, SchemaWarning};
use super::reference::{escaped, schemas};

/// A regular expression, compiled.
#[derive(Debug)]
pub(in crate::model) struct Pattern(Validator);

impl Pattern {
    /// Compiles an expression, if it can be run.
    pub(in crate::model) fn new(pattern: &str) -> Option<Self> {
        let schema = json!({ "pattern": pattern });
        let compiled = Validator::new(|size| options(size).build(&schema));
        compiled.ok().map(Self)
    }

    /// Tells whether the expression matches anywhere in `text`.
    pub(in crate::model) fn matches(&self, text: &str) -> bool {
        self.0.is_valid(&Value::String(text.to_owned()))
    }
}

/// Rewrites the patterns of a JSON Schema that do not compile, takes those out
/// that cannot be run either way, and tells which.
pub(super) fn make_usable(schema: &mut Value) -> Vec<SchemaWarning> {
    let mut found = Vec::new();
    for (pointer, part) in schemas(schema) {
        let of_values = part.get("pattern").and_then(Value::as_str);
        let of_names = part.get("patternProperties").and_then(Value::as_object);
        let all = of_values.map(|pattern| (pattern, false)).into_iter().chain(
            of_names
                .into_iter()
                .flat_map(Map::keys)
                .map(|pattern| (pattern.as_str(), true)),
        );
        for (pattern, names) in all {
            if Pattern::new(pattern).is_none() {
                found.push((pointer.clone(), pattern.to_owned(), names));
            }
        }
    }
    let mut warnings = Vec::new();
    // Those within others first, while their pointers still lead to them.
    for (pointer, pattern, names) in found.into_iter().rev() {
        let Some(part) = schema.pointer_mut(&pointer).and_then(Value::as_object_mut) else {
            continue;
        };
        let strict = strict(&pattern).filter(|strict| Pattern::new(strict).is_some());
        let enforced = strict.is_some();
        if !names {
            part.remove("pattern");
            part.extend(strict.map(|strict| ("pattern".to_owned(), strict.into())));
        } else if let Some(Value::Object(patterns)) = part.get_mut("patternProperties")
            && let Some(values) = patterns.remove(&pattern)
        {
            // With one that cannot be run, names are not checked; values still are.
            patterns.entry(strict.unwrap_or_default()).or_insert(values);
        }
        if !enforced {
            warnings.push(SchemaWarning {
                pointer: if names {
                    format!("{pointer}/patternProperties/{}", escaped(&pattern))
                } else {
                    format!("{pointer}/pattern")
                },
                oddity: SchemaOddity::PatternNotEnforced { pattern },
            });
        }
    }
    warnings.reverse();
    warnings
}

/// Rewrites an expression by the stricter grammar: escapes brackets and braces
/// that stand for themselves, and a hyphen beside a class within a class, as in
/// `[\w-.]` (ECMA 262, annex B.1.2). None if nothing is to be rewritten.
fn strict(pattern: &str) -> Option<String> {
    let mut text = String::with_capacity(pattern.len() + 4);
    let mut rest = pattern;
    let mut in_class = false;
    let mut after_class = false;
    while let Some(token) = token(rest, in_class) {
        rest = &rest[token.len()..];
        let stands_for_itself = match token {
            "-" if in_class => {
                let before_class = self::token(rest, true).is_some_and(is_class_escape);
                !rest.starts_with(']') && (after_class || before_class)
            }
            "{" | "}" | "]" => !in_class,
            _ => false,
        };
        // Of the brackets in a class, only the closing one ends something.
        let closes = token == "]" && in_class;
        if stands_for_itself {
            text.push('\\');
        }
        text.push_str(token);
        in_class = (in_class && !closes) || token == "[";
        after_class = is_class_escape(token);
    }
    (text != pattern).then_some(text)
}

/// Gives the next escape, quantifier in braces or character.
fn token(rest: &str, in_class: bool) -> Option<&str> {
    let first = rest.chars().next()?;
    let braced = |from: usize| rest[from..].find('}').map_or(from, |end| from + end + 1);
    let length = match first {
        '\\' => {
            let escape = rest[1..].chars().next().map_or(1, |c| 1 + c.len_utf8());
            let takes_name = ["\\p", "\\P", "\\u"].contains(&&rest[..escape]);
            if takes_name && rest[escape..].starts_with('{') {
                braced(escape)
            } else {
                escape
            }
        }
        '{' if !in_class && is_quantifier(&rest[..braced(1)]) => braced(1),
        other => other.len_utf8(),
    };
    Some(&rest[..length])
}

/// Tells whether a text in braces is a quantifier such as `{1,2}`.
fn is_quantifier(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    text.strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
        .is_some_and(|counts| {
            let (least, most) = counts.split_once(',').unwrap_or((counts, ""));
            !least.is_empty() && digits(least) && digits(most)
        })
}

/// Tells whether an escape stands for a class of characters.
fn is_class_escape(token: &str) -> bool {
    let mut chars = token.chars();
    chars.next() == Some('\\') && chars.next().is_some_and(|c| "dDsSwWpP".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_looser_grammar_allows_is_rewritten() {
        for (loose, rewritten) in [
            (r"[\w-.~]+", Some(r"[\w\-.~]+")),
            (
                r"^[a-zA-Z0-9\s-_()\[\]]+$",
                Some(r"^[a-zA-Z0-9\s\-_()\[\]]+$"),
            ),
            (r"[a-\d]", Some(r"[a\-\d]")),
            (r"^\{[\w{}]*}$", Some(r"^\{[\w{}]*\}$")),
            (r"a{,2}]", Some(r"a\{,2\}\]")),
            (r"^[\w-]{2,4}\p{L}[a-z-]{3}\u{61}$", None),
            (r"", None),
        ] {
            assert_eq!(strict(loose).as_deref(), rewritten, "{loose}");
        }
    }

    #[test]
    fn an_expression_looks_around_and_matches_anywhere() {
        for (pattern, text, matches) in [
            (r"^(?!aws:)\w+$", "a", true),
            (r"^(?!aws:).+$", "aws:a", false),
            (r"(?<=a)b", "cab", true),
            (r"(?<!a)b", "cab", false),
            (r"b", "abc", true),
            (r"^(a)\1$", "aa", true),
            (r"^[\w\-.~]+$", "a-b", true),
        ] {
            let compiled = Pattern::new(pattern).expect(pattern);
            assert_eq!(compiled.matches(text), matches, "{pattern} {text}");
        }
    }
}
