//! A run of the tests.

use std::sync::Arc;

use crate::clock::{Clock as _, ManualClock, SystemClock};
use crate::engine::{Engine, InvokeError, LoadTypeError, ReadError, SubmitError};
use crate::model::{Action, RequestDetails, Scope, TypeSchema};
use crate::registry::{HandlerVersion, TypeSettings};
use crate::sandbox::Sandbox;
use crate::store::StoreError;

use super::cases::{CASES, Case};
use super::log::Log;
use super::stage::{Stage, Stop};
use super::{InputSet, Outcome, Report, Verdict};

/// Says why the tests could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// The component cannot be loaded.
    #[error("the handler cannot be tested")]
    Load(#[from] LoadTypeError),
    /// The engine took a request for another reason than its state not.
    #[error("a test could not be made: its request was not accepted")]
    Submit(#[from] SubmitError),
    /// The host could not invoke the handler.
    #[error("a test could not be made: the handler could not be invoked")]
    Invoke(#[from] InvokeError),
    /// The host could not read or list.
    #[error("a test could not be made: the handler could not be asked")]
    Read(#[from] ReadError),
    /// The store failed.
    #[error("a test could not be made: its operation is lost")]
    Store(#[from] StoreError),
}

/// A test, for people who choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// Its name.
    pub name: &'static str,
    /// What it is about, in a sentence.
    pub about: &'static str,
    /// The actions that it needs; it is skipped for a type without one of them.
    pub needs: &'static [Action],
}

/// The contract tests of one handler.
///
/// They run one after another on one production engine, with operations in
/// memory and under a clock of their own that moves whenever nothing else
/// happens: delays cost nothing, and a guest reads that clock too.
///
/// ```no_run
/// use formwork_host::contract::{InputTexts, Inputs, Suite};
/// use formwork_host::registry::TypeSettings;
/// use formwork_host::sandbox::{Compiler, Sandbox, SandboxConfig};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let sandbox = Sandbox::new(&SandboxConfig::new(Compiler::Unbounded))?;
/// let component = std::fs::read("archive.wasm")?;
/// let suite = Suite::load(sandbox, component, TypeSettings::default()).await?;
/// let texts = InputTexts::of_project(".".as_ref())?;
/// let inputs = Inputs::decide(suite.schema(), &texts, 0)?;
/// let report = suite.run(&inputs.sets, |verdict| println!("{}", verdict.test)).await?;
/// assert_eq!(report.counts().failed, 0);
/// # Ok(())
/// # }
/// ```
pub struct Suite {
    engine: Engine,
    clock: Arc<ManualClock>,
    log: Arc<Log>,
    version: Arc<HandlerVersion>,
    scope: Scope,
    details: RequestDetails,
    filters: Vec<String>,
    seed: u64,
}

impl Test {
    /// Tells whether the test is one of those whose names contain one of these
    /// texts; without any, each test is.
    #[must_use]
    pub fn is_chosen_by(&self, filters: &[String]) -> bool {
        filters.is_empty() || filters.iter().any(|text| self.name.contains(text))
    }
}

impl From<&Case> for Test {
    fn from(case: &Case) -> Self {
        Self {
            name: case.name,
            about: case.about,
            needs: case.needs,
        }
    }
}

impl Suite {
    /// Loads a component to be tested, with what its operator decides: grants,
    /// limits, type configuration.
    ///
    /// # Errors
    ///
    /// When the component cannot be loaded.
    pub async fn load(
        sandbox: Sandbox,
        component: impl Into<Arc<[u8]>>,
        settings: TypeSettings,
    ) -> Result<Self, ContractError> {
        let clock = Arc::new(ManualClock::new(SystemClock::new().now()));
        let log = Arc::new(Log::new(Arc::clone(&clock)));
        let engine = Engine::builder(sandbox)
            .clock(Arc::clone(&clock) as _)
            .observer(Arc::clone(&log) as _)
            .start();
        let version = engine.load(component, settings).await?;
        Ok(Self {
            engine,
            clock,
            log,
            version,
            scope: Scope::default(),
            details: RequestDetails::default(),
            filters: Vec::new(),
            seed: 0,
        })
    }

    /// Makes all requests for this place. Default: none.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Makes all requests with these details, such as credentials.
    #[must_use]
    pub fn details(mut self, details: RequestDetails) -> Self {
        self.details = details;
        self
    }

    /// Makes only tests whose names contain one of these texts. Default: all.
    #[must_use]
    pub fn filters(mut self, filters: Vec<String>) -> Self {
        self.filters = filters;
        self
    }

    /// Chooses other values by this seed where a test needs them. Default: 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Gives the schema of the handler.
    #[must_use]
    pub fn schema(&self) -> &TypeSchema {
        self.version.schema()
    }

    /// Gives every test there is, in the order they are made.
    pub fn tests() -> impl Iterator<Item = Test> {
        CASES.iter().map(Test::from)
    }

    /// Gives the tests that the filters leave.
    pub fn chosen(&self) -> impl Iterator<Item = Test> {
        Self::tests().filter(|test| test.is_chosen_by(&self.filters))
    }

    /// Makes the tests with each set of inputs, and tells each verdict as soon as
    /// it is there.
    ///
    /// What a test makes is deleted at its end, whatever came of it.
    ///
    /// # Errors
    ///
    /// When the host, not the handler, fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the test that runs, and leaves what it has made.
    pub async fn run(
        &self,
        sets: &[InputSet],
        mut tell: impl FnMut(&Verdict) + Send,
    ) -> Result<Report, ContractError> {
        let watch = SystemClock::new();
        let mut verdicts = Vec::new();
        let mut left_behind = Vec::new();
        for inputs in sets {
            self.log.clear();
            let mut stage = self.stage(inputs);
            let is_chosen = |case: &&Case| Test::from(*case).is_chosen_by(&self.filters);
            for case in CASES.iter().filter(is_chosen) {
                let verdict = run(case, &mut stage, inputs.number, &watch).await?;
                tell(&verdict);
                verdicts.push(verdict);
            }
            left_behind.extend(stage.left_behind());
        }
        Ok(Report {
            type_name: self.schema().type_name().clone(),
            verdicts,
            elapsed: watch.uptime(),
            left_behind,
        })
    }

    fn stage(&self, inputs: &InputSet) -> Stage {
        Stage::new(
            self.engine.clone(),
            Arc::clone(&self.clock),
            Arc::clone(&self.log),
            Arc::clone(&self.version),
            self.scope.clone(),
            self.details.clone(),
            inputs.clone(),
            self.seed,
        )
    }
}

/// Makes one test.
async fn run(
    case: &Case,
    stage: &mut Stage,
    set: u32,
    watch: &SystemClock,
) -> Result<Verdict, ContractError> {
    let (began, from) = (watch.uptime(), stage.now());
    stage.begin(case.name);
    let missing = case
        .needs
        .iter()
        .find(|action| !stage.schema().handles(**action));
    let ended = match missing {
        Some(action) => Err(Stop::Skip(format!(
            "the schema names no {} handler",
            action.handler_name()
        ))),
        None => (case.run)(stage).await,
    };
    let simulated = stage.now().since(from);
    let (findings, invocations) = stage.end().await?;
    let outcome = match ended {
        Err(Stop::Broken(error)) => return Err(error),
        // What was found is found, also where the rest of a test has to be left.
        _ if !findings.is_empty() => Outcome::Failed { findings },
        Ok(()) | Err(Stop::Failed) => Outcome::Passed,
        Err(Stop::Skip(reason)) => Outcome::Skipped { reason },
    };
    Ok(Verdict {
        test: case.name,
        set,
        outcome,
        invocations,
        elapsed: watch.uptime().saturating_sub(began),
        simulated,
    })
}
