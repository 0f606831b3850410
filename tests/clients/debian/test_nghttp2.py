"""nghttp and h2load: the frames that the gateway sends, and thousands of requests on a few connections."""

import re
import subprocess
import unittest

import gateway
import stage


def nghttp(url, *arguments, token=None, timeout=30):
    """What nghttp says of the frames it sent and got."""
    command = ["nghttp", "--verbose", "--null-out", *arguments]
    command += ["--header", f"authorization: {token}"] if token else []
    done = subprocess.run([*command, url], capture_output=True, text=True, errors="replace", timeout=timeout)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    return said


class Nghttp(unittest.TestCase):
    @property
    def on(self):
        return stage.STAGE

    def tearDown(self):
        self.assertEqual(sum(self.on.tls.goaways().values()), 0)

    def test_settings(self):
        said = nghttp(f"{self.on.tls.url}/public/x", token=self.on.tls.token)
        self.assertNotIn("WARNING", said, "the certificate is good")
        frame = said.split("recv SETTINGS frame")[1].split("\n[")[0]
        settings = dict(re.findall(r"\[SETTINGS_(\w+)\(0x\w+\):(\d+)\]", frame))
        expected = {"MAX_CONCURRENT_STREAMS": "100", "INITIAL_WINDOW_SIZE": "262144", "MAX_HEADER_LIST_SIZE": "32768"}
        self.assertEqual({name: settings.get(name) for name in expected}, expected)
        self.assertEqual(settings.get("MAX_FRAME_SIZE", "16384"), "16384")
        self.assertNotIn("ENABLE_CONNECT_PROTOCOL", settings)
        update = r"recv WINDOW_UPDATE frame <length=4, flags=0x00, stream_id=0>\s+\(window_size_increment=(\d+)\)"
        window = re.search(update, said)
        self.assertEqual(int(window[1]) + 65_535, 1024 * 1024)
        self.assertIn(":status: 200", said)

    def test_priorities_are_heard_and_change_nothing(self):
        said = nghttp(f"{self.on.tls.url}/files/small", "--weight=7")
        self.assertGreaterEqual(said.count("send PRIORITY frame"), 5)
        self.assertIn(":status: 200", said)

    def test_trailers_both_ways(self):
        file = self.on.folder / "trailed"
        file.write_bytes(b"body")
        url = f"{self.on.tls.url}/public/x"
        # It tells the length too, which a service that speaks HTTP/1.1 is not to be told: trailers follow chunks alone.
        command = ["nghttp", "--data", file, "--trailer", "x-checksum: 7", "--trailer", "x-siwx-address: evil", url]
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertIn('"trailers": {"x-checksum": "7"}', done.stdout)
        said = nghttp(f"{self.on.tls.url}/public/trailers")
        self.assertRegex(said, r"recv \(stream_id=\d+\) x-checksum: 7\n[^\n]*recv HEADERS frame <[^>]*flags=0x05")
        self.assertNotIn("evil", said)

    def test_an_upload_that_asks_first(self):
        file = self.on.folder / "asked"
        file.write_bytes(self.on.large[:1_000_000])
        # Nobody tells it to go on by HTTP/2, which it waits for for a second.
        said = nghttp(f"{self.on.tls.url}/wallet/x", "--expect-continue", "--data", str(file), token=self.on.tls.token)
        self.assertIn(":status: 200", said)
        said = nghttp(f"{self.on.tls.url}/wallet/x", "--expect-continue", "--data", str(file))
        self.assertNotIn(":status: 100", said)
        self.assertIn(":status: 401", said)

    def test_padding(self):
        file = self.on.folder / "padded"
        file.write_bytes(self.on.large[:1_000_000])
        said = nghttp(f"{self.on.tls.url}/public/x", "--padding=256", "--data", str(file))
        self.assertIn(":status: 200", said)

    def test_many_requests_on_one_connection(self):
        said = nghttp(f"{self.on.tls.url}/files/small", "--multiply=150")
        self.assertEqual(said.count(":status: 200"), 150)

    def test_a_large_download_over_small_windows(self):
        for bits in ["10", "14", "30"]:
            with self.subTest(bits):
                url = f"{self.on.tls.url}/files/large.bin"
                arguments = [f"--window-bits={bits}", f"--connection-window-bits={bits}"]
                arguments += ["--header", "range: bytes=0-2999999"] if bits == "10" else []
                command = ["nghttp", *arguments, url]
                done = subprocess.run(command, capture_output=True, timeout=60)
                self.assertTrue(done.stdout == self.on.large[: 3_000_000 if bits == "10" else None], len(done.stdout))
                self.assertEqual(sum(self.on.tls.goaways().values()), 0)

    def test_a_drain_says_goaway_and_finishes_what_was_asked(self):
        ends = self.on.gateway("drained")
        running = [self.on.binary, "run", "-c", ends.configuration]
        process = subprocess.Popen(running, stdout=self.on.log, stderr=self.on.log)
        try:
            gateway.wait_until_ready(process, ends.admin_port)
            command = ["nghttp", "--verbose", f"{ends.url}/public/slow"]
            asking = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            self.on.upstream.asked.get(timeout=20)
            process.terminate()
            stage.until(lambda: ends.metric('siwx_h2_goaways_total{reason="drain"}') == 1)
            self.on.upstream.go.put(None)
            said, _ = asking.communicate(timeout=20)
            self.assertEqual(process.wait(20), 0)
        finally:
            stage.end(process)
        self.assertRegex(said, r"recv GOAWAY frame[^\n]*\n[^\n]*error_code=NO_ERROR")
        self.assertLess(said.index("recv GOAWAY frame"), said.index(":status: 200"))
        self.assertIn("done", said)


class H2load(unittest.TestCase):
    def load(self, target, requests, *arguments):
        on = stage.STAGE
        command = ["h2load", f"--requests={requests}", f"--header=authorization: {on.tls.token}", *arguments]
        done = subprocess.run([*command, on.tls.url + target], capture_output=True, text=True, timeout=60)
        all_of_them = " ".join(f"{requests} {what}," for what in ["total", "started", "done", "succeeded"])
        expected = f"requests: {all_of_them} 0 failed, 0 errored"
        self.assertIn(expected, done.stdout)
        self.assertIn(f"status codes: {requests} 2xx, 0 3xx, 0 4xx, 0 5xx", done.stdout)
        self.assertEqual(sum(on.tls.goaways().values()), 0)

    def test_http2(self):
        self.load("/sold/small", 6000, "--clients=12", "--max-concurrent-streams=100")

    def test_http1(self):
        self.load("/sold/small", 3000, "--clients=12", "--h1")

    def test_more_streams_than_are_allowed_wait(self):
        self.load("/sold/small", 1000, "--clients=1", "--max-concurrent-streams=1000")

    def test_large_answers_over_small_windows(self):
        windows = ["--window-bits=16", "--connection-window-bits=16"]
        self.load("/files/large.bin", 10, "--clients=2", "--max-concurrent-streams=5", *windows)
