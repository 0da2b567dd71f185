//! The XML report for build servers, as `JUnit` writes it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use formwork_host::contract::{Finding, Outcome, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::super::text::printable;
use super::show;

/// A file that a report will be written to.
pub(super) struct Target<'a> {
    path: &'a Path,
    file: File,
}

/// Opens the file for a report, so that a path that cannot be written to is known
/// before a long run.
pub(super) fn open(path: &Path) -> anyhow::Result<Target<'_>> {
    // What stands there stays until there is a report to take its place.
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .with_context(|| cannot_write(path))?;
    Ok(Target { path, file })
}

impl Target<'_> {
    /// Writes a report: a test suite for each set of inputs.
    pub(super) fn write(mut self, report: &formwork_host::contract::Report) -> anyhow::Result<()> {
        let text = of(report)
            .to_string()
            .context("cannot write the JUnit report")?;
        let written = empty(&self.file).and_then(|()| self.file.write_all(text.as_bytes()));
        written.with_context(|| cannot_write(self.path))
    }
}

/// Empties a file; a pipe holds nothing that could be cut off.
fn empty(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    Ok(())
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write the JUnit report to `{}`", path.display())
}

fn of(report: &formwork_host::contract::Report) -> Report {
    let mut document = Report::new("formwork test");
    document.set_time(report.elapsed);
    let mut suites: Vec<(u32, TestSuite)> = Vec::new();
    for verdict in &report.verdicts {
        if suites.last().is_none_or(|(set, _)| *set != verdict.set) {
            let name = format!("{} (inputs {})", report.type_name, verdict.set);
            suites.push((verdict.set, TestSuite::new(name)));
        }
        if let Some((_, suite)) = suites.last_mut() {
            suite.add_test_case(case(verdict, report.type_name.as_str()));
        }
    }
    document.add_test_suites(suites.into_iter().map(|(_, suite)| suite));
    document
}

fn case(verdict: &Verdict, type_name: &str) -> TestCase {
    let status = match &verdict.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Skipped { reason } => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(printable(reason));
            status
        }
        Outcome::Failed { findings } => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            if let Some(first) = findings.first() {
                status.set_type(first.rule.as_str());
                status.set_message(printable(&first.what));
            }
            let all: Vec<String> = findings.iter().map(text).collect();
            status.set_description(all.join("\n\n"));
            status
        }
    };
    let mut case = TestCase::new(verdict.test, status);
    case.set_classname(type_name).set_time(verdict.elapsed);
    case
}

/// Gives a finding with the exchanges that show it, as a terminal without colours
/// shows them.
fn text(finding: &Finding) -> String {
    let lines = show::finding(finding);
    console::strip_ansi_codes(&lines.join("\n")).into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_last_report_stays_until_the_next_one_is_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("report.xml");
        fs::write(&path, "the last report").expect("a file");
        let target = open(&path).expect("it can be written to");
        assert_eq!(
            fs::read_to_string(&path).expect("a file"),
            "the last report"
        );
        empty(&target.file).expect("a file can be emptied");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "");
    }

    #[test]
    fn what_holds_nothing_needs_no_emptying() {
        if cfg!(target_os = "linux") {
            let target = open("/dev/null".as_ref()).expect("it can be written to");
            empty(&target.file).expect("there is nothing to cut off");
        }
    }
}
