//! JSON objects with one reading.

use serde_json::Value;
use siwx_gateway::json::{items_of, members_of, parse_object};

/// What is read is what any reader reads, and the texts of its parts are those of its values.
pub fn judge(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes);
    if let Ok(text) = text {
        // Of what is no JSON they make what they can, and come to an end.
        let members = members_of(text);
        let items = items_of(text);
        assert!(members.len() <= text.len() && items.len() <= text.len());
    }
    let Ok(members) = parse_object(bytes) else {
        return;
    };
    let text = text.expect("what was read is UTF-8");
    let value = Value::Object(members);
    assert_eq!(serde_json::from_str::<Value>(text).ok().as_ref(), Some(&value));
    judge_parts(text, &value);
}

fn judge_parts(text: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            let parts = members_of(text);
            assert!(parts.iter().map(|(name, _)| name).eq(members.keys()), "the members of {text}");
            parts.iter().for_each(|(name, part)| judge_parts(part, &members[name]));
        }
        Value::Array(values) => {
            let parts = items_of(text);
            assert_eq!(parts.len(), values.len(), "the items of {text}");
            parts.iter().zip(values).for_each(|(part, value)| judge_parts(part, value));
        }
        plain => assert_eq!(serde_json::from_str::<Value>(text).ok().as_ref(), Some(plain)),
    }
}
