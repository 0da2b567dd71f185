//! The types of a section, counted without being built.
//!
//! Types of components and of instances hold declarations, and these hold types. The
//! parser reads them by recursion and keeps what it has read, so that a few bytes of
//! each level end its stack, and two bytes of each declaration take a hundred. Here a
//! stack of numbers does, and whatever holds no other type is read by the parser.
//!
//! *Invariant*: at no time is more kept than one type that holds no other, and what is
//! counted is refused before the next one is read.

use wasmparser::{
    BinaryReader, ComponentDefinedType, ComponentType, ComponentTypeDeclaration, CoreType,
    InstanceTypeDeclaration, ModuleTypeDeclaration, RecGroup, Result, SubType,
};

use super::{DEPTH, invalid};
use crate::sandbox::LoadError;

/// What a list is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// Types of components.
    ComponentTypes,
    /// Types of modules and of functions, in a component.
    CoreTypes,
    /// Groups of types, in a module.
    Groups,
    /// Types that may refer to each other.
    Group,
    /// What the type of a component declares.
    Component,
    /// What the type of an instance declares.
    Instance,
    /// What the type of a module declares.
    Module,
}

/// What is next in a list.
enum Next {
    /// Something that is read, and of so many parts besides itself.
    Whole(usize),
    /// A type that consists of a list, of which nothing is read.
    Begun(List),
}

/// Counts what a section consists of that is one list, `depth` below the outermost
/// component. `count` is told each number of types as it is found.
pub(super) fn count(
    mut section: BinaryReader<'_>,
    list: List,
    depth: usize,
    mut count: impl FnMut(usize) -> std::result::Result<(), LoadError>,
) -> std::result::Result<(), LoadError> {
    let mut open = Vec::new();
    let mut begun = Some(list);
    loop {
        if let Some(list) = begun {
            if depth + open.len() > DEPTH {
                return Err(LoadError::Nested { most: DEPTH });
            }
            open.push((list, section.read_var_u32().map_err(invalid)?));
        }
        let Some((list, left)) = open.last_mut() else {
            return if section.eof() {
                Ok(())
            } else {
                Err(invalid("unexpected data at the end of a section of types"))
            };
        };
        begun = None;
        if *left == 0 {
            open.pop();
            continue;
        }
        *left -= 1;
        count(1)?;
        match next(*list, &mut section).map_err(invalid)? {
            Next::Whole(parts) => count(parts)?,
            Next::Begun(list) => begun = Some(list),
        }
    }
}

/// Reads what is next in a list, or the beginning of it.
fn next(list: List, reader: &mut BinaryReader<'_>) -> Result<Next> {
    match list {
        List::ComponentTypes => return component_type(reader),
        List::CoreTypes => return core_type(reader),
        List::Groups => return group(reader),
        List::Group => drop(reader.read::<SubType>()?),
        List::Component | List::Instance => match peek(reader)? {
            0x00 => {
                reader.read_u8()?;
                return core_type(reader);
            }
            0x01 => {
                reader.read_u8()?;
                return component_type(reader);
            }
            _ if list == List::Component => drop(reader.read::<ComponentTypeDeclaration<'_>>()?),
            _ => drop(reader.read::<InstanceTypeDeclaration<'_>>()?),
        },
        List::Module => match peek(reader)? {
            0x01 => {
                reader.read_u8()?;
                return group(reader);
            }
            _ => drop(reader.read::<ModuleTypeDeclaration<'_>>()?),
        },
    }
    Ok(Next::Whole(0))
}

fn component_type(reader: &mut BinaryReader<'_>) -> Result<Next> {
    let begun = match peek(reader)? {
        0x41 => List::Component,
        0x42 => List::Instance,
        _ => return Ok(Next::Whole(parts(&reader.read()?))),
    };
    reader.read_u8()?;
    Ok(Next::Begun(begun))
}

fn core_type(reader: &mut BinaryReader<'_>) -> Result<Next> {
    match peek(reader)? {
        // What follows this mark is one type.
        0x00 => drop(reader.read::<CoreType<'_>>()?),
        0x50 => {
            reader.read_u8()?;
            return Ok(Next::Begun(List::Module));
        }
        _ => return group(reader),
    }
    Ok(Next::Whole(0))
}

fn group(reader: &mut BinaryReader<'_>) -> Result<Next> {
    if peek(reader)? == 0x4e {
        reader.read_u8()?;
        return Ok(Next::Begun(List::Group));
    }
    drop(reader.read::<RecGroup>()?);
    Ok(Next::Whole(0))
}

fn peek(reader: &BinaryReader<'_>) -> Result<u8> {
    reader.clone().read_u8()
}

/// Counts what a type is made of that holds no other one.
fn parts(kind: &ComponentType<'_>) -> usize {
    match kind {
        ComponentType::Func(function) => function.params.len(),
        ComponentType::Defined(ComponentDefinedType::Record(fields)) => fields.len(),
        ComponentType::Defined(ComponentDefinedType::Variant(cases)) => cases.len(),
        ComponentType::Defined(ComponentDefinedType::Tuple(types)) => types.len(),
        ComponentType::Defined(
            ComponentDefinedType::Flags(names) | ComponentDefinedType::Enum(names),
        ) => names.len(),
        ComponentType::Defined(_)
        | ComponentType::Resource { .. }
        | ComponentType::Component(_)
        | ComponentType::Instance(_) => 0,
    }
}
