//! Configurations: any text is judged, and not tripped over.

use std::{collections::BTreeMap, io};

use siwx_gateway::config::{Inputs, print, resolve};

/// A configuration is resolved without a fault, or refused with one; both can be shown.
pub fn judge(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let environment: BTreeMap<String, String> =
        [("KEY".to_owned(), "0123456789abcdef0123456789abcdef".to_owned()), ("EMPTY".to_owned(), String::new())].into();
    // No file is there, so none is read.
    let files = |_: &std::path::Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let inputs = Inputs { text, name: "siwx-gateway.toml", environment: &environment, flags: &[], files: &files };
    let report = match resolve(&inputs) {
        Ok((config, report)) => {
            assert!(!report.has_errors());
            assert!(!config.routes.is_empty() && !config.upstreams.is_empty() && !config.edge.listen.is_empty());
            assert!(print(&inputs).is_ok(), "what is resolved can be printed");
            report
        }
        Err(report) => {
            assert!(report.has_errors(), "refused without a fault");
            report
        }
    };
    assert_eq!(report.render(true).is_empty(), report.to_string().is_empty());
    assert!(report.to_json().is_array() || report.to_json().is_object());
}
