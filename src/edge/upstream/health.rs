//! Checks of endpoints: a GET now and then, and one that is not answered well is left out until one is.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use http::{Request, header::HOST};
use tokio::time::timeout;

use super::{Made, Upstream, Use};
use crate::edge::body::RequestBody;

impl Upstream {
    /// Checks each endpoint for as long as the upstream lives, where that is wanted. On the caller's local tasks.
    pub(crate) fn begin_checks(self: &Arc<Self>) {
        if let Some(check) = &self.settings.health.check {
            for place in 0..self.endpoints.count() {
                tokio::task::spawn_local(keep_checking(Arc::downgrade(self), place, check.interval));
            }
        }
    }

    async fn check(self: &Arc<Self>, place: usize) {
        let Some(check) = &self.settings.health.check else {
            return;
        };
        let fault = match timeout(check.timeout, self.ask(place, &check.path)).await {
            Ok(Ok(status)) if status < 400 => None,
            Ok(Ok(status)) => Some(format!("it answered {status}")),
            Ok(Err(Some(fault))) => Some(fault),
            // That we have no room for a connection says nothing about the endpoint.
            Ok(Err(None)) => return,
            Err(_) => Some("it did not answer in time".to_owned()),
        };
        if self.endpoints.checked(place, fault.is_none()) {
            let endpoint = self.endpoints.get(place).map_or("", |endpoint| &endpoint.authority);
            match fault {
                Some(fault) => tracing::warn!(upstream = self.name(), endpoint, fault, "an endpoint fails its checks"),
                None => tracing::info!(upstream = self.name(), endpoint, "an endpoint passes its checks again"),
            }
        }
    }

    /// The status of a GET on a connection of its own, or what is wrong; nothing, if it could not be asked.
    async fn ask(self: &Arc<Self>, place: usize, path: &str) -> Result<u16, Option<String>> {
        let made = self.connect(place, Use::Requests).await;
        let mut connection = match made.map_err(|error| error.is_of_endpoint().then(|| error.to_string()))? {
            Made::Own(connection) => connection,
            Made::Shared(shared) => shared.stream(),
        };
        let host = self.host.as_ref().or_else(|| self.endpoints.get(place)?.host.as_ref());
        let request = Request::get(path).header(HOST, host.map_or(&b""[..], |host| host.as_bytes()));
        let request = request.body(RequestBody::empty()).map_err(|error| Some(error.to_string()))?;
        let latest = Instant::now() + self.settings.response_timeout;
        match connection.answer(request, latest).await {
            Some(Ok(answer)) => Ok(answer.status().as_u16()),
            Some(Err(failure)) => Err(Some(failure.error().to_string())),
            None => Err(Some("it did not answer in time".to_owned())),
        }
    }
}

async fn keep_checking(upstream: Weak<Upstream>, place: usize, interval: Duration) {
    loop {
        match upstream.upgrade() {
            Some(upstream) => upstream.check(place).await,
            None => return,
        }
        tokio::time::sleep(interval).await;
    }
}
