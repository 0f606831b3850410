"""What the suites of this folder share: programs that say when they are ready, and runners whose results are counted."""

import contextlib
import json
import re
import subprocess
import sys

# The runners' own summaries, of which the last line of a suite is the sum.
NODE_COUNT = re.compile(r"^ℹ (pass|fail|cancelled|skipped) (\d+)$", re.MULTILINE)
PYTHON_COUNT = re.compile(r"^Ran (\d+) tests? in", re.MULTILINE)
PYTHON_SKIPS = re.compile(r"skipped=(\d+)")

NOTHING = {"passed": 0, "failed": 0, "skipped": 0}


@contextlib.contextmanager
def started(command, log, folder, environment=None):
    """A program of this folder that prints one line of JSON when it is ready."""
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{command[1]} ended with {process.wait()}")
        yield json.loads(line)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def run_counted(command, environment, folder):
    """Runs one runner, shows what it says, and takes the counts out of it."""
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(done.stdout, end="", flush=True)
    if match := PYTHON_COUNT.search(done.stdout):
        skipped = PYTHON_SKIPS.search(done.stdout)
        skips = int(skipped[1]) if skipped else 0
        failed = sum(int(count) for count in re.findall(r"(?:failures|errors)=(\d+)", done.stdout))
        counts = {"passed": int(match[1]) - skips - failed, "failed": failed, "skipped": skips}
    else:
        said = {name: int(count) for name, count in NODE_COUNT.findall(done.stdout)}
        failed = said.get("fail", 0) + said.get("cancelled", 0)
        counts = {"passed": said.get("pass", 0), "failed": failed, "skipped": said.get("skipped", 0)}
    # A runner that fails without naming a scenario has failed as a whole; one without scenarios proves nothing.
    if counts["failed"] == 0 and (done.returncode != 0 or counts["passed"] == 0):
        counts["failed"] = 1
    return counts


@contextlib.contextmanager
def counted_into(counts, log):
    """A gateway or a program of a suite that fails while this lasts is one failure more. After any the log is shown."""
    try:
        yield
    except RuntimeError as error:
        print(error, file=sys.stderr)
        counts["failed"] += 1
    if counts["failed"]:
        log.seek(0)
        print(log.read()[-8000:], file=sys.stderr)


def add(counts, more):
    for name, count in more.items():
        counts[name] += count


def summary(name, counts):
    """Prints the lines that sum a suite up; returns what it exits with."""
    print(f"{counts['skipped']} skipped")
    print(f"{name}: {counts['passed']} of {counts['passed'] + counts['failed']}")
    return 1 if counts["failed"] else 0
