#!/usr/bin/env python3
"""Writes seeds for the fuzz targets: real inputs, good and bad, out of tests/vectors and of the lists below.

    fuzz/seeds.py FOLDER     into FOLDER/TARGET/

`fuzz/run corpus` keeps of them what reaches code that nothing in fuzz/corpus reaches.
"""

import base64
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE.parent / "tests" / "vectors"

RULES = {
    "api": "none prefix /public\nwallet prefix /api\nsubscription path /premium/weather",
    "open": "none prefix /\nwallet prefix /api\nsubscription prefix /Dear GET",
    "catch-all": "wallet prefix /\nsubscription prefix /a;b/c\nnone path /b GET HEAD\nwallet prefix /x%2Fy",
    "hosts": "wallet prefix /\nsubscription prefix api.example/v1\nnone path api.example/v1/x\nwallet path /v1/x POST",
}
TARGETS = """/ /public/../api/x /public/%2e%2e/api/x /public/%2e%2e%2fapi/x /public%2f..%2Fapi/x /api%2fx /public\\..\\api
/public/%252e%252e/api /public/%25%32%65/api //api/x /api//x /./api/x /public/..;/api/x /api;a=b/x /api%3ba=b/x
/public/%0d%0ax /api%20 /public/%c0%ae%c0%ae/api /public/%23/../api /public?x#y /API/x /%61pi/x /%41pi/x
https://api.example/api/x http://api.example/x https://public@api.example/x api.example:443 * /api/x?/public/
/premium/weather /Premium/Weather /premium/%77eather /premium/weather/ /dear/x /DEAR /a%3Bb/c /a;b/c/d /x%2Fy/z
/x%2F%2Fy /b /B /v1/x /V1/X /v1/x/ /a[0] /a%20b;c%2Fd /%61%5A%30%2d%2E%5f%7e /100%25 /%25aZ""".split()
HOSTS = ["api.example", "API.example.:443", "[::1]:8080", "127.0.0.1", "a, b"]

FORWARDED = [
    "for=198.51.100.1", "proto=https;For=198.51.100.1;by=10.0.0.9", 'for="[2001:db8::1]:4711"', "for=unknown",
    "for=198.51.100.1, for=10.0.0.2", 'for=1.1.1.1;x="a\\", for=2.2.2.2", for=198.51.100.1', "for=_x;for=1.1.1.1",
    'for="', "198.51.100.1", "1.1.1.1, 198.51.100.1, 10.0.0.2", "[2001:db8::1]:8", "::ffff:198.51.100.1", ",,", "x, 1.1.1.1",
]

HEADS = [
    "Authorization: Basic dTpw\nSIGN-IN-WITH-X: e30=", "Cookie: a=b; __Host-siwx=siwxs_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "Cookie: __Host-siwx=x; __Host-siwx =y", "Authorization: Bearer siwxs_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "authorization: siwx a.b\nAUTHORIZATION: SIWX a.b", "Authorization: SIWX", "Authorization: SIWX aGV5IQ.0x00",
]


CONNECTIONS = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2, "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://a:80/b?c HTTP/1.1\r\nHost:a\r\n\r\n", "\r\nGET / HTTP/1.1\r\n\r\n", "\r\n\r\nGET / HTTP/1.1\r\n\r\n", "GET /", "\r",
    "POST /a\\^{|}[] HTTP/1.1\r\nContent-Length:  \t007 \r\nX-Empty:\r\n\r\n1234567GET / HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding:\tchunKED\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nA: b\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000000A;x\r\n", "POST / HTTP/1.1\r\nContent-Length: 9223372036854775807\r\n\r\nabc",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n000000000000000A\r\n0123456789\r\n00\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc", "GET / HTTP/1.1\r\nConnection: upgrade\r\nUPGRADE: websocket\r\n\r\n",
    "GET / HTTP/1.1\r\nX: a\tb\u00e9c, d\r\nContent_Length: x\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "GET / HTTP/1.1\nA: b\n\n",
    "GET / HTTP/1.1\r\nA : b\r\n\r\n", "GET /#a HTTP/1.1\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1 \r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET / HTTP/1.10\r\n\r\n",
    "G\u00e9T / HTTP/1.1\r\n\r\n", "GET a:80 HTTP/1.1\r\n\r\n", "CONNECT a:80 HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\n: b\r\n\r\n",
    "GET / HTTP/1.1\r\nA: b\0\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\r\n\r\n", "GET /" + "a" * 64 + " HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n" + "A: b\r\n" * 9 + "\r\n",
    "GET / HTTP/1.1\r\nA: " + "b" * 270 + "\r\n\r\n", "GET / HTTP/1.1\r\n" + "A:\r\n" * 101 + "\r\n",
]
FRAMINGS = [
    "Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5", "Content-Length: 5\r\nContent-Length: 5",
    "Content-Length: 5, 5", "Content-Length: +5", "Content-Length:", "Content-Length: 9223372036854775808", "Content-Length: 0x5", "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: identity", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked;q=1", "Transfer-Encoding : chunked",
]
CHUNKS = [
    "0x5", "+5", " 5", "5 ", "", ";a", "g", "00000000000000005", "5\n", "5\r", "5;a\nb", "5\r\nhelloX", "5\r\nhello\n", "0\r\n\n", "0\r\nA : b", "0\r\n A: b", "0\r\n: b",
    "0\r\nA", "0\r\nA: \0", "5;" + "x" * 4097, "1;" + "x" * 2049 + "\r\na\r\n1;" + "x" * 2049,
]


