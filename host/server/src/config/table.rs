//! Tables of a TOML document, read key by key, and what is wrong with them.
//!
//! *Invariant*: all that is wrong with a document is said at once, each with its
//! line, its key and the rule. A value that is a secret is not repeated.

use std::cell::RefCell;
use std::fmt;

use toml_span::value::{Table, Value, ValueInner};

/// The longest value that is repeated, in characters.
const SHOWN: usize = 60;

/// How much alike two words are, from 0 to 1, of which one can be meant by the
/// other.
const ALIKE: f64 = 0.75;

/// One thing that is wrong with a document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    line: usize,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// A document that is being read.
pub(super) struct Document<'d> {
    text: &'d str,
    faults: RefCell<Vec<Fault>>,
}

impl<'d> Document<'d> {
    /// Reads the tables of a document with `read`, and gives what it gives, or
    /// all that is wrong, in the order of the document.
    pub(super) fn read<T>(
        text: &'d str,
        read: impl FnOnce(&mut Section<'_, 'd>) -> Option<T>,
    ) -> Result<T, Vec<Fault>> {
        let document = Self {
            text,
            faults: RefCell::default(),
        };
        let read = match toml_span::parse(text) {
            Ok(mut value) => {
                let table = match value.take() {
                    ValueInner::Table(table) => table,
                    ValueInner::String(_)
                    | ValueInner::Integer(_)
                    | ValueInner::Float(_)
                    | ValueInner::Boolean(_)
                    | ValueInner::Array(_) => unreachable!("a document is a table"),
                };
                let mut section = Section::new(&document, String::new(), 0, table);
                let read = read(&mut section);
                section.end();
                read
            }
            Err(error) => {
                document.fault(error.span.start, format!("the text is no TOML: {error}"));
                None
            }
        };
        let mut faults = document.faults.into_inner();
        match read {
            Some(read) if faults.is_empty() => Ok(read),
            Some(_) | None => {
                faults.sort_by_key(|fault| fault.line);
                Err(faults)
            }
        }
    }

    fn fault(&self, at: usize, what: String) {
        let before = self.text.get(..at).unwrap_or(self.text);
        self.faults.borrow_mut().push(Fault {
            line: before.matches('\n').count() + 1,
            what,
        });
    }

    /// Gives a value as it stands in the document, if it is short.
    fn shown(&self, value: &Value<'_>) -> String {
        let text = self.text.get(value.span.start..value.span.end);
        match text {
            Some(text) if text.chars().count() <= SHOWN && !text.contains('\n') => {
                format!(" is `{text}`")
            }
            Some(_) | None => String::new(),
        }
    }
}

/// A table whose keys are asked for one after the other.
pub(super) struct Section<'f, 'd> {
    document: &'f Document<'d>,
    /// The keys that lead to it, each with a dot.
    path: String,
    start: usize,
    table: Table<'d>,
    known: Vec<&'static str>,
}

impl<'f, 'd> Section<'f, 'd> {
    fn new(document: &'f Document<'d>, path: String, start: usize, table: Table<'d>) -> Self {
        Self {
            document,
            path,
            start,
            table,
            known: Vec::new(),
        }
    }

    /// Takes the value of a key, if it is there and `read` can read it.
    pub(super) fn take<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(ValueInner<'d>) -> Result<T, String>,
    ) -> Option<T> {
        let mut value = self.remove(key)?;
        let shown = self.document.shown(&value);
        read(value.take())
            .map_err(|rule| {
                let what = format!("`{}{key}`{shown}: {rule}", self.path);
                self.document.fault(value.span.start, what);
            })
            .ok()
    }

    /// Takes a value that may be a secret, and is not repeated if it is wrong.
    pub(super) fn take_secret<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(ValueInner<'d>) -> Result<T, String>,
    ) -> Option<T> {
        let mut value = self.remove(key)?;
        read(value.take())
            .map_err(|rule| {
                let what = format!("`{}{key}`: {rule}", self.path);
                self.document.fault(value.span.start, what);
            })
            .ok()
    }

    /// Takes the value of a key that has to be there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(ValueInner<'d>) -> Result<T, String>,
    ) -> Option<T> {
        if self.table.contains_key(key) {
            return self.take(key, read);
        }
        self.known.push(key);
        self.wrong(format_args!("`{}{key}` is missing", self.path));
        None
    }

    /// Reads the table of a key, if it is there.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_, 'd>) -> T,
    ) -> Option<T> {
        let value = self.remove(key)?;
        let path = format!("{}{key}", self.path);
        self.below(value, &path, read)
    }

    /// Reads each table of a key that has several, `[[key]]`.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'_, 'd>) -> Option<T>,
    ) -> Vec<T> {
        let Some(mut value) = self.remove(key) else {
            return Vec::new();
        };
        let span = value.span;
        let ValueInner::Array(values) = value.take() else {
            let path = &self.path;
            let what = format!("`{path}{key}` must be a list of tables: write `[[{path}{key}]]`");
            self.document.fault(span.start, what);
            return Vec::new();
        };
        let mut all = Vec::new();
        for (number, value) in (1..).zip(values) {
            let path = format!("{}{key} {number}", self.path);
            all.extend(self.below(value, &path, &mut read).flatten());
        }
        all
    }

    /// Tells whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Says that something is wrong with the table as a whole.
    pub(super) fn wrong(&self, what: impl fmt::Display) {
        self.document.fault(self.start, what.to_string());
    }

    fn below<T>(
        &self,
        mut value: Value<'d>,
        path: &str,
        read: impl FnOnce(&mut Section<'_, 'd>) -> T,
    ) -> Option<T> {
        let span = value.span;
        let ValueInner::Table(table) = value.take() else {
            let what = format!("`{path}` must be a table");
            self.document.fault(span.start, what);
            return None;
        };
        let mut section = Section::new(self.document, format!("{path}."), span.start, table);
        let read = read(&mut section);
        section.end();
        Some(read)
    }

    fn remove(&mut self, key: &'static str) -> Option<Value<'d>> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// Says which keys nobody asked for.
    fn end(self) {
        for key in self.table.keys() {
            let known = self.known.join("`, `");
            let meant = match closest(&key.name, &self.known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("there are `{known}`"),
            };
            let what = format!("there is no setting `{}{}`: {meant}", self.path, key.name);
            self.document.fault(key.span.start, what);
        }
    }
}

/// Gives the one of `known` that is most like `word`, if any is.
pub(crate) fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|known| {
            (
                strsim::jaro_winkler(&word.to_lowercase(), &known.to_lowercase()),
                *known,
            )
        })
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}
