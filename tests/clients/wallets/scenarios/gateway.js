// What the scenarios share: the gateway, the chains of the node it asks, and what must hold of its answers.
//
// suite.py says where everything is.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import process from 'node:process'

import { ask, authorization, expirationOf, fields } from '../../node/client.js'
import { assertInvalidToken, assertRefused } from '../../node/verdicts.js'
import { Chains } from '../families/evm.js'
import { write } from '../texts.js'

const target = JSON.parse(process.env.WALLETS_TARGET)

export const ETHEREUM = 'eip155:1'
export const BASE = 'eip155:8453'
/** Its door leads to Ethereum. */
export const OPTIMISM = 'eip155:10'
/** Runs no code that is not deployed; the gateway knows a validator that is. */
export const ZKSYNC = 'eip155:324'
/** No node of it is known. */
export const POLYGON = 'eip155:137'

export const chains = new Chains(target.control)

/** How long the gateway keeps what a contract said, in milliseconds: `cache.contracts`. */
export const YES_MILLIS = 2000
export const NO_MILLIS = 1000

/** Time for a request, and for the node to answer, beside what is waited for. */
export const SLACK_MILLIS = 3000

/** The longest that a contract's wallet waits for a verdict, in milliseconds: five seconds, and time to say so. */
export const DEADLINE_MILLIS = 6000

/** An address of loopback that nobody else asks from: budgets are kept by address. */
export const newcomer = () => `127.${[...randomBytes(3)].map((byte) => 1 + (byte % 254)).join('.')}`

/** A text that this wallet might sign; `changes` over what it says. */
export const textFor = (wallet, changes = {}) => write(wallet, fields(changes))

/** Asks with a text and a signature, or with those this wallet makes of them. */
export async function present(wallet, { text = textFor(wallet), signature, path = '/me', from = newcomer() } = {}) {
  const signed = signature ?? (await wallet.sign(text))
  return ask(path, { authorization: authorization(text, signed) }, from)
}

// === the node ===

async function control(path, body) {
  const answer = await fetch(target.control + path, body && { method: 'POST', body: JSON.stringify(body) })
  assert.equal(answer.status, 200, await answer.clone().text())
  return answer.json()
}

/** Everything that the gateway has asked so far. */
export const allCalls = () => control('/calls')

/** How a door of the node behaves from now on. */
export const behave = (door, act) => control('/behave', { door, act })

/** The answer that `run` comes to, and the doors at which the gateway asked for contracts' verdicts meanwhile. */
export async function asking(run) {
  const before = (await allCalls()).length
  const answer = await run()
  const calls = (await allCalls()).slice(before)
  return { answer, asked: calls.filter(({ method }) => method === 'eth_call').map(({ door }) => door) }
}

// === the admin API ===

/** Gives an account a subscription for a day: by its CAIP-10 id that of one chain, by its address alone that of all. */
export async function grant(account) {
  const answer = await fetch(`${target.admin.url}/admin/subscriptions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${target.admin.token}` },
    body: JSON.stringify({ account, plan: 'default', period: '1d' }),
  })
  assert.equal(answer.status, 200, await answer.text())
}

// === what must hold ===

/** Asserts that this wallet was let in, and that the upstream was told of it. */
export function assertSignedIn(answer, { chain, address }, scheme, more = {}) {
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  assert.equal(answer.headers['x-echo'], '1')
  const { 'x-siwx-expires': expires, ...told } = Object.fromEntries(
    Object.entries(answer.body.headers).filter(([name]) => name.startsWith('x-siwx-')),
  )
  assert.deepEqual(told, {
    'x-siwx-account': [`${chain}:${address}`],
    'x-siwx-address': [address],
    'x-siwx-chain': [chain],
    'x-siwx-scheme': [scheme],
    ...more,
  })
  if (answer.sent !== undefined) assert.deepEqual(expires, [expirationOf(answer.sent)])
  assert.equal(answer.body.headers.authorization, undefined, 'the credential stays at the gateway')
}

/** Asserts that a signature was refused. */
export const assertBadSignature = (answer) => assertInvalidToken(answer, 'bad_signature')

/** Asserts that nobody could say whether a signature is good, and that trying again makes sense. */
export function assertUnavailable(answer) {
  assertRefused(answer, 503, 'verifier_unavailable')
  assert.match(answer.headers['retry-after'] ?? '', /^[1-9][0-9]*$/)
}

/** Asks until the answer is one that is waited for, for so long at most; returns it. */
export async function until(wanted, millis, run) {
  const end = Date.now() + millis
  for (;;) {
    const answer = await run()
    if (wanted(answer)) return answer
    assert.ok(Date.now() < end, `waited for ${millis} ms, and the answer is still ${answer.status}`)
  }
}

/** The milliseconds that `run` took, with its result. */
export async function timed(run) {
  const begun = Date.now()
  const answer = await run()
  return { answer, millis: Date.now() - begun }
}