def cases(name):
    return json.loads((VECTORS / name).read_text())["cases"]


def decoded(header):
    try:
        return base64.b64decode(header + "=" * (-len(header) % 4))
    except ValueError:
        return b""


def message():
    for path in sorted(VECTORS.glob("message-*.json")):
        for case in cases(path.name):
            if "message" in case or "message_base64" in case:
                text = case.get("message")
                yield base64.b64decode(case["message_base64"]) if text is None else text.encode()
    for case in cases("siwx-appkit-messages.json"):
        yield case["message"].encode()


def credential():
    for case in cases("x402-authorization-tokens.json"):
        yield ("Authorization: " + case["authorization"]).encode()
    for head in HEADS:
        yield head.encode()


def payment():
    for case in cases("x402-payments.json"):
        yield decoded(case["header"])
        yield case["header"].encode()


def sign_in_with_x():
    for case in cases("x402-siwx-proofs.json"):
        yield decoded(case["header"])
        yield case["header"].encode()


def sign_in():
    items = [
        {name: case[name] for name in ("data", "message", "signature", "cacao") if name in case}
        for case in cases("siwx-appkit-messages.json")
    ]
    for item in items:
        yield json.dumps(item).encode()
        yield json.dumps({"clientId": "a", "walletInfo": {"name": "w"}} | item).encode()
        for resource in re.findall(r"urn:recap:([A-Za-z0-9+/_-]+)", item["message"]):
            yield decoded(resource.replace("-", "+").replace("_", "/"))
    yield json.dumps({"sessions": items[:3]}).encode()
    yield json.dumps({"sessions": []}).encode()
    yield b'{"att":{"https://example.com":{"crud/read":[{}],"crud/delete":[]}},"prf":[]}'


def token():
    for entry in json.loads((VECTORS / "session-tokens.json").read_text())["tokens"]:
        yield entry["token"].encode()
        parts = entry["token"].split(".")
        if len(parts) == 3:
            yield decoded(parts[1].replace("-", "+").replace("_", "/"))
    yield b"siwxs_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    yield b"000102030405060708090a0b0c0d0e0f"
    yield b"006b0000000102030405060708090a0b0102030405060708090a0b0c00"
    yield b"eip155:1 0x857b06519E91e3A54538791bDbb0E22373e36b66"
    yield b"https://app.gateway.example/path?q=1#frag"


def json_():
    yield from payment()
    yield from sign_in()
    for text in ('{}', '{"a":1,"a":2}', '{"a":[1,-2.5e3,null,true,"\\u0061\\ud83d\\ude00"],"\\u0062":{}}', "[]", "null", "{" * 40):
        yield text.encode()


def signature():
    for path in sorted(VECTORS.glob("signatures-*.json")):
        for case in cases(path.name):
            if all(isinstance(case.get(name), str) for name in ("chain_id", "address", "signature", "message")):
                yield "\n".join(case[name] for name in ("chain_id", "address", "signature", "message")).encode()


