"""Kills a gateway again and again while clients pay, and compares what everybody says afterwards.

    crash.py BINARY [KILLS] [SEED]

1. crash/payers.js pays all the time. The gateway is killed with SIGKILL at a random moment, now and then before it is
   ready, and started again at once, KILLS times (200). Meanwhile the facilitator is slow, fails, refuses, and drops
   connections before and after it settled.
2. Then a gateway is started that nobody kills, the facilitator is honest, and the store must come to rest:
   no payment is reserved, settling or unknown, but forged ones whose first settlement was never answered. After a
   minute clients bring again what still has to wait.
   One more payment takes longer than a lease: it is its process's all the same.
3. Then the facilitator's books, the store, the service behind, and the answers that clients got must agree. RULES are
   what is compared; none of them asks the gateway.
4. The last line counts the kills that did no harm: all of them, or none if a rule is broken. SEED repeats the moments
   and the faults, as far as a machine repeats anything.
"""

import collections
import contextlib
import datetime
import json
import pathlib
import random
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.dont_write_bytecode = True

import gateway  # noqa: E402  what starts the gateway for the other clients
import runners  # noqa: E402

KILLS = 200
WORKERS = 12
# How long a gateway that is ready lives at most: some payments end in it, and some last longer.
LIFE_SECS = 0.6
# How many gateways are killed on the way to being ready.
KILLED_EARLY = 0.15
# What was left has a lease of 15 s, is looked for every 5 s, and is asked for again within a minute after three faults.
# Kills count as such, so that a few payments have to wait for minutes: clients bring these again.
PATIENCE_SECS = 60
REST_SECS = 120
# How long one settlement takes at the end: longer than a lease that is not renewed, and a look for such.
OUTLASTING_MS = 21_000
# How many wallets come back at most: of those whose clients never learned that they paid, and of those that did not pay.
RETURNING = 150

PERIOD_MS = {"data": None, "orders": None, "plan": 30 * 86_400_000, "timed": 86_400_000}
SCOPES = {"data": "route:data", "orders": "route:orders", "plan": "plan:nano", "timed": "route:timed"}

CONFIGURATION = """\
public_url = "http://127.0.0.1:{port}"
[server]
listen = ["127.0.0.1:{port}"]
workers = 2
drain_delay = "0s"
drain_timeout = "5s"
[admin]
listen = "127.0.0.1:{admin_port}"
token = "{admin_token}"
[store]
url = "sqlite:{folder}/store.db"
require_at_start = true
# Many payments are refused, all from one address.
[limits]
auth_failures = "off"
# What is bought while the test runs counts at once, also after a restart.
[cache.subscriptions]
negative_ttl = "0s"

[x402]
[[x402.facilitator]]
name = "test"
url = "{facilitator}"
verify_timeout = "1s"
settle_timeout = "{settle_timeout}"
[[x402.accept]]
network = "eip155:84532"
pay_to = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
asset = "usdc"
timeout = "60s"
[[plan]]
name = "nano"
price = "$5.00"
period = "30d"

[upstreams.api]
urls = ["{upstream}"]
response_timeout = "30s"
[[route]]
name = "data"
prefix = "/data/"
methods = ["GET"]
upstream = "api"
auth = "payment"
price = "$0.01"
[[route]]
name = "orders"
prefix = "/orders/"
methods = ["POST"]
upstream = "api"
auth = "payment"
price = "$0.01"
[[route]]
name = "plan"
prefix = "/plan/"
upstream = "api"
auth = "subscription"
plans = ["nano"]
[[route]]
name = "timed"
prefix = "/timed/"
methods = ["GET"]
upstream = "api"
auth = "payment"
price = "$0.02"
access_for = "1d"
[log]
level = "info"
"""


# === faults ===


