"""systemd: the unit of the README as it is read there, and a socket that was opened before the gateway runs."""

import re
import shutil
import subprocess
import unittest

import stage

README = stage.HERE.parents[2] / "README.md"
# Which version knows `Type=notify-reload`.
RELOADS = 253

SOCKET = """\
[Socket]
ListenStream=127.0.0.1:8443
[Install]
WantedBy=sockets.target
"""


def needs(command):
    return unittest.skipUnless(shutil.which(command), f"there is no {command} here: install the package `systemd`")


class Systemd(unittest.TestCase):
    @needs("systemd-analyze")
    def test_the_unit_of_the_readme(self):
        on = stage.STAGE
        unit = re.search(r"```ini\n(\[Unit\]\n.*?)```", README.read_text(), re.DOTALL)[1]
        self.assertIn("ExecStart=/usr/bin/siwx-gateway run -c /etc/siwx/siwx-gateway.toml\n", unit)
        unit = unit.replace("/usr/bin/siwx-gateway", str(on.binary))
        version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True).stdout
        if int(version.split()[1]) < RELOADS:
            # As the README says right after it.
            self.assertIn("ExecReload=/bin/kill -HUP $MAINPID", README.read_text())
            unit = unit.replace("Type=notify-reload\n", "Type=notify\nExecReload=/bin/kill -HUP $MAINPID\n")
        units = on.folder / "units"
        units.mkdir()
        (units / "siwx-gateway.service").write_text(unit)
        (units / "siwx-gateway.socket").write_text(SOCKET)
        for name in ["siwx-gateway.service", "siwx-gateway.socket"]:
            command = ["systemd-analyze", "verify", "--man=no", units / name]
            done = subprocess.run(command, capture_output=True, text=True)
            # Of other units of this machine it may say something, too.
            said = [line for line in done.stderr.splitlines() if "siwx-gateway" in line]
            self.assertEqual((done.returncode, said), (0, []), name)

    @needs("systemd-analyze")
    def test_a_unit_with_a_mistake_is_told_apart(self):
        units = stage.STAGE.folder / "mistaken"
        units.mkdir()
        (units / "siwx-mistaken.service").write_text("[Service]\nExecStart=/nowhere/siwx-gateway\nWatchdogSecs=3\n")
        command = ["systemd-analyze", "verify", "--man=no", units / "siwx-mistaken.service"]
        self.assertIn("siwx-mistaken", subprocess.run(command, capture_output=True, text=True).stderr)

    @needs("systemd-socket-activate")
    def test_a_socket_that_was_there_before(self):
        on = stage.STAGE
        activated = on.gateway("activated")
        listen = f"--listen=127.0.0.1:{activated.port}"
        command = ["systemd-socket-activate", listen, on.binary, "run", "-c", activated.configuration]
        process = subprocess.Popen(command, stdout=on.log, stderr=on.log)
        try:
            # Nobody runs yet: the first client starts the gateway, and waits for it.
            answers = []
            def asked():
                answer = on.curl(f"{activated.url}/public/x", fails=True)
                answers.append(answer.status)
                return answer.status == 200
            stage.until(asked)
            self.assertEqual([status for status in answers if status], [200])
            self.assertEqual(on.curl(f"{activated.url}/wallet/x").status, 401)
        finally:
            self.assertEqual(stage.end(process), 0)
