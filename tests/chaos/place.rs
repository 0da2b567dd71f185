//! The directory of a campaign: what the hosts are given, and what is left of
//! them for a look.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use formwork_host::model::Mutation as Kept;
use formwork_host::store::{Filter, SqliteStore, Store};
use formwork_tests::chaos::check::Violation;
use formwork_tests::chaos::evidence::{Evidence, History, Invocation, Report};
use formwork_tests::chaos::schedule::Mutation;
use formwork_tests::cloudformation::RecordedRequest;
use formwork_tests::guests;

use crate::host;
use crate::records::Records;

/// How long an operation is left to a host that is not heard of: shorter than by
/// default, so that more of it happens.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// A directory of its own for each campaign and seed.
pub(crate) struct Place {
    path: PathBuf,
}

impl Place {
    /// Makes the directory anew.
    pub(crate) fn new(campaign: &str, seed: u64) -> anyhow::Result<Self> {
        let path = host::target()?.join(format!("{campaign}-{seed}"));
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        let place = Self { path };
        fs::create_dir_all(place.records())?;
        Ok(place)
    }

    /// Gives where handlers write down what they do.
    pub(crate) fn records(&self) -> PathBuf {
        self.path.join("records")
    }

    /// Gives the directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives where the hosts keep what they do, if that is a directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Writes the configuration of a host. Attempts are not what ends an
    /// operation here: a host is lost more often than three times. That none is
    /// lost for nothing is checked where it is known how often one is.
    pub(crate) fn configure(&self, host: &str, data: &str) -> anyhow::Result<PathBuf> {
        let component = guests::path("scripted-guest");
        if !component.exists() {
            bail!(
                "there is no {}: build it with `make guests`",
                component.display()
            );
        }
        let configuration = format!(
            "data = \"{data}\"\n\
             lease = \"{}s\"\n\
             [report]\nregion = \"eu-central-1\"\n\
             [[type]]\ncomponent = \"{}\"\ngrants = [\"dir=records:bytes=1000GiB,files=1000000000\"]\nstrict = true\n\
             policy = {{ attempts = 1000000, backoff = \"50ms\", backoff_cap = \"500ms\" }}\n",
            LEASE.as_secs(),
            component.display()
        );
        let path = self.path.join(format!("{host}.toml"));
        fs::write(&path, configuration)?;
        Ok(path)
    }

    /// Opens the data directory beside a host, or without one.
    pub(crate) fn attach(&self) -> anyhow::Result<Arc<dyn Store>> {
        Ok(Arc::new(SqliteStore::attach(self.data())?))
    }

    /// Reads what handlers have written down.
    pub(crate) fn invocations(&self, records: &Records) -> anyhow::Result<Vec<Invocation>> {
        let mut made = Vec::new();
        for entry in fs::read_dir(self.records())? {
            let path = entry?.path();
            let text = fs::read_to_string(&path)?;
            for (number, line) in text.split_inclusive('\n').enumerate() {
                // Who was killed while it wrote a line had done nothing else yet.
                let Some(line) = line.strip_suffix('\n') else {
                    continue;
                };
                let read = serde_json::from_str(line);
                let read = read.with_context(|| format!("{}: {line}", path.display()))?;
                made.push(Invocation {
                    seen_at: records.seen(&path, number),
                    ..read
                });
            }
        }
        Ok(made)
    }

    /// Leaves what is known of a campaign for a look.
    pub(crate) fn leave(
        &self,
        evidence: &Evidence,
        violations: &[(Violation, String)],
    ) -> anyhow::Result<()> {
        let ledger = serde_json::json!({
            "asked": evidence.asked,
            "invocations": evidence.invocations,
            "reports": evidence.reports,
        });
        fs::write(self.path.join("ledger.json"), ledger.to_string())?;
        let told = violations
            .iter()
            .map(|(violation, history)| format!("{violation}\n{history}\n\n"));
        fs::write(self.path.join("violations.txt"), told.collect::<String>())?;
        Ok(())
    }

    /// Removes the directory.
    pub(crate) fn remove(self) -> anyhow::Result<()> {
        Ok(fs::remove_dir_all(self.path)?)
    }
}

/// Reads all operations of a store.
pub(crate) async fn histories(store: &dyn Store) -> anyhow::Result<Vec<History>> {
    let mut histories = Vec::new();
    let mut before = None;
    loop {
        let filter = Filter {
            before,
            ..Filter::default()
        };
        let page = store.list(&filter).await?;
        let Some(last) = page.last() else {
            return Ok(histories);
        };
        before = Some(last.token);
        for operation in &page {
            let name = operation.identifier.as_ref().map(ToString::to_string);
            histories.push(History {
                token: operation.token.to_string(),
                name: name.unwrap_or_default(),
                mutation: match operation.mutation {
                    Kept::Create => Mutation::Create,
                    Kept::Update => Mutation::Update,
                    Kept::Delete => Mutation::Delete,
                },
                status: operation.status,
                events: store.events(operation.token, 0).await?,
                unreported: store.reports(operation.token).await?.len(),
            });
        }
    }
}

/// Reads what the endpoint was told.
pub(crate) fn reports(requests: &[RecordedRequest]) -> anyhow::Result<Vec<Report>> {
    let reports = requests.iter().map(|request| {
        let parameter = |name: &str| {
            let value = request.parameter(name);
            value.with_context(|| format!("a report lacks {name}: {request:?}"))
        };
        // The reporter's own token of an event ends with the event's version.
        let token = parameter("ClientRequestToken")?;
        let version = token.rsplit('-').next().unwrap_or_default();
        Ok(Report {
            bearer: parameter("BearerToken")?.to_owned(),
            version: version
                .parse()
                .with_context(|| format!("the token {token}"))?,
            status: parameter("OperationStatus")?.to_owned(),
            taken: request.was_taken(),
        })
    });
    reports.collect()
}