def source():
    for peer in ("10.0.0.1", "192.0.2.1", "2001:db8::9", "::ffff:10.0.0.1"):
        for value in FORWARDED:
            yield f"{peer}\n{value}".encode()
        yield "\n".join([peer, *FORWARDED]).encode()


def proxy():
    for line in ("TCP4 192.0.2.1 192.0.2.2 40000 443", "TCP6 2001:db8::1 ::1 1 2", "UNKNOWN", "UDP4 1.1.1.1 1.1.1.1 1 1"):
        yield f"PROXY {line}\r\nGET / HTTP/1.1\r\n".encode()
    signature = b"\r\n\r\n\0\r\nQUIT\n"
    v4, v6 = bytes([192, 0, 2, 1, 192, 0, 2, 2, 156, 64, 1, 187]), bytes(36)
    for command, family, rest in ((0x21, 0x11, v4), (0x21, 0x21, v6), (0x20, 0, b""), (0x21, 0, b"abc"), (0x21, 0x31, bytes(216)),
                                  (0x31, 0x11, v4), (0x21, 0x11, v4 + b"\xee\0\1a"), (0x21, 0x11, v4[:11])):
        yield signature + bytes([command, family]) + len(rest).to_bytes(2, "big") + rest + b"\x16\x03\x01"
    yield b"GET / HTTP/1.1\r\n\r\n"


def frames():
    def frame(kind, flags=0, payload=b""):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags, 0, 0, 0, 1]) + payload

    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield preface + frame(4) + frame(1, 5, b"\x82\x86\x84") + frame(0, 1, b"abc") + frame(8, 0, b"\0\0\0\1")
    for kind, flags, payload, most in ((0, 0, b"", 100), (0, 1, b"", 100), (2, 0, bytes(5), 100), (3, 0, bytes(4), 20), (4, 0, bytes(6), 10), (6, 0, bytes(8), 10)):
        yield preface + frame(kind, flags, payload) * (most + 1)
        yield preface + frame(kind, flags, payload) * most + frame(1, 4, b"abc")
        yield (preface + frame(kind, flags, payload) * (most + 1))[:-1]
    yield preface + frame(0, 0, bytes([6]) * 0x400) + frame(6, 0, bytes(8)) * 12
    yield preface[:20]


def head():
    for text in CONNECTIONS:
        yield text.encode()
    for fields in FRAMINGS:
        for version in ("1.1", "1.0"):
            yield f"POST / HTTP/{version}\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n".encode()
    for chunk in CHUNKS:
        yield f"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n".encode()


def target():
    for rules in RULES.values():
        for at, text in enumerate(TARGETS):
            yield f"GET {text}\n{HOSTS[0]}\n{rules}".encode()
        for method in ("POST", "HEAD", "get", "TRACE", "OPTIONS"):
            yield f"{method} /premium/weather\n{HOSTS[0]}\n{rules}".encode()
        for host in HOSTS:
            yield f"OPTIONS *\n{host}\n{rules}".encode()


def config():
    example = (HERE.parent / "config.example.toml").read_text()
    yield example.encode()
    short = re.sub(r"^#.*\n|\n(?=\n)", "", example, flags=re.M)
    yield short.encode()
    # Tests hold configurations that are of use, and such that are not.
    for path in sorted((HERE.parent / "src" / "config" / "tests").rglob("*.rs")) + [HERE.parent / "src/config/tests.rs"]:
        for text in re.findall(r'r#"\n?(.*?)"#', path.read_text(), flags=re.S):
            yield text.encode()
    # A table each, beside the least that a gateway needs.
    least = re.search(r'SMALLEST: &str = r#"(.*?)"#', (HERE.parent / "src/config/tests.rs").read_text(), flags=re.S)[1]
    for table in re.split(r"\n(?=\[)", short)[1:]:
        yield (least + table).encode()


def main():
    out = pathlib.Path(sys.argv[1])
    makers = [config, credential, frames, head, json_, message, payment, proxy, sign_in, sign_in_with_x, signature, source, target, token]
    for maker in makers:
        folder = out / maker.__name__.rstrip("_")
        folder.mkdir(parents=True, exist_ok=True)
        seeds = dict.fromkeys(seed for seed in maker() if seed)
        for number, seed in enumerate(seeds):
            (folder / f"seed-{number:04}").write_bytes(seed)
        print(f"{folder.name}: {len(seeds)} seeds, {sum(map(len, seeds))} bytes")


main()
