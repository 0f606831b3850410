#!/usr/bin/env python3
"""Writes the Grafana dashboard `siwx-gateway.json` beside this file; with `--check`, tells whether it is up to date.

1. Rows and panels stand below in the order in which they are shown. A panel that asks for a metric which the gateway
   does not export fails `tests/dashboards.rs`, so metrics come first and panels after them.
2. Every query is narrowed to the chosen jobs and instances; where a metric has a route or an upstream, to those too.
3. Nothing here depends on time or place: the same script writes the same bytes.
"""

import json
import pathlib
import sys

TARGET = pathlib.Path(__file__).parent / "siwx-gateway.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24

ALL = 'job=~"$job",instance=~"$instance"'
ROUTE = f'{ALL},route=~"$route"'
UPSTREAM = f'{ALL},upstream=~"$upstream"'


def rate(metric, labels):
    return f"rate({metric}{{{labels}}}[$__rate_interval])"


def summed(metric, labels, by=""):
    return f"sum{f' by ({by})' if by else ''} ({rate(metric, labels)})"


def quantile(q, metric, labels, by=""):
    return f"histogram_quantile({q}, {summed(f'{metric}_bucket', labels, f'le, {by}' if by else 'le')})"


def quantiles(metric, labels):
    return [(quantile(q, metric, labels), name) for q, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))]


def panel(kind, title, queries, unit="short", width=6, about="", options=None, custom=None, thresholds=None):
    """A panel; `queries` are pairs of an expression and its legend."""
    defaults = {"unit": unit, "custom": custom or {}}
    if thresholds:
        steps = [{"color": color, "value": value} for color, value in thresholds]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    targets = [
        {
            "datasource": SOURCE,
            "editorMode": "code",
            "expr": expr,
            "format": "heatmap" if kind == "heatmap" else "time_series",
            "legendFormat": legend,
            "refId": chr(ord("A") + place),
        }
        for place, (expr, legend) in enumerate(queries)
    ]
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options or {},
        "targets": targets,
        "width": width,
    }


def number(title, expr, unit="short", about="", thresholds=None, legend="", text="auto"):
    options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "textMode": text}
    return panel("stat", title, [(expr, legend)], unit, 3, about, options, thresholds=thresholds)


def lines(title, queries, unit="short", width=8, about="", stacked=False):
    custom = {"fillOpacity": 30 if stacked else 5, "stacking": {"mode": "normal" if stacked else "none"}}
    options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    return panel("timeseries", title, queries, unit, width, about, options, custom)


def heat(title, metric, labels, width=8, about=""):
    options = {"calculate": False, "yAxis": {"unit": "s"}, "color": {"scheme": "Oranges", "mode": "scheme"}}
    return panel("heatmap", title, [(summed(f"{metric}_bucket", labels, "le"), "{{le}}")], "s", width, about, options)


REQUESTS = summed("siwx_http_requests_total", ROUTE)
FAILED = summed("siwx_http_requests_total", f'{ROUTE},code=~"5.."')
BAD = [("green", None), ("orange", 0.001), ("red", 0.01)]
ZERO = [("green", None), ("red", 1)]

