//! Reads a source file as what its code names, with test code told apart.
//!
//! *Invariant*: comments, documentation and the contents of strings are never
//! taken for code.

use std::ops::RangeInclusive;

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

/// One file of Rust.
pub(super) struct Source {
    /// From the root of the repository, with slashes.
    pub(super) path: String,
    /// As it stands in the file.
    pub(super) text: String,
    /// What the code outside of tests names.
    pub(super) mentions: Vec<Mention>,
    /// The lines that are tests, from 1.
    tests: Vec<RangeInclusive<usize>>,
    /// The files' modules that are tests: `#[cfg(test)] mod NAME;`.
    pub(super) test_modules: Vec<String>,
}

/// A path that code names, such as `std::env::var`, wherever it stands.
///
/// Imports are spelled out, so that `use std::{env, fs}` names `std::env` and
/// `std::fs`. A called macro ends in `!`, a called method begins with `.`, a
/// derived trait follows `derive`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) segments: Vec<String>,
    /// From 1.
    pub(super) line: usize,
}

impl Mention {
    /// Tells whether `pattern` is a run of the segments. A segment of the
    /// pattern that ends in `*` stands for all that begin so.
    pub(super) fn is(&self, pattern: &str) -> bool {
        let pattern: Vec<&str> = pattern.split("::").collect();
        self.segments.windows(pattern.len()).any(|run| {
            run.iter()
                .zip(&pattern)
                .all(|(segment, wanted)| match wanted.strip_suffix('*') {
                    Some(start) => segment.starts_with(start),
                    None => segment == wanted,
                })
        })
    }
}

impl Source {
    /// Reads the text of a file.
    pub(super) fn parse(path: &str, text: &str) -> Self {
        let tokens: TokenStream = text
            .parse()
            .unwrap_or_else(|error| panic!("{path} cannot be read as Rust: {error}"));
        let mut source = Self {
            path: path.to_owned(),
            text: text.to_owned(),
            mentions: Vec::new(),
            tests: Vec::new(),
            test_modules: Vec::new(),
        };
        source.walk(tokens);
        source
    }

