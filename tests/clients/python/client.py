"""What the tests of this folder share: wallets, what a message says, and requests over TLS."""

import base64
import dataclasses
import datetime
import json
import os
import pathlib
import re
import secrets
import ssl
import urllib.error
import urllib.parse
import urllib.request

URL = os.environ["SIWX_URL"]
DOMAIN = urllib.parse.urlsplit(URL).netloc
TLS = ssl.create_default_context(cafile=os.environ["SIWX_CA"])
TLS.verify_flags |= ssl.VERIFY_X509_STRICT


@dataclasses.dataclass(frozen=True)
class Wallet:
    """A wallet that exists for tests alone."""

    name: str
    account: str
    secret: bytes
    granted_by: str | None

    @property
    def address(self):
        return self.account.split(":")[2]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came back. The body is read as JSON; names of fields are in lower case."""

    status: int
    headers: dict
    body: dict


WALLETS = {
    wallet["name"]: Wallet(**wallet | {"secret": bytes.fromhex(wallet["secret"])})
    for wallet in json.loads(pathlib.Path(os.environ["SIWX_WALLETS"]).read_text())
}


def from_now(**span):
    """A moment so far from now, in UTC, with its microseconds."""
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**span)


def write(network, address, chain_id, **changes):
    """A signing text of ERC-4361's form, or of a network's that has taken it over. Times are `datetime`s."""
    said = {
        "domain": DOMAIN,
        "uri": URL,
        "statement": "Open the interface.",
        "nonce": secrets.token_hex(16),
        "issued_at": from_now(seconds=-1),
        "expiration_time": from_now(hours=1),
        "not_before": None,
    } | changes
    times = [
        f"{tag}: {moment if isinstance(moment, str) else moment.isoformat()}"
        for tag, moment in (
            ("Issued At", said["issued_at"]),
            ("Expiration Time", said["expiration_time"]),
            ("Not Before", said["not_before"]),
        )
        if moment is not None
    ]
    return "\n".join(
        [
            f"{said['domain']} wants you to sign in with your {network} account:",
            *(address, "", said["statement"], ""),
            *(f"URI: {said['uri']}", "Version: 1", f"Chain ID: {chain_id}", f"Nonce: {said['nonce']}"),
            *times,
        ]
    )


def authorization(text, signature):
    """The value of `Authorization` for a signing text and its signature."""
    return f"SIWX {base64.b64encode(text.encode()).decode()}.{signature}"


def ask(path, credential=None, **headers):
    """Asks, and gives back any answer there is, refusals too."""
    if credential is not None:
        headers["Authorization"] = credential
    request = urllib.request.Request(URL + path, headers=headers)
    try:
        response = urllib.request.urlopen(request, context=TLS, timeout=10)
    except urllib.error.HTTPError as refusal:
        response = refusal
    with response:
        fields = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, fields, json.load(response))


def parse_challenge(value):
    """Takes `WWW-Authenticate` apart: a scheme, then parameters as one reads a list of them (RFC 9110 §11.6.1)."""
    scheme, _, parameters = value.partition(" ")
    pairs = urllib.request.parse_keqv_list(urllib.request.parse_http_list(parameters))
    assert re.fullmatch(r"[A-Za-z0-9]+", scheme), value
    return {"scheme": scheme} | pairs
