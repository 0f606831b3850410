//! Whatever stands in a file, it is judged and not tripped over, and what is secret stays so.

use proptest::prelude::*;

use super::*;

/// Values of every shape, to stand where another is expected.
const VALUES: [&str; 18] = [
    "5",
    "-1",
    "9223372036854775808",
    "1.5",
    "nan",
    "true",
    "\"x\"",
    "\"\"",
    "\"é://@\"",
    "\"${UNSET}\"",
    "\"${\"",
    "[]",
    "[1]",
    "[\"\"]",
    "[\"${UNSET}\"]",
    "[[]]",
    "{}",
    "1979-05-27",
];

/// Reads a text and renders all that is said about it.
fn judge(text: &str) -> Result<(), String> {
    match resolved(text, &[]) {
        Ok((config, report)) => {
            assert!(!report.has_errors());
            assert!(!config.routes.is_empty() && !config.upstreams.is_empty() && !config.edge.listen.is_empty());
            Ok(())
        }
        Err(report) => {
            assert!(report.has_errors(), "{text}");
            assert_eq!(report.render(true).is_empty(), report.to_string().is_empty());
            Err(report.to_string())
        }
    }
}

#[test]
fn every_key_meets_every_shape_of_value() {
    let lines: Vec<&str> = default_text().lines().collect();
    let mut judged = 0;
    for (i, line) in lines.iter().enumerate() {
        let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else {
            continue;
        };
        for value in VALUES {
            let text: String = lines
                .iter()
                .enumerate()
                .map(|(j, other)| if i == j { format!("{key} = {value}\n") } else { format!("{other}\n") })
                .collect();
            if let Err(report) = judge(&text) {
                assert!(report.starts_with("error: ") || report.starts_with("warning: "), "{key} = {value}: {report}");
            }
            judged += 1;
        }
    }
    assert_eq!(judged, 18 * 190);
}

#[test]
fn odd_texts_are_judged() {
    let crlf = SMALLEST.replace('\n', "\r\n");
    let bom = format!("\u{feff}{SMALLEST}");
    let deep = format!("x = {}1{}", "[".repeat(2000), "]".repeat(2000));
    let rows = [
        ("Windows line ends", crlf.as_str(), true),
        ("byte order mark", &bom, true),
        ("no line end", SMALLEST.trim_end(), true),
        ("control character", "a = \"\u{1}\"", false),
        ("nothing but a comment", "# é", false),
        ("a key that is empty", "\"\" = 1", false),
        ("a key of many letters", "\"${é\u{202e}\" = 1", false),
        ("very deep", &deep, false),
        ("text of several lines", "public_url = \"\"\"\nhttp://\n\"\"\"", false),
    ];
    for (name, text, good) in rows {
        assert_eq!(judge(text).is_ok(), good, "{name}");
    }
}

#[test]
fn no_report_shows_a_secret() {
    let rows = [
        ("misspelt key", "[admin]\ntokens = \"hunter2\""),
        ("secret of a feature to come", "[session]\nkey = \"hunter2\"\n[admin]\nlisten = 5"),
        (
            "inline tables with secrets",
            "x402 = { nonce_secret = \"hunter2\", facilitator = [{ headers = { a = \"hunter2\" } }] }",
        ),
        ("list in the place of a secret", "admin = { token = [\"hunter2\"] }"),
        ("table in the place of a secret", "admin = { token = { a = \"hunter2\" } }"),
        ("number in the place of a secret", "admin = { token = 4242 }"),
        ("text of several lines", "admin = { token = \"\"\"\nhunter2\nhunter2\"\"\" }"),
        ("beside a reference", "admin = { token = \"hunter2${UNSET}\" }"),
        ("default of a reference", "admin = { token = \"${UNSET:-hunter2}\" }"),
        ("on the line of another fault", "admin = { token = \"0123456789abcdef0123456hunter2hunter2\", listen = 5 }"),
        ("store with a password", "store = { url = \"redis://:hunter2@127.0.0.1\" }"),
        ("origin with a password", "auth = { origins = [\"https://me:hunter2@example.com\"] }"),
        ("syntax error on its line", "[admin]\ntoken = \"hunter2\" x"),
        ("syntax error in it", "[admin]\ntoken = hunter2"),
        ("no end", "[admin]\ntoken = 'hunter2"),
    ];
    for (name, text) in rows {
        let report = judge(text).expect_err(name);
        assert!(!report.contains("hunter2") && !report.contains("4242"), "{name}: {report}");
    }
}

proptest! {
    #[test]
    fn any_edit_of_the_example_is_judged(at in 0..default_text().len(), cut in 0_usize..40, put in "\\PC{0,12}") {
        let text = default_text();
        let from = text.floor_char_boundary(at);
        let to = text.floor_char_boundary((from + cut).min(text.len()));
        let _ = judge(&format!("{}{put}{}", &text[..from], &text[to..]));
    }
}