    /// Gives the lines outside of tests, numbered from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..)
            .zip(self.text.lines())
            .filter(|(line, _)| !self.tests.iter().any(|tests| tests.contains(line)))
    }

    fn walk(&mut self, tokens: TokenStream) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < trees.len() {
            at = match &trees[at] {
                TokenTree::Punct(hash) if hash.as_char() == '#' => self.attribute(&trees, at),
                TokenTree::Ident(word) if word == "use" => {
                    let end = (at..trees.len())
                        .find(|&i| is_punct(trees.get(i), ';'))
                        .unwrap_or(trees.len());
                    self.import(&trees[at + 1..end], &[]);
                    end
                }
                TokenTree::Ident(_) => self.path(&trees, at),
                TokenTree::Group(group) => {
                    self.walk(group.stream());
                    at + 1
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => at + 1,
            };
        }
    }

    /// Reads an attribute; passes over the item under `#[cfg(test)]`.
    fn attribute(&mut self, trees: &[TokenTree], at: usize) -> usize {
        let inner = usize::from(is_punct(trees.get(at + 1), '!'));
        let Some(TokenTree::Group(group)) = trees.get(at + 1 + inner) else {
            return at + 1;
        };
        let after = at + 2 + inner;
        if inner == 0 && is_cfg_test(group) {
            let ends = |tree: &TokenTree| match tree {
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                tree => is_punct(Some(tree), ';'),
            };
            let end = (after..trees.len())
                .find(|&i| ends(&trees[i]))
                .unwrap_or(trees.len() - 1);
            self.tests
                .push(line(&trees[at])..=trees[end].span().end().line);
            if let [
                ..,
                TokenTree::Ident(word),
                TokenTree::Ident(name),
                TokenTree::Punct(_),
            ] = &trees[..=end]
                && word == "mod"
            {
                self.test_modules.push(name.to_string());
            }
            return end + 1;
        }
        let words: Vec<TokenTree> = group.stream().into_iter().collect();
        if let [TokenTree::Ident(name), TokenTree::Group(list)] = words.as_slice() {
            if name == "derive" {
                let first = self.mentions.len();
                self.walk(list.stream());
                for mention in &mut self.mentions[first..] {
                    let derived = mention.segments.pop().unwrap_or_default();
                    mention.segments = vec!["derive".to_owned(), derived];
                }
                return after;
            }
            let reasoned = list
                .stream()
                .into_iter()
                .any(|tree| matches!(&tree, TokenTree::Ident(word) if word == "reason"));
            if (name == "allow" || name == "expect") && !reasoned {
                self.mention(vec!["without-reason".to_owned()], &trees[at]);
            }
        }
        self.walk(group.stream());
        after
    }

    /// Spells out the tree of an import under what is already known of it.
    fn import(&mut self, trees: &[TokenTree], above: &[String]) {
        for branch in trees.split(|tree| is_punct(Some(tree), ',')) {
            let mut segments = above.to_vec();
            let mut last = None;
            for tree in branch {
                match tree {
                    TokenTree::Ident(word) if word == "as" => break,
                    TokenTree::Ident(word) => {
                        segments.push(word.to_string());
                        last = Some(tree);
                    }
                    TokenTree::Group(group) => {
                        let below: Vec<TokenTree> = group.stream().into_iter().collect();
                        self.import(&below, &segments);
                        last = None;
                    }
                    TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                }
            }
            if let Some(last) = last {
                self.mention(segments, last);
            }
        }
    }

    fn path(&mut self, trees: &[TokenTree], at: usize) -> usize {
        let mut segments = Vec::new();
        let mut end = at;
        while let Some(TokenTree::Ident(word)) = trees.get(end) {
            segments.push(word.to_string());
            end += 1;
            let joined = matches!(trees.get(end), Some(TokenTree::Punct(colon))
                if colon.as_char() == ':' && colon.spacing() == Spacing::Joint);
            if !joined || !matches!(trees.get(end + 2), Some(TokenTree::Ident(_))) {
                break;
            }
            end += 2;
        }
        let called = is_punct(trees.get(end), '!')
            && matches!(trees.get(end + 1), Some(TokenTree::Group(_)));
        if let (true, Some(name)) = (called, segments.last_mut()) {
            name.push('!');
        }
        if at > 0 && is_punct(trees.get(at - 1), '.') {
            segments[0].insert(0, '.');
        }
        self.mention(segments, &trees[at]);
        end
    }

    fn mention(&mut self, segments: Vec<String>, tree: &TokenTree) {
        let line = line(tree);
        self.mentions.push(Mention { segments, line });
    }
}

fn line(tree: &TokenTree) -> usize {
    tree.span().start().line
}

fn is_punct(tree: Option<&TokenTree>, wanted: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

/// Tells whether an attribute is `cfg(test)` or `cfg(all(test, ...))`.
fn is_cfg_test(attribute: &Group) -> bool {
    let text: String = attribute.stream().to_string().split_whitespace().collect();
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<String> {
        let source = Source::parse("a.rs", text);
        source
            .mentions
            .iter()
            .map(|mention| mention.segments.join("::"))
            .collect()
    }

    #[test]
    fn imports_are_spelled_out() {
        assert_eq!(
            named("use std::{env, fs::{self, File as F}}; use a::*;"),
            ["std::env", "std::fs::self", "std::fs::File", "a"]
        );
    }

    #[test]
    fn calls_macros_and_derives_are_told_apart() {
        assert_eq!(
            named(
                "#[derive(Debug, serde::Serialize)] struct A; fn f() { x.unwrap(); println!(\"env::var\"); a::b::<C>(); }"
            ),
            [
                "derive::Debug",
                "derive::Serialize",
                "struct",
                "A",
                "fn",
                "f",
                "x",
                ".unwrap",
                "println!",
                "a::b",
                "C"
            ]
        );
    }

    #[test]
    fn tests_are_no_code() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n  use b;\n}\n#[cfg(test)] pub(crate) mod c;\nfn d() {}\n";
        let source = Source::parse("a.rs", text);
        assert_eq!(named(text), ["fn", "a", "fn", "d"]);
        assert_eq!(source.test_modules, ["c"]);
        assert_eq!(
            source.lines().map(|(line, _)| line).collect::<Vec<_>>(),
            [1, 7]
        );
    }
}
