//! A schema, prepared for coercion: where texts are read as something else.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use super::super::schema::{Parts, Pattern, Validator, escaped, resolve};
use super::text::Wanted;

/// How many branches of `oneOf` and `anyOf` are compiled for one schema; of the
/// published ones, none needs forty. To the others every value fits as it is, so
/// that texts stay texts there, and the check by the schema has the word.
const MAX_BRANCHES: usize = 1_000;

/// What a model's texts are to be read as, place by place. A recursive
/// definition is a cycle of nodes.
#[derive(Debug)]
pub(in crate::model) struct Plan {
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(usize);

/// One schema, its references resolved.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Whether a text here or anywhere within is read as something else.
    pub(super) coerces: bool,
    /// What a text here is read as; none leaves it.
    pub(super) wanted: Option<Wanted>,
    pub(super) properties: HashMap<String, NodeId>,
    pub(super) patterns: Vec<Matching>,
    /// What members are that neither a name nor a pattern covers.
    pub(super) others: Option<NodeId>,
    pub(super) items: Option<NodeId>,
    pub(super) all: Vec<NodeId>,
    pub(super) any: Vec<Branch>,
    pub(super) one: Vec<Branch>,
}

/// One branch of a `oneOf` or `anyOf`.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) node: NodeId,
    pointer: String,
    /// The check by the branch; compiled only where a choice depends on it.
    validator: Option<Validator>,
}

impl Branch {
    /// Tells whether `value` fits the branch.
    pub(super) fn fits(&self, value: &Value) -> bool {
        self.validator
            .as_ref()
            .is_none_or(|validator| validator.is_valid(value))
    }
}

/// What members are whose names match a regular expression.
#[derive(Debug)]
pub(super) struct Matching {
    pub(super) node: NodeId,
    text: String,
    /// Compiled only where a name's coercion depends on it.
    pattern: Option<Pattern>,
}

impl Matching {
    /// Tells whether the members that are called `name` are meant.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.pattern
            .as_ref()
            .is_some_and(|pattern| pattern.matches(name))
    }
}

impl Plan {
    pub(super) const ROOT: NodeId = NodeId(0);

    /// Prepares the schema that `pointer` leads to.
    pub(in crate::model) fn new(parts: &Parts<'_>, pointer: &str) -> Self {
        let mut plan = Builder::new(parts.document()).build(pointer);
        plan.find_what_coerces();
        plan.compile(parts);
        plan
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Marks the nodes from which a text to be read can be reached.
    fn find_what_coerces(&mut self) {
        let mut parents = vec![Vec::new(); self.nodes.len()];
        let mut due = VecDeque::new();
        for (id, node) in self.nodes.iter().enumerate() {
            for child in node.children() {
                parents[child.0].push(id);
            }
            if node.wanted.is_some() {
                due.push_back(id);
            }
        }
        while let Some(id) = due.pop_front() {
            if !self.nodes[id].coerces {
                self.nodes[id].coerces = true;
                due.extend(&parents[id]);
            }
        }
    }

    /// Compiles what coercion depends on: most branches and patterns are of no
    /// matter to it.
    fn compile(&mut self, parts: &Parts<'_>) {
        let coerces: Vec<bool> = self.nodes.iter().map(|node| node.coerces).collect();
        let mut compiled = 0;
        for node in self.nodes.iter_mut().filter(|node| node.coerces) {
            for matching in &mut node.patterns {
                matching.pattern = Pattern::new(&matching.text);
            }
            for branches in [&mut node.any, &mut node.one] {
                if branches.iter().any(|branch| coerces[branch.node.0]) {
                    for branch in branches {
                        if compiled < MAX_BRANCHES {
                            branch.validator = parts.compile(&branch.pointer);
                            compiled += 1;
                        }
                    }
                }
            }
        }
    }
}

impl Node {
    fn children(&self) -> impl Iterator<Item = NodeId> {
        self.properties
            .values()
            .copied()
            .chain(self.patterns.iter().map(|matching| matching.node))
            .chain(self.others)
            .chain(self.items)
            .chain(self.all.iter().copied())
            .chain(self.any.iter().chain(&self.one).map(|branch| branch.node))
    }
}

/// Makes nodes of schemas, each once. A list of what is due instead of
/// recursion: a chain of references can be longer than the stack.
struct Builder<'a> {
    root: &'a Value,
    nodes: Vec<Node>,
    /// The nodes by the address of their schema in the document.
    known: HashMap<*const Value, NodeId>,
    due: VecDeque<(NodeId, &'a Value, String)>,
}

impl<'a> Builder<'a> {
    fn new(root: &'a Value) -> Self {
        Self {
            root,
            nodes: Vec::new(),
            known: HashMap::new(),
            due: VecDeque::new(),
        }
    }

    fn build(mut self, pointer: &str) -> Plan {
        let schema = self.root.pointer(pointer).unwrap_or(self.root);
        self.node_of(schema, pointer.to_owned());
        while let Some((id, schema, pointer)) = self.due.pop_front() {
            self.nodes[id.0] = self.node(schema, &pointer);
        }
        Plan { nodes: self.nodes }
    }

    fn node_of(&mut self, schema: &'a Value, pointer: String) -> NodeId {
        let (schema, pointer) = resolve(self.root, schema, pointer);
        *self
            .known
            .entry(std::ptr::from_ref(schema))
            .or_insert_with(|| {
                let id = NodeId(self.nodes.len());
                self.nodes.push(Node::default());
                self.due.push_back((id, schema, pointer));
                id
            })
    }

    fn node(&mut self, schema: &'a Value, pointer: &str) -> Node {
        let mut node = Node {
            wanted: Wanted::of_type(schema.get("type")),
            ..Node::default()
        };
        for (name, member) in members(schema, "properties") {
            let at = format!("{pointer}/properties/{}", escaped(name));
            node.properties
                .insert(name.clone(), self.node_of(member, at));
        }
        for (pattern, member) in members(schema, "patternProperties") {
            let at = format!("{pointer}/patternProperties/{}", escaped(pattern));
            node.patterns.push(Matching {
                node: self.node_of(member, at),
                text: pattern.clone(),
                pattern: None,
            });
        }
        let mut child = |keyword: &str| {
            schema
                .get(keyword)
                .filter(|child| child.is_object())
                .map(|child| self.node_of(child, format!("{pointer}/{keyword}")))
        };
        node.others = child("additionalProperties");
        node.items = child("items");
        let all = self.branches(schema, "allOf", pointer);
        node.all = all.into_iter().map(|branch| branch.node).collect();
        node.any = self.branches(schema, "anyOf", pointer);
        node.one = self.branches(schema, "oneOf", pointer);
        node
    }

    fn branches(&mut self, schema: &'a Value, keyword: &str, pointer: &str) -> Vec<Branch> {
        schema
            .get(keyword)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(index, branch)| {
                let pointer = format!("{pointer}/{keyword}/{index}");
                Branch {
                    node: self.node_of(branch, pointer.clone()),
                    pointer,
                    validator: None,
                }
            })
            .collect()
    }
}

fn members<'a>(schema: &'a Value, keyword: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    schema
        .get(keyword)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}
