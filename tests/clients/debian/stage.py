"""What the scenarios find around them: an authority, gateways, nginx, a service, a wallet with a subscription.

Three gateways run all the time. `tls` speaks TLS; `behind` stands behind nginx, whose word it takes; `announced` takes
its clients' addresses by the PROXY protocol. A scenario that ends a gateway starts one of its own by [`Stage.gateway`].
Everything listens on loopback, on ports that were free.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import gateway  # noqa: E402  what starts the gateway for the other clients
import upstream  # noqa: E402

STREAM_MODULE = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")
PATIENCE_SECS = 20
LARGE_BYTES = 20_000_000

# From whom nginx's connections come, and from whom its clients' do.
PROXY, CLIENT = "127.0.0.9", "127.0.0.5"

STREAM = """\
stream {{
    server {{
        listen 127.0.0.1:{listen};
        proxy_pass 127.0.0.1:{port};
        proxy_bind {proxy};
        proxy_protocol on;
    }}
}}
"""


@dataclasses.dataclass
class Gateway:
    """A gateway that can be started."""

    url: str
    port: int
    admin_port: int
    configuration: pathlib.Path
    token: str

    def metric(self, series):
        """The value of a series now."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(series + " "):
                    return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"there is no {series}")

    def goaways(self):
        """Connections that were ended for what their clients sent."""
        reasons = ["rapid_reset", "local_resets", "header_list", "continuation", "ping", "settings", "protocol"]
        return {reason: self.metric(f'siwx_h2_goaways_total{{reason="{reason}"}}') for reason in reasons}


@dataclasses.dataclass
class Answer:
    """What curl says of an answer."""

    status: int
    version: str
    headers: dict
    body: bytes
    info: dict
    spoken: str

    def json(self):
        return json.loads(self.body)


class Stage:
    def __init__(self, binary, folder, log, stack):
        self.binary, self.folder, self.log, self.stack = pathlib.Path(binary), folder, log, stack
        gateway.make_certificates(folder)
        self.ca = folder / "ca.crt"
        self.upstream = upstream.start()
        stack.callback(self.upstream.shutdown)
        self.key = folder / "evm.key"
        self.address = self.command("keygen", "--chain", "evm", "--out", self.key).strip().splitlines()[-1]
        root = folder / "root"
        (root / "files").mkdir(parents=True)
        (root / "sold").mkdir()
        self.large = random.Random(1).randbytes(LARGE_BYTES)
        (root / "files" / "large.bin").write_bytes(self.large)
        self.text = "a line that compresses well\n" * 8000
        (root / "files" / "text.txt").write_text(self.text)
        (root / "files" / "small").write_text("small\n")
        (root / "sold" / "small").write_text("sold\n")
        self.files_port, self.front_port, self.stream_port = (gateway.free_port() for _ in range(3))
        self.tls = self.gateway("tls")
        trusts = f'trusted_proxies = ["{PROXY}"]'
        self.behind = self.gateway("behind", f"http://localhost:{self.front_port}", trusts)
        announced = f"http://localhost:{self.stream_port}"
        self.announced = self.gateway("announced", announced, f'{trusts}\nproxy_protocol = "any"')
        self.nginx()
        for each in (self.tls, self.behind, self.announced):
            self.run(each)

    def command(self, *arguments):
        done = subprocess.run([self.binary, *arguments], cwd=self.folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{arguments}: {done.stderr}")
        return done.stdout

    def gateway(self, name, url=None, server=""):
        """One by the template; with TLS, unless a public URL is given."""
        port, admin_port = gateway.free_port(), gateway.free_port()
        tls = "" if url else gateway.CERTIFICATE.format(folder=self.folder)
        url = url or f"https://localhost:{port}"
        fills = {
            **{"URL": url, "PORT": port, "ADMIN_PORT": admin_port, "NAME": name, "SERVER": server, "TLS": tls},
            **{"FOLDER": self.folder, "ECHO_PORT": self.upstream.server_address[1], "FILES_PORT": self.files_port},
        }
        configuration = self.folder / f"{name}.toml"
        gateway.fill(HERE / "gateway.toml.in", configuration, fills)
        host = url.split("//")[1]
        token = self.command("token", "mint", "--key", self.key, "--domain", host, "--uri", url).strip()
        return Gateway(url, port, admin_port, configuration, token)

    def run(self, which):
        """Runs one until the end of the suite."""
        self.stack.enter_context(gateway.running(self.binary, which.configuration, which.admin_port, self.log))
        gateway.grant_by_command(self.binary, which.configuration, self.address)

    def nginx(self):
        module = STREAM_MODULE.exists()
        stream = STREAM.format(listen=self.stream_port, port=self.announced.port, proxy=PROXY)
        fills = {
            **{"FOLDER": self.folder, "FILES_PORT": self.files_port, "FRONT_PORT": self.front_port},
            **{"BEHIND_PORT": self.behind.port, "STREAM": stream if module else ""},
            **{"STREAM_MODULE": f"load_module {STREAM_MODULE};" if module else ""},
        }
        text = (HERE / "nginx.conf.in").read_text()
        for name, value in fills.items():
            text = text.replace(f"@{name}@", str(value))
        (self.folder / "nginx.conf").write_text(text)
        command = ["nginx", "-c", self.folder / "nginx.conf", "-e", self.folder / "nginx.error"]
        process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.stack.callback(end, process)
        until(lambda: self.curl(f"http://127.0.0.1:{self.files_port}/files/small", fails=True).status == 200)

    def curl(self, url, *arguments, fails=False, ca=True):
        """One transfer. `fails`: curl may say that it failed, with status 0."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            body = pathlib.Path(name) / "body"
            command = ["curl", "--silent", "--show-error", "--verbose", "--max-time", str(PATIENCE_SECS)]
            command += ["--cacert", self.ca] if ca else []
            command += ["--output", body, "--write-out", "%{json}\n%{header_json}", *arguments, url]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace")
            if done.returncode != 0 and not fails:
                raise AssertionError(f"{url} {arguments}: {done.returncode} {done.stderr[-2000:]}")
            info, end_of_info = json.JSONDecoder().raw_decode(done.stdout)
            headers = json.loads(done.stdout[end_of_info:] or "{}")
            text = body.read_bytes() if body.exists() else b""
            return Answer(info["response_code"], info["http_version"], headers, text, info, done.stderr)


def until(holds):
    """Waits until something holds."""
    deadline = time.monotonic() + PATIENCE_SECS
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come about")
        time.sleep(0.02)


def end(process):
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(PATIENCE_SECS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


@contextlib.contextmanager
def opened(binary):
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        log = stack.enter_context((folder / "log").open("w+"))
        os.environ["SSL_CERT_FILE"] = str(folder / "ca.crt")
        try:
            yield Stage(binary, folder, log, stack)
        finally:
            log.seek(0)
            if sys.exc_info()[0]:
                print(log.read()[-8000:], file=sys.stderr)
