"""Runs the scenarios of this folder against gateways that it starts.

    suite.py BINARY [TEST ...]

The last line counts. It exits with 0 if none failed, and all gateways drained and ended well.
"""

import sys
import unittest

sys.dont_write_bytecode = True

import stage  # noqa: E402

import runners  # noqa: E402  of the folder above, where stage looks too

MODULES = ["test_curl", "test_nghttp2", "test_nginx", "test_chromium", "test_systemd"]


def main(binary, names):
    with stage.opened(binary) as opened:
        stage.STAGE = opened
        tests = unittest.defaultTestLoader.loadTestsFromNames(names or MODULES)
        result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(tests)
    failed = len(result.failures) + len(result.errors)
    skipped = len(result.skipped)
    counts = {"passed": result.testsRun - failed - skipped, "failed": failed, "skipped": skipped}
    return runners.summary("debian", counts)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [binary, *names]:
            sys.exit(main(binary, names))
        case _:
            sys.exit("usage: suite.py BINARY [TEST ...]")
