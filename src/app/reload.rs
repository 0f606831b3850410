//! Reading the configuration again while the gateway serves (hardening.md section 6).
//!
//! 1. Everything is read, checked and built beside what serves, and put into force in one step. Any fault leaves
//!    everything as it was, is logged with its line and field, and shows in `siwx_config_last_reload_successful`.
//! 2. What a process settles once — listeners, workers, store — is refused as a change, with all that came along.
//! 3. It is asked for by the admin API, by SIGHUP, and by a file that changed: one reload at a time, in that order of
//!    coming. A file counts as changed once it says something else than at the last reading, and the same twice in a row:
//!    whoever writes it in pieces is not read half way.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::{
    Events, Reload, StartError, Supervisor,
    ground::{Ground, InForce, Made},
};
use crate::{
    config::{Config, Fault, LogSettings, Place, Places, Report},
    edge::{
        server::{BindError, Changes, Prepared},
        tls::TlsError,
    },
};

/// Where a configuration is read from, again and again.
pub trait Source: Send + Sync {
    /// Reads it.
    fn read(&self) -> Result<(Config, Report), Unread>;

    /// The files that it is made of, as far as they are known.
    fn files(&self) -> Vec<PathBuf>;
}

/// Why there is no configuration.
pub enum Unread {
    /// It says something that makes no sense.
    Faulty(Report),
    /// A file cannot be read.
    File(PathBuf, io::Error),
}

/// Reads and puts into force.
pub(super) struct Reloader {
    ground: Arc<Ground>,
    in_force: Option<InForce>,
    changes: Changes,
    source: Option<Arc<dyn Source>>,
    asked: mpsc::UnboundedReceiver<Reload>,
    watch: bool,
    supervisor: Arc<Supervisor>,
    events: Option<Arc<Events>>,
    /// Whether what was read last of the configuration, and of certificates, is in force.
    good: [bool; 2],
}

/// Everything that a reload has built.
struct Ready {
    prepared: Prepared,
    made: Made,
    warnings: Report,
    watch: bool,
    log: LogSettings,
    store_timeout: Duration,
}

/// How often certificates are read again, where no file is watched too.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(60);

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

// === impl Reloader ===

impl Reloader {
    pub(super) fn new(
        ground: Arc<Ground>,
        in_force: InForce,
        changes: Changes,
        watch: bool,
        asked: mpsc::UnboundedReceiver<Reload>,
    ) -> Self {
        ground.metrics.config_last_reload_successful.set(1);
        ground.metrics.config_last_reload_success_timestamp.set(ground.clock.now().secs());
        Self {
            ground,
            in_force: Some(in_force),
            changes,
            source: None,
            asked,
            watch,
            supervisor: Arc::default(),
            events: None,
            good: [true; 2],
        }
    }

    pub(super) fn read_from(&mut self, source: Box<dyn Source>) {
        self.source = Some(source.into());
    }

    pub(super) fn log_to(&mut self, events: Arc<Events>) {
        self.events = Some(events);
    }

    pub(super) fn tell(&mut self, supervisor: Supervisor) {
        self.supervisor = Arc::new(supervisor);
    }

    pub(super) const fn supervisor(&self) -> &Arc<Supervisor> {
        &self.supervisor
    }

    pub(super) const fn ground(&self) -> &Arc<Ground> {
        &self.ground
    }

    /// Reloads whenever that is asked for. Safe to drop between two reloads and within one.
    pub(super) async fn run(mut self) {
        let mut seen = self.first_look().await;
        let mut before = seen;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut certificates = tokio::time::interval(CERTIFICATES_EVERY);
        certificates.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first of an interval is at once; they were read a moment ago.
        certificates.tick().await;
        loop {
            tokio::select! {
                asked = self.asked.recv() => {
                    let Some(Reload { answer }) = asked else {
                        return;
                    };
                    seen = self.look().await;
                    // Whoever asked may have gone away.
                    let _ = answer.send(self.reload().await);
                }
                _ = looks.tick(), if self.watch && self.source.is_some() => {
                    let now = self.look().await;
                    if now != seen && now == before {
                        seen = now;
                        tracing::info!("a file of the configuration changed");
                        let _ = self.reload().await;
                    }
                    before = now;
                }
                _ = certificates.tick() => self.read_certificates().await,
            }
        }
    }

