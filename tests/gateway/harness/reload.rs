//! A configuration that a test changes while its gateway serves.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use siwx_gateway::{
    app::{Source, Unread},
    config::{self, Config, Inputs, Override, Report},
};

use super::{Answer, Gateway, Request};

/// What a gateway reads again.
#[derive(Clone)]
pub(crate) struct Configuration {
    text: Arc<Mutex<String>>,
    flags: Arc<[Override]>,
    files: Arc<Mutex<Vec<PathBuf>>>,
}

impl Configuration {
    pub(crate) fn new(text: String, flags: Vec<Override>) -> Self {
        Self { text: Arc::new(Mutex::new(text)), flags: flags.into(), files: Arc::default() }
    }

    /// The text as it is now.
    pub(crate) fn text(&self) -> String {
        self.text.lock().expect("no panic while held").clone()
    }

    /// Another text, for whoever reads it from now on.
    pub(crate) fn write(&self, text: &str) {
        text.clone_into(&mut self.text.lock().expect("no panic while held"));
    }

    /// Files that it is made of besides.
    pub(crate) fn watch(&self, files: &[&PathBuf]) {
        let files = files.iter().map(|file| (*file).clone()).collect();
        *self.files.lock().expect("no panic while held") = files;
    }

    /// Reads it.
    pub(crate) fn read(&self) -> Result<(Config, Report), Report> {
        let inputs = Inputs {
            text: &self.text(),
            name: "test.toml",
            environment: &BTreeMap::new(),
            flags: &self.flags,
            files: &|path| std::fs::read_to_string(path),
        };
        config::resolve(&inputs)
    }
}

impl Source for Configuration {
    fn read(&self) -> Result<(Config, Report), Unread> {
        Self::read(self).map_err(Unread::Faulty)
    }

    fn files(&self) -> Vec<PathBuf> {
        self.files.lock().expect("no panic while held").clone()
    }
}

impl Gateway {
    /// Asks for a reload of the configuration as it is.
    pub(crate) fn reload(&self) -> Answer {
        self.admin(Request::new("POST", "/admin/reload"))
    }

    /// Replaces a part of the configuration and reloads it, which must succeed.
    pub(crate) fn reconfigure(&self, old: &str, new: &str) {
        let text = self.configuration.text();
        assert!(text.contains(old), "nothing to replace in\n{text}");
        self.configuration.write(&text.replacen(old, new, 1));
        let answer = self.reload();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
