// Contracts on routes for x402: they prove themselves by `SIGN-IN-WITH-X`, as the published package writes it, and what
// was paid on a chain is theirs on that chain.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'

import { decodePaymentRequiredHeader, encodePaymentSignatureHeader } from '@x402/core/http'
import { x402Client } from '@x402/core/client'
import { ExactEvmScheme } from '@x402/evm/exact/client'
import { createSIWxPayload, encodeSIWxHeader } from '@x402/extensions/sign-in-with-x'

import { ask, url } from '../../node/client.js'
import { newKey, wrap } from '../families/evm.js'
import {
  assertSignedIn,
  assertUnavailable,
  asking,
  BASE,
  behave,
  chains,
  ETHEREUM,
  newcomer,
  NO_MILLIS,
  SLACK_MILLIS,
  until,
} from './gateway.js'

const MEMBERS = '/members'
const PAID = '/paid'

/** The challenge of a route, as the package reads it. */
async function challengeOf(path) {
  const answer = await ask(path, {}, newcomer())
  assert.equal(answer.status, 402, JSON.stringify(answer.body))
  return decodePaymentRequiredHeader(answer.headers['payment-required'])
}

/** What this wallet signs to come in at a route: a proof over a nonce that was issued for it. */
async function proofOf(wallet, path, changes = {}) {
  const { info, supportedChains } = (await challengeOf(path)).extensions['sign-in-with-x']
  const offered = supportedChains.find(({ chainId }) => chainId === wallet.chain)
  assert.ok(offered, `expected an invitation to sign in on ${wallet.chain}`)
  const signer = { address: wallet.address, signMessage: ({ message }) => wallet.sign(message) }
  return encodeSIWxHeader({ ...(await createSIWxPayload({ ...info, ...offered }, signer, url + path)), ...changes })
}

const enter = (path, proof) => ask(path, { 'sign-in-with-x': proof }, newcomer())

/** Signs a proof and comes in with it. */
const signIn = async (wallet, path) => enter(path, await proofOf(wallet, path))

/** Pays for a route on Base. Wallets that are contracts pay as their account, with what their owner signed. */
async function pay({ address, signTypedData }, path) {
  const client = new x402Client().register(BASE, new ExactEvmScheme({ address, signTypedData }))
  const signature = encodePaymentSignatureHeader(await client.createPaymentPayload(await challengeOf(path)))
  const answer = await ask(path, { 'payment-signature': signature }, newcomer())
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
}

/** Asserts a refusal of a proof: the challenge again, with the reason. */
function assertRefusedProof(answer, reason) {
  assert.equal(answer.status, 402, JSON.stringify(answer.body))
  assert.equal(answer.headers['x-echo'], undefined)
  assert.deepEqual([answer.body.siwx?.reason], [reason])
}

/** Asserts that whoever came in has paid for nothing here. */
function assertNotPaid(answer) {
  assert.equal(answer.status, 402, JSON.stringify(answer.body))
  assert.equal(answer.headers['x-echo'], undefined)
}

const kinds = [
  { title: 'a contract of one owner', scheme: 'eip1271', make: (chain, more) => chains.owned(chain, more) },
  { title: 'a Safe of two owners', scheme: 'eip1271', make: (chain, more) => chains.multisig(chain, more) },
  { title: 'a contract that is not there yet', scheme: 'eip6492', make: (chain) => chains.counterfactual(chain) },
  { title: 'a key whose account runs code, by the code', scheme: 'eip1271', make: (chain) => chains.delegated(chain) },
]