    /// The same as long as what is in force is what they say; else nothing, for they changed since they were read.
    async fn first_look(&self) -> [u8; 32] {
        let seen = self.look().await;
        let (Some(source), Some(in_force)) = (self.source.clone(), &self.in_force) else {
            return seen;
        };
        let read =
            tokio::task::spawn_blocking(move || source.read().ok().map(|(config, _)| config.fingerprint.digest()));
        let same = read.await.is_ok_and(|digest| digest == Some(in_force.fingerprint().digest()));
        if same { seen } else { [0; 32] }
    }

    /// What the files of the configuration say, as a digest.
    async fn look(&self) -> [u8; 32] {
        let Some(source) = self.source.clone() else {
            return [0; 32];
        };
        let looked = tokio::task::spawn_blocking(move || {
            let mut hash = Sha256::new();
            for file in source.files() {
                // A file that is not there is a change too.
                let bytes = std::fs::read(&file).unwrap_or_default();
                hash.update(bytes.len().to_be_bytes());
                hash.update(bytes);
            }
            hash.finalize().into()
        });
        looked.await.unwrap_or_default()
    }

    /// Reads the certificates again, whatever is watched: the new ones are shown from the next handshake on.
    async fn read_certificates(&mut self) {
        let changes = self.changes.clone();
        let read = tokio::task::spawn_blocking(move || changes.read_certificates());
        let Ok((prepared, faults)) = read.await else {
            return;
        };
        for error in &faults {
            tracing::error!(%error, "a certificate was read again and is not in order; the last good one stays");
        }
        if let Some(prepared) = prepared {
            self.changes.apply(prepared).await;
            tracing::info!(event = "audit", action = "certificates_changed", "new certificates are in force");
        }
        self.good[1] = faults.is_empty();
        self.publish();
    }

    fn publish(&self) {
        let good = self.good.iter().all(|good| *good);
        self.ground.metrics.config_last_reload_successful.set(i64::from(good));
    }

    /// One reload: the digest of what is in force, or every fault.
    async fn reload(&mut self) -> Result<String, Value> {
        let metrics = Arc::clone(&self.ground.metrics);
        self.supervisor.reloading();
        let outcome = self.try_reload().await;
        self.supervisor.say("READY=1");
        self.good = [outcome.is_ok(), outcome.is_ok() || self.good[1]];
        self.publish();
        match &outcome {
            Ok(digest) => {
                metrics.config_last_reload_success_timestamp.set(self.ground.clock.now().secs());
                metrics.config_reloads.inc("ok");
                tracing::info!(event = "audit", action = "reloaded", configuration = %digest, "the configuration was read again and is in force");
            }
            Err(_) => {
                metrics.config_reloads.inc("failed");
                tracing::error!(
                    event = "audit",
                    action = "reload_failed",
                    "the configuration was read again and is not in order; what was in force stays in force"
                );
            }
        }
        outcome
    }

