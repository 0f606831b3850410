"""Runs the scenarios of this folder against the reference or a gateway, over TLS on loopback.

    suite.py reference
    suite.py gateway BINARY

1. For each run it starts the test facilitator, the service behind, and the server that is tried; all on free ports
   of loopback, with certificates of an authority made for the run; and ends them afterwards.
2. The scenarios find everything by one file that X402_TARGET names, a JSON description:

       kind         `reference` or `gateway`: some scenarios expect different answers, or ask for what the reference has not
       base         the public URL
       facilitator  where the test facilitator is
       upstream     where the service behind counts what it was asked
       first        the namespace of the first network in every challenge
       networks, pay_to, routes, facilitator_timeout_secs

   To try a server that runs already, write that file and start the runners with it.
3. Node and Python run all scenarios with EVM first; those of wrapFetchWithSIWx, which signs for the first network
   alone, run again with Solana first.
4. The last line counts the scenarios. It exits with 0 if all passed and the gateway drained and ended well.
"""

import contextlib
import json
import os
import pathlib
import secrets
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.dont_write_bytecode = True

import gateway  # noqa: E402  what starts the gateway for the other clients
import runners  # noqa: E402  what counts their results

EVM, SOLANA = "eip155:84532", "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"
PAY_TO = {
    "eip155": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
    "solana": "EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w",
}
ROUTES = {
    "free": {"path": "/status"},
    "paid": {"path": "/premium/weather", "amount": "10000"},
    "dear": {"path": "/premium/dear", "amount": "500000"},
    "short": {"path": "/premium/short", "amount": "10000", "access_for_secs": 3},
    "order": {"path": "/orders", "amount": "10000"},
    "plan": {"path": "/plan/report", "amount": "5000000", "name": "nano", "period_secs": 30 * 86400},
    "sign_in_only": {"path": "/members"},
    "shop": {"path": "/x402"},
}
FACILITATOR_TIMEOUT_SECS = 2


def accept(network, pay_to):
    terms = {"network": network, "pay_to": pay_to, "asset": "usdc", "scheme": "exact", "timeout": "60s"}
    return "\n".join(["[[x402.accept]]", *(f"{key} = {json.dumps(value)}" for key, value in terms.items())])


@contextlib.contextmanager
def running_gateway(binary, folder, port, first, facilitator, upstream, log):
    accepts = [accept(EVM, PAY_TO["eip155"]), accept(SOLANA, PAY_TO["solana"])]
    if first == "solana":
        accepts.reverse()
    admin_port = gateway.free_port()
    fills = {
        "PORT": port,
        "ADMIN_PORT": admin_port,
        "ADMIN_TOKEN": secrets.token_hex(32),
        "FOLDER": folder,
        "FACILITATOR": facilitator,
        "UPSTREAM": upstream,
        "FIRST": accepts[0],
        "SECOND": accepts[1],
    }
    configuration = folder / "siwx-gateway.toml"
    gateway.fill(HERE / "gateway.toml.in", configuration, fills)
    with gateway.running(binary, configuration, admin_port, log):
        yield


@contextlib.contextmanager
def running_reference(folder, port, first, facilitator, upstream, log):
    command = ["node", "reference.js", "--facilitator", facilitator, "--upstream", upstream, "--port", str(port)]
    command += ["--cert", folder / "server.crt", "--key", folder / "server.key", "--first", first]
    with runners.started(command, log, HERE):
        yield


def run_scenarios(kind, binary, first, commands):
    """Runs the commands against a fresh set of servers; returns how many scenarios passed, failed and were skipped."""
    counts = dict(runners.NOTHING)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        gateway.make_certificates(folder)
        log = stack.enter_context((folder / "log").open("w+"))
        journal = folder / "journal"
        with runners.counted_into(counts, log):
            command = ["node", "facilitator.js", "--journal", journal]
            facilitator = stack.enter_context(runners.started(command, log, HERE))["url"]
            upstream = stack.enter_context(runners.started(["node", "upstream.js"], log, HERE))["url"]
            port = gateway.free_port()
            places = (folder, port, first, facilitator, upstream, log)
            server = running_gateway(binary, *places) if kind == "gateway" else running_reference(*places)
            target = {
                "kind": kind,
                "base": f"https://localhost:{port}",
                "facilitator": facilitator,
                "upstream": upstream,
                "first": first,
                "networks": {"eip155": EVM, "solana": SOLANA},
                "pay_to": PAY_TO,
                "routes": ROUTES,
                "facilitator_timeout_secs": FACILITATOR_TIMEOUT_SECS,
            }
            (folder / "target.json").write_text(json.dumps(target))
            named = {"X402_TARGET": str(folder / "target.json"), "X402_CA": str(folder / "ca.crt")}
            environment = os.environ | gateway.for_clients(folder, target["base"]) | named
            with server:
                for command in commands:
                    runners.add(counts, runners.run_counted(command, environment, HERE))
    return counts


def main(kind, binary=None):
    # One file at a time: the facilitator is told how to behave for all.
    node = ["node", "--test", "--test-concurrency=1", "--test-reporter=spec"]
    scenarios = [str(path.relative_to(HERE)) for path in sorted((HERE / "scenarios").glob("*.test.js"))]
    # The package warns of what it uses itself.
    python = [".venv/bin/python", "-W", "ignore", "-m", "unittest", "discover", "--start-directory", "python"]
    counts = run_scenarios(kind, binary, "eip155", [[*node, *scenarios], python])
    runners.add(counts, run_scenarios(kind, binary, "solana", [[*node, "scenarios/siwx-fetch.test.js"]]))
    return runners.summary(f"x402-{kind}", counts)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["reference"]:
            sys.exit(main("reference"))
        case ["gateway", binary]:
            sys.exit(main("gateway", binary))
        case _:
            sys.exit("usage: suite.py reference | suite.py gateway BINARY")
