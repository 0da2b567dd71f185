//! The walk through the sections of a component, and of all that it contains.

use std::ops::Range;

use wasmparser::{
    BinaryReader, CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind,
    ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, Element, ElementItems,
    ElementKind, Encoding, Instance, Payload,
};

use super::types::{self, List};
use super::weight::Weight;
use super::{DEPTH, Survey, Surveyed, invalid};
use crate::sandbox::limit::Limit;
use crate::sandbox::{LoadError, LoadLimits};

/// A module or a component whose end has not come yet.
#[derive(Default)]
struct Open {
    is_component: bool,
    /// What one instance of it takes, as far as it is known.
    weight: Weight,
    /// Its index spaces of modules and of components; none where it is given one.
    modules: Vec<Option<Weight>>,
    components: Vec<Option<Weight>>,
}

pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    survey: Survey,
    imports: Vec<&'a str>,
    exports: Vec<&'a str>,
    limits: LoadLimits,
    /// The outermost first.
    open: Vec<Open>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(bytes: &'a [u8], limits: LoadLimits) -> Self {
        Self {
            bytes,
            survey: Survey {
                size: bytes.len(),
                ..Survey::default()
            },
            imports: Vec::new(),
            exports: Vec::new(),
            limits,
            open: Vec::new(),
        }
    }

    /// Gives what was found, at the end.
    pub(super) fn surveyed(self) -> Surveyed<'a> {
        Surveyed {
            survey: self.survey,
            imports: self.imports,
            exports: self.exports,
        }
    }

    pub(super) fn check(&self) -> Result<(), LoadError> {
        self.survey
            .counts()
            .try_for_each(|(limit, found)| limit.check(self.limits, found))
    }

    fn is_outermost(&self) -> bool {
        self.open.len() == 1
    }

    fn innermost(&mut self) -> Option<&mut Open> {
        self.open.last_mut()
    }

    /// Counts a section and what it says that it holds, before any of that is read.
    fn section(&mut self, payload: &Payload<'_>) -> Result<(), LoadError> {
        let survey = &mut self.survey;
        let items = match payload {
            // These are of a section or of a module that is counted.
            Payload::Version { .. } | Payload::End(_) | Payload::CodeSectionEntry(_) => {
                return Ok(());
            }
            Payload::InstanceSection(section) => section.count(),
            Payload::ComponentInstanceSection(section) => section.count(),
            Payload::ComponentAliasSection(section) => section.count(),
            Payload::ComponentImportSection(section) => {
                survey.imports += section.count() as usize;
                0
            }
            Payload::ComponentExportSection(section) => {
                survey.exports += section.count() as usize;
                0
            }
            Payload::ComponentCanonicalSection(section) => {
                survey.functions += section.count() as usize;
                0
            }
            _ => 0,
        };
        survey.sections += 1 + items as usize;
        self.check()
    }

    pub(super) fn payload(&mut self, payload: &Payload<'a>) -> Result<(), LoadError> {
        self.section(payload)?;
        let survey = &mut self.survey;
        match payload {
            Payload::Version { encoding, .. } => self.begin(*encoding)?,
            Payload::End(_) => self.end(),

            Payload::TypeSection(section) => self.types(&section.range(), List::Groups)?,
            Payload::ImportSection(section) => {
                survey.imports += section.count() as usize;
                self.add(Weight::imports(section.count()));
            }
            Payload::FunctionSection(section) => {
                survey.functions += section.count() as usize;
                self.add(Weight::functions(section.count()));
            }
            Payload::GlobalSection(section) => {
                survey.globals += section.count() as usize;
                self.add(Weight::globals(section.count()));
            }
            Payload::ExportSection(section) => survey.exports += section.count() as usize,
            Payload::ElementSection(section) => {
                survey.segments += section.count() as usize;
                for segment in section.clone() {
                    self.elements(&segment.map_err(invalid)?);
                }
                self.add(Weight::segments(section.count()));
            }
            Payload::DataSection(section) => {
                survey.segments += section.count() as usize;
                self.add(Weight::segments(section.count()));
            }
            Payload::CodeSectionEntry(body) => {
                survey.function_bytes = survey.function_bytes.max(body.range().len());
            }
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    self.add(Weight::memory(memory.map_err(invalid)?.initial));
                }
            }
            Payload::TableSection(section) => {
                for table in section.clone() {
                    self.add(Weight::table(table.map_err(invalid)?.ty.initial));
                }
            }

            Payload::CoreTypeSection(section) => self.types(&section.range(), List::CoreTypes)?,
            Payload::ComponentTypeSection(section) => {
                self.types(&section.range(), List::ComponentTypes)?;
            }
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    match instance.map_err(invalid)? {
                        Instance::Instantiate { module_index, args } => {
                            self.instantiate(module_index, |open| &open.modules)?;
                            self.items(args.len())?;
                        }
                        Instance::FromExports(exports) => self.items(exports.len())?,
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    match instance.map_err(invalid)? {
                        ComponentInstance::Instantiate {
                            component_index,
                            args,
                        } => {
                            self.instantiate(component_index, |open| &open.components)?;
                            self.items(args.len())?;
                        }
                        ComponentInstance::FromExports(exports) => self.items(exports.len())?,
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    let import = import.map_err(invalid)?;
                    if self.is_outermost() {
                        self.imports.push(import.name.name);
                    }
                    match import.ty {
                        ComponentTypeRef::Module(_) => self.module(None),
                        ComponentTypeRef::Component(_) => self.component(None),
                        ComponentTypeRef::Func(_)
                        | ComponentTypeRef::Value(_)
                        | ComponentTypeRef::Type(_)
                        | ComponentTypeRef::Instance(_) => {}
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export.map_err(invalid)?;
                    if self.is_outermost() {
                        self.exports.push(export.name.name);
                    }
                    // What is exported is in the index space once more.
                    self.again(export.kind, export.index as usize);
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    self.alias(&alias.map_err(invalid)?);
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                self.add(Weight::canonical_functions(section.count()));
                for function in section.clone() {
                    check_encoding(&function.map_err(invalid)?)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Counts the types of a section that is one list.
    fn types(&mut self, section: &Range<usize>, list: List) -> Result<(), LoadError> {
        let (limits, survey) = (self.limits, &mut self.survey);
        let reader = BinaryReader::new(&self.bytes[section.clone()], section.start);
        types::count(reader, list, self.open.len(), |more| {
            survey.types += more;
            Limit::TYPES.check(limits, survey.types)
        })
    }

    /// Counts what an instance is given or made of.
    fn items(&mut self, count: usize) -> Result<(), LoadError> {
        self.survey.sections += count;
        Limit::SECTIONS.check(self.limits, self.survey.sections)
    }

    /// Counts the elements that each instance has for itself. Those of other segments
    /// are in tables, or nowhere.
    fn elements(&mut self, segment: &Element<'_>) {
        if let ElementKind::Passive = segment.kind {
            let count = match &segment.items {
                ElementItems::Functions(items) => items.count(),
                ElementItems::Expressions(_, items) => items.count(),
            };
            self.add(Weight::passive_elements(count));
        }
    }

    fn begin(&mut self, encoding: Encoding) -> Result<(), LoadError> {
        if self.open.len() >= DEPTH {
            return Err(LoadError::Nested { most: DEPTH });
        }
        let is_component = encoding == Encoding::Component;
        self.open.push(Open {
            is_component,
            weight: if is_component {
                Weight::component()
            } else {
                Weight::module()
            },
            ..Open::default()
        });
        Ok(())
    }

    fn end(&mut self) {
        let Some(ended) = self.open.pop() else {
            return;
        };
        match (self.open.is_empty(), ended.is_component) {
            (true, _) => {
                let Weight {
                    instances,
                    memories,
                    tables,
                    components,
                    memory_bytes,
                    table_elements,
                    instance_bytes,
                } = ended.weight;
                self.survey = Survey {
                    instances,
                    memories,
                    tables,
                    components,
                    memory_bytes,
                    table_elements,
                    instance_bytes,
                    ..self.survey
                };
            }
            (false, true) => self.component(Some(ended.weight)),
            (false, false) => self.module(Some(ended.weight)),
        }
    }

    fn module(&mut self, weight: Option<Weight>) {
        if let Some(open) = self.innermost() {
            open.modules.push(weight);
        }
    }

    fn component(&mut self, weight: Option<Weight>) {
        if let Some(open) = self.innermost() {
            open.components.push(weight);
        }
    }

    fn again(&mut self, kind: ComponentExternalKind, index: usize) {
        let Some(open) = self.innermost() else {
            return;
        };
        match kind {
            ComponentExternalKind::Module => {
                let weight = open.modules.get(index).copied().flatten();
                open.modules.push(weight);
            }
            ComponentExternalKind::Component => {
                let weight = open.components.get(index).copied().flatten();
                open.components.push(weight);
            }
            ComponentExternalKind::Func
            | ComponentExternalKind::Value
            | ComponentExternalKind::Type
            | ComponentExternalKind::Instance => {}
        }
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        match *alias {
            ComponentAlias::InstanceExport { kind, .. } => match kind {
                ComponentExternalKind::Module => self.module(None),
                ComponentExternalKind::Component => self.component(None),
                ComponentExternalKind::Func
                | ComponentExternalKind::Value
                | ComponentExternalKind::Type
                | ComponentExternalKind::Instance => {}
            },
            ComponentAlias::Outer { kind, count, index } => {
                let outer = self
                    .open
                    .len()
                    .checked_sub(1 + count as usize)
                    .and_then(|place| self.open.get(place));
                let index = index as usize;
                match kind {
                    ComponentOuterAliasKind::CoreModule => {
                        let weight = outer.and_then(|it| it.modules.get(index).copied().flatten());
                        self.module(weight);
                    }
                    ComponentOuterAliasKind::Component => {
                        let weight =
                            outer.and_then(|it| it.components.get(index).copied().flatten());
                        self.component(weight);
                    }
                    ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => {}
                }
            }
            ComponentAlias::CoreInstanceExport { .. } => {}
        }
    }

    /// Adds what an instance takes that the innermost component makes.
    fn instantiate(
        &mut self,
        index: u32,
        space: impl Fn(&Open) -> &Vec<Option<Weight>>,
    ) -> Result<(), LoadError> {
        let weight = self
            .innermost()
            .and_then(|open| space(open).get(index as usize).copied().flatten())
            .ok_or(LoadError::Uncountable)?;
        self.add(weight);
        Ok(())
    }

    /// Adds to what an instance of the innermost takes.
    fn add(&mut self, weight: Weight) {
        if let Some(open) = self.innermost() {
            open.weight.add(weight);
        }
    }
}

/// Refuses strings that the host would have to transcode: that has been the way
/// out of other sandboxes, and no toolchain of handlers asks for it.
fn check_encoding(function: &CanonicalFunction) -> Result<(), LoadError> {
    let (CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. }) =
        function
    else {
        return Ok(());
    };
    options.iter().try_for_each(|option| match option {
        CanonicalOption::UTF16 => Err(LoadError::StringEncoding { encoding: "UTF-16" }),
        CanonicalOption::CompactUTF16 => Err(LoadError::StringEncoding {
            encoding: "Latin-1 or UTF-16",
        }),
        _ => Ok(()),
    })
}
