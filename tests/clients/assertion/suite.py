"""Runs the scenarios of this folder: upstreams verify, with the libraries that they would use, who a request is.

    suite.py BINARY

1. For each algorithm a gateway over TLS on loopback, with an authority made for the run, and two upstreams behind it: one
   in Node with jose, one in Python with PyJWT. Both fetch the gateway's keys themselves.
2. With EdDSA the key is the store's, and browsers can sign in as well; with ES256 it is one of `openssl genpkey`, and
   nothing is published but keys.
3. The scenarios find everything by the environment: SIWX_URL and SIWX_WALLETS as the other clients do, and
   ASSERTION_TARGET, a JSON text: the algorithm, and where the upstreams are without the gateway before them.
4. The last line counts. It exits with 0 if all passed and the gateways drained and ended well.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.dont_write_bytecode = True

import gateway  # noqa: E402  what starts the gateway for the other clients
import runners  # noqa: E402  what counts their results

ALGORITHMS = ["EdDSA", "ES256"]


def make_key(file):
    """A key of P-256 as operators make one."""
    command = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", file]
    subprocess.run(command, check=True, capture_output=True)
    file.chmod(0o600)


def run_scenarios(binary, algorithm, folder, log, stack):
    """Runs the scenarios against a fresh set of servers; returns how many passed, failed and were skipped."""
    port, admin_port = gateway.free_port(), gateway.free_port()
    environment = os.environ | gateway.for_clients(folder, f"https://localhost:{port}")
    commands = {"node": ["node", "upstream.js"], "python": [".venv/bin/python", "upstream.py"]}
    upstreams = {
        name: stack.enter_context(runners.started(command, log, HERE, environment))["url"]
        for name, command in commands.items()
    }
    kept = algorithm == "EdDSA"
    if not kept:
        make_key(folder / "assertion.key")
    fills = {
        "PORT": port,
        "ADMIN_PORT": admin_port,
        "FOLDER": folder,
        "ALGORITHM": algorithm,
        "KEY": "" if kept else f"${{file:{folder}/assertion.key}}",
        "SESSION": "[session]\ntoken = \"jwt\"" if kept else "",
        "NODE": upstreams["node"],
        "PYTHON": upstreams["python"],
    }
    configuration = folder / f"{algorithm}.toml"
    gateway.fill(HERE / "gateway.toml.in", configuration, fills)
    target = {"algorithm": algorithm, "sessions": kept, "upstreams": upstreams}
    environment |= {"ASSERTION_TARGET": json.dumps(target)}
    with gateway.running(binary, configuration, admin_port, log):
        command = ["node", "--test", "--test-reporter=spec", "assertion.test.js"]
        return runners.run_counted(command, environment, HERE)


def main(binary):
    counts = dict(runners.NOTHING)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        gateway.make_certificates(folder)
        for algorithm in ALGORITHMS:
            with contextlib.ExitStack() as stack:
                log = stack.enter_context((folder / "log").open("w+"))
                with runners.counted_into(counts, log):
                    runners.add(counts, run_scenarios(binary, algorithm, folder, log, stack))
    return runners.summary("assertion", counts)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [binary]:
            sys.exit(main(binary))
        case _:
            sys.exit("usage: suite.py BINARY")
