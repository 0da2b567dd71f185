//! The README's code map: the table rows that begin with a path in backticks,
//! in the section `## Code map`.

use super::Finding;

const HEADING: &str = "## Code map";

/// Compares the map in `readme` with `files`, the paths of all files.
///
/// What the map names has to be there. It has to name each folder at the top,
/// each package, and of each package that is published each module at the top.
pub(super) fn check(readme: &str, files: &[String]) -> Vec<Finding> {
    let rows = rows(readme);
    if rows.is_empty() {
        let what = format!("has no code map; add a table of paths under `{HEADING}`");
        return vec![Finding::new("README.md", 0, what)];
    }
    let there = |path: &str| {
        files
            .iter()
            .any(|file| file == path || file.starts_with(&format!("{path}/")))
    };
    let gone = rows
        .iter()
        .filter(|(_, path)| !there(path))
        .map(|(line, path)| {
            Finding::new(
                "README.md",
                *line,
                format!("maps `{path}`, which is not there; map what took its place"),
            )
        });
    let mut places: Vec<&str> = files.iter().filter_map(|file| place(file)).collect();
    places.sort_unstable();
    places.dedup();
    let unmapped = places.into_iter().filter(|place| !rows.iter().any(|(_, path)| path == place)).map(|place| {
        let what = format!("is not in the code map; add a row `| \\`{place}\\` | what it is for |` under `{HEADING}` of the README");
        Finding::new(place, 0, what)
    });
    gone.chain(unmapped).collect()
}

/// Gives the paths that the map names, with their lines.
fn rows(readme: &str) -> Vec<(usize, &str)> {
    (1..)
        .zip(readme.lines())
        .skip_while(|(_, line)| line.trim_end() != HEADING)
        .skip(1)
        .take_while(|(_, line)| !line.starts_with("## "))
        .filter_map(|(number, line)| {
            let (path, _) = line.strip_prefix("| `")?.split_once('`')?;
            Some((number, path.trim_end_matches('/')))
        })
        .collect()
}

/// Gives what the map has to name for the sake of a file.
fn place(file: &str) -> Option<&str> {
    let (folder, name) = file.rsplit_once('/')?;
    if name == "Cargo.toml" {
        return Some(folder);
    }
    let ships = file.starts_with("host/") || file.starts_with("guest-sdk/");
    let is_root = name == "lib.rs" || name == "main.rs";
    if ships && folder.ends_with("/src") && name.ends_with(".rs") && !is_root {
        return Some(file);
    }
    file.split('/').next().filter(|top| !top.starts_with('.'))
}