ROWS = [
    (
        "Now",
        [
            number(
                "Ready",
                f"min(siwx_ready{{{ALL}}})",
                about="1 if every check of every instance holds.",
                thresholds=[("red", None), ("green", 1)],
            ),
            number("Version", f"count by (version) (siwx_build_info{{{ALL}}})", legend="{{version}}", text="name"),
            number("Requests", REQUESTS, "reqps"),
            number("Errors", f"{FAILED} / {REQUESTS}", "percentunit", "Part answered with a 5xx.", BAD),
            number("p50", quantile(0.5, "siwx_http_request_duration_seconds", ROUTE), "s"),
            number("p99", quantile(0.99, "siwx_http_request_duration_seconds", ROUTE), "s"),
            number(
                "p99 overhead",
                quantile(0.99, "siwx_gateway_overhead_seconds", ROUTE),
                "s",
                "Time in the gateway, without waiting for client or upstream.",
                [("green", None), ("red", 0.005)],
            ),
            number("In flight", f"sum(siwx_http_requests_in_flight{{{ALL}}})"),
        ],
    ),
    (
        "Traffic",
        [
            lines(
                "Requests by status",
                [
                    (summed("siwx_http_requests_total", f'{ROUTE},code=~"{digit}.."'), f"{digit}xx")
                    for digit in (2, 3, 4, 5)
                ],
                "reqps",
                stacked=True,
            ),
            lines("Requests by route", [(summed("siwx_http_requests_total", ROUTE, "route"), "{{route}}")], "reqps"),
            heat("Latency", "siwx_http_request_duration_seconds", ROUTE, about="From the head to the last byte."),
            lines(
                "Bodies",
                [
                    (summed("siwx_http_request_bytes_total", ROUTE), "requests"),
                    (summed("siwx_http_response_bytes_total", ROUTE), "answers"),
                ],
                "Bps",
            ),
            lines(
                "Latency by outcome",
                [(quantile(0.99, "siwx_http_request_duration_seconds", ROUTE, "outcome"), "p99 {{outcome}}")],
                "s",
            ),
            lines("Overhead", quantiles("siwx_gateway_overhead_seconds", ROUTE), "s"),
        ],
    ),
    (
        "Auth",
        [
            lines(
                "Decisions by reason",
                [(summed("siwx_auth_decisions_total", ROUTE, "decision, reason") + " > 0", "{{decision}}: {{reason}}")],
                "reqps",
                12,
                stacked=True,
            ),
            lines(
                "Let in",
                [
                    (
                        f"{summed('siwx_auth_decisions_total', f'{ROUTE},{what}')}"
                        f" / {summed('siwx_auth_decisions_total', ROUTE)}",
                        legend,
                    )
                    for what, legend in (('decision=~"allow|public"', "let in"), ('decision="deny"', "refused"))
                ],
                "percentunit",
                6,
            ),
            lines(
                "Cache hits",
                [
                    (
                        f"{summed('siwx_cache_requests_total', f'{ALL},{what}', 'cache')}"
                        f" / {summed('siwx_cache_requests_total', ALL, 'cache')}",
                        "{{cache}}",
                    )
                    for what in ('result=~"hit|negative"',)
                ],
                "percentunit",
                6,
                "Answered from memory, remembered refusals included.",
            ),
            lines(
                "Signature checks",
                [(summed("siwx_signature_verifications_total", ALL, "scheme, result"), "{{scheme}}: {{result}}")],
                "ops",
            ),
            lines(
                "Time of a signature check",
                [(quantile(0.99, "siwx_signature_verify_duration_seconds", ALL, "scheme"), "p99 {{scheme}}")],
                "s",
            ),
            lines(
                "Time of a decision",
                [(quantile(0.99, "siwx_auth_duration_seconds", ALL, "path"), "p99 {{path}}")],
                "s",
                about="By the way it took: remembered, verified anew, verified and looked up, refused.",
            ),
            lines(
                "Bad credentials",
                [
                    (
                        summed("siwx_auth_decisions_total", f'{ROUTE},reason=~"malformed|too_large|bad_signature"'),
                        "unreadable or forged",
                    ),
                    (
                        summed(
                            "siwx_auth_decisions_total",
                            f'{ROUTE},reason=~"expired|not_yet_valid|issued_in_future|lifetime_too_long"',
                        ),
                        "out of time",
                    ),
                    (
                        summed(
                            "siwx_auth_decisions_total",
                            f'{ROUTE},reason=~"domain_mismatch|uri_mismatch|chain_not_allowed"',
                        ),
                        "for somebody else",
                    ),
                ],
                "reqps",
            ),
            lines(
                "Without a subscription",
                [
                    (
                        summed(
                            "siwx_auth_decisions_total",
                            f'{ROUTE},reason=~"no_subscription|subscription_expired|plan_mismatch"',
                            "reason",
                        ),
                        "{{reason}}",
                    )
                ],
                "reqps",
            ),
            lines("Over a limit", [(summed("siwx_rate_limited_total", ROUTE, "scope"), "{{scope}}")], "reqps"),
        ],
    ),
    (
        "Subscriptions",
        [
            lines(
                "Lookups",
                [(summed("siwx_subscription_lookups_total", ALL, "backend, result"), "{{backend}}: {{result}}")],
                "ops",
                6,
            ),
            lines(
                "Time of a lookup",
                [(quantile(0.99, "siwx_subscription_lookup_duration_seconds", ALL, "backend"), "p99 {{backend}}")],
                "s",
                6,
            ),
            lines(
                "Out of the ordinary",
                [
                    (summed("siwx_cache_requests_total", f'{ALL},cache="subscriptions",result="stale"'), "stale served"),
                    (
                        summed("siwx_subscription_lookups_total", f'{ALL},result=~"error|timeout"'),
                        "lookups that failed",
                    ),
                    (
                        summed("siwx_auth_decisions_total", f'{ROUTE},reason="store_unavailable"'),
                        "requests refused for it",
                    ),
                ],
                "ops",
                6,
            ),
            lines(
                "Writes",
                [(summed("siwx_store_operations_total", ALL, "operation, result"), "{{operation}}: {{result}}")],
                "ops",
                6,
            ),
            lines("Remembered", [(f"sum by (cache) (siwx_cache_entries{{{ALL}}})", "{{cache}}")], width=12),
            lines(
                "Forgotten",
                [(summed("siwx_cache_evictions_total", ALL, "cache, cause"), "{{cache}}: {{cause}}")],
                "ops",
                12,
            ),
        ],
    ),
    (
        "Upstream",
        [
            lines(
                "Answers",
                [(summed("siwx_upstream_requests_total", UPSTREAM, "upstream, code"), "{{upstream}}: {{code}}")],
                "reqps",
            ),
            lines(
                "Errors",
                [(summed("siwx_upstream_errors_total", UPSTREAM, "upstream, kind"), "{{upstream}}: {{kind}}")],
                "ops",
            ),
            lines(
                "Time to the head of the answer",
                [(quantile(0.99, "siwx_upstream_duration_seconds", UPSTREAM, "upstream"), "p99 {{upstream}}")],
                "s",
            ),
            lines(
                "Time to connect",
                [(quantile(0.99, "siwx_upstream_connect_duration_seconds", UPSTREAM, "upstream"), "p99 {{upstream}}")],
                "s",
            ),
            lines(
                "Connections",
                [
                    (
                        f"sum by (upstream, state) (siwx_upstream_connections{{{UPSTREAM}}})",
                        "{{upstream}}: {{state}}",
                    )
                ],
            ),
            lines("Sent again", [(summed("siwx_upstream_retries_total", UPSTREAM, "upstream"), "{{upstream}}")], "ops"),
        ],
    ),
    (
        "Edge",
        [
            lines("Connections", [(f"sum by (protocol) (siwx_connections{{{ALL}}})", "{{protocol}}")], width=6),
            lines(
                "New connections", [(summed("siwx_connections_total", ALL, "protocol"), "{{protocol}}")], "ops", width=6
            ),
            lines(
                "Connections not taken",
                [
                    (summed("siwx_connections_rejected_total", ALL, "reason"), "{{reason}}"),
                    (summed("siwx_address_pauses_total", ALL, "reason"), "address paused: {{reason}}"),
                ],
                "ops",
                width=6,
            ),
            lines(
                "TLS handshakes",
                [(summed("siwx_tls_handshakes_total", ALL, "result, version"), "{{result}} {{version}}")],
                "ops",
                width=6,
            ),
            lines(
                "Refused before a route was found",
                [(summed("siwx_http_rejected_total", ALL, "reason"), "{{reason}}")],
                "reqps",
                width=12,
            ),
            lines(
                "HTTP/2 connections ended",
                [(summed("siwx_h2_goaways_total", ALL, "reason"), "{{reason}}")],
                "ops",
                width=12,
            ),
        ],
    ),
    (
        "Process",
        [
            lines("CPU", [(rate("process_cpu_seconds_total", ALL), "{{instance}}")], "percentunit", 6),
            lines("Resident memory", [(f"process_resident_memory_bytes{{{ALL}}}", "{{instance}}")], "bytes", 6),
            lines(
                "File descriptors",
                [
                    (f"process_open_fds{{{ALL}}}", "{{instance}}"),
                    (f"process_max_fds{{{ALL}}}", "{{instance}}: most"),
                ],
                width=6,
            ),
            lines("Threads", [(f"process_threads{{{ALL}}}", "{{instance}}")], width=6),
            number("Draining", f"sum(siwx_draining{{{ALL}}})"),
            number(
                "Log lines dropped",
                f"sum(increase(siwx_log_dropped_total{{{ALL}}}[$__range]))",
                thresholds=ZERO,
            ),
            number("Panics", f"sum(increase(siwx_panics_total{{{ALL}}}[$__range]))", thresholds=ZERO),
            number("Up since", f"min(process_start_time_seconds{{{ALL}}}) * 1000", "dateTimeFromNow"),
        ],
    ),
]


