//! Hostile components, and the proof that each is contained: `tests/hostile`.
//!
//! Each attack is made twice on one sandbox, in a process of its own, while a
//! neighbour works. It has to end as its row says; all that the neighbour answers
//! has to be right, and so has what every slot answers afterwards; and the second
//! time, the process may have grown by next to nothing.

mod alone;
mod answers;
mod attack;
mod components;
mod directories;
mod memory;
mod operations;
mod requests;
mod scene;
mod secrets;
mod time;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use expect_test::expect_file;

use attack::Attack;
use scene::Scene;

/// How long an attack may take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// By how much the process may grow when an attack is made for the second time,
/// in KiB: a fraction of what a guest may have.
const GROWTH: u64 = 24 * 1024;

/// By how much it may grow by the whole corpus, in KiB.
const GROWTH_OF_ALL: u64 = 160 * 1024;

/// What stands in the README before the table and after it.
const TABLE: (&str, &str) = ("<!-- the attacks -->\n\n", "\n<!-- end of the attacks -->");

fn attacks() -> Vec<Attack> {
    [
        time::attacks(),
        memory::attacks(),
        answers::attacks(),
        components::attacks(),
        secrets::attacks(),
        directories::attacks(),
        requests::attacks(),
        operations::attacks(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn every_attack_is_contained() {
    let Some(part) = alone::part() else {
        return alone::run("hostile::every_attack_is_contained");
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let failures = runtime.block_on(make_all(&part));
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Makes every attack whose name begins so, and tells what is not as it has to be.
#[expect(
    clippy::print_stdout,
    reason = "what each attack came to is worth telling"
)]
async fn make_all(part: &str) -> Vec<String> {
    let scene = Scene::set().await;
    // What is made once, such as threads and the pool's first pages, is no growth.
    scene.all_slots_answer().await;
    let begin = resident();
    let mut failures = Vec::new();
    let attacks = attacks();
    for attack in attacks.iter().filter(|it| it.name.starts_with(part)) {
        for round in 1..=2 {
            let before = resident();
            let begun = Instant::now();
            let neighbour = scene.neighbour();
            let ending = tokio::time::timeout(PATIENCE, attack.make(&scene)).await;
            let ending = ending.unwrap_or_else(|_| format!("has not ended after {PATIENCE:?}"));
            let took = begun.elapsed();
            let answered = neighbour.stop().await;
            scene.all_slots_answer().await;
            let grown = resident().saturating_sub(before);
            println!(
                "{:<28} {took:>9.1?} {grown:>7} KiB, {answered:>4} answers beside it: {ending:.150}",
                attack.name
            );
            if !ending.contains(attack.stopped) {
                failures.push(format!(
                    "{} was to be stopped by `{}`, and ended so: {ending}",
                    attack.name, attack.stopped
                ));
            }
            if round == 2 && grown > GROWTH {
                failures.push(format!("after {}, {grown} KiB stay", attack.name));
            }
        }
    }
    let grown = resident().saturating_sub(begin);
    println!("all of them: {grown} KiB");
    if grown > GROWTH_OF_ALL {
        failures.push(format!("after all attacks, {grown} KiB stay"));
    }
    failures.extend(scene.broken_into());
    failures
}

/// Gives the memory of this process that is resident, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("Linux tells");
    let number = line.trim().trim_end_matches(" kB");
    number.parse().expect("a number")
}

#[test]
fn the_table_of_the_attacks_is_what_is_tried() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/hostile/README.md");
    let readme = std::fs::read_to_string(path).expect("the README is there");
    let (before, rest) = readme.split_once(TABLE.0).expect("a mark before the table");
    let (_, after) = rest.split_once(TABLE.1).expect("a mark after the table");
    let mut table = "| attack | what it tries | what stops it |\n| --- | --- | --- |\n".to_owned();
    for attack in attacks() {
        // A code span may hold marks of code if there are two around it.
        let stopped = if attack.stopped.contains('`') {
            format!("`` {} ``", attack.stopped)
        } else {
            format!("`{}`", attack.stopped)
        };
        writeln!(table, "| {} | {} | {stopped} |", attack.name, attack.tries)
            .expect("a string takes all that is written");
    }
    let expected = format!("{before}{}{table}{}{after}", TABLE.0, TABLE.1);
    expect_file![path].assert_eq(&expected);
}

#[test]
fn every_text_is_an_attack() {
    let texts = concat!(env!("CARGO_MANIFEST_DIR"), "/hostile");
    for entry in std::fs::read_dir(texts).expect("the texts are there") {
        let name = entry.expect("an entry").file_name();
        let name = name.to_string_lossy();
        if let Some(name) = name.strip_suffix(".wat") {
            let named = attacks()
                .iter()
                .any(|attack| attack.texts().contains(&name));
            assert!(named, "no attack is made with {name}.wat");
        }
    }
}

#[test]
fn each_attack_has_a_name_of_its_own() {
    let mut names: Vec<_> = attacks().iter().map(|attack| attack.name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}
