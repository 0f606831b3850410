"""The Python package `x402` as a client: it pays, signs in and buys a plan, on EVM and on Solana; by HTTP/2 where
the server speaks it.

The server is described by the JSON file that X402_TARGET names; suite.py says what is in it.
"""

import base64
import dataclasses
import datetime
import json
import logging
import os
import pathlib
import secrets
import ssl
import unittest
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

import httpx
from eth_account import Account
from eth_account.messages import encode_defunct
from solders.keypair import Keypair
from x402 import x402Client
from x402.extensions.sign_in_with_x import CreateSIWxClientExtensionOptions, create_siwx_client_extension
from x402.http.clients import x402AsyncTransport
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact import ExactEvmClientScheme
from x402.mechanisms.svm import KeypairSigner
from x402.mechanisms.svm.exact import ExactSvmClientScheme

TARGET = json.loads(pathlib.Path(os.environ["X402_TARGET"]).read_text())
ROUTES = TARGET["routes"]
# Tests run with asyncio's debugging on, which tells of every step that takes long, such as signing.
logging.getLogger("asyncio").setLevel(logging.ERROR)
TLS = ssl.create_default_context(cafile=os.environ["X402_CA"])


class SolanaSigner:
    """What the sign-in extension asks of a Solana wallet."""

    def __init__(self, keypair):
        self.keypair = keypair
        self.public_key = str(keypair.pubkey())

    async def sign_message(self, message):
        return bytes(self.keypair.sign_message(message))


@dataclasses.dataclass(frozen=True)
class Wallet:
    """A new wallet: its address, how it pays, how it signs in, and how it signs a token's message."""

    network: str
    address: str
    scheme: Any
    signer: Any
    label: str
    reference: str
    sign: Callable[[str], str]

    def token(self):
        """A token of an hour, as the SDKs in Python write it: times have microseconds and an offset."""
        now = datetime.datetime.now(datetime.timezone.utc)
        lines = [
            f"{urllib.parse.urlsplit(TARGET['base']).netloc} wants you to sign in with your {self.label} account:",
            *(self.address, "", "Open the API.", ""),
            *(f"URI: {TARGET['base']}", "Version: 1", f"Chain ID: {self.reference}", f"Nonce: {secrets.token_hex(16)}"),
            f"Issued At: {now.isoformat()}",
            f"Expiration Time: {(now + datetime.timedelta(hours=1)).isoformat()}",
        ]
        text = "\n".join(lines)
        return f"SIWX {base64.b64encode(text.encode()).decode()}.{self.sign(text)}"


def evm_wallet():
    account = Account.create()
    scheme = ExactEvmClientScheme(EthAccountSigner(account))

    def sign(text):
        return account.sign_message(encode_defunct(text=text)).signature.to_0x_hex()

    return Wallet(TARGET["networks"]["eip155"], account.address, scheme, account, "Ethereum", "8453", sign)


def solana_wallet():
    keypair = Keypair.from_seed(secrets.token_bytes(32))
    scheme = ExactSvmClientScheme(KeypairSigner(keypair), f"{TARGET['facilitator']}/solana-rpc")

    def sign(text):
        return bytes(keypair.sign_message(text.encode())).hex()

    address = str(keypair.pubkey())
    return Wallet(TARGET["networks"]["solana"], address, scheme, SolanaSigner(keypair), "Solana", "mainnet", sign)


class Recording(httpx.AsyncHTTPTransport):
    """Notes each exchange: the credentials that were sent, and the status."""

    def __init__(self):
        super().__init__(verify=TLS, http2=True)
        self.exchanges = []

    async def handle_async_request(self, request):
        response = await super().handle_async_request(request)
        sent = {name: request.headers.get(name) for name in ("payment-signature", "sign-in-with-x")}
        self.exchanges.append((sent, response.status_code))
        return response


class StockClient:
    """A client of the package that pays with a wallet, and signs in first if told to."""

    def __init__(self, wallet, sign_in=False, spend=None):
        client = x402Client().register(wallet.network, wallet.scheme)
        if spend is not None:
            client.set_spend_controls(spend)
        if sign_in:
            client.register_extension(create_siwx_client_extension(CreateSIWxClientExtensionOptions([wallet.signer])))
        self.transport = Recording()
        self.http = httpx.AsyncClient(transport=x402AsyncTransport(client, self.transport))

    async def ask(self, path, method="GET", **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, TARGET["base"] + path, headers=headers)

    @property
    def statuses(self):
        return [status for _, status in self.transport.exchanges]


async def ask(path, headers):
    """Asks without any wallet."""
    async with httpx.AsyncClient(verify=TLS) as client:
        return await client.get(TARGET["base"] + path, headers=headers)


def control(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(TARGET["facilitator"] + path, data)) as answer:
        return json.load(answer)


def paid_by(wallet):
    """What a wallet has paid, in atomic units, by the facilitator's books."""
    return [paid["amount"] for paid in control("/books")["payments"] if paid["payer"] == wallet.address and paid["settled"]]


def decoded(response, name):
    value = response.headers.get(name)
    return None if value is None else json.loads(base64.b64decode(value))


