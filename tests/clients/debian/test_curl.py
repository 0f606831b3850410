"""curl: what its users take for granted of a server, by HTTP/1.1 and HTTP/2."""

import hashlib
import subprocess
import unittest

import stage

VERSIONS = {"--http1.1": "1.1", "--http2": "2"}


class Curl(unittest.TestCase):
    @property
    def on(self):
        return stage.STAGE

    def bearer(self):
        return ["--header", f"Authorization: {self.on.tls.token}"]

    def tearDown(self):
        self.assertEqual(sum(self.on.tls.goaways().values()), 0)

    def test_a_token_opens_and_none_does_not(self):
        for option, version in VERSIONS.items():
            answer = self.on.curl(f"{self.on.tls.url}/wallet/x", option, *self.bearer())
            self.assertEqual((answer.status, answer.version), (200, version))
            seen = answer.json()["headers"]
            self.assertEqual(seen["x-siwx-address"], [self.on.address])
            self.assertNotIn("authorization", seen)
            self.assertEqual(self.on.curl(f"{self.on.tls.url}/wallet/x", option).status, 401)
            sold = self.on.curl(f"{self.on.tls.url}/sold/small", option, *self.bearer())
            self.assertEqual((sold.status, sold.body), (200, b"sold\n"))

    def test_http2_by_prior_knowledge(self):
        url = f"http://127.0.0.1:{self.on.behind.port}/public/x"
        answer = self.on.curl(url, "--http2-prior-knowledge", "--header", f"Host: localhost:{self.on.front_port}")
        self.assertEqual((answer.status, answer.version), (200, "2"))

    def test_an_upgrade_to_http2_is_not_taken(self):
        url = f"http://127.0.0.1:{self.on.behind.port}/public/x"
        answer = self.on.curl(url, "--http2", "--header", f"Host: localhost:{self.on.front_port}")
        self.assertEqual((answer.status, answer.version), (200, "1.1"))
        for name in ["upgrade", "http2-settings"]:
            self.assertNotIn(name, answer.json()["headers"])

    def test_versions_of_tls(self):
        for version in ["1.2", "1.3"]:
            answer = self.on.curl(f"{self.on.tls.url}/public/x", f"--tlsv{version}", "--tls-max", version)
            self.assertEqual(answer.status, 200)
            self.assertIn(f"SSL connection using TLSv{version}", answer.spoken)
        without = self.on.curl(f"{self.on.tls.url}/public/x", "--no-alpn")
        self.assertEqual((without.status, without.version), (200, "1.1"))
        environment = ["env", "--unset=SSL_CERT_FILE"]
        stranger = subprocess.run([*environment, "curl", "--silent", f"{self.on.tls.url}/public/x"])
        self.assertEqual(stranger.returncode, 60, "nobody else vouches for the certificate")

    def test_an_upload_that_asks_first(self):
        file = self.on.folder / "upload"
        file.write_bytes(self.on.large[:3_000_000])
        expects = ["--header", "Expect: 100-continue", "--expect100-timeout", "15", "--upload-file", file]
        for option in VERSIONS:
            answer = self.on.curl(f"{self.on.tls.url}/wallet/x", option, *self.bearer(), *expects)
            self.assertEqual((answer.status, answer.json()["length"]), (200, 3_000_000))
            self.assertNotIn("expect", answer.json()["headers"])
            # By HTTP/2 nobody is told to go on, and curl does not wait for it. Nor does curl 7.88 read an answer there
            # that comes before the end of its upload, nginx's as little as ours.
            if option == "--http1.1":
                self.assertRegex(answer.spoken, r"< HTTP/\S+ 100")
                refused = self.on.curl(f"{self.on.tls.url}/wallet/x", option, *expects)
                self.assertEqual((refused.status, refused.info["size_upload"]), (401, 0), "nothing was sent")
                self.assertNotRegex(refused.spoken, r"< HTTP/\S+ 100")

    def test_uploads_of_unknown_length(self):
        sent = self.on.large[:2_000_000]
        file = self.on.folder / "upload"
        file.write_bytes(sent)
        for option in VERSIONS:
            command = ["curl", "--silent", "--cacert", self.on.ca, option, *self.bearer(), "--upload-file", "-"]
            command += ["--header", "Transfer-Encoding: chunked"] if option == "--http1.1" else []
            with file.open("rb") as body:
                done = subprocess.run([*command, f"{self.on.tls.url}/wallet/x"], stdin=body, capture_output=True)
            self.assertIn(hashlib.sha256(sent).hexdigest().encode(), done.stdout)

    def test_forms(self):
        for option in VERSIONS:
            answer = self.on.curl(f"{self.on.tls.url}/public/x?a=b%20c", option, "--data", "d=e")
            self.assertEqual((answer.json()["method"], answer.json()["path"]), ("POST", "/public/x?a=b%20c"))

    def test_heads(self):
        for option in VERSIONS:
            answer = self.on.curl(f"{self.on.tls.url}/files/large.bin", option, "--head")
            self.assertEqual(answer.headers["content-length"], [str(stage.LARGE_BYTES)])
            refused = self.on.curl(f"{self.on.tls.url}/wallet/x", option, "--head")
            self.assertEqual((refused.status, refused.body[-4:]), (401, b"\r\n\r\n"), "a head, and no body")

    def test_ranges(self):
        for option in VERSIONS:
            answer = self.on.curl(f"{self.on.tls.url}/files/large.bin", option, "--range", "1000-1999")
            self.assertEqual((answer.status, answer.body), (206, self.on.large[1000:2000]))
            self.assertEqual(answer.headers["content-range"], [f"bytes 1000-1999/{stage.LARGE_BYTES}"])
            beyond = self.on.curl(f"{self.on.tls.url}/files/large.bin", option, "--range", "99999999-")
            self.assertEqual(beyond.status, 416)

    def test_a_download_that_goes_on(self):
        for option in VERSIONS:
            answer = self.on.curl(f"{self.on.tls.url}/files/large.bin", option, "--continue-at", "19999000")
            self.assertEqual(answer.body, self.on.large[19_999_000:])

    def test_compressed_answers(self):
        for option in VERSIONS:
            answer = self.on.curl(f"{self.on.tls.url}/files/text.txt", option, "--compressed")
            self.assertEqual((answer.headers["content-encoding"], answer.body.decode()), (["gzip"], self.on.text))
            self.assertLess(answer.info["size_download"], len(self.on.text) / 10)

    def test_a_large_download(self):
        for option in VERSIONS:
            answer = self.on.curl(f"{self.on.tls.url}/files/large.bin", option)
            self.assertTrue(answer.body == self.on.large)

    def test_events_come_at_once(self):
        for option in VERSIONS:
            command = ["curl", "--silent", "--no-buffer", "--cacert", self.on.ca, option]
            process = subprocess.Popen([*command, f"{self.on.tls.url}/public/events"], stdout=subprocess.PIPE)
            for number in range(3):
                # The next one is not sent before this one was heard.
                self.assertEqual(process.stdout.readline(), f"data: {number}\n".encode())
                self.assertEqual(process.stdout.readline(), b"\n")
                self.on.upstream.go.put(None)
            self.assertEqual((process.stdout.read(), process.wait(10)), (b"", 0))
            process.stdout.close()

    def test_a_connection_is_used_again(self):
        for option in VERSIONS:
            url = f"{self.on.tls.url}/public/x"
            command = ["curl", "--silent", "--cacert", self.on.ca, option, "--write-out", "%{num_connects}\n"]
            command += [*["--output", "/dev/null", url] * 3]
            done = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(done.stdout.split(), ["1", "0", "0"])

    def test_many_at_once(self):
        for option in VERSIONS:
            command = ["curl", "--silent", "--cacert", self.on.ca, option, "--parallel", "--parallel-max", "40"]
            command += ["--write-out", "%{response_code}\n", "--output", "/dev/null"]
            done = subprocess.run([*command, f"{self.on.tls.url}/files/small?[1-300]"], capture_output=True, text=True)
            self.assertEqual(done.stdout.split(), ["200"] * 300)

    def test_trailers(self):
        for option in VERSIONS:
            # With `--include` what follows the body stands after it, as what came before stands before it.
            asks = ["--include", "--header", "TE: trailers"]
            answer = self.on.curl(f"{self.on.tls.url}/public/trailers", option, *asks)
            self.assertEqual(answer.status, 200)
            self.assertRegex(answer.body, rb"\r\n\r\nbodyx-checksum: 7\r\n")
            self.assertNotIn(b"evil", answer.body)

    def test_methods_that_are_not_taken(self):
        for option in VERSIONS:
            self.assertEqual(self.on.curl(f"{self.on.tls.url}/public/x", option, "--request", "TRACE").status, 405)

    def test_websockets(self):
        version = subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout
        if " ws" not in version.split("Protocols:")[1].splitlines()[0]:
            self.skipTest("this curl speaks no WebSocket")
        url = self.on.tls.url.replace("https", "wss", 1)
        answer = self.on.curl(f"{url}/public/socket", "--max-time", "2", fails=True)
        self.assertEqual(answer.status, 101)

    def test_an_announced_address_is_the_client(self):
        at, host = f"http://127.0.0.1:{self.on.announced.port}/public/x", f"localhost:{self.on.stream_port}"
        arguments = ["--interface", stage.PROXY, "--header", f"Host: {host}"]
        answer = self.on.curl(at, "--haproxy-protocol", *arguments)
        self.assertEqual(answer.json()["headers"]["x-real-ip"], [stage.PROXY])
        self.assertEqual(self.on.curl(at, *arguments, fails=True).status, 0, "who must announce and does not is cut")