def faults(chance):
    """What the facilitator does in the next calls of each operation, until it is told anew or is honest again."""

    def slow(most):
        return {"delay_ms": chance.randrange(most)}

    settle = [
        (74, lambda: {"act": "honest", **slow(30)}),
        (10, lambda: {"act": "honest", **slow(500)}),
        (1, lambda: {"act": "honest", "delay_ms": 1300}),
        (5, lambda: {"act": "drop", "when": "after-settling", **slow(60)}),
        (2, lambda: {"act": "drop", "when": "after-reading"}),
        (1, lambda: {"act": "drop", "when": "before-reading"}),
        (3, lambda: {"act": "fault", **slow(60)}),
        (2, lambda: {"act": "fault", "settles": True}),
        (2, lambda: {"act": "refuse", "reason": "insufficient_funds"}),
    ]
    verify = [
        (80, lambda: {"act": "honest", **slow(20)}),
        (10, lambda: {"act": "honest", **slow(200)}),
        (3, lambda: {"act": "drop", "when": "after-reading"}),
        (3, lambda: {"act": "fault"}),
        (4, lambda: {"act": "refuse", "reason": "insufficient_funds"}),
    ]
    told = {"settle": settle, "verify": verify}
    weights = {operation: [weight for weight, _ in acts] for operation, acts in told.items()}
    for operation, acts in told.items():
        behaviours = [make() for _, make in chance.choices(acts, weights[operation], k=60)]
        yield {"operation": operation, "behaviours": behaviours, "times": 1}


# === the gateway, again and again ===


