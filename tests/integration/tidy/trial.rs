//! The rules, tried on files that break them and on files that do not.

use super::source::Source;
use super::walls::WALLS;
use super::{
    Finding, against_the_direction, foreign_words, machine_paths, map, shape, temporary_paths,
    test_modules, unfinished, words,
};

fn lines(findings: &[Finding]) -> Vec<usize> {
    findings.iter().map(|finding| finding.line).collect()
}

#[test]
fn each_wall_stops_what_would_breach_it() {
    for wall in WALLS {
        let (path, code) = wall.breach;
        assert!(
            !wall.breaches(&Source::parse(path, code)).is_empty(),
            "{path}: {code}"
        );
        let tested = format!("#[cfg(test)] mod tests {{ {code} }}");
        assert!(
            wall.breaches(&Source::parse(path, &tested)).is_empty(),
            "{path}: {tested}"
        );
        for place in wall.save {
            let path = format!("{place}.rs");
            assert!(
                wall.breaches(&Source::parse(&path, code)).is_empty(),
                "{path}: {code}"
            );
        }
    }
}

#[test]
fn a_module_that_looks_up_is_found() {
    let code =
        "use crate::model::A;\nuse crate::{operation::B, engine};\nfn f() { crate::sandbox::g(); }";
    let of = |path| lines(&against_the_direction(&Source::parse(path, code)));
    assert_eq!(of("host/src/store/sqlite.rs"), [2, 3]);
    assert_eq!(of("host/src/model.rs"), [2, 2, 3]);
    assert!(of("host/src/engine/worker.rs").is_empty());
    assert!(of("host/server/src/doors.rs").is_empty());
}

#[test]
fn a_foreign_word_is_found_in_either_case() {
    let code = "struct JobQueue;\nfn run_workflow() {}\nuse other::Provider;\nfn jobless() {}";
    assert_eq!(
        lines(&foreign_words(&Source::parse("host/src/engine.rs", code))),
        [1, 2]
    );
    assert_eq!(words("HTTPJobQueue_x2"), ["httpjob", "queue", "x2"]);
}

#[test]
fn a_file_without_shape_is_found() {
    let count = |path: &str, text: &str| shape(&Source::parse(path, text)).len();
    let long = format!("//! Long.\n{}", "fn f() {}\n".repeat(600));
    let tested = format!(
        "//! Short.\n#[cfg(test)]\nmod tests {{\n{}}}\n",
        "fn f() {}\n".repeat(600)
    );
    assert_eq!(count("examples/a/src/lib.rs", &long), 1);
    assert_eq!(count("examples/a/src/lib.rs", &tested), 0);
    assert_eq!(count("examples/a/src/lib.rs", "fn f() {}\n"), 1);
    assert_eq!(count("host/src/engine/utils.rs", "//! Things.\n"), 1);
    assert_eq!(count("host/src/engine/mod.rs", "//! Things.\n"), 1);
    assert_eq!(count("host/src/engine.rs", "//! Runs.\n"), 1);
    assert_eq!(
        count(
            "host/src/engine.rs",
            "//! Runs.\n//!\n//! *Invariant*: it runs.\n"
        ),
        0
    );
    assert_eq!(count("host/src/lib.rs", "//! Runs.\n"), 0);
}

#[test]
fn what_is_left_for_later_is_found() {
    assert_eq!(
        lines(&unfinished("a.md", "done\n// TODO: more\n# FIXME\nTODOS")),
        [2, 3]
    );
}

#[test]
fn a_path_of_a_machine_is_found() {
    let text = "cd /home/me\nsee https://a.b/home/x\n\"/root/.cargo\"\na/work/b";
    assert_eq!(lines(&machine_paths("a.sh", text)), [1, 3]);
    let code =
        "// \"/tmp/x\"\nconst A: &str = \"/tmp/x\";\n#[cfg(test)]\nconst B: &str = \"/tmp/x\";\n";
    assert_eq!(lines(&temporary_paths(&Source::parse("a.rs", code))), [2]);
}

#[test]
fn a_module_for_tests_alone_is_known() {
    let modules = |path| test_modules(&Source::parse(path, "#[cfg(test)]\nmod trial;"));
    assert_eq!(modules("host/src/lib.rs"), ["host/src/trial"]);
    assert_eq!(modules("host/src/store.rs"), ["host/src/store/trial"]);
}

#[test]
fn a_map_that_is_not_the_code_is_found() {
    let files: Vec<String> = [
        "README.md",
        ".ci/run",
        "wit/a.wit",
        "host/Cargo.toml",
        "host/src/lib.rs",
        "host/src/model.rs",
        "host/src/model/a.rs",
    ]
    .map(str::to_owned)
    .into();
    let found = |readme: &str| -> Vec<String> {
        map::check(readme, &files)
            .into_iter()
            .map(|finding| finding.path)
            .collect()
    };
    let whole = "## Code map\n\n| path | what |\n| --- | --- |\n| `wit/` | a |\n| `host` | b |\n| `host/src/model.rs` | c |\n";
    assert_eq!(found(whole), Vec::<String>::new());
    assert_eq!(
        found(&format!(
            "{whole}| `host/src/gone.rs` | d |\n## Next\n| `elsewhere` | e |"
        )),
        ["README.md"]
    );
    assert_eq!(
        found("## Code map\n| `wit` | a |"),
        ["host", "host/src/model.rs"]
    );
    assert_eq!(found("# Formwork\n| `wit` | a |"), ["README.md"]);
}
