//! Values of the right kind by key, and asking for them.
//!
//! The key table decides which keys a table has, of which kind and with which defaults, so whoever asks for one as
//! another kind has made a mistake in this room's own text, which reading any file at all brings to light.

use std::{collections::BTreeMap, time::Duration};

use super::{amounts::Size, keys::Key, report::Place, tree::Text};
use crate::gate::settings::Rate;

/// A table with its values by key.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    /// Where it begins.
    pub(crate) place: Place,
    /// Its keys, in the order of the key table.
    pub(crate) keys: &'static [Key],
    fields: BTreeMap<&'static str, Field>,
}

/// A value of the right kind and where it was set.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) setting: Setting,
    pub(crate) place: Place,
}

/// A value of the right kind.
#[derive(Debug, Clone)]
pub(crate) enum Setting {
    /// Nothing stands for "none" or "another key decides".
    Duration(Option<Duration>),
    Flag(bool),
    /// Nothing in the place of a list: only faults were in it.
    Lists(Vec<(Text, Option<Vec<Text>>)>),
    Named(Vec<(Text, Section)>),
    Number(f64),
    /// Nothing: off.
    Rate(Option<Rate>),
    Secrets(Vec<(Text, Text)>),
    Section(Section),
    Sections(Vec<Section>),
    /// Nothing: another key decides.
    Size(Option<Size>),
    Text(Text),
    Texted(Vec<(Text, Text)>),
    Texts(Vec<Text>),
    Whole(u64),
}

// === impl Section ===

impl Section {
    /// A table without values.
    pub(crate) const fn new(keys: &'static [Key], place: Place) -> Self {
        Self { place, keys, fields: BTreeMap::new() }
    }

    /// Sets the value of a key.
    pub(crate) fn put(&mut self, key: &'static str, field: Field) {
        self.fields.insert(key, field);
    }

    /// The value of a key, unless it is absent.
    pub(crate) fn field(&self, key: &str) -> Option<&Field> {
        self.fields.get(key)
    }

    /// Where a key was set; where the table is, if it was not.
    pub(crate) fn place(&self, key: &str) -> &Place {
        self.field(key).map(|field| &field.place).filter(|place| **place != Place::Nowhere).unwrap_or(&self.place)
    }

    /// A string without default, if it was given.
    pub(crate) fn given(&self, key: &str) -> Option<&Text> {
        match self.field(key).map(|field| &field.setting) {
            None => None,
            Some(Setting::Text(text)) => Some(text),
            Some(_) => other_kind(key),
        }
    }

    /// A string with a default.
    pub(crate) fn text(&self, key: &str) -> &Text {
        self.given(key).unwrap_or_else(|| other_kind(key))
    }

    /// A boolean.
    pub(crate) fn flag(&self, key: &str) -> bool {
        match self.field(key).map(|field| &field.setting) {
            Some(Setting::Flag(flag)) => *flag,
            _ => other_kind(key),
        }
    }

    /// A whole number without default, if it was given.
    pub(crate) fn whole_if_given(&self, key: &str) -> Option<u64> {
        match self.field(key).map(|field| &field.setting) {
            None => None,
            Some(Setting::Whole(whole)) => Some(*whole),
            Some(_) => other_kind(key),
        }
    }

    /// A whole number with a default.
    pub(crate) fn whole(&self, key: &str) -> u64 {
        self.whole_if_given(key).unwrap_or_else(|| other_kind(key))
    }

    /// A whole number that counts things in memory.
    pub(crate) fn count(&self, key: &str) -> usize {
        usize::try_from(self.whole(key)).unwrap_or(usize::MAX)
    }

    /// A whole number that its bounds keep within 32 bits.
    pub(crate) fn small(&self, key: &str) -> u32 {
        u32::try_from(self.whole(key)).unwrap_or(u32::MAX)
    }

    /// A number.
    pub(crate) fn number(&self, key: &str) -> f64 {
        match self.field(key).map(|field| &field.setting) {
            Some(Setting::Number(number)) => *number,
            _ => other_kind(key),
        }
    }

