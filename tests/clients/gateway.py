"""Runs a command while a gateway and a service behind it are up, and ends both afterwards.

    gateway.py [--plain] BINARY COMMAND [ARGUMENT ...]

1. Everything is on loopback: the gateway speaks TLS on a free port with a certificate of an authority made for
   this run; the service behind it answers every request with what it saw of it, as JSON. With `--plain` the gateway
   speaks HTTP, as for a developer whose dapp is on another port: SIWX_DAPP_PORT is the one it expects.
2. Accounts of `wallets.json` get a subscription for 30 days while the gateway runs, by the door their `granted_by`
   names: the command line, or the admin API.
3. The command finds the gateway by its environment: SIWX_URL is its public URL, SIWX_CA the file of the authority,
   SIWX_WALLETS the file of wallets, SIWX_ADMIN and SIWX_ADMIN_TOKEN the admin API and what opens it. NODE_EXTRA_CA_CERTS makes Node trust the authority.
4. The gateway is asked to stop when the command has ended, and must then drain and exit with 0.

It exits as the command does, or with 1 and the log of the gateway if the gateway is at fault. Only the standard
library and the `openssl` command are needed.
"""

import contextlib
import http.client
import json
import os
import pathlib
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WALLETS = pathlib.Path(__file__).parent / "wallets.json"
ADMIN_TOKEN = secrets.token_hex(32)
START_SECS = 20
STOP_SECS = 20

CONFIGURATION = """\
public_url = "{public_url}"
[server]
listen = ["127.0.0.1:{port}"]
workers = 2
drain_delay = "0s"
drain_timeout = "5s"
[admin]
listen = "127.0.0.1:{admin_port}"
token = "{admin_token}"
{tls}
[auth]
# Pages of these origins send their visitors' tokens here.
origins = ["https://dapp.example.test"{dapp}]
# Browsers sign in. AppKit names networks in its messages; the table stands last of those of the gateway itself.
[session]
labels = {{ eip155 = ["*"] }}
reown_prefix = "/auth/v1"
[store]
url = "sqlite:{folder}/store.db"
require_at_start = true
# What is granted while the suite runs counts at once.
[cache.subscriptions]
negative_ttl = "0s"
# Half of the suite are refused credentials, all from one address.
[limits]
auth_failures = "off"
[upstreams.echo]
urls = ["http://127.0.0.1:{upstream_port}"]
[[route]]
name = "status"
path = "/status"
upstream = "echo"
auth = "none"
[[route]]
name = "me"
prefix = "/me"
upstream = "echo"
auth = "wallet"
[[route]]
name = "api"
prefix = "/"
upstream = "echo"
auth = "subscription"
[log]
level = "info"
"""

CERTIFICATE = """\
[[tls.certificate]]
hosts = ["localhost"]
cert = "{folder}/server.crt"
key = "{folder}/server.key"
"""


