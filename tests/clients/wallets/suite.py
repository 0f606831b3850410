"""Runs the scenarios of this folder: wallets sign in at a gateway that asks a node about contracts.

    suite.py BINARY

1. First the test doubles themselves: wallets are held against a second library, the node against viem.
2. Then the gateway, over TLS on loopback with an authority made for the run; the node, a service behind the gateway, and
   a facilitator; all on free ports, and ended afterwards. Runners find them by the environment: SIWX_URL and
   SIWX_WALLETS as the other clients do, and WALLETS_TARGET, a JSON text: where the node's doors and the tests' own port
   of the node are, and the admin API with its token.
3. What the gateway asked the node is looked at in the end, over all scenarios.
4. The last line counts. It exits with 0 if all passed and the gateway drained and ended well.
"""

import contextlib
import json
import os
import pathlib
import secrets
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.dont_write_bytecode = True

import gateway  # noqa: E402  what starts the gateway for the other clients
import runners  # noqa: E402  what counts their results

# One file at a time: the node is told how to behave for all.
NODE_TEST = ["node", "--test", "--test-concurrency=1", "--test-reporter=spec"]
DOUBLES = ["families.test.js", "node.test.js"]
LAST = "scenarios/asked.test.js"


def run_scenarios(binary, folder, environment, log, stack):
    """Runs the scenarios against a fresh set of servers; returns how many passed, failed and were skipped."""
    counts = dict(runners.NOTHING)
    node = stack.enter_context(runners.started(["node", "node.js"], log, HERE, environment))
    facilitator = stack.enter_context(runners.started(["node", "facilitator.js"], log, HERE))["url"]
    upstream_port = stack.enter_context(gateway.echo())
    port, admin_port, admin_token = gateway.free_port(), gateway.free_port(), secrets.token_hex(32)
    fills = {
        "PORT": port,
        "ADMIN_PORT": admin_port,
        "ADMIN_TOKEN": admin_token,
        "FOLDER": folder,
        "FACILITATOR": facilitator,
        "UPSTREAM_PORT": upstream_port,
        "VALIDATOR": node["validator"],
        **{door.upper().replace("-", "_"): url for door, url in node["doors"].items()},
    }
    configuration = folder / "siwx-gateway.toml"
    gateway.fill(HERE / "gateway.toml.in", configuration, fills)
    admin = {"url": f"http://127.0.0.1:{admin_port}", "token": admin_token}
    target = {"WALLETS_TARGET": json.dumps({**node, "admin": admin})}
    environment = environment | gateway.for_clients(folder, f"https://localhost:{port}") | target
    with gateway.running(binary, configuration, admin_port, log):
        scenarios = sorted(str(path.relative_to(HERE)) for path in (HERE / "scenarios").glob("*.test.js"))
        scenarios.remove(LAST)
        for files in (scenarios, [LAST]):
            runners.add(counts, runners.run_counted([*NODE_TEST, *files], environment, HERE))
    return counts


def main(binary):
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        gateway.make_certificates(folder)
        contracts = folder / "contracts.json"
        subprocess.run(["node", "contracts.js", contracts], cwd=HERE, check=True)
        environment = os.environ | {"WALLETS_CONTRACTS": str(contracts)}
        counts = runners.run_counted([*NODE_TEST, *DOUBLES], environment, HERE)
        log = stack.enter_context((folder / "log").open("w+"))
        with runners.counted_into(counts, log):
            runners.add(counts, run_scenarios(binary, folder, environment, log, stack))
    return runners.summary("wallets", counts)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [binary]:
            sys.exit(main(binary))
        case _:
            sys.exit("usage: suite.py BINARY")