    /// A duration that may be none.
    pub(crate) fn duration_if_any(&self, key: &str) -> Option<Duration> {
        match self.field(key).map(|field| &field.setting) {
            Some(Setting::Duration(duration)) => *duration,
            _ => other_kind(key),
        }
    }

    /// A duration.
    pub(crate) fn duration(&self, key: &str) -> Duration {
        self.duration_if_any(key).unwrap_or_default()
    }

    /// A size, if this key decides it.
    pub(crate) fn size(&self, key: &str) -> Option<Size> {
        match self.field(key).map(|field| &field.setting) {
            Some(Setting::Size(size)) => *size,
            _ => other_kind(key),
        }
    }

    /// A size that is always one, in bytes.
    pub(crate) fn bytes(&self, key: &str) -> u64 {
        match self.size(key) {
            Some(Size::Bytes(bytes)) => bytes,
            _ => other_kind(key),
        }
    }

    /// A rate, or nothing for `"off"`.
    pub(crate) fn rate(&self, key: &str) -> Option<Rate> {
        match self.field(key).map(|field| &field.setting) {
            Some(Setting::Rate(rate)) => *rate,
            _ => other_kind(key),
        }
    }

    /// A list of strings; empty if it was required and is missing.
    pub(crate) fn texts(&self, key: &str) -> &[Text] {
        match self.field(key).map(|field| &field.setting) {
            None => &[],
            Some(Setting::Texts(texts)) => texts,
            Some(_) => other_kind(key),
        }
    }

    /// Lists of strings by free names; nothing in the place of one that was wrong.
    pub(crate) fn lists(&self, key: &str) -> &[(Text, Option<Vec<Text>>)] {
        match self.field(key).map(|field| &field.setting) {
            Some(Setting::Lists(lists)) => lists,
            _ => other_kind(key),
        }
    }

    /// Strings by free names.
    pub(crate) fn texted(&self, key: &str) -> &[(Text, Text)] {
        match self.field(key).map(|field| &field.setting) {
            Some(Setting::Texted(texted)) => texted,
            _ => other_kind(key),
        }
    }

    /// Strings that are never shown, by free names.
    pub(crate) fn secrets(&self, key: &str) -> &[(Text, Text)] {
        match self.field(key).map(|field| &field.setting) {
            Some(Setting::Secrets(secrets)) => secrets,
            _ => other_kind(key),
        }
    }

    /// A string, or the table that stands in its place.
    pub(crate) fn text_or_table(&self, key: &str) -> Result<&Text, &Self> {
        match self.field(key).map(|field| &field.setting) {
            Some(Setting::Text(text)) => Ok(text),
            Some(Setting::Section(section)) => Err(section),
            _ => other_kind(key),
        }
    }

    /// A table that may be left out.
    pub(crate) fn section_if_given(&self, key: &str) -> Option<&Self> {
        match self.field(key).map(|field| &field.setting) {
            None => None,
            Some(Setting::Section(section)) => Some(section),
            Some(_) => other_kind(key),
        }
    }

    /// A table.
    pub(crate) fn section(&self, key: &str) -> &Self {
        self.section_if_given(key).unwrap_or_else(|| other_kind(key))
    }

    /// The tables within that have a name of their own, in the order of the key table.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (&'static str, &Self)> {
        self.keys.iter().filter_map(|key| match &self.field(key.name)?.setting {
            Setting::Section(section) => Some((key.name, section)),
            _ => None,
        })
    }

    /// Tables in an array; none if they were required and are missing.
    pub(crate) fn sections(&self, key: &str) -> &[Self] {
        match self.field(key).map(|field| &field.setting) {
            None => &[],
            Some(Setting::Sections(sections)) => sections,
            Some(_) => other_kind(key),
        }
    }

    /// Tables by free names; none if they were required and are missing.
    pub(crate) fn named(&self, key: &str) -> &[(Text, Self)] {
        match self.field(key).map(|field| &field.setting) {
            None => &[],
            Some(Setting::Named(named)) => named,
            Some(_) => other_kind(key),
        }
    }
}

fn other_kind(key: &str) -> ! {
    unreachable!("the key table has `{key}` in this table, with a default, and of the kind that was asked for")
}
