"""Chromium over TLS: a page that is fetched by HTTP/2, and what it opens beside."""

import base64
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

import stage


def fingerprint(certificate):
    """Of its key, as Chromium is told whom to trust."""
    command = f"openssl x509 -in '{certificate}' -noout -pubkey | openssl pkey -pubin -outform der"
    key = subprocess.run(command, shell=True, check=True, capture_output=True).stdout
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


class Chromium(unittest.TestCase):
    def test_a_page_by_http2_with_its_events_and_its_websocket(self):
        on = stage.STAGE
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
        if chromium is None:
            self.skipTest("there is no Chromium here: install the package `chromium`, or name one in CHROMIUM")
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
            command += [f"--ignore-certificate-errors-spki-list={fingerprint(on.folder / 'server.crt')}"]
            command += ["--no-first-run", "--disable-background-networking", "--remote-debugging-port=0"]
            process = subprocess.Popen(
                [*command, f"{on.tls.url}/public/page"], stdout=on.log, stderr=on.log, start_new_session=True
            )
            try:
                told = on.upstream.told.get(timeout=40)
            finally:
                # It has processes of its own, all of this session.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.assertEqual(told, {"protocol": "h2", "length": 11, "event": "event", "said": "hello"})
        self.assertEqual(sum(on.tls.goaways().values()), 0)
