//! Each campaign in a short form, by the program itself.

use std::process::Command;

/// Runs a campaign. What it tells goes to the log of the tests.
fn run(campaign: &str, rounds: &str) {
    let status = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args([campaign, "--seed", "1", "--rounds", rounds])
        .status()
        .expect("the program is built");
    assert!(status.success(), "{campaign}: {status}");
}

#[test]
fn nothing_is_lost_by_a_host_that_is_killed() {
    run("sqlite", "12");
}

#[test]
fn every_report_reaches_an_endpoint_that_misbehaves() {
    run("endpoint", "8");
}

#[test]
fn nothing_is_lost_on_a_disk_that_is_full() {
    run("disk", "5");
}

#[test]
fn nothing_is_lost_by_hosts_that_share_a_database() {
    run("postgres", "8");
}
