"""Every wallet library signs as an application would, and the gateway answers as it promises."""

import datetime
import unittest

from eth_account import Account
from eth_account.messages import encode_defunct
from solders.keypair import Keypair

from client import DOMAIN, WALLETS, ask, authorization, from_now, parse_challenge, write

SOLANA_MAINNET = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"


def utc(moment):
    """A moment as `X-SIWX-Expires` writes it."""
    in_utc = moment.astimezone(datetime.timezone.utc)
    return in_utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Refusals:
    """What holds for every token, whichever library signed it."""

    def write(self, wallet, **changes):
        raise NotImplementedError

    def sign(self, wallet, text):
        raise NotImplementedError

    def token(self, wallet, **changes):
        text = self.write(wallet, **changes)
        return authorization(text, self.sign(wallet, text))

    def assert_identified(self, answer, wallet, until, plan):
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.headers["x-echo"], "1")
        told = {name: value for name, value in answer.body["headers"].items() if name.startswith("x-siwx-")}
        expected = {
            "x-siwx-account": [f"{self.chain}:{wallet.address}"],
            "x-siwx-address": [wallet.address],
            "x-siwx-chain": [self.chain],
            "x-siwx-expires": [utc(until)],
            "x-siwx-scheme": [self.scheme],
        }
        self.assertEqual(told, expected | ({"x-siwx-plan": [plan]} if plan else {}))
        self.assertNotIn("authorization", answer.body["headers"])

    def assert_refused(self, answer, status, code):
        self.assertEqual((answer.status, answer.body["code"]), (status, code), answer.body)
        self.assertNotIn("x-echo", answer.headers)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertEqual(answer.body["request_id"], answer.headers["x-request-id"])

    def assert_invalid_token(self, answer, reason):
        self.assert_refused(answer, 401, "invalid_token")
        self.assertEqual((answer.body["error"], answer.body["reason"]), ("invalid_token", reason), answer.body)
        expected = {"scheme": "SIWX", "realm": DOMAIN, "error": "invalid_token", "error_description": reason}
        self.assertEqual(parse_challenge(answer.headers["www-authenticate"]), expected)

    def test_a_subscribed_wallet_is_let_in_and_named(self):
        until = from_now(hours=1)
        token = self.token(self.subscribed, expiration_time=until)
        for asked in ("cold", "warm"):
            with self.subTest(asked):
                self.assert_identified(ask("/v1/data?page=2", token), self.subscribed, until, "default")

    def test_a_wallet_without_a_subscription_is_known_and_refused(self):
        until = from_now(hours=1)
        token = self.token(self.unsubscribed, expiration_time=until)
        self.assert_identified(ask("/me", token), self.unsubscribed, until, None)
        self.assert_refused(ask("/v1/data", token), 403, "subscription_required")

    def test_times_as_other_languages_write_them(self):
        whole = from_now(hours=1).replace(microsecond=0)
        east = whole.astimezone(datetime.timezone(datetime.timedelta(hours=5, minutes=30)))
        rows = (
            ("Python", from_now(hours=1).isoformat()),
            ("Python at a whole second", whole.isoformat()),
            ("Go", whole.isoformat().replace("+00:00", "Z")),
            ("JavaScript", from_now(hours=1).isoformat(timespec="milliseconds").replace("+00:00", "Z")),
            ("a clock east of Greenwich", east.isoformat()),
        )
        for name, text in rows:
            with self.subTest(name):
                until = datetime.datetime.fromisoformat(text)
                answer = ask("/v1/data", self.token(self.subscribed, expiration_time=text))
                self.assert_identified(answer, self.subscribed, until, "default")

    def test_tokens_that_say_something_else_are_refused(self):
        rows = (
            ("another domain", {"domain": "evil.example"}, "domain_mismatch"),
            ("another origin", {"uri": "https://evil.example"}, "uri_mismatch"),
            ("over", {"issued_at": from_now(hours=-1), "expiration_time": from_now(seconds=-1)}, "expired"),
            ("not yet", {"not_before": from_now(hours=1), "expiration_time": from_now(hours=2)}, "not_yet_valid"),
            ("of the future", {"issued_at": from_now(minutes=10)}, "issued_in_future"),
            ("too long", {"expiration_time": from_now(days=8)}, "lifetime_too_long"),
            ("without an end", {"expiration_time": None}, "malformed"),
            ("a nonce of seven", {"nonce": "1234567"}, "malformed"),
        )
        for name, changes, reason in rows:
            with self.subTest(name):
                self.assert_invalid_token(ask("/v1/data", self.token(self.subscribed, **changes)), reason)

    def test_a_signature_of_something_else_is_refused(self):
        text = self.write(self.subscribed)
        other = text.replace("Open the interface.", "Open the interfaces")
        rows = (
            ("of another text", self.sign(self.subscribed, other)),
            ("of another wallet", self.sign(self.unsubscribed, text)),
        )
        for name, signature in rows:
            with self.subTest(name):
                self.assert_invalid_token(ask("/v1/data", authorization(text, signature)), "bad_signature")

    def test_without_a_token_the_challenge_says_what_is_wanted(self):
        answer = ask("/v1/data")
        self.assert_refused(answer, 401, "credential_required")
        self.assertEqual(parse_challenge(answer.headers["www-authenticate"]), {"scheme": "SIWX", "realm": DOMAIN})


class Ethereum(Refusals):
    chain = "eip155:8453"
    scheme = "eip191"
    subscribed = WALLETS["alice"]
    unsubscribed = WALLETS["bob"]

    def write(self, wallet, **changes):
        return write("Ethereum", wallet.address, 8453, **changes)

    def signed(self, wallet, text):
        return Account.sign_message(encode_defunct(text=text), wallet.secret).signature


class EthAccount(Ethereum, unittest.TestCase):
    def sign(self, wallet, text):
        return self.signed(wallet, text).to_0x_hex()


class EthAccountWithoutPrefix(Ethereum, unittest.TestCase):
    """`bytes.hex()` has no `0x`, and is what one writes first."""

    def sign(self, wallet, text):
        return bytes(self.signed(wallet, text)).hex()


class Solana(Refusals):
    # What the message says is `mainnet`; what the upstream reads is the chain's CAIP-2 id.
    chain = SOLANA_MAINNET
    scheme = "ed25519"
    subscribed = WALLETS["carol"]
    unsubscribed = WALLETS["dave"]
    chain_id = "mainnet"

    def write(self, wallet, **changes):
        return write("Solana", wallet.address, self.chain_id, **changes)

    def signed(self, wallet, text):
        return Keypair.from_seed(wallet.secret).sign_message(text.encode())


class SoldersBase58(Solana, unittest.TestCase):
    def sign(self, wallet, text):
        return str(self.signed(wallet, text))


class SoldersHex(Solana, unittest.TestCase):
    def sign(self, wallet, text):
        return bytes(self.signed(wallet, text)).hex()


class SoldersChainAsCaip2(SoldersBase58):
    """Newer wallets write the CAIP-2 id into the message."""

    chain_id = SOLANA_MAINNET


if __name__ == "__main__":
    unittest.main()
