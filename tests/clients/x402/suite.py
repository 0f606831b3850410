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
import re
import secrets
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.dont_write_bytecode = True

import gateway  # noqa: E402  what starts the gateway for the other clients

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

# The runners' own summaries, of which the last line of the suite is the sum.
NODE_COUNT = re.compile(r"^ℹ (pass|fail|cancelled|skipped) (\d+)$", re.MULTILINE)
PYTHON_COUNT = re.compile(r"^Ran (\d+) tests? in", re.MULTILINE)
PYTHON_SKIPS = re.compile(r"skipped=(\d+)")


@contextlib.contextmanager
def started(command, log):
    """A program of this folder that prints one line of JSON when it is ready."""
    process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{command[1]} ended with {process.wait()}")
        yield json.loads(line)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


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
    template = (HERE / "gateway.toml.in").read_text()
    configuration = folder / "siwx-gateway.toml"
    # The comment at the top of the template names the holes, too; it stays as it is.
    head, rest = template.split("\npublic_url", 1)
    configuration.write_text(head + re.sub(r"@([A-Z_]+)@", lambda hole: str(fills[hole[1]]), "\npublic_url" + rest))
    configuration.chmod(0o600)
    process = subprocess.Popen([binary, "run", "-c", configuration], stdout=log, stderr=log)
    try:
        gateway.wait_until_ready(process, admin_port)
        yield
        if process.poll() is not None:
            raise RuntimeError(f"the gateway ended by itself with {process.returncode}")
    finally:
        if process.poll() is None:
            gateway.stop(process)


@contextlib.contextmanager
def running_reference(folder, port, first, facilitator, upstream, log):
    command = ["node", "reference.js", "--facilitator", facilitator, "--upstream", upstream, "--port", str(port)]
    command += ["--cert", folder / "server.crt", "--key", folder / "server.key", "--first", first]
    with started(command, log):
        yield


def run_scenarios(kind, binary, first, commands):
    """Runs the commands against a fresh set of servers; returns how many scenarios passed, failed and were skipped."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        gateway.make_certificates(folder)
        log = stack.enter_context((folder / "log").open("w+"))
        journal = folder / "journal"
        try:
            facilitator = stack.enter_context(started(["node", "facilitator.js", "--journal", journal], log))["url"]
            upstream = stack.enter_context(started(["node", "upstream.js"], log))["url"]
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
            environment = os.environ | {
                "X402_TARGET": str(folder / "target.json"),
                "X402_CA": str(folder / "ca.crt"),
                "NODE_EXTRA_CA_CERTS": str(folder / "ca.crt"),
                # Older releases of Node take the first address of a name only, and the server listens on this one.
                "NODE_OPTIONS": "--dns-result-order=ipv4first",
                "PYTHONDONTWRITEBYTECODE": "1",
            }
            with server:
                for command in commands:
                    add(counts, run_counted(command, environment))
        except RuntimeError as error:
            log.seek(0)
            print(f"{error}\n{log.read()[-8000:]}", file=sys.stderr)
            counts["failed"] += 1
        if counts["failed"]:
            log.seek(0)
            print(log.read()[-8000:], file=sys.stderr)
    return counts


def run_counted(command, environment):
    """Runs one runner, shows what it says, and takes the counts out of it."""
    done = subprocess.run(command, cwd=HERE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout, end="", flush=True)
    if match := PYTHON_COUNT.search(done.stdout):
        skipped = PYTHON_SKIPS.search(done.stdout)
        skips = int(skipped[1]) if skipped else 0
        failed = sum(int(count) for count in re.findall(r"(?:failures|errors)=(\d+)", done.stdout))
        counts = {"passed": int(match[1]) - skips - failed, "failed": failed, "skipped": skips}
    else:
        said = {name: int(count) for name, count in NODE_COUNT.findall(done.stdout)}
        failed = said.get("fail", 0) + said.get("cancelled", 0)
        counts = {"passed": said.get("pass", 0), "failed": failed, "skipped": said.get("skipped", 0)}
    # A runner that fails without naming a scenario has failed as a whole; one without scenarios proves nothing.
    if counts["failed"] == 0 and (done.returncode != 0 or counts["passed"] == 0):
        counts["failed"] = 1
    return counts


def add(counts, more):
    for name, count in more.items():
        counts[name] += count


def main(kind, binary=None):
    # One file at a time: the facilitator is told how to behave for all.
    node = ["node", "--test", "--test-concurrency=1", "--test-reporter=spec"]
    scenarios = [str(path.relative_to(HERE)) for path in sorted((HERE / "scenarios").glob("*.test.js"))]
    # The package warns of what it uses itself.
    python = [".venv/bin/python", "-W", "ignore", "-m", "unittest", "discover", "--start-directory", "python"]
    counts = run_scenarios(kind, binary, "eip155", [[*node, *scenarios], python])
    add(counts, run_scenarios(kind, binary, "solana", [[*node, "scenarios/siwx-fetch.test.js"]]))
    total = counts["passed"] + counts["failed"]
    print(f"{counts['skipped']} skipped")
    print(f"x402-{kind}: {counts['passed']} of {total}")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["reference"]:
            sys.exit(main("reference"))
        case ["gateway", binary]:
            sys.exit(main("gateway", binary))
        case _:
            sys.exit("usage: suite.py reference | suite.py gateway BINARY")
