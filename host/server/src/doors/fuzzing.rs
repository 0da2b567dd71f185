//! The doors without their sockets, for the fuzz targets.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use formwork_host::clock::{Clock, ManualClock};
use formwork_host::engine::{Engine, LoadTypeError};
use formwork_host::model::Timestamp;
use formwork_host::registry::TypeSettings;
use formwork_host::sandbox::Sandbox;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::{Configurations, Crowd, House, Registrations, Settings, router};
use crate::telemetry::{Metrics, Page};

/// An open server without its sockets, whose clock stands still.
pub struct Doors {
    router: Router,
    /// Told when it is dropped.
    _stopping: watch::Sender<bool>,
}

impl fmt::Debug for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doors").finish_non_exhaustive()
    }
}

impl Doors {
    /// Opens the doors to one handler, with its operations in memory, at a
    /// moment.
    ///
    /// # Errors
    ///
    /// When the component is no handler.
    pub async fn open(
        sandbox: Sandbox,
        component: Arc<[u8]>,
        settings: TypeSettings,
        now: Timestamp,
    ) -> Result<Self, LoadTypeError> {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(now));
        let engine = Engine::builder(sandbox.clone())
            .clock(Arc::clone(&clock))
            .start();
        engine.load(component, settings).await?;
        let (sender, stopping) = watch::channel(false);
        let page = Page::new(
            Arc::new(Metrics::new(None)),
            engine.clone(),
            sandbox,
            Arc::clone(&clock),
        );
        let house = House {
            engine,
            configurations: Configurations::new(now),
            registrations: Registrations::new(now, Vec::new()),
            clock,
            crowd: Crowd::default(),
            settings: Settings {
                // Nothing ends while the clock stands still.
                hold: Duration::ZERO,
                ..Settings::default()
            },
            access: Arc::default(),
            page,
            stopping,
        };
        Ok(Self {
            router: router(Arc::new(house)),
            _stopping: sender,
        })
    }

    /// Gives the answer to a request.
    ///
    /// # Panics
    ///
    /// When a door breaks where nothing catches it.
    pub async fn send(&self, request: Request<Bytes>) -> Response<Bytes> {
        let response = self.router.clone().oneshot(request.map(Body::from)).await;
        let (head, body) = response.expect("every request is answered").into_parts();
        let body = body.collect().await.expect("an answer is whole").to_bytes();
        Response::from_parts(head, body)
    }
}
