//! Texts that are likely to match a regular expression.

use rand::RngExt as _;
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind};

use super::ecma::{self, LookAhead};
use super::seed::Random;

/// What text is drawn from where the pattern leaves a choice.
const PRINTABLE: (char, char) = (' ', '~');

/// How often a letter or digit is drawn where a class allows others as well.
const PLAIN: f64 = 0.85;

/// Which characters are preferred where a class leaves a choice.
#[derive(Clone, Copy, Debug)]
pub(super) enum Taste {
    /// Small letters alone.
    Letters,
    /// Letters and digits for the most part.
    Plain,
}

/// Draws texts by a pattern without its look-arounds and back references.
///
/// What they demand is for the caller to test: most texts comply by chance.
#[derive(Debug)]
pub(super) struct Sampler {
    /// As if look-arounds were not there.
    without: Hir,
    /// With the text that a look-ahead wants to see spelt out in its place.
    with: Hir,
}

impl Sampler {
    /// Reads an ECMA regular expression, or gives none if it is not understood.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        let parse = |look_ahead| {
            let hir = regex_syntax::parse(&ecma::relaxed(pattern, look_ahead)).ok()?;
            Some(printable(&hir))
        };
        Some(Self {
            without: parse(LookAhead::Dropped)?,
            with: parse(LookAhead::Spelt)?,
        })
    }

    /// Draws a text of about `length` characters, as far as the pattern lets it.
    pub(super) fn sample(
        &self,
        look_ahead: LookAhead,
        taste: Taste,
        length: usize,
        random: &mut Random,
    ) -> String {
        let hir = match look_ahead {
            LookAhead::Dropped => &self.without,
            LookAhead::Spelt => &self.with,
        };
        let mut text = String::new();
        draw(hir, taste, length, random, &mut text);
        text
    }
}

/// Takes the assertions out, and leaves printable ASCII in each class that has any.
fn printable(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Hir::empty(),
        HirKind::Literal(literal) => Hir::literal(literal.0.clone()),
        HirKind::Class(Class::Unicode(class)) => {
            let (first, last) = PRINTABLE;
            let mut ascii = ClassUnicode::new([ClassUnicodeRange::new(first, last)]);
            ascii.intersect(class);
            let chosen = if ascii.ranges().is_empty() {
                class.clone()
            } else {
                ascii
            };
            Hir::class(Class::Unicode(chosen))
        }
        HirKind::Class(Class::Bytes(class)) => Hir::class(Class::Bytes(class.clone())),
        HirKind::Repetition(repetition) => {
            Hir::repetition(repetition.with(printable(&repetition.sub)))
        }
        HirKind::Capture(capture) => printable(&capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(printable).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(printable).collect()),
    }
}

fn shortest(hir: &Hir) -> usize {
    hir.properties().minimum_len().unwrap_or(0)
}

fn longest(hir: &Hir) -> usize {
    hir.properties().maximum_len().unwrap_or(usize::MAX)
}

fn draw(hir: &Hir, taste: Taste, length: usize, random: &mut Random, text: &mut String) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(class) => text.extend(character(class, taste, random)),
        HirKind::Capture(capture) => draw(&capture.sub, taste, length, random, text),
        HirKind::Repetition(repetition) => {
            let unit = shortest(&repetition.sub).max(1);
            let least = repetition.min as usize;
            let most = repetition.max.map_or(usize::MAX, |max| max as usize);
            let wanted = if longest(&repetition.sub) == unit {
                length / unit
            } else {
                // Members that can grow may be fewer and longer.
                random.random_range((length > 0).into()..=(length / unit).max(1))
            };
            let count = wanted.clamp(least, most.max(least));
            let each = vec![&*repetition.sub; count];
            draw_all(&each, taste, length, random, text);
        }
        HirKind::Concat(parts) => {
            draw_all(
                &parts.iter().collect::<Vec<_>>(),
                taste,
                length,
                random,
                text,
            );
        }
        HirKind::Alternation(parts) => {
            let fitting: Vec<&Hir> = parts
                .iter()
                .filter(|part| (shortest(part)..=longest(part)).contains(&length))
                .collect();
            let part = if fitting.is_empty() {
                &parts[random.random_range(0..parts.len())]
            } else {
                fitting[random.random_range(0..fitting.len())]
            };
            draw(part, taste, length, random, text);
        }
    }
}

/// Shares `length` out between parts that stand one after the other.
fn draw_all(parts: &[&Hir], taste: Taste, length: usize, random: &mut Random, text: &mut String) {
    let mut shares: Vec<usize> = parts.iter().map(|part| shortest(part)).collect();
    let mut spare = length.saturating_sub(shares.iter().sum());
    let room = |index: usize, share: usize| longest(parts[index]).saturating_sub(share);
    // First by chance, then whoever has room, so that nothing is left over.
    for round in 0..2 {
        let start = if shares.is_empty() {
            0
        } else {
            random.random_range(0..shares.len())
        };
        for offset in 0..shares.len() {
            let index = (start + offset) % shares.len();
            let most = room(index, shares[index]).min(spare);
            let more = if round == 0 {
                random.random_range(0..=most)
            } else {
                most
            };
            shares[index] += more;
            spare -= more;
        }
    }
    for (part, share) in parts.iter().zip(shares) {
        draw(part, taste, share, random, text);
    }
}

fn character(class: &Class, taste: Taste, random: &mut Random) -> Option<char> {
    let ranges: Vec<(u32, u32)> = match class {
        Class::Unicode(class) => class
            .iter()
            .map(|range| (range.start().into(), range.end().into()))
            .collect(),
        Class::Bytes(class) => class
            .iter()
            .map(|range| (range.start().into(), range.end().into()))
            .collect(),
    };
    let all = || {
        ranges
            .iter()
            .flat_map(|&(first, last)| first..=last)
            .filter_map(char::from_u32)
    };
    // Beyond these, a class offers nothing that a handler would see differently.
    let offered: Vec<char> = all().take(PRINTABLE.1 as usize).collect();
    let preferred: Vec<char> = match taste {
        Taste::Letters => offered
            .iter()
            .copied()
            .filter(char::is_ascii_lowercase)
            .collect(),
        Taste::Plain if random.random_bool(PLAIN) => offered
            .iter()
            .copied()
            .filter(char::is_ascii_alphanumeric)
            .collect(),
        Taste::Plain => Vec::new(),
    };
    let choice = if preferred.is_empty() {
        offered
    } else {
        preferred
    };
    let index = (!choice.is_empty()).then(|| random.random_range(0..choice.len()))?;
    Some(choice[index])
}