class Echo(BaseHTTPRequestHandler):
    """Answers with what it saw. `x-echo` marks its answers: a refusal must not have it."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        fields = {}
        for name, value in self.headers.items():
            fields.setdefault(name.lower(), []).append(value)
        seen = {"method": self.command, "path": self.path, "headers": fields, "body": body.decode("latin-1")}
        answer = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.send_header("x-echo", "1")
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def echo():
    """The service behind the gateway, from when it listens: its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def make_certificates(folder):
    """An authority, and a certificate of it for `localhost`, both good for two days."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    # Strict verifiers want what RFC 5280 §4.2.1 asks of either kind: the use of the key, and whose key it is.
    (folder / "server.ext").write_text(
        "subjectAltName=DNS:localhost\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
        "extendedKeyUsage=serverAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(
        *("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test authority"),
        *("-addext", "keyUsage=critical,keyCertSign"),
    )
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    openssl(
        *("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-out", "server.crt", "-days", "2", "-extfile", "server.ext"),
    )
    (folder / "server.key").chmod(0o600)


def wait_until_ready(gateway, admin_port, pause=0.05):
    deadline = time.monotonic() + START_SECS
    while time.monotonic() < deadline and gateway.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", admin_port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(pause)
    raise RuntimeError(f"the gateway is not ready after {START_SECS} s, or ended: exit status {gateway.poll()}")


def grant(binary, configuration, admin_port):
    for wallet in json.loads(WALLETS.read_text()):
        match wallet["granted_by"]:
            case "command line":
                grant_by_command(binary, configuration, wallet["account"])
            case "admin API":
                grant_by_api(admin_port, wallet["account"])


def grant_by_command(binary, configuration, account):
    command = [binary, "subscriptions", "grant", "-c", configuration, "--account", account, "--for", "30d"]
    granted = subprocess.run(command, capture_output=True, text=True)
    if granted.returncode != 0:
        raise RuntimeError(f"the command line granted nothing to {account}: {granted.stderr}")


def grant_by_api(admin_port, account):
    connection = http.client.HTTPConnection("127.0.0.1", admin_port, timeout=5)
    body = json.dumps({"account": account, "plan": "default", "period": "30d"})
    connection.request("POST", "/admin/subscriptions", body, {"authorization": f"Bearer {ADMIN_TOKEN}"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"the admin API granted nothing to {account}: {answer.status} {text}")


def fill(template, configuration, fills):
    """Writes a configuration: a template whose holes `@NAME@` are filled in."""
    # The comment at the top of a template names its holes, too; it stays as it is.
    head, rest = template.read_text().split("\npublic_url", 1)
    configuration.write_text(head + re.sub(r"@([A-Z_]+)@", lambda hole: str(fills[hole[1]]), "\npublic_url" + rest))
    configuration.chmod(0o600)


@contextlib.contextmanager
def running(binary, configuration, admin_port, log):
    """The gateway, from when it is ready until it was asked to stop and has drained."""
    process = subprocess.Popen([binary, "run", "-c", configuration], stdout=log, stderr=log)
    try:
        wait_until_ready(process, admin_port)
        yield
        if process.poll() is not None:
            raise RuntimeError(f"the gateway ended by itself with {process.returncode}")
    finally:
        if process.poll() is None:
            stop(process)


def stop(gateway):
    gateway.terminate()
    try:
        status = gateway.wait(STOP_SECS)
    except subprocess.TimeoutExpired:
        gateway.kill()
        gateway.wait()
        raise RuntimeError(f"the gateway did not end {STOP_SECS} s after it was asked to") from None
    if status != 0:
        raise RuntimeError(f"the gateway ended with {status} after it was asked to, expected 0")


def for_clients(folder, url):
    """What runners of every suite find in their environment: the gateway, the authority of this run, and the wallets."""
    return {
        "PYTHONDONTWRITEBYTECODE": "1",
        # Older releases of Node take the first address of a name only, and the gateway listens on this one.
        "NODE_OPTIONS": "--dns-result-order=ipv4first",
        "NODE_EXTRA_CA_CERTS": str(folder / "ca.crt"),
        "SIWX_CA": str(folder / "ca.crt"),
        "SIWX_URL": url,
        "SIWX_WALLETS": str(WALLETS),
    }


def main(binary, command, plain=False):
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        make_certificates(folder)
        upstream_port = stack.enter_context(echo())
        port, admin_port, dapp_port = free_port(), free_port(), free_port()
        public_url = f"{'http' if plain else 'https'}://localhost:{port}"
        configuration = folder / "siwx-gateway.toml"
        configuration.write_text(
            CONFIGURATION.format(
                folder=folder,
                public_url=public_url,
                tls="" if plain else CERTIFICATE.format(folder=folder),
                dapp=f', "http://localhost:{dapp_port}"' if plain else "",
                port=port,
                admin_port=admin_port,
                admin_token=ADMIN_TOKEN,
                upstream_port=upstream_port,
            )
        )
        configuration.chmod(0o600)
        environment = os.environ | for_clients(folder, public_url)
        environment |= {"SIWX_ADMIN": f"http://127.0.0.1:{admin_port}", "SIWX_ADMIN_TOKEN": ADMIN_TOKEN}
        if plain:
            environment["SIWX_DAPP_PORT"] = str(dapp_port)
        log = stack.enter_context((folder / "log").open("w+"))
        try:
            with running(binary, configuration, admin_port, log):
                grant(binary, configuration, admin_port)
                return subprocess.run(command, env=environment).returncode
        except RuntimeError as error:
            log.seek(0)
            print(f"{error}\n{log.read()[-8000:]}", file=sys.stderr)
            return 1


if __name__ == "__main__":
    arguments = sys.argv[1:]
    plain = arguments[:1] == ["--plain"]
    arguments = arguments[plain:]
    if len(arguments) < 2:
        sys.exit("usage: gateway.py [--plain] BINARY COMMAND [ARGUMENT ...]")
    sys.exit(main(arguments[0], arguments[1:], plain))
