// What the scenarios share: the server that is tried, wallets, the stock clients made with them, and the books.
//
// The server is described by the JSON file that X402_TARGET names; suite.py says what is in it.

import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { beforeEach, test } from 'node:test'

import { createKeyPairSignerFromPrivateKeyBytes, getBase58Decoder } from '@solana/kit'
import { decodePaymentRequiredHeader, decodePaymentResponseHeader } from '@x402/core/http'
import { ExactEvmScheme } from '@x402/evm/exact/client'
import { UptoEvmScheme } from '@x402/evm/upto/client'
import { createSIWxClientExtension } from '@x402/extensions/sign-in-with-x'
import { wrapFetchWithPayment, x402Client } from '@x402/fetch'
import { ExactSvmScheme } from '@x402/svm/exact/client'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { createSiweMessage } from 'viem/siwe'

export const target = JSON.parse(readFileSync(process.env.X402_TARGET, 'utf8'))
export const { routes } = target

/** One of the answers, by the server that is tried. */
export const answerOf = (answers) => answers[target.kind]

/** A scenario for every server, or with a reason for the gateway alone. */
export function scenario(name, ...rest) {
  const run = rest.pop()
  const [{ gatewayOnly = null } = {}] = rest
  const skip = gatewayOnly !== null && target.kind !== 'gateway' ? `the reference ${gatewayOnly}` : false
  test(name, { skip }, run)
}

/** Makes the facilitator honest before each scenario of a file. */
export function honestFacilitator() {
  beforeEach(async () => {
    await control('/behave', { reset: true })
    await control('/repeat', { answer: 'same' })
  })
}

async function control(path, body) {
  const answer = await fetch(target.facilitator + path, { method: 'POST', body: JSON.stringify(body) })
  assert.equal(answer.status, 200, await answer.text())
}

/** Tells the facilitator how to behave, in each of the next calls of an operation for this wallet. */
export function behave(operation, wallet, ...behaviours) {
  // Before reading it cannot know the wallet.
  const payer = behaviours.some(({ when }) => when === 'before-reading') ? null : wallet.address
  return control('/behave', { operation, behaviours, times: 1, payer })
}
export const repeat = (answer) => control('/repeat', { answer })

/** The facilitator's books about one wallet. */
export async function booksOf(wallet) {
  const { payments } = await (await fetch(`${target.facilitator}/books`)).json()
  return payments.filter(({ payer }) => payer === wallet.address)
}

/** What a wallet has paid, in atomic units. */
export const paidBy = async (wallet) => (await booksOf(wallet)).filter(({ settled }) => settled).map(({ amount }) => amount)

/**
 * How many calls `run` caused: of verify and settle at the facilitator, and of one request at the service behind.
 * Settlements are counted for this wallet: a gateway asks again by itself for what other scenarios left unknown.
 */
export async function countCalls(name, wallet, run) {
  const before = await allCalls(name, wallet)
  const result = await run()
  const after = await allCalls(name, wallet)
  return { result, calls: Object.fromEntries(Object.keys(after).map((kind) => [kind, after[kind] - before[kind]])) }
}

async function allCalls(name, wallet) {
  const { calls, payments } = await (await fetch(`${target.facilitator}/books`)).json()
  const upstream = await (await fetch(`${target.upstream}/-/calls`)).json()
  const settle = payments.filter(({ payer }) => payer === wallet?.address).reduce((sum, { settle_asked }) => sum + settle_asked, 0)
  return { verify: calls.verify, settle, upstream: upstream[name] ?? 0 }
}

// === wallets ===

/** A new wallet of each namespace, with a name for the scenario's title. */
export const namespaces = [
  { title: 'EVM', namespace: 'eip155', wallet: evmWallet },
  { title: 'Solana', namespace: 'solana', wallet: solanaWallet },
]

async function evmWallet() {
  const signer = privateKeyToAccount(generatePrivateKey())
  const { address } = signer
  return {
    ...{ namespace: 'eip155', network: target.networks.eip155, chain: 'evm', address, signer },
    scheme: new ExactEvmScheme(signer),
    token: async (changes = {}) => {
      const text = createSiweMessage({ ...said(changes), address, version: '1', chainId: 84532 })
      return token(text, await signer.signMessage({ message: text }))
    },
  }
}

async function solanaWallet() {
  const signer = await createKeyPairSignerFromPrivateKeyBytes(randomBytes(32))
  const { address } = signer
  return {
    ...{ namespace: 'solana', network: target.networks.solana, chain: 'solana', address, signer },
    scheme: new ExactSvmScheme(signer, { rpcUrl: `${target.facilitator}/solana-rpc` }),
    token: async (changes = {}) => {
      const text = solanaText(address, said(changes))
      const [signatures] = await signer.signMessages([{ content: new TextEncoder().encode(text), signatures: {} }])
      return token(text, getBase58Decoder().decode(signatures[address]))
    },
  }
}

/** What a token of an hour says. */
function said(changes) {
  const now = Date.now()
  return {
    domain: new URL(target.base).host,
    uri: target.base,
    statement: 'Open the API.',
    nonce: randomBytes(16).toString('hex'),
    issuedAt: new Date(now - 1000),
    expirationTime: new Date(now + 3600_000),
    ...changes,
  }
}

