//! Which paths are the session API's (sessions.md sections 2 and 3).
//!
//! 1. Everything below a reserved prefix is ours, whatever a route says: what is not there is 404 and never forwarded.
//! 2. A prefix ends at a boundary of segments: `/.siwxx` is not below `/.siwx`.
//! 3. Paths are compared in their canonical spelling, which is what routes are found by.

use crate::{edge::browser::File, gate::settings::SessionSettings};

/// An endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// What a dapp has to know.
    Config,
    /// A file of the browser's.
    File(File),
    /// The public keys.
    Keys,
    /// The login page.
    Login,
    /// Who the request is.
    Me,
    /// A message, written here.
    Message,
    /// A nonce.
    Nonce,
    /// There is no such endpoint.
    Nowhere,
    /// Endpoints of ReownAuthentication.
    Reown(ReownDoor),
    /// A longer life.
    Refresh,
    /// The sessions themselves.
    Sessions,
    /// The end.
    SignOut,
}

/// An endpoint of ReownAuthentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReownDoor {
    /// What a dapp keeps for an account.
    AccountMetadata,
    /// A sign-in.
    Authenticate,
    /// Who the token is of.
    Me,
    /// A nonce, with its token.
    Nonce,
    /// There is no such endpoint.
    Nowhere,
    /// One-time passwords for e-mail addresses.
    Otp,
    /// The end.
    SignOut,
}

/// The endpoint of a canonical path; nothing: it is below no prefix of ours.
pub(crate) fn door(settings: &SessionSettings, path: &str) -> Option<Door> {
    let SessionSettings { prefix, reown_prefix, login_page, .. } = settings;
    door_of(prefix, reown_prefix.as_deref(), *login_page, path)
}

fn door_of(prefix: &str, reown_prefix: Option<&str>, login_page: bool, path: &str) -> Option<Door> {
    if let Some(name) = below(prefix, path) {
        return Some(named(name, login_page));
    }
    let name = below(reown_prefix?, path)?;
    Some(Door::Reown(match name {
        "account-metadata" => ReownDoor::AccountMetadata,
        "authenticate" => ReownDoor::Authenticate,
        "me" => ReownDoor::Me,
        "nonce" => ReownDoor::Nonce,
        "otp" => ReownDoor::Otp,
        "sign-out" => ReownDoor::SignOut,
        _ => ReownDoor::Nowhere,
    }))
}

fn named(name: &str, login_page: bool) -> Door {
    match name {
        "config" => Door::Config,
        "jwks.json" => Door::Keys,
        "login" if login_page => Door::Login,
        "me" => Door::Me,
        "message" => Door::Message,
        "nonce" => Door::Nonce,
        "refresh" => Door::Refresh,
        "sessions" => Door::Sessions,
        "sign-out" => Door::SignOut,
        name => match File::named(name) {
            Some(file) if login_page || !file.is_of_login_page() => Door::File(file),
            _ => Door::Nowhere,
        },
    }
}

/// What stands below a prefix, which has no slash at its end; empty for the prefix itself.
fn below<'p>(prefix: &str, path: &'p str) -> Option<&'p str> {
    let rest = path.strip_prefix(prefix)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REOWN: Option<&str> = Some("/auth/v1");

    #[test]
    fn everything_below_a_prefix_is_ours() {
        let file = |name| File::named(name).map(Door::File);
        let rows = [
            ("/.siwx/config", Some(Door::Config)),
            ("/.siwx/jwks.json", Some(Door::Keys)),
            ("/.siwx/login", Some(Door::Login)),
            ("/.siwx/me", Some(Door::Me)),
            ("/.siwx/message", Some(Door::Message)),
            ("/.siwx/nonce", Some(Door::Nonce)),
            ("/.siwx/refresh", Some(Door::Refresh)),
            ("/.siwx/sessions", Some(Door::Sessions)),
            ("/.siwx/sign-out", Some(Door::SignOut)),
            ("/.siwx/siwx.js", file("siwx.js")),
            ("/.siwx/login.css", file("login.css")),
            ("/.siwx", Some(Door::Nowhere)),
            ("/.siwx/", Some(Door::Nowhere)),
            ("/.siwx/nonce/", Some(Door::Nowhere)),
            ("/.siwx/nonce/x", Some(Door::Nowhere)),
            ("/.siwx/NONCE", Some(Door::Nowhere)),
            ("/.siwx/mod.rs", Some(Door::Nowhere)),
            ("/auth/v1/nonce", Some(Door::Reown(ReownDoor::Nonce))),
            ("/auth/v1/authenticate", Some(Door::Reown(ReownDoor::Authenticate))),
            ("/auth/v1/me", Some(Door::Reown(ReownDoor::Me))),
            ("/auth/v1/account-metadata", Some(Door::Reown(ReownDoor::AccountMetadata))),
            ("/auth/v1/sign-out", Some(Door::Reown(ReownDoor::SignOut))),
            ("/auth/v1/otp", Some(Door::Reown(ReownDoor::Otp))),
            ("/auth/v1/other", Some(Door::Reown(ReownDoor::Nowhere))),
            ("/auth/v1", Some(Door::Reown(ReownDoor::Nowhere))),
            ("/.siwxx", None),
            ("/.SIWX/nonce", None),
            ("/auth/v11/nonce", None),
            ("/auth", None),
            ("/", None),
        ];
        for (path, expected) in rows {
            assert_eq!(door_of("/.siwx", REOWN, true, path), expected, "{path}");
        }
    }

    #[test]
    fn without_a_login_page_there_is_the_module_alone() {
        for path in ["/.siwx/login", "/.siwx/login.js", "/.siwx/login.css", "/.siwx/wallets.js"] {
            assert_eq!(door_of("/.siwx", REOWN, false, path), Some(Door::Nowhere), "{path}");
        }
        assert!(matches!(door_of("/.siwx", REOWN, false, "/.siwx/siwx.js"), Some(Door::File(_))));
    }

    #[test]
    fn reown_s_prefix_is_off_unless_it_is_set() {
        assert_eq!(door_of("/.siwx", None, true, "/auth/v1/nonce"), None);
    }
}