class Scenarios:
    """What is done on each namespace; `wallet` makes a new one of it."""

    wallet: Callable[[], Wallet]

    def setUp(self):
        control("/behave", {"reset": True})
        control("/repeat", {"answer": "same"})

    def client(self, wallet, **options):
        client = StockClient(wallet, **options)
        self.addAsyncCleanup(client.http.aclose)
        return client

    def assert_paid(self, answer, wallet):
        self.assertEqual((answer.status_code, answer.headers.get("x-upstream")), (200, "1"), answer.text)
        said = decoded(answer, "payment-response")
        self.assertEqual((said["success"], said["payer"], said["network"]), (True, wallet.address, wallet.network))
        self.assertEqual(answer.http_version, {"gateway": "HTTP/2", "reference": "HTTP/1.1"}[TARGET["kind"]])

    def assert_granted(self, answer):
        self.assertEqual((answer.status_code, answer.headers.get("x-upstream")), (200, "1"), answer.text)
        self.assertNotIn("payment-response", answer.headers)

    async def test_pays_for_a_route(self):
        wallet = self.wallet()
        client = self.client(wallet)
        self.assert_paid(await client.ask(ROUTES["paid"]["path"] + "?city=one"), wallet)
        self.assertEqual(client.statuses, [402, 200])
        self.assertEqual(paid_by(wallet), [ROUTES["paid"]["amount"]])

    async def test_comes_back_by_signing_in(self):
        wallet = self.wallet()
        client = self.client(wallet, sign_in=True)
        self.assert_paid(await client.ask(ROUTES["paid"]["path"]), wallet)
        self.assert_granted(await client.ask(ROUTES["paid"]["path"]))
        # A proof that was refused, a payment; then a proof that was enough.
        self.assertEqual(client.statuses, [402, 402, 200, 402, 200])
        self.assertEqual(paid_by(wallet), [ROUTES["paid"]["amount"]])

    async def test_signs_in_where_nobody_pays(self):
        wallet = self.wallet()
        client = self.client(wallet, sign_in=True)
        self.assert_granted(await client.ask(ROUTES["sign_in_only"]["path"]))
        self.assertEqual((client.statuses, paid_by(wallet)), ([402, 200], []))

    async def test_pays_before_a_method_with_effects(self):
        wallet = self.wallet()
        self.assert_paid(await self.client(wallet).ask(ROUTES["order"]["path"], "POST"), wallet)
        self.assertEqual(paid_by(wallet), [ROUTES["order"]["amount"]])

    async def test_finds_a_plan_too_dear_as_it_comes(self):
        wallet = self.wallet()
        with self.assertRaises(Exception) as raised:
            await self.client(wallet).ask(ROUTES["plan"]["path"])
        self.assertIn("spend", str(raised.exception).lower())
        self.assertEqual(paid_by(wallet), [])

    async def test_buys_a_plan_and_opens_it_by_signing_in(self):
        wallet = self.wallet()
        client = self.client(wallet, sign_in=True, spend={"max_amount_per_payment": "$10"})
        self.assert_paid(await client.ask(ROUTES["plan"]["path"]), wallet)
        self.assert_granted(await client.ask(ROUTES["plan"]["path"]))
        self.assertEqual(paid_by(wallet), [ROUTES["plan"]["amount"]])

    @unittest.skipUnless(TARGET["kind"] == "gateway", "the reference has no shop")
    async def test_buys_a_plan_in_the_shop(self):
        wallet = self.wallet()
        client = self.client(wallet, sign_in=True, spend={"max_amount_per_payment": "$10"})
        plan = ROUTES["plan"]
        receipt = await client.ask(f"{ROUTES['shop']['path']}/purchase?plan={plan['name']}")
        self.assertEqual(receipt.status_code, 200, receipt.text)
        self.assertEqual((receipt.json()["plan"], receipt.json()["address"]), (plan["name"], wallet.address))
        self.assert_granted(await client.ask(plan["path"]))

    @unittest.skipUnless(TARGET["kind"] == "gateway", "the reference takes no tokens")
    async def test_opens_a_plan_by_a_token(self):
        wallet = self.wallet()
        plan = ROUTES["plan"]
        token = wallet.token()
        self.assertEqual((await ask(plan["path"], {"authorization": token})).status_code, 402)
        client = self.client(wallet, spend={"max_amount_per_payment": "$10"})
        self.assert_paid(await client.ask(plan["path"]), wallet)
        for _ in range(2):
            self.assert_granted(await ask(plan["path"], {"authorization": token}))

    async def test_is_told_of_a_refused_settlement(self):
        wallet = self.wallet()
        refusal = {"act": "refuse", "reason": "insufficient_funds"}
        control("/behave", {"operation": "settle", "behaviours": [refusal], "times": 1, "payer": wallet.address})
        answer = await self.client(wallet).ask(ROUTES["paid"]["path"])
        said = decoded(answer, "payment-response")
        self.assertEqual((answer.status_code, said["success"], said["errorReason"]), (402, False, "insufficient_funds"))
        self.assertNotIn("the goods", answer.text)
        self.assertNotIn("payment-required", answer.headers)

    async def test_gets_nothing_for_the_same_payment_again(self):
        wallet = self.wallet()
        client = self.client(wallet)
        self.assert_paid(await client.ask(ROUTES["paid"]["path"]), wallet)
        sent, _ = client.transport.exchanges[-1]
        again = await ask(ROUTES["paid"]["path"], {"payment-signature": sent["payment-signature"]})
        # The reference asks the facilitator anew, and passes its refusal on.
        self.assertEqual(again.status_code, {"gateway": 409, "reference": 402}[TARGET["kind"]], again.text)
        self.assertNotIn("the goods", again.text)
        self.assertEqual(paid_by(wallet), [ROUTES["paid"]["amount"]])


class Evm(Scenarios, unittest.IsolatedAsyncioTestCase):
    wallet = staticmethod(evm_wallet)


class Solana(Scenarios, unittest.IsolatedAsyncioTestCase):
    wallet = staticmethod(solana_wallet)
