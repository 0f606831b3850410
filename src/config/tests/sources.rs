//! Where values come from and where they go: environment, flags, references, `config default|print|schema`.

use std::time::Duration;

use super::*;

#[test]
fn the_example_file_is_valid_and_names_every_key() {
    let (config, report) = resolved(default_text(), &[]).expect("the example file");
    assert_eq!(report.to_string(), "");
    assert_eq!(config.routes.len(), 3);

    let environment = BTreeMap::new();
    let inputs = Inputs { text: default_text(), name: NAME, environment: &environment, flags: &[], files: &no_file };
    let root = read(&inputs, &mut Report::new(NAME, default_text())).expect("the example file");
    let mut missing = Vec::new();
    unnamed(&[&root], "", &mut missing);
    assert_eq!(missing, [""; 0]);
}

/// The built keys that none of some tables of the same kind names.
fn unnamed(sections: &[&section::Section], path: &str, missing: &mut Vec<String>) {
    let keys = sections.first().map_or(&[][..], |section| section.keys);
    for key in keys.iter().filter(|key| key.is_built()) {
        let path = format!("{path}{}", key.name);
        let fields: Vec<_> = sections.iter().filter_map(|section| section.field(key.name)).collect();
        if fields.iter().all(|field| field.place == Place::Nowhere) {
            missing.push(path.clone());
        }
        let inner: Vec<_> = fields
            .iter()
            .flat_map(|field| match &field.setting {
                section::Setting::Section(section) => vec![section],
                section::Setting::Sections(sections) => sections.iter().collect(),
                section::Setting::Named(named) => named.iter().map(|(_, section)| section).collect(),
                _ => Vec::new(),
            })
            .collect();
        unnamed(&inner, &format!("{path}."), missing);
    }
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let text = changed("[server]", "[limits]\nconnections = 2\n[server]");
    let variable = environment(&[("SIWX__LIMITS__CONNECTIONS", "3")]);
    let flags =
        [Override { key: "limits.connections".to_owned(), value: "4".to_owned(), flag: "--connections".to_owned() }];
    let (none, no_flags) = (BTreeMap::new(), &[][..]);
    let rows = [
        ("default", SMALLEST, &none, no_flags, 10_000, "# default"),
        ("file", &text, &none, no_flags, 2, "# siwx-gateway.toml:3"),
        ("environment", &text, &variable, no_flags, 3, "# environment variable SIWX__LIMITS__CONNECTIONS"),
        ("flag", &text, &variable, &flags[..], 4, "# flag --connections"),
        (
            "environment over default",
            SMALLEST,
            &variable,
            no_flags,
            3,
            "# environment variable SIWX__LIMITS__CONNECTIONS",
        ),
    ];
    for (name, text, environment, flags, expected, origin) in rows {
        let inputs = Inputs { text, name: NAME, environment, flags, files: &no_file };
        let (config, _) = resolve(&inputs).expect(name);
        assert_eq!(config.edge.limits.connections, expected, "{name}");
        let printed = print(&inputs).expect(name);
        let line = printed.lines().find(|line| line.starts_with("connections = ")).expect(name);
        assert_eq!(line.split_once("  # ").map(|(_, origin)| format!("# {origin}")).as_deref(), Some(origin), "{name}");
    }
}

#[test]
fn a_flag_sets_a_list_of_strings() {
    let flags = [Override {
        key: "server.listen".to_owned(),
        value: "127.0.0.1:1,[::1]:2".to_owned(),
        flag: "--listen".to_owned(),
    }];
    let inputs = Inputs { text: SMALLEST, name: NAME, environment: &BTreeMap::new(), flags: &flags, files: &no_file };
    let (config, _) = resolve(&inputs).expect("a configuration");
    let listen: Vec<String> = config.edge.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["127.0.0.1:1", "[::1]:2"]);
}

#[test]
fn the_environment_sets_single_values_of_every_kind() {
    let text = changed("[upstreams.api]", "[upstreams.big-api]\nurls = [\"http://10.0.0.1\"]\n[upstreams.api]");
    let (config, _) = resolved(
        &text,
        &[
            ("SIWX__PUBLIC_URL", "https://api.example.com"),
            ("SIWX__SERVER__HTTP2", "false"),
            ("SIWX__SERVER__DRAIN_DELAY", "1s"),
            ("SIWX__LIMITS__BODY_BYTES", "unlimited"),
            ("SIWX__LIMITS__AUTH_FAILURES", "off"),
            ("SIWX__LIMITS__HTTP2__STREAMS", "7"),
            ("SIWX__LOG__ACCESS__SAMPLE", "0.5"),
            ("SIWX__STORE__URL", "sqlite::memory:"),
            ("SIWX__UPSTREAMS__BIG_API__HOST", "upstream"),
            ("SIWX", "not ours"),
            ("SIWX_GATEWAY__X", "not ours"),
        ],
    )
    .expect("all of them are right");
    assert_eq!(config.public_url.authority(), "api.example.com");
    assert!(!config.edge.http2);
    assert_eq!(config.edge.drain_delay, Duration::from_secs(1));
    assert_eq!(config.edge.limits.body_bytes, None);
    assert_eq!(config.gate.auth_failures, None);
    assert_eq!(config.edge.limits.http2_streams, 7);
    assert_eq!(config.edge.access_log.sample, 0.5);
    assert_eq!(config.store.backend, Backend::SqliteMemory);
    let names: Vec<_> = config.upstreams.iter().map(|upstream| (upstream.name.as_str(), &upstream.host)).collect();
    assert_eq!(names, [("big-api", &HostSent::Upstream), ("api", &HostSent::Preserve)]);
}