for (const { title, scheme, make } of kinds) {
  describe(title, () => {
    for (const chain of [ETHEREUM, BASE]) {
      test(`signs in on ${chain}, once with each proof`, async () => {
        const wallet = await make(chain)
        const proof = await proofOf(wallet, MEMBERS)
        const first = await asking(() => enter(MEMBERS, proof))
        assertSignedIn(first.answer, wallet, scheme)
        assert.equal(first.asked.length, 1)
        assertRefusedProof(await enter(MEMBERS, proof), 'invalid_siwx_nonce')
      })
    }

    test('is refused where it is not', async () => {
      const wallet = await make(ETHEREUM)
      assertRefusedProof(await signIn({ ...wallet, chain: BASE }, MEMBERS), 'invalid_siwx_signature')
    })

    test('comes back to what its account has paid for, on the chain it was paid on', async () => {
      const wallet = await make(BASE)
      assertNotPaid(await signIn(wallet, PAID))
      const owner = wallet.owner ?? wallet.owners?.[0] ?? wallet.key
      await pay({ address: wallet.address, signTypedData: (data) => owner.signTypedData(data) }, PAID)
      assert.equal((await signIn(wallet, PAID)).status, 200)
    })
  })
}

describe('a payment on one chain', () => {
  test('opens nothing for a contract of that address on another', async () => {
    const deployer = newKey()
    const here = await chains.owned(BASE, { deployer })
    const there = await chains.owned(ETHEREUM, { deployer })
    assert.equal(here.address, there.address)
    await pay({ address: here.address, signTypedData: (data) => here.owner.signTypedData(data) }, PAID)
    assert.equal((await signIn(here, PAID)).status, 200)
    assertNotPaid(await signIn(there, PAID))
  })

  test('opens the same for its key on another, and nothing for code there', async () => {
    const wallet = await chains.delegated(ETHEREUM)
    await pay(wallet.key, PAID)
    assertNotPaid(await signIn(wallet, PAID))
    assert.equal((await signIn({ ...wallet, sign: wallet.signByKey }, PAID)).status, 200)
    assert.equal((await signIn({ ...wallet, chain: BASE, sign: wallet.signByKey }, PAID)).status, 200)
  })
})

describe('a proof', () => {
  test('that a node could not judge is good when the node is back, and its nonce is not burnt', async () => {
    const wallet = await chains.owned(ETHEREUM)
    const proof = await proofOf(wallet, MEMBERS)
    await behave('ethereum', 'down')
    assertUnavailable(await enter(MEMBERS, proof))
    await behave('ethereum', 'honest')
    assert.equal((await enter(MEMBERS, proof)).status, 200)
  })

  test('that the contract refuses burns nothing', async () => {
    const wallet = await chains.owned(ETHEREUM)
    const next = newKey()
    const proof = await proofOf({ ...wallet, sign: (text) => next.signMessage({ message: text }) }, MEMBERS)
    assertRefusedProof(await enter(MEMBERS, proof), 'invalid_siwx_signature')
    await wallet.handTo(next)
    const refused = ({ body }) => body.siwx?.reason === 'invalid_siwx_signature'
    const answer = await until((answer) => !refused(answer), NO_MILLIS + SLACK_MILLIS, () => enter(MEMBERS, proof))
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
  })

  test('says its scheme to nobody: what it is called changes nothing', async () => {
    const wallet = await chains.owned(ETHEREUM)
    for (const signatureScheme of ['eip191', 'eip1271', 'eip6492']) {
      assert.equal((await enter(MEMBERS, await proofOf(wallet, MEMBERS, { signatureScheme }))).status, 200)
    }
    const key = chains.keyPair(ETHEREUM)
    assert.equal((await enter(MEMBERS, await proofOf(key, MEMBERS, { signatureScheme: 'eip6492' }))).status, 200)
  })

  test('of a key pair, wrapped, is refused', async () => {
    const key = chains.keyPair(ETHEREUM)
    const { make } = await chains.counterfactual(ETHEREUM)
    const sign = async (text) => wrap(make, await key.sign(text))
    assertRefusedProof(await signIn({ ...key, sign }, MEMBERS), 'invalid_siwx_signature')
  })

  test('whose text was changed is refused', async () => {
    const wallet = await chains.owned(ETHEREUM)
    const proof = await proofOf(wallet, MEMBERS, { statement: randomBytes(8).toString('hex') })
    assertRefusedProof(await enter(MEMBERS, proof), 'invalid_siwx_signature')
  })
})