/** A token's message for Solana, in the words of the SDKs that sell x402 plans. */
function solanaText(address, { domain, uri, statement, nonce, issuedAt, expirationTime }) {
  const lines = [
    `${domain} wants you to sign in with your Solana account:`,
    ...[address, '', statement, ''],
    ...[`URI: ${uri}`, 'Version: 1', 'Chain ID: mainnet', `Nonce: ${nonce}`, `Issued At: ${issuedAt.toISOString()}`],
    `Expiration Time: ${expirationTime.toISOString()}`,
  ]
  return lines.join('\n')
}

const token = (text, signature) => `SIWX ${Buffer.from(text).toString('base64')}.${signature}`

// === clients ===

/**
 * A stock client that pays with this wallet, and signs in first if `signIn`. `spend` is what its spend controls allow;
 * without it they are the package's own. `exchanges` lists what it sent and got.
 */
export function payingClient(wallet, { signIn = false, spend = null, scheme = wallet.scheme } = {}) {
  const client = new x402Client().register(wallet.network, scheme)
  if (spend !== null) client.setSpendControls(spend)
  if (signIn) client.registerExtension(createSIWxClientExtension({ signers: [wallet.signer] }))
  const { exchanges, recordingFetch } = recording()
  const pay = wrapFetchWithPayment(recordingFetch, client)
  return { exchanges, fetch: async (path, init) => read(await pay(target.base + path, init)) }
}

/** The same, for what `upto` offers. */
export const uptoClient = (wallet) => payingClient(wallet, { scheme: new UptoEvmScheme(wallet.signer) })

/** A `fetch` that notes each exchange: the request's credentials and the status. */
export function recording() {
  const exchanges = []
  const recordingFetch = async (input, init) => {
    const request = new Request(input, init)
    const response = await fetch(request)
    exchanges.push({
      signature: request.headers.get('payment-signature'),
      proof: request.headers.get('sign-in-with-x'),
      status: response.status,
    })
    return response
  }
  return { exchanges, recordingFetch }
}

/** Asks without any wallet. */
export const ask = async (path, headers = {}, method = 'GET') => read(await fetch(target.base + path, { method, headers }))

/** An answer, read whole and decoded. */
export async function read(response) {
  const text = await response.text()
  const { headers, status } = response
  const required = headers.get('payment-required')
  const paid = headers.get('payment-response')
  return {
    status,
    headers,
    text,
    body: /json/.test(headers.get('content-type') ?? '') && text !== '' ? JSON.parse(text) : null,
    fromUpstream: headers.get('x-upstream') === '1',
    required: required && decodePaymentRequiredHeader(required),
    paid: paid && decodePaymentResponseHeader(paid),
  }
}

/** A payment for a route as the client sends it, taken from a client that paid, or was refused. */
export const paymentOf = (client) => client.exchanges.findLast(({ signature }) => signature !== null).signature

/** Pays once, and returns the client and the answer. */
export async function pays(wallet, route, { method = 'GET', headers = {}, ...options } = {}) {
  const client = payingClient(wallet, options)
  return { client, answer: await client.fetch(route.path, { method, headers }) }
}

// === what must hold ===

/** Asserts an answer of the upstream that was paid for by this wallet. */
export function assertPaid(answer, wallet) {
  assert.equal(answer.status, 200, answer.text)
  assert.ok(answer.fromUpstream, 'expected the answer of the upstream')
  const { success, payer, network, transaction } = answer.paid
  assert.deepEqual({ success, payer, network }, { success: true, payer: wallet.address, network: wallet.network })
  assert.notEqual(transaction, '')
  assert.match(answer.headers.get('cache-control'), /\bprivate\b/)
  assertNothingForwarded(answer)
}

/** Asserts that access was granted without a payment. */
export function assertGranted(answer) {
  assert.equal(answer.status, 200, answer.text)
  assert.ok(answer.fromUpstream, 'expected the answer of the upstream')
  assert.equal(answer.paid, null, 'expected no payment')
  if (target.kind === 'gateway') assertNothingForwarded(answer)
}

/** The credentials that paid or signed in stay at the gateway; the middleware is inside the application and hides none. */
function assertNothingForwarded(answer) {
  if (target.kind !== 'gateway') return
  const names = ['payment-signature', 'sign-in-with-x', 'x-payment', 'authorization'].filter((name) => name in answer.body.headers)
  assert.deepEqual(names, [])
}

/** Asserts the challenge, with a byte of the upstream nowhere. */
export function assertChallenged(answer) {
  assert.equal(answer.status, 402, answer.text)
  assertNoGoods(answer)
  assert.equal(answer.headers.get('cache-control'), 'no-store')
  assert.equal(answer.required?.x402Version, 2)
  assert.equal(answer.paid, null)
}

/** Asserts that nothing of the upstream reached the client. The reference lets headers pass that its handler set. */
export function assertNoGoods(answer) {
  assert.ok(!answer.text.includes('the goods'), `expected nothing of the upstream, found ${answer.text}`)
  if (target.kind === 'gateway') assert.ok(!answer.fromUpstream, 'expected no header of the upstream')
}