#[test]
fn what_the_environment_cannot_set() {
    let rows = [
        (
            "array",
            "SIWX__SERVER__LISTEN",
            "error: `listen` is an array\n --> environment variable SIWX__SERVER__LISTEN   (arrays are set in the file \
             alone)\n",
        ),
        (
            "within an array",
            "SIWX__ROUTE__0__NAME",
            "error: `route` is an array\n --> environment variable SIWX__ROUTE__0__NAME   (arrays are set in the file \
             alone)\n",
        ),
        (
            "unknown key",
            "SIWX__SERVER__WORKER",
            "error: unknown key `worker`\n --> environment variable SIWX__SERVER__WORKER   (did you mean `workers`?)\n",
        ),
        (
            "key to come",
            "SIWX__FORWARD_AUTH__LISTEN",
            "error: `forward_auth` is not built yet\n --> environment variable SIWX__FORWARD_AUTH__LISTEN   (leave it out)\n",
        ),
        (
            "upstream that is not in the file",
            "SIWX__UPSTREAMS__WEB__RETRIES",
            "error: the file has no table `upstreams.web`\n --> environment variable SIWX__UPSTREAMS__WEB__RETRIES\n",
        ),
        (
            "table",
            "SIWX__LIMITS",
            "error: `limits`: expected a table, found `1`\n --> environment variable SIWX__LIMITS\n",
        ),
        (
            "value out of range",
            "SIWX__LIMITS__BODY_BYTES",
            "error: `limits.body_bytes`: expected a size such as `512B`, `32KiB`, `10MiB` or `1GiB`, found `1`\n --> \
             environment variable SIWX__LIMITS__BODY_BYTES\n",
        ),
        (
            "secret: it is not shown",
            "SIWX__ADMIN__TOKEN",
            "error: `admin.token` has 1 characters\n --> environment variable SIWX__ADMIN__TOKEN   (expected at least \
             32)\n",
        ),
    ];
    for (name, variable, expected) in rows {
        assert_eq!(report(SMALLEST, &[(variable, "1")]), expected, "{name}");
    }
}

#[test]
fn references_are_replaced_and_what_came_of_files_is_masked() {
    let text = changed(
        "[server]",
        "[admin]\ntoken = \"${file:/run/token}\"\n[store]\nurl = \"sqlite:${DIR}/$${x}\"\n[server]",
    );
    let secret = "0123456789abcdef0123456789abcdef";
    let environment = environment(&[("DIR", "/var/lib")]);
    let files = |path: &Path| {
        assert_eq!(path, Path::new("/run/token"));
        Ok(format!("{secret}\n"))
    };
    let inputs = Inputs { text: &text, name: NAME, environment: &environment, flags: &[], files: &files };
    let (config, _) = resolve(&inputs).expect("a good file");
    let token = config.edge.admin.as_ref().and_then(|admin| admin.token.as_ref()).expect("a token");
    assert_eq!(token.expose(), secret);
    assert_eq!(config.store.backend, Backend::Sqlite("/var/lib/${x}".into()));
    assert!(!format!("{config:?}").contains(secret));
    let printed = print(&inputs).expect("a good file");
    assert!(!printed.contains(secret), "{printed}");
    assert!(printed.contains("token = \"[redacted]\""), "{printed}");
    assert!(printed.contains("url = \"sqlite:/var/lib/$${x}\""), "{printed}");
}

#[test]
fn what_is_printed_reads_back_as_the_same() {
    for text in [SMALLEST, default_text()] {
        let environment = BTreeMap::new();
        let inputs = |text| Inputs { text, name: NAME, environment: &environment, flags: &[], files: &no_file };
        let values = |text: &str| -> Vec<String> {
            text.lines().map(|line| line.split("  # ").next().unwrap_or_default().trim_end().to_owned()).collect()
        };
        let once = print(&inputs(text)).expect("a good file");
        let twice = print(&inputs(&once)).expect("what was printed");
        assert_eq!(values(&once), values(&twice));
    }
}

#[test]
fn the_schema_knows_what_the_key_table_knows() {
    let schema = schema();
    assert_eq!(schema["required"], serde_json::json!(["public_url", "server", "upstreams", "route"]));
    assert_eq!(schema["additionalProperties"], false);
    let server = &schema["properties"]["server"];
    assert_eq!(server["required"], serde_json::json!(["listen"]));
    assert_eq!(server["properties"]["workers"]["maximum"], 1024);
    assert_eq!(server["properties"]["drain_delay"]["default"], "5s");
    assert_eq!(server["properties"]["via"]["default"], false);
    assert!(schema["properties"]["forward_auth"].is_null(), "not built yet");
    let upstream = &schema["properties"]["upstreams"]["additionalProperties"];
    assert_eq!(upstream["required"], serde_json::json!(["urls"]));
    let secret = &schema["properties"]["admin"]["properties"]["token"];
    assert_eq!((&secret["type"], &secret["default"]), (&"string".into(), &"".into()));
}
