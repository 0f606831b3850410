//! A session as its owner sees it: AppKit's `SIWXSession`, with what the gateway says of it (sessions.md section 2).
//!
//! 1. `data`, `message`, `signature` and `cacao` are those that came, byte for byte: the browser verifies them again.
//! 2. Nobody but the holder of the session's own cookie or token is shown this: text and signature are a credential.

use serde_json::{Value, json};

use super::{did_pkh, set::Session};
use crate::{caip::AccountId, time::UnixTime};

/// A session as JSON, as it is shown until `expires_at`.
pub fn session_json(session: &Session, expires_at: UnixTime) -> String {
    let account = &session.account;
    let evidence = &session.evidence;
    let mut json = String::with_capacity(512 + evidence.message.len() + evidence.signature.len() + evidence.data.len());
    let mut member = |name: &str, value: &str| {
        json.push(if json.is_empty() { '{' } else { ',' });
        json.push_str(&format!("\"{name}\":{value}"));
    };
    member("id", &quoted(&session.sid.to_string()));
    member("account", &quoted(account.as_str()));
    member("accountAddress", &quoted(account.address()));
    member("chainId", &quoted(account.chain_str()));
    member("scheme", &quoted(&session.scheme));
    member("createdAt", &quoted(&session.created_at.to_string()));
    member("expiresAt", &quoted(&expires_at.to_string()));
    if let Some(recap) = &evidence.recap {
        member("recap", recap);
    }
    member("data", &evidence.data);
    member("message", &quoted(&evidence.message));
    member("signature", &quoted(&evidence.signature));
    if let Some(cacao) = &evidence.cacao {
        member("cacao", cacao);
    }
    if let Some(key) = &evidence.public_key {
        member("publicKey", &quoted(key));
    }
    json.push('}');
    json
}

/// Who a request is, as JSON: the session that counts, and all accounts of its set. Times are in seconds, as in tokens.
pub fn identity_json<'a>(
    active: &Session,
    accounts: impl Iterator<Item = &'a AccountId>,
    expires_at: UnixTime,
) -> Value {
    json!({
        "sub": did_pkh(&active.account),
        "account": active.account.as_str(),
        "accounts": accounts.map(AccountId::as_str).collect::<Vec<_>>(),
        "sid": active.sid.to_string(),
        "scheme": &*active.scheme,
        "iat": active.created_at.secs(),
        "exp": expires_at.secs(),
    })
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{
        id::Sid,
        set::{Evidence, Life, Session},
    };

    fn session() -> Session {
        let created_at = UnixTime::from_secs(1_795_168_800);
        Session {
            sid: Sid::new([0xab; 16]),
            account: AccountId::parse("eip155:1:0xe8c4e5881ec748789059d1e71B9622D56d0Abc11").expect("an account"),
            scheme: "eip191".into(),
            by_contract: false,
            created_at,
            refreshed_at: created_at,
            verified_at: created_at,
            not_before: None,
            expiration_time: None,
            evidence: Evidence {
                message: "a \"text\"\nof two lines".into(),
                signature: "0x12".into(),
                data: r#"{ "nonce":"n", "mine": [1.50, 1e3, "\u0041"] }"#.into(),
                cacao: None,
                public_key: None,
                recap: None,
            },
        }
    }

    #[test]
    fn a_session_is_shown_with_what_came_byte_for_byte() {
        let until = UnixTime::from_secs(1_795_255_200);
        let plain = r#"{"id":"abababababababababababababababab","account":"eip155:1:0xe8c4e5881ec748789059d1e71B9622D56d0Abc11","accountAddress":"0xe8c4e5881ec748789059d1e71B9622D56d0Abc11","chainId":"eip155:1","scheme":"eip191","createdAt":"2026-11-20T10:00:00.000Z","expiresAt":"2026-11-21T10:00:00.000Z","data":{ "nonce":"n", "mine": [1.50, 1e3, "\u0041"] },"message":"a \"text\"\nof two lines","signature":"0x12"}"#;
        assert_eq!(session_json(&session(), until), plain);

        let mut whole = session();
        whole.evidence.cacao = Some(r#"{"h":1.0}"#.into());
        whole.evidence.recap = Some(r#"{"eip155":{}}"#.into());
        whole.evidence.public_key = Some("ab\"".into());
        let expected = plain
            .replace(r#","data""#, r#","recap":{"eip155":{}},"data""#)
            .replace(r#""0x12"}"#, r#""0x12","cacao":{"h":1.0},"publicKey":"ab\""}"#);
        assert_eq!(session_json(&whole, until), expected);
        serde_json::from_str::<Value>(&expected).expect("JSON");
    }

    #[test]
    fn an_identity_names_all_accounts_of_its_set() {
        let life = Life { ttl: std::time::Duration::from_secs(60), idle: None, absolute: std::time::Duration::MAX };
        let (session, other) = (session(), AccountId::parse("eip155:10:0xab").expect("an account"));
        let identity = identity_json(&session, [&session.account, &other].into_iter(), session.ends_at(&life, None));
        let expected = r#"{"sub":"did:pkh:eip155:1:0xe8c4e5881ec748789059d1e71B9622D56d0Abc11","account":"eip155:1:0xe8c4e5881ec748789059d1e71B9622D56d0Abc11","accounts":["eip155:1:0xe8c4e5881ec748789059d1e71B9622D56d0Abc11","eip155:10:0xab"],"sid":"abababababababababababababababab","scheme":"eip191","iat":1795168800,"exp":1795168860}"#;
        assert_eq!(identity.to_string(), expected);
    }
}