class Gateway:
    def __init__(self, binary, folder, places, log):
        self.port, self.admin_port = gateway.free_port(), gateway.free_port()
        self.configuration = folder / "siwx-gateway.toml"
        self.fills = {"folder": folder, "port": self.port, "admin_port": self.admin_port, **places}
        self.fills["admin_token"] = secrets.token_hex(32)
        self.binary, self.log = binary, log
        self.process = None

    def start(self, settle_timeout="1s"):
        self.configuration.write_text(CONFIGURATION.format(settle_timeout=settle_timeout, **self.fills))
        self.configuration.chmod(0o600)
        command = [self.binary, "run", "-c", self.configuration]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def wait_until_ready(self):
        gateway.wait_until_ready(self.process, self.admin_port, pause=0.01)

    def kill(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the gateway ended by itself with {self.process.returncode}")
        self.process.kill()
        self.process.wait()

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def kill_again_and_again(server, facilitator, kills, chance):
    """Returns the moments of the kills."""
    moments, start_secs = [], 0.2
    for number in range(1, kills + 1):
        for told in faults(chance):
            post_json(f"{facilitator}/behave", told)
        server.start()
        begun = time.monotonic()
        if chance.random() < KILLED_EARLY:
            time.sleep(chance.uniform(0, start_secs))
        else:
            server.wait_until_ready()
            start_secs = time.monotonic() - begun
            time.sleep(chance.uniform(0, LIFE_SECS))
        moments.append(time.time() * 1000)
        server.kill()
        if number % 50 == 0:
            print(f"{number} kills", flush=True)
    return moments


class Payers:
    def __init__(self, base, answers, log):
        command = ["node", "crash/payers.js", "--base", base, "--answers", answers, "--workers", str(WORKERS)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
        self.process = subprocess.Popen(command, cwd=HERE, text=True, **pipes)
        self.patient = self.hear()["patient"]

    def hear(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the payers ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return self.hear()

    def end(self):
        self.process.kill()
        self.process.wait()


def read_json(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.load(answer)


def read_lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def post_json(url, value):
    with urllib.request.urlopen(url, json.dumps(value).encode(), timeout=20) as answer:
        return json.load(answer)


def wait_for_rest(folder, payers, begun):
    """
    Waits until no payment is open but forged ones that nobody knows to be refused; returns how long that took, and what
    clients had to bring again. What is refused when it is asked for a second time may have been settled by the first,
    so that the forged ones are the operator's.
    """
    brought = set()
    forged = {line["payment"]["id"] for line in read_lines(folder / "answers") if line.get("payment", {}).get("forged")}
    while True:
        with contextlib.closing(sqlite3.connect(f"file:{folder / 'store.db'}?mode=ro", uri=True)) as store:
            rows = store.execute("SELECT payment_id, status FROM siwx_payments WHERE status <> 'settled'").fetchall()
        open_ = [id_ for id_, status in rows if id_ not in forged or status != "unknown"]
        took = time.monotonic() - begun
        if not open_:
            return took, len(brought)
        if took > REST_SECS:
            raise RuntimeError(f"after {REST_SECS} s these payments are open still: {open_}")
        if took > PATIENCE_SECS and not brought.issuperset(open_):
            payers.ask({"again": open_})
            brought.update(open_)
        time.sleep(0.2)


# === what everybody says ===


class Evidence:
    """Books, store, service and clients, by payment."""

    def __init__(self, folder, books, upstream):
        lines = read_lines(folder / "answers")
        self.payments = {line["payment"]["id"]: line["payment"] for line in lines if "payment" in line}
        self.answers = [line["answer"] for line in lines if "answer" in line]
        self.lost = [line["lost"] for line in lines if "lost" in line]
        self.books = {payment["id"]: payment for payment in books["payments"]}
        self.totals = books["totals"]
        self.served = upstream
        self.journal = read_lines(folder / "journal")
        with contextlib.closing(sqlite3.connect(f"file:{folder / 'store.db'}?mode=ro", uri=True)) as store:
            store.row_factory = sqlite3.Row
            self.sound = store.execute("PRAGMA integrity_check").fetchone()[0]
            rows = store.execute("SELECT * FROM siwx_payments").fetchall()
            entitlements = store.execute("SELECT * FROM siwx_entitlements").fetchall()
        self.rows = {row["payment_id"]: row for row in rows if row["status"] == "settled"}
        self.open = {row["payment_id"]: row for row in rows if row["status"] != "settled"}
        self.entitlements = {(row["address"], row["scope"]): row for row in entitlements}
        self.settled = {id_: payment for id_, payment in self.books.items() if payment["settled"]}
        self.opened = [answer for answer in self.answers if answer["status"] < 400]
        self.log = (folder / "log").read_text()

    def bought(self):
        """The payments that the books have as settled, by payer and scope."""
        bought = collections.defaultdict(set)
        for id_ in self.settled.keys() & self.payments.keys():
            payment = self.payments[id_]
            bought[payment["payer"], SCOPES[payment["kind"]]].add(id_)
        return bought


def millis(text):
    return datetime.datetime.fromisoformat(text).timestamp() * 1000


def no_payment_settled_twice(said):
    moved = collections.Counter(entry["id"] for entry in said.journal if entry["entry"] == "settled")
    yield from (f"{id_} moved money {count} times" for id_, count in moved.items() if count > 1)
    # Who reads 402 pays again.
    for answer in said.answers:
        settled = said.settled.get(answer["id"])
        if answer["status"] == 402 and settled and millis(settled["settled_at"]) < answer["begun"]:
            yield f"{answer['id']} was settled, and its client was told 402 later"
    for id_ in said.settled.keys() - said.payments.keys():
        yield f"{id_} was settled, and nobody sent it"


def no_settlement_asked_for_once_it_was_stored(said):
    for entry in said.journal:
        row = said.rows.get(entry.get("id")) if entry["entry"] == "settle_asked" else None
        if row and millis(entry["at"]) > row["settled_at"]:
            yield f"{row['payment_id']} was stored as settled at {row['settled_at']}, and asked for at {entry['at']}"


def books_and_store_agree(said):
    for id_ in said.settled.keys() ^ said.rows.keys():
        yield f"{id_} is settled in the {'books' if id_ in said.settled else 'store'} alone"
    for id_ in said.settled.keys() & said.rows.keys():
        book, row = said.settled[id_], said.rows[id_]
        for name in ("network", "scheme", "asset", "amount", "transaction"):
            if book[name].lower() != row[name].lower():
                yield f"{id_}: {name} is {book[name]} in the books and {row[name]} in the store"
        kind = said.payments[id_]["kind"]
        found = (row["payer"], row["scope"], row["amount"])
        expected = (said.payments[id_]["payer"], SCOPES[kind], said.payments[id_]["amount"])
        if found != expected:
            yield f"{id_}: expected {expected} in the store, found {found}"
    yield from (f"{id_} is {row['status']} still" for id_, row in said.open.items() if not said.payments[id_]["forged"])
    if said.sound != "ok":
        yield f"the file of the store: {said.sound}"


def none_settled_without_its_entitlement(said):
    periods = {SCOPES[kind]: period for kind, period in PERIOD_MS.items()}
    bought = said.bought()
    for holder, ids in bought.items():
        held = said.entitlements.get(holder)
        if held is None:
            yield f"{holder} paid {len(ids)} times and holds nothing"
            continue
        period = periods[holder[1]]
        end = None if period is None else held["starts_at"] + len(ids) * period
        if held["expires_at"] != end:
            yield f"{holder} paid {len(ids)} times from {held['starts_at']} on: expected the end {end}, found {held['expires_at']}"
        if held["payment_id"] not in ids:
            yield f"{holder} holds what payment {held['payment_id']} bought, which is none of its own"
    yield from (f"{holder} holds what it did not pay for" for holder in said.entitlements.keys() - bought.keys())


def no_unpaid_200(said):
    for answer in said.opened:
        id_ = answer["id"]
        if id_ is None or said.payments[id_]["forged"]:
            yield f"a request without a good payment was answered {answer['status']}: {id_}"
        elif id_ not in said.settled or id_ not in said.rows:
            yield f"{id_} was answered {answer['status']} and is not settled"
        elif millis(said.settled[id_]["settled_at"]) > answer["ended"]:
            yield f"{id_} was answered {answer['status']} before it was settled"
        elif (answer["response"] or {}).get("transaction") != said.settled[id_]["transaction"]:
            yield f"{id_} was answered with another receipt: {answer['response']}"
    for answer in said.answers:
        if answer["goods"] and answer["status"] != 200 and answer["status"] != 503:
            yield f"{answer['id']} was refused with {answer['status']}, and got the goods"


def one_payment_opens_one_answer(said):
    answered = collections.Counter(answer["id"] for answer in said.opened)
    yield from (f"{id_} was answered 200 {count} times" for id_, count in answered.items() if count > 1)
    for id_, payment in said.payments.items():
        # Orders have effects: they are settled before, and nothing that was paid for is done again.
        done = said.served.get(f"POST {payment['path']}", 0)
        if done > (1 if id_ in said.settled else 0):
            yield f"the service did the order of {id_} {done} times; it is{'' if id_ in said.settled else ' not'} settled"


def nothing_gave_way(said):
    for line in said.log.splitlines():
        if "panicked" in line or "please report this" in line:
            yield line


RULES = [
    no_payment_settled_twice,
    no_settlement_asked_for_once_it_was_stored,
    books_and_store_agree,
    none_settled_without_its_entitlement,
    no_unpaid_200,
    one_payment_opens_one_answer,
    nothing_gave_way,
]


def who_comes_back(payers, said):
    """Signs in with wallets whose clients never heard that they paid, and with some that did not pay."""
    once = [id_ for id_, payment in said.payments.items() if PERIOD_MS[payment["kind"]] is None]
    told = {answer["id"] for answer in said.opened}
    paid = [id_ for id_ in said.settled if id_ not in told][:RETURNING]
    unpaid = [id_ for id_ in once if id_ not in said.settled][:RETURNING]
    statuses = payers.ask({"return": paid + unpaid})
    wrong = [
        f"{id_} is{'' if expected == 200 else ' not'} settled, and its wallet's sign-in was answered {status}"
        for id_, status, expected in zip(paid + unpaid, statuses, [200] * len(paid) + [402] * len(unpaid))
        if status != expected
    ]
    return len(paid), len(unpaid), wrong


def figures(said, moments):
    lost_at = [sum(lost["begun"] <= moment <= lost["ended"] for lost in said.lost) for moment in moments]
    statuses = collections.Counter(answer["status"] for answer in said.answers)
    return {
        "kills under way": sum(lost > 0 for lost in lost_at),
        "payments": len(said.payments),
        "lost": len(said.lost),
        "settled in books": len(said.settled),
        "in store": len(said.rows),
        "asked again": sum(payment["settle_asked"] > 1 for payment in said.settled.values()),
        "left": len(said.open),
        "untold": len(said.settled.keys() - {answer["id"] for answer in said.opened}),
        "statuses": dict(sorted(statuses.items())),
    }


def run(binary, kills, seed):
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        log = stack.enter_context((folder / "log").open("a+"))
        try:
            command = ["node", "facilitator.js", "--journal", folder / "journal"]
            facilitator = stack.enter_context(runners.started(command, log, HERE))["url"]
            upstream = stack.enter_context(runners.started(["node", "upstream.js"], log, HERE))["url"]
            server = Gateway(binary, folder, {"facilitator": facilitator, "upstream": upstream}, log)
            stack.callback(server.end)
            # The terms are learned from one that lives.
            server.start()
            server.wait_until_ready()
            payers = Payers(f"http://127.0.0.1:{server.port}", folder / "answers", log)
            stack.callback(payers.end)
            server.kill()

            begun = time.monotonic()
            moments = kill_again_and_again(server, facilitator, kills, chance)
            killing = time.monotonic() - begun
            payers.ask({"stop": True})
            post_json(f"{facilitator}/behave", {"reset": True})
            server.start(settle_timeout="25s")
            server.wait_until_ready()
            slow = {"act": "honest", "delay_ms": OUTLASTING_MS}
            post_json(f"{facilitator}/behave", {"operation": "settle", "behaviours": [slow], "payer": payers.patient})
            begun = time.monotonic()
            outlasting = payers.ask({"pay": True})
            rest, brought = wait_for_rest(folder, payers, begun)

            evidence = lambda: Evidence(  # noqa: E731
                folder, read_json(f"{facilitator}/books"), read_json(f"{upstream}/-/calls")
            )
            returned, strangers, wrong = who_comes_back(payers, evidence())
            gateway.stop(server.process)
            said = evidence()
        except RuntimeError as error:
            log.seek(0)
            print(f"{error}\n{log.read()[-8000:]}", file=sys.stderr)
            return False
        broken = {rule.__name__.replace("_", " "): list(rule(said)) for rule in RULES}
        asked = said.books[outlasting["id"]]["settle_asked"]
        outlasted = (outlasting["status"], asked) == (200, 1)
        broken["a settlement that outlasts its lease is asked for once"] = [] if outlasted else [f"{outlasting}, {asked} times"]
        broken["who paid comes back by signing in, and nobody else"] = wrong
        told = figures(said, moments)
        # A load that is not hit proves nothing.
        broken["the kills hit payments under way"] = [str(told)] if told["kills under way"] * 2 < kills else []
        for rule, cases in broken.items():
            print(f"{'FAILED' if cases else 'ok    '} {rule}{f': {len(cases)} times' if cases else ''}")
            for case in cases[:10]:
                print(f"       {case}")
        print(
            f"crash: {kills} kills in {killing:.0f} s (seed {seed}), {told['kills under way']} of them with payments under way; "
            f"{told['payments']} payments, {told['lost']} answers lost; {told['settled in books']} settled in the books, "
            f"{told['in store']} in the store, {told['asked again']} asked for more than once; {told['left']} forged "
            f"ones left to the operator; {told['untold']} settled "
            f"whose client got no 200, {returned} of them came back by signing in, {strangers} that had not paid did not; "
            f"at rest after {rest:.0f} s, {brought} brought again by "
            f"their clients; answers {told['statuses']}"
        )
        return not any(broken.values())


def main(binary, kills=KILLS, seed=None):
    kills = int(kills)
    good = run(binary, kills, int(seed) if seed else secrets.randbelow(1 << 32))
    print(f"crash: {kills if good else 0} of {kills}")
    return 0 if good else 1


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit("usage: crash.py BINARY [KILLS] [SEED]")
    sys.exit(main(*sys.argv[1:]))