    async fn try_reload(&mut self) -> Result<String, Value> {
        let (Some(source), Some(in_force)) = (self.source.clone(), self.in_force.take()) else {
            return Err(json!([{ "severity": "error", "message": "there is no file to read again" }]));
        };
        let (ground, changes) = (Arc::clone(&self.ground), self.changes.clone());
        // Files are read and stores asked, which may take a while.
        let built = tokio::task::spawn_blocking(move || {
            let built = build(&*source, &ground, &changes, &in_force);
            (built, in_force)
        });
        let (built, in_force) = built.await.map_err(|error| {
            tracing::error!(%error, "a reload panicked; please report this");
            json!([{ "severity": "error", "message": "the gateway made a mistake; please report this" }])
        })?;
        match built {
            Ok(Ready { prepared, made, warnings, watch, log, store_timeout }) => {
                self.ground.bound_store(store_timeout);
                if let Some(events) = &self.events {
                    events.show(log);
                }
                tell(&warnings);
                self.changes.apply(prepared).await;
                let in_force = self.in_force.insert(self.ground.enter(made, Some(in_force)));
                self.watch = watch;
                Ok(in_force.fingerprint().digest())
            }
            Err(faults) => {
                self.in_force = Some(in_force);
                Err(faults)
            }
        }
    }
}

/// Reads and builds, and tells what is wrong.
fn build(source: &dyn Source, ground: &Ground, changes: &Changes, in_force: &InForce) -> Result<Ready, Value> {
    let (config, mut report) = source.read().map_err(|unread| match unread {
        Unread::Faulty(report) => told(&report),
        Unread::File(path, error) => {
            let message = format!("cannot read the configuration `{}`: {error}", path.display());
            tracing::error!("{message}");
            json!([{ "severity": "error", "message": message }])
        }
    })?;
    config.fingerprint.check_fixed(in_force.fingerprint(), &mut report);
    if report.has_errors() {
        return Err(told(&report));
    }
    let (places, watch, warnings) = (config.places.clone(), config.edge.watch, report.clone());
    let (log, store_timeout) = (config.log, config.store.timeout);
    let made = ground.make(config, report, Some(in_force)).map_err(|error| match error {
        StartError::Routes(report) => told(&report),
        error => {
            let mut report = warnings.clone();
            report.error(&Place::Nowhere, error.to_string(), "");
            told(&report)
        }
    });
    let (served, made) = made?;
    let certificates = served.settings.tls.as_ref().map(|tls| tls.certificates.clone()).unwrap_or_default();
    let prepared = changes.prepare(served).map_err(|error| {
        let mut report = warnings.clone();
        let of_file = |path: &PathBuf| {
            let found = certificates.iter().position(|files| files.cert == *path || files.key == *path)?;
            let (cert, key) = places.certificates.get(found)?;
            Some(if certificates.get(found)?.cert == *path { cert.clone() } else { key.clone() })
        };
        let place = place_of(&error, &places, of_file);
        report.error(&place, error.to_string(), "");
        told(&report)
    })?;
    Ok(Ready { prepared, made, warnings, watch, log, store_timeout })
}

/// Where in the file stands what cannot be opened.
fn place_of(error: &BindError, places: &Places, of_file: impl Fn(&PathBuf) -> Option<Place>) -> Place {
    let place = match error {
        BindError::Tls(TlsError::File { path, .. }) => {
            of_file(path).or_else(|| places.upstream_cas.iter().find(|place| **place != Place::Nowhere).cloned())
        }
        BindError::Tls(TlsError::Pair { key, .. }) => of_file(key),
        BindError::Tls(TlsError::Ended { cert, .. }) => of_file(cert),
        _ => None,
    };
    place.unwrap_or_default()
}

/// Logs what is wrong, and gives it as a list.
fn told(report: &Report) -> Value {
    tell(report);
    report.to_json()
}

fn tell(report: &Report) {
    for fault in report.faults() {
        let Fault { severity, title, place, hint } = fault;
        let column = match place {
            Place::File(range) => report.line_and_column(range.start).1,
            _ => 0,
        };
        let origin = report.origin(place);
        match severity {
            crate::config::Severity::Error => tracing::error!(%origin, column, hint, "{title}"),
            crate::config::Severity::Note => tracing::info!(%origin, column, hint, "{title}"),
            crate::config::Severity::Warning => tracing::warn!(%origin, column, hint, "{title}"),
        }
    }
}
