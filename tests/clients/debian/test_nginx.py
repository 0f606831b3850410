"""nginx before the gateway, as many people run it: it says who asked, and is believed."""

import subprocess
import unittest

import stage


class Nginx(unittest.TestCase):
    @property
    def on(self):
        return stage.STAGE

    def url(self, path):
        return f"http://localhost:{self.on.front_port}{path}"

    def curl(self, path, *arguments):
        return self.on.curl(self.url(path), "--ipv4", "--interface", stage.CLIENT, *arguments)

    def test_who_asked_is_who_asked_nginx(self):
        seen = self.curl("/public/x").json()["headers"]
        self.assertEqual(seen["x-real-ip"], [stage.CLIENT])
        self.assertEqual(seen["x-forwarded-for"], [f"{stage.CLIENT}, {stage.PROXY}"])
        self.assertEqual(seen["host"], [f"localhost:{self.on.front_port}"])

    def test_what_a_client_claims_beyond_that_is_not_believed(self):
        seen = self.curl("/public/x", "--header", "X-Forwarded-For: 192.0.2.1").json()["headers"]
        self.assertEqual(seen["x-real-ip"], [stage.CLIENT])
        at = f"http://127.0.0.1:{self.on.behind.port}/public/x"
        arguments = ["--interface", stage.CLIENT, "--header", f"Host: localhost:{self.on.front_port}"]
        direct = self.on.curl(at, *arguments, "--header", "X-Forwarded-For: 192.0.2.1").json()["headers"]
        self.assertEqual(direct["x-real-ip"], [stage.CLIENT], "who does not come by nginx")

    def test_a_token_passes_through(self):
        answer = self.curl("/wallet/x", "--header", f"Authorization: {self.on.behind.token}")
        self.assertEqual(answer.json()["headers"]["x-siwx-address"], [self.on.address])
        self.assertEqual(self.curl("/wallet/x").status, 401)

    def test_bodies_both_ways(self):
        file = self.on.folder / "relayed"
        file.write_bytes(self.on.large[:3_000_000])
        token = ["--header", f"Authorization: {self.on.behind.token}"]
        for more in ([], ["--header", "Transfer-Encoding: chunked"]):
            answer = self.curl("/wallet/x", *token, *more, "--upload-file", file)
            self.assertEqual(answer.json()["length"], 3_000_000)
        self.assertTrue(self.curl("/files/large.bin").body == self.on.large)

    def test_events_come_at_once(self):
        command = ["curl", "--silent", "--no-buffer", self.url("/public/events")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        for number in range(3):
            self.assertEqual(process.stdout.readline(), f"data: {number}\n".encode())
            self.assertEqual(process.stdout.readline(), b"\n")
            self.on.upstream.go.put(None)
        self.assertEqual(process.wait(10), 0)
        process.stdout.close()

    def test_connections_are_used_again_after_a_refusal(self):
        for number in range(50):
            self.assertEqual(self.curl("/wallet/x", "--data", "body").status, 401, number)
            self.assertEqual(self.curl("/public/x").status, 200, number)

    def test_the_proxy_protocol_of_its_stream_module(self):
        if not stage.STREAM_MODULE.exists():
            self.skipTest("nginx has no stream module here: install the package `libnginx-mod-stream`")
        url = f"http://localhost:{self.on.stream_port}/public/x"
        seen = self.on.curl(url, "--ipv4", "--interface", stage.CLIENT).json()["headers"]
        self.assertEqual(seen["x-real-ip"], [stage.CLIENT])
        upgraded = self.on.curl(url, "--ipv4", "--interface", stage.CLIENT, "--http2-prior-knowledge")
        self.assertEqual((upgraded.version, upgraded.json()["headers"]["x-real-ip"]), ("2", [stage.CLIENT]))
