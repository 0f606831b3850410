//! Whether the text of a configuration holds a secret itself, rather than a reference to one.
//!
//! 1. What is a secret is a matter of the key: keys that are never shown, the paths of URLs that are shown in part.
//! 2. Whatever its key, a URL with a password in it is one.
//! 3. A value that stands in the text as it is was written there; one that came from a variable or a file was not.

use super::{
    keys::Kind,
    section::{Section, Setting},
    tree::Text,
};

/// Whether a secret of this configuration stands in its text.
pub(super) fn stand_in(text: &str, root: &Section) -> bool {
    let among = |table: &Section| stand_in(text, table);
    let written = |value: &Text| !value.value.is_empty() && text.contains(&*value.value);
    let with_password = |value: &Text| written(value) && holds_password(&value.value);
    let kinds = root.keys.iter().filter_map(|key| Some((key.kind, &root.field(key.name)?.setting)));
    for (kind, setting) in kinds {
        let found = match (kind, setting) {
            (Kind::Secret, Setting::Text(value)) => written(value),
            (Kind::UrlLists, Setting::Lists(lists)) => lists
                .iter()
                .flat_map(|(_, list)| list.iter().flatten())
                .any(|url| written(url) && holds_key(&url.value)),
            (_, Setting::Lists(lists)) => lists.iter().flat_map(|(_, list)| list.iter().flatten()).any(with_password),
            (_, Setting::Named(named)) => named.iter().any(|(_, table)| among(table)),
            (_, Setting::Secrets(pairs)) => pairs.iter().any(|(_, value)| written(value)),
            (_, Setting::Section(table)) => among(table),
            (_, Setting::Sections(tables)) => tables.iter().any(among),
            (_, Setting::Text(value)) => with_password(value),
            (_, Setting::Texted(pairs)) => pairs.iter().any(|(_, value)| with_password(value)),
            (_, Setting::Texts(list)) => list.iter().any(with_password),
            (
                _,
                Setting::Duration(_)
                | Setting::Flag(_)
                | Setting::Number(_)
                | Setting::Rate(_)
                | Setting::Size(_)
                | Setting::Whole(_),
            ) => false,
        };
        if found {
            return true;
        }
    }
    false
}

/// Whether a URL lets in whoever knows it: by more than scheme, host and port.
fn holds_key(url: &str) -> bool {
    let after = url.split_once("://").map_or(url, |(_, after)| after);
    after.contains('@') || after.split_once(['/', '?']).is_some_and(|(_, rest)| !rest.is_empty())
}

/// Whether a text is a URL that names a user with a password.
fn holds_password(text: &str) -> bool {
    let authority = text.split_once("://").map(|(_, after)| after.split(['/', '?', '#']).next().unwrap_or_default());
    let user = authority.and_then(|authority| Some(authority.rsplit_once('@')?.0));
    user.is_some_and(|user| user.split_once(':').is_some_and(|(_, password)| !password.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_let_in_whoever_knows_them() {
        let rows = [
            ("https://node.example", false, false),
            ("https://node.example:8545/", false, false),
            ("https://node.example/v2/hunter2", true, false),
            ("https://node.example?key=hunter2", true, false),
            ("https://user:hunter2@node.example", true, true),
            ("redis://:hunter2@10.0.0.7:6379/0", true, true),
            ("postgres://siwx@db/siwx", true, false),
            ("postgres://siwx:@db/siwx", true, false),
            ("https://node.example/@a:b", true, false),
        ];
        for (url, key, password) in rows {
            assert_eq!(holds_password(url), password, "{url}");
            assert_eq!(holds_key(url), key, "{url}");
        }
    }
}
