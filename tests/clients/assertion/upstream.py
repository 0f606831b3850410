"""An upstream in Python that takes no request without the gateway's word for who it is. `who_is` is what the README shows.

It answers with the claims, or with 401 and why not; and with the assertion itself, which no real upstream would give
away: the scenarios change it and come back.
"""

import json
import os
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt

GATEWAY = os.environ["SIWX_URL"]
AUTHORITY = ssl.create_default_context(cafile=os.environ["SIWX_CA"])
keys = jwt.PyJWKClient(f"{GATEWAY}/.siwx/jwks.json", ssl_context=AUTHORITY)


def who_is(method, target, assertion):
    key = keys.get_signing_key_from_jwt(assertion)
    claims = jwt.decode(
        assertion, key, algorithms=["EdDSA", "ES256"], issuer=GATEWAY, audience="python", options={"require": ["exp"]}
    )
    url = GATEWAY + target.split("?")[0]
    if (claims["typ"], claims["htm"], claims["htu"]) != ("siwx-assertion", method, url):
        raise ValueError("not for this request")
    return claims


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        assertion = self.headers.get("x-siwx-assertion")
        try:
            answer = {"status": 200, "claims": who_is(self.command, self.path, assertion or ""), "assertion": assertion}
        # Whatever a hostile token breaks, it is refused.
        except Exception as error:  # noqa: BLE001
            answer = {"status": 401, "error": f"{type(error).__name__} {error}", "assertion": assertion}
        body = json.dumps(answer).encode()
        self.send_response(answer["status"])
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
print(json.dumps({"url": f"http://127.0.0.1:{server.server_address[1]}"}), flush=True)
server.serve_forever()
