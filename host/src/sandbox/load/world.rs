//! What a component imports and exports, checked by name before it is compiled. Whether
//! these are of the right types is seen when it is linked.

use crate::sandbox::error::{name, names};
use crate::sandbox::wasi::WASI_INTERFACES;
use crate::sandbox::{CONTRACT_VERSION, LoadError};

const PACKAGE: &str = "formwork:handler/";

/// Checks that a component with such imports and exports is a handler of this contract
/// and imports only what is there. Gives its imports, sorted.
pub(super) fn check(imports: &[&str], exports: &[&str]) -> Result<Vec<String>, LoadError> {
    let Some(resource) = exports
        .iter()
        .find(|name| split(name).0 == "formwork:handler/resource")
    else {
        return Err(LoadError::NoHandler {
            exports: names(exports),
        });
    };
    check_contract_version(resource)?;
    for import in imports {
        let (interface, version) = split(import);
        if interface.starts_with(PACKAGE) {
            check_contract_version(import)?;
        } else if !WASI_INTERFACES.contains(&interface) {
            return Err(LoadError::UnknownImport {
                import: name(import),
            });
        } else if !version.starts_with("0.2.") {
            return Err(LoadError::ImportVersion {
                import: name(import),
            });
        }
    }
    let mut imports: Vec<_> = imports.iter().map(|&import| import.to_owned()).collect();
    imports.sort_unstable();
    Ok(imports)
}

/// Checks that an interface of the contract has a version that differs from
/// ours in the last number at most.
fn check_contract_version(name: &str) -> Result<(), LoadError> {
    let minor = |version: &str| {
        version
            .rsplit_once('.')
            .map(|(minor, _patch)| minor.to_owned())
    };
    if minor(split(name).1) == minor(CONTRACT_VERSION) {
        Ok(())
    } else {
        Err(LoadError::ContractVersion {
            found: self::name(name),
        })
    }
}

/// Splits `package:name/interface@version`; the version may be missing.
fn split(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}
