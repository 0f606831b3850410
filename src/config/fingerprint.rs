//! What a configuration says, made small enough to keep: to tell what a reload changes, and whether it may.
//!
//! 1. Values count, not how or where they are written: another order of keys, a default that is spelled out or a
//!    variable in place of a value change nothing. Secrets count too and are not kept.
//! 2. Some keys are settled for the life of a process, because sockets, threads and the store are made of them once.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{
    keys,
    report::{Place, Report},
    section::{Section, Setting},
    tree::Text,
};

/// Keys that a restart alone can change, with what is made of them.
const FIXED: &[(&str, &str, &str)] = &[
    ("server", "listen", "listeners are bound once"),
    ("server", "http_redirect", "listeners are bound once"),
    ("server", "workers", "threads are started once"),
    ("admin", "listen", "listeners are bound once"),
    ("store", "url", "the store is opened once"),
];

/// Digests of the tables of a configuration.
#[derive(Debug, Clone)]
pub struct Fingerprint {
    tables: BTreeMap<&'static str, [u8; 32]>,
    fixed: Vec<[u8; 32]>,
    places: Vec<Place>,
}

// === impl Fingerprint ===

impl Fingerprint {
    pub(super) fn of(root: &Section) -> Self {
        let mut tables = BTreeMap::new();
        for key in keys::ROOT {
            let mut hash = Sha256::new();
            if let Some(field) = root.field(key.name) {
                setting(&mut hash, &field.setting);
            }
            tables.insert(key.name, hash.finalize().into());
        }
        let one = |(table, key, _): &(&str, &str, &str)| {
            let mut hash = Sha256::new();
            if let Some(field) = root.section(table).field(key) {
                setting(&mut hash, &field.setting);
            }
            hash.finalize().into()
        };
        Self {
            tables,
            fixed: FIXED.iter().map(one).collect(),
            places: FIXED.iter().map(|(table, key, _)| root.section(table).place(key).clone()).collect(),
        }
    }

    /// Whether two configurations say the same in these tables.
    pub fn agrees_with(&self, other: &Self, tables: &[&str]) -> bool {
        tables.iter().all(|table| self.tables.get(table) == other.tables.get(table))
    }

    /// Reports, as faults of this configuration, the keys that it may not change while `running` is in force.
    pub fn check_fixed(&self, running: &Self, report: &mut Report) {
        for (number, (table, key, why)) in FIXED.iter().enumerate() {
            if self.fixed.get(number) != running.fixed.get(number) {
                let place = self.places.get(number).cloned().unwrap_or_default();
                let title = format!("`{table}.{key}` cannot be changed by a reload");
                report.error(&place, title, format!("{why}; restart the gateway"));
            }
        }
    }

    /// All of it as 16 hexadecimal digits, for operators who compare replicas.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (table, digest) in &self.tables {
            hash.update(table);
            hash.update(digest);
        }
        data_encoding::HEXLOWER.encode(hash.finalize().get(..8).unwrap_or_default())
    }
}

/// Every value has its kind before it and its length, so that no two read alike.
fn setting(hash: &mut Sha256, of: &Setting) {
    match of {
        Setting::Duration(duration) => part(hash, 'd', format!("{duration:?}").as_bytes()),
        Setting::Flag(flag) => part(hash, 'f', &[u8::from(*flag)]),
        Setting::Lists(lists) => {
            count(hash, 'l', lists.len());
            for (name, list) in lists {
                text(hash, name);
                texts(hash, list.as_deref().unwrap_or_default());
            }
        }
        Setting::Named(named) => {
            count(hash, 'n', named.len());
            for (name, table) in named {
                text(hash, name);
                section(hash, table);
            }
        }
        Setting::Number(number) => part(hash, 'x', &number.to_bits().to_be_bytes()),
        Setting::Rate(rate) => part(hash, 'r', format!("{rate:?}").as_bytes()),
        Setting::Secrets(pairs) | Setting::Texted(pairs) => {
            count(hash, 'p', pairs.len());
            for (name, value) in pairs {
                text(hash, name);
                text(hash, value);
            }
        }
        Setting::Section(table) => section(hash, table),
        Setting::Sections(tables) => {
            count(hash, 'a', tables.len());
            for table in tables {
                section(hash, table);
            }
        }
        Setting::Size(size) => part(hash, 's', format!("{size:?}").as_bytes()),
        Setting::Text(one) => text(hash, one),
        Setting::Texts(list) => texts(hash, list),
        Setting::Whole(whole) => part(hash, 'w', &whole.to_be_bytes()),
    }
}

fn section(hash: &mut Sha256, table: &Section) {
    let given = || table.keys.iter().filter_map(|key| Some((key.name, table.field(key.name)?)));
    count(hash, 't', given().count());
    for (name, field) in given() {
        part(hash, 'k', name.as_bytes());
        setting(hash, &field.setting);
    }
}

fn texts(hash: &mut Sha256, list: &[Text]) {
    count(hash, 'c', list.len());
    for one in list {
        text(hash, one);
    }
}

fn text(hash: &mut Sha256, text: &Text) {
    part(hash, 'v', text.value.as_bytes());
}

fn count(hash: &mut Sha256, kind: char, number: usize) {
    part(hash, kind, &number.to_be_bytes());
}

fn part(hash: &mut Sha256, kind: char, bytes: &[u8]) {
    hash.update([kind as u8]);
    hash.update(bytes.len().to_be_bytes());
    hash.update(bytes);
}