def variable(name, query, label):
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


VARIABLES = [
    {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"},
    variable("job", "label_values(siwx_build_info, job)", "Job"),
    variable("instance", 'label_values(siwx_build_info{job=~"$job"}, instance)', "Instance"),
    variable("route", f"label_values(siwx_http_requests_total{{{ALL}}}, route)", "Route"),
    variable("upstream", f"label_values(siwx_upstream_requests_total{{{ALL}}}, upstream)", "Upstream"),
]


def placed(rows):
    """Panels with their numbers and places: rows from top to bottom, panels from left to right."""
    panels = []
    top = 0
    for title, shown in rows:
        panels.append({"type": "row", "title": title, "collapsed": False, "panels": []})
        panels[-1]["gridPos"] = {"x": 0, "y": top, "w": WIDTH, "h": 1}
        top += 1
        left = tallest = 0
        for panel_ in shown:
            width = panel_.pop("width")
            height = 4 if panel_["type"] == "stat" else 8
            if left + width > WIDTH:
                left, top, tallest = 0, top + tallest, 0
            panel_["gridPos"] = {"x": left, "y": top, "w": width, "h": height}
            panels.append(panel_)
            left, tallest = left + width, max(tallest, height)
        top += tallest
    for number_, panel_ in enumerate(panels, start=1):
        panel_["id"] = number_
    return panels


def dashboard():
    return {
        "title": "siwx-gateway",
        "uid": "siwx-gateway",
        "description": "Requests, decisions, subscriptions and upstreams of siwx-gateway.",
        "tags": ["siwx-gateway"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": VARIABLES},
        "annotations": {"list": []},
        "panels": placed(ROWS),
    }


def main(arguments):
    text = json.dumps(dashboard(), indent=1) + "\n"
    if arguments == ["--check"]:
        if TARGET.read_text() != text:
            sys.exit(f"{TARGET.name} is not what generate.py writes; run it and commit what it wrote")
    elif arguments:
        sys.exit("usage: generate.py [--check]")
    else:
        TARGET.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
