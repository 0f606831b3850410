//! `[auth.assertion]` and `auth.identity_preset`: what they mean, and what is said of a key that is none.

use super::*;
use crate::{edge::settings::IdentityPreset, session::keys::Algorithm};

/// Keys of `openssl genpkey` that are nobody's.
const ED25519: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                       -----END PRIVATE KEY-----";
const ED25519_LINE: &str = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";

/// The smallest file with these lines in `[auth.assertion]`.
fn assertion(lines: &str) -> String {
    changed("[upstreams.api]", &format!("[auth.assertion]\n{lines}\n[upstreams.api]"))
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let edge = config(SMALLEST).edge;
    assert!(edge.assertion.is_none() && edge.identity_preset.is_none());
    assert!(config(&assertion("algorithm = \"ES256\"")).edge.assertion.is_none(), "off unless it is on");
    let found = config(&assertion("enabled = true")).edge.assertion.expect("assertions");
    assert_eq!((found.algorithm, found.ttl_secs, found.key.is_none()), (Algorithm::EdDsa, 30, true));
}

#[test]
fn every_key_of_assertions_has_its_meaning() {
    let text = assertion(&format!("enabled = true\nttl = \"1m\"\nkey = \"\"\"\n{ED25519}\n\"\"\""));
    let found = config(&text).edge.assertion.expect("assertions");
    assert_eq!(found.ttl_secs, 60);
    assert_eq!(found.key.expect("a key").kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let found = config(&assertion("enabled = true\nalgorithm = \"ES256\"")).edge.assertion.expect("assertions");
    assert_eq!(found.algorithm, Algorithm::Es256);
    let rows =
        [("", None), ("authelia", Some(IdentityPreset::Authelia)), ("oauth2-proxy", Some(IdentityPreset::Oauth2Proxy))];
    for (word, preset) in rows {
        let text = changed("[upstreams.api]", &format!("[auth]\nidentity_preset = \"{word}\"\n[upstreams.api]"));
        assert_eq!(config(&text).edge.identity_preset, preset);
    }
}

#[test]
fn a_key_that_is_none_is_told_what_it_is() {
    let ed25519 = ED25519.replace('\n', "\\n");
    let ec = "`openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` makes one";
    let rows = [
        (
            "words",
            "EdDSA",
            "a secret".to_owned(),
            "Ed25519 as PEM, found no line `-----BEGIN PRIVATE KEY-----`; `openssl genpkey -algorithm ed25519` makes one",
        ),
        (
            "a certificate",
            "ES256",
            "-----BEGIN CERTIFICATE-----\\nMIIB".to_owned(),
            &*format!("P-256 as PEM, found a certificate; {ec}"),
        ),
        (
            "another algorithm",
            "ES256",
            ed25519.clone(),
            "P-256 as PEM, found a key of Ed25519; set `auth.assertion.algorithm` to `EdDSA`, or use another key",
        ),
        (
            "cut off",
            "EdDSA",
            ed25519[..60].to_owned(),
            "Ed25519 as PEM, found PEM that breaks off or is damaged; `openssl genpkey -algorithm ed25519` makes one",
        ),
    ];
    for (name, algorithm, key, hint) in rows {
        for enabled in [true, false] {
            let lines = format!("enabled = {enabled}\nalgorithm = \"{algorithm}\"\nkey = \"{key}\"");
            let said = report(&assertion(&lines), &[]);
            assert!(said.contains("error: `auth.assertion.key` is no key of its algorithm"), "{name}: {said}");
            assert!(said.contains(hint), "{name}: {said}");
        }
    }
}

#[test]
fn a_key_is_shown_by_nothing() {
    let text = assertion(&format!("enabled = true\nkey = \"\"\"\n{ED25519}\n\"\"\""));
    let settings = config(&text).edge;
    assert!(!format!("{settings:?}").contains(ED25519_LINE));
    let environment = environment(&[]);
    let inputs = Inputs { text: &text, name: NAME, environment: &environment, flags: &[], files: &no_file };
    let printed = print(&inputs).expect("a good file");
    assert!(printed.contains("key = \"[redacted]\"") && !printed.contains(ED25519_LINE), "{printed}");
    // Neither is one that is refused, nor where it stands in a file that cannot be read.
    let wrong = text.replace("enabled = true", "enabled = true\nalgorithm = \"ES256\"\nttl = \"61s\"\nnonsense = 1");
    let said = report(&wrong, &[]);
    assert!(said.contains("a key of Ed25519") && !said.contains(&ED25519_LINE[..20]), "{said}");
    let broken = report(&text.replace("\"\"\"\n[upstreams", "\n[upstreams"), &[]);
    assert!(!broken.contains(&ED25519_LINE[..20]), "{broken}");
}

#[test]
fn an_assertion_lives_from_a_second_to_a_minute() {
    for ttl in ["0s", "61s", "1500ms", "1h"] {
        let said = report(&assertion(&format!("ttl = \"{ttl}\"")), &[]);
        assert!(said.contains("auth.assertion.ttl"), "{ttl}: {said}");
    }
}

#[test]
fn routes_do_not_stand_in_the_way() {
    let route = |name: &str, path: &str| {
        format!("[[route]]\nname = \"{name}\"\npath = \"{path}\"\nupstream = \"api\"\nauth = \"wallet\"\n")
    };
    let with = |lines: &str, more: &str| format!("{}{more}", assertion(lines));
    let on = "enabled = true";
    let said = report(&with(on, &route("keys", "/.siwx/JWKS.json")), &[]);
    assert!(said.contains("error: route \"keys\" is at `/.siwx/jwks.json`"), "{said}");
    assert!(resolved(&with("enabled = false", &route("keys", "/.siwx/jwks.json")), &[]).is_ok());

    let other = "[upstreams.other]\nurls = [\"http://127.0.0.1:3001\"]\n";
    let warnings = |text: &str| {
        let (_, report) = resolved(text, &[]).unwrap_or_else(|report| panic!("{}", report.render(false)));
        report.render(false).matches("is called as upstream").count()
    };
    assert_eq!(warnings(&with(on, &format!("{other}{}", route("other", "/x")))), 1);
    assert_eq!(warnings(&with(on, &format!("{other}{}", route("api", "/x")))), 0, "its own");
    assert_eq!(warnings(&with("enabled = false", &format!("{other}{}", route("other", "/x")))), 0);
}
