// The test facilitator keeps its word: it accepts what the stock clients make, refuses each wrong thing by its name,
// moves money once, remembers it through a crash, and misbehaves as told.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { Buffer } from 'node:buffer'
import { createHash, randomBytes } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'

import {
  appendTransactionMessageInstructions,
  createKeyPairSignerFromPrivateKeyBytes,
  createTransactionMessage,
  getBase64EncodedWireTransaction,
  partiallySignTransactionMessageWithSigners,
  pipe,
  setTransactionMessageFeePayer,
  setTransactionMessageLifetimeUsingBlockhash,
} from '@solana/kit'
import { ExactEvmScheme } from '@x402/evm/exact/client'
import { UptoEvmScheme } from '@x402/evm/upto/client'
import { ExactSvmScheme } from '@x402/svm/exact/client'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'

import { startFacilitator } from './facilitator/server.js'
import { tokenAccount } from './facilitator/solana.js'

const NETWORK = 'eip155:84532'
const SOLANA = 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1'
const USDC = '0x036CbD53842c5426634e7929541eC2318f3dCF7e'
const USDC_MINT = '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU'
const TOKEN_PROGRAM = 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA'
const BLOCKHASH = '9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin'
const SELLER = '0x209693Bc6afc0C5328bA36FaF03C514EF312287C'
const SOLANA_SELLER = 'EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w'

let facilitator
let feePayer
let facilitatorAddress
before(async () => {
  facilitator = await startFacilitator()
  const { kinds } = await (await fetch(`${facilitator.url}/supported`)).json()
  const kind = (network, scheme) => kinds.find((kind) => kind.network === network && kind.scheme === scheme)
  feePayer = kind(SOLANA, 'exact').extra.feePayer
  facilitatorAddress = kind(NETWORK, 'upto').extra.facilitatorAddress
})
after(() => facilitator.close())
beforeEach(async () => {
  await control('/behave', { reset: true })
  await control('/clock', { now: null })
  await control('/repeat', { answer: 'same' })
})

async function control(path, body, url = facilitator.url) {
  const answer = await fetch(url + path, { method: 'POST', body: JSON.stringify(body) })
  assert.equal(answer.status, 200, await answer.text())
}
const behave = (operation, ...behaviours) => control('/behave', { operation, behaviours, times: 1 })

async function post(path, body, url = facilitator.url) {
  const answer = await fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const text = await answer.text()
  return { status: answer.status, headers: answer.headers, text, json: () => JSON.parse(text) }
}
const verify = async (call) => (await post('/verify', call)).json()
const settle = async (call) => (await post('/settle', call)).json()
const books = async (url = facilitator.url) => (await fetch(`${url}/books`)).json()
const payment = async (payer) => (await books()).payments.find((payment) => payment.payer === payer)

const exact = () => ({
  scheme: 'exact',
  network: NETWORK,
  amount: '10000',
  asset: USDC,
  payTo: SELLER,
  maxTimeoutSeconds: 60,
  extra: { name: 'USDC', version: '2' },
})
const exactSolana = () => ({
  scheme: 'exact',
  network: SOLANA,
  amount: '10000',
  asset: USDC_MINT,
  payTo: SOLANA_SELLER,
  maxTimeoutSeconds: 60,
  extra: { feePayer },
})
const upto = () => ({
  ...exact(),
  scheme: 'upto',
  extra: { name: 'USDC', version: '2', facilitatorAddress, assetTransferMethod: 'permit2' },
})
const exactPermit2 = () => ({ ...exact(), extra: { name: 'USDC', version: '2', assetTransferMethod: 'permit2' } })

/** What a gateway sends for a payment that a stock client made for `requirement`. */
async function call(requirement, signed = requirement) {
  const { payload } = await (await scheme(requirement)).createPaymentPayload(2, signed)
  return { x402Version: 2, paymentPayload: { x402Version: 2, payload, accepted: requirement }, paymentRequirements: requirement }
}

async function scheme({ network, scheme }) {
  if (network.startsWith('solana:')) {
    const signer = await createKeyPairSignerFromPrivateKeyBytes(randomBytes(32))
    return new ExactSvmScheme(signer, { rpcUrl: `${facilitator.url}/solana-rpc` })
  }
  const account = privateKeyToAccount(generatePrivateKey())
  return scheme === 'upto' ? new UptoEvmScheme(account) : new ExactEvmScheme(account)
}

describe('a good payment', () => {
  const kinds = [
    ['exact on EVM, EIP-3009', exact],
    ['exact on EVM, Permit2', exactPermit2],
    ['upto on EVM', upto],
    ['exact on Solana', exactSolana],
  ]
  for (const [name, requirement] of kinds) {
    test(`${name}: verified and settled, and in the books`, async () => {
      const good = await call(requirement())
      const verdict = await verify(good)
      assert.equal(verdict.isValid, true, JSON.stringify(verdict))
      const settlement = await settle(good)
      const { payer } = verdict
      const { network, amount, asset, payTo, scheme } = requirement()
      assert.deepEqual(
        { ...settlement, transaction: typeof settlement.transaction },
        { success: true, payer, transaction: 'string', network, amount },
      )
      const { id, nonce, settled_at, ...entry } = await payment(payer)
      assert.match(id, /^[0-9a-f]{64}$/)
      assert.ok(Date.parse(settled_at) <= Date.now())
      assert.deepEqual(entry, {
        ...{ verify_asked: 1, settle_asked: 1, settled: true, answered: 1, asked_after_answer: 0, asked_at_once: 1, refused: [] },
        ...{ network, scheme, asset, pay_to: payTo, amount, payer, transaction: settlement.transaction },
      })
    })

    test(`${name}: a second settlement moves nothing, and is answered as told`, async () => {
      const good = await call(requirement())
      const first = await settle(good)
      assert.deepEqual(await settle(good), first)
      await control('/repeat', { answer: 'refuse' })
      const refused = await settle(good)
      assert.deepEqual([refused.success, refused.transaction], [false, ''])
      assert.match(refused.errorReason, /nonce|duplicate/)
      assert.equal((await verify(good)).isValid, false)
      const { settled, settle_asked, answered, asked_after_answer, asked_at_once } = await payment(first.payer)
      assert.deepEqual(
        { settled, settle_asked, answered, asked_after_answer, asked_at_once },
        { settled: true, settle_asked: 3, answered: 2, asked_after_answer: 2, asked_at_once: 1 },
      )
    })
  }

  test('upto settles for less than was permitted, and no more', async () => {
    const good = await call(upto())
    const charge = (amount) => ({ ...good, paymentRequirements: { ...upto(), amount } })
    assert.equal((await settle(charge('10001'))).errorReason, 'permit2_amount_mismatch')
    const { success, amount, payer } = await settle(charge('2500'))
    assert.deepEqual({ success, amount }, { success: true, amount: '2500' })
    assert.equal((await payment(payer)).amount, '2500')
  })

  test('its id is made of what was authorised, and nothing else', async () => {
    const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest('hex')
    const evm = await call(exact())
    const { from, nonce } = evm.paymentPayload.payload.authorization
    await verify(evm)
    assert.equal((await payment(from)).id, sha256(`${NETWORK}|${USDC}|${from}|${nonce}`.toLowerCase()))
    const solana = await call(exactSolana())
    const { payer } = await verify(solana)
    // One length byte and two signatures come before the message.
    const message = Buffer.from(solana.paymentPayload.payload.transaction, 'base64').subarray(1 + 2 * 64)
    assert.equal((await payment(payer)).id, sha256(`${SOLANA}|`, message))
  })

  test('another spelling of the signature is the same payment', async () => {
    const good = await call(exact())
    const first = await settle(good)
    const { payload } = good.paymentPayload
    payload.signature = `0x${payload.signature.slice(2).toUpperCase()}`
    payload.authorization.from = payload.authorization.from.toLowerCase()
    assert.deepEqual(await settle(good), first)
    assert.equal((await payment(first.payer)).settle_asked, 2)
  })
})

const authorization = (changes) => (call) => Object.assign(call.paymentPayload.payload.authorization, changes)
const permitted = (changes) => (call) => Object.assign(call.paymentPayload.payload.permit2Authorization.permitted, changes)
const witness = (changes) => (call) => Object.assign(call.paymentPayload.payload.permit2Authorization.witness, changes)
const permit = (changes) => (call) => Object.assign(call.paymentPayload.payload.permit2Authorization, changes)
const signature = (change) => (call) => (call.paymentPayload.payload.signature = change(call.paymentPayload.payload.signature))
const all =
  (...changes) =>
  (call) =>
    changes.forEach((change) => change(call))
const terms = (changes) => (call) => (call.paymentRequirements = { ...call.paymentRequirements, ...changes })
const OTHER = '0x1C5A77d9FA7eF466951B2F01F724BCa3A5820b63'
const OTHER_SOLANA = 'Bow1CGKGDB9mNxeWdw85E2aCthQ1oZX4oFEe7fYT17ew'
const now = () => Math.floor(Date.now() / 1000)

describe('a wrong payment is refused by both operations', () => {
  // A name, the terms, what is changed after signing, and the reason.
  const rows = [
    ['version 1', exact, (call) => (call.x402Version = 1), 'invalid_x402_version'],
    ['payload of version 1', exact, (call) => (call.paymentPayload.x402Version = 1), 'invalid_x402_version'],
    ['no terms', exact, (call) => delete call.paymentRequirements, 'invalid_payload'],
    ['no payload', exact, (call) => delete call.paymentPayload.payload, 'invalid_payload'],
    ['accepted under another network', exact, terms({ network: 'eip155:1' }), 'invalid_payload'],
    [
      'a scheme that is not here',
      exact,
      (call) => Object.assign(call.paymentPayload.accepted, { scheme: 'deferred' }),
      'unsupported_scheme',
    ],
    ['a signature of another key', exact, authorization({ from: OTHER }), 'invalid_exact_evm_signature'],
    ['a nonce that was not signed', exact, authorization({ nonce: `0x${'00'.repeat(32)}` }), 'invalid_exact_evm_signature'],
    ['an amount below the price', exact, terms({ amount: '10001' }), 'invalid_exact_evm_payload_authorization_value_mismatch'],
    ['an amount above the price', exact, terms({ amount: '9999' }), 'invalid_exact_evm_payload_authorization_value_mismatch'],
    [
      'an amount raised after signing',
      exact,
      all(terms({ amount: '20000' }), authorization({ value: '20000' })),
      'invalid_exact_evm_signature',
    ],
    ['an amount in hex', exact, authorization({ value: '0x2710' }), 'invalid_payload'],
    ['another recipient', exact, terms({ payTo: OTHER }), 'invalid_exact_evm_recipient_mismatch'],
    [
      'a recipient changed after signing',
      exact,
      all(terms({ payTo: OTHER }), authorization({ to: OTHER })),
      'invalid_exact_evm_signature',
    ],
    ['another token', exact, terms({ asset: OTHER }), 'invalid_exact_evm_signature'],
    ['another token name', exact, terms({ extra: { name: 'USD Coin', version: '2' } }), 'invalid_exact_evm_signature'],
    ['another token version', exact, terms({ extra: { name: 'USDC', version: '1' } }), 'invalid_exact_evm_signature'],
    ['no token name', exact, terms({ extra: {} }), 'missing_eip712_domain'],
    [
      'valid in a minute',
      exact,
      authorization({ validAfter: String(now() + 60) }),
      'invalid_exact_evm_payload_authorization_valid_after',
    ],
    ['a signature cut short', exact, signature((text) => text.slice(0, -2)), 'invalid_exact_evm_signature'],
    ['a signature that is no point', exact, signature(() => `0x${'ff'.repeat(65)}`), 'invalid_exact_evm_signature'],
    ['no signature', exact, (call) => delete call.paymentPayload.payload.signature, 'invalid_payload'],
    ['Permit2 without its terms', exactPermit2, (call) => delete call.paymentPayload.payload.permit2Authorization, 'invalid_payload'],
    ['Permit2 of another payer', exactPermit2, permit({ from: OTHER }), 'invalid_permit2_signature'],
    ['Permit2 for another spender', exactPermit2, permit({ spender: OTHER }), 'invalid_permit2_spender'],
    ['Permit2 of less', exactPermit2, terms({ amount: '10001' }), 'permit2_amount_mismatch'],
    ['Permit2 of another token', exactPermit2, terms({ asset: OTHER }), 'permit2_token_mismatch'],
    ['Permit2 for another recipient', exactPermit2, terms({ payTo: OTHER }), 'invalid_permit2_recipient_mismatch'],
    ['upto by another facilitator', upto, witness({ facilitator: OTHER }), 'upto_facilitator_mismatch'],
    ['upto with a deadline moved', upto, permit({ deadline: String(now() + 9999) }), 'invalid_permit2_signature'],
    [
      'upto with a permission raised',
      upto,
      all(terms({ amount: '20000' }), permitted({ amount: '20000' })),
      'invalid_permit2_signature',
    ],
    [
      'Solana: not a transaction',
      exactSolana,
      (call) => (call.paymentPayload.payload.transaction = 'AAAA'),
      'invalid_exact_svm_payload_transaction',
    ],
    ['Solana: no transaction', exactSolana, (call) => delete call.paymentPayload.payload.transaction, 'invalid_payload'],
    [
      'Solana: a byte left over',
      exactSolana,
      (call) => bytes(call, (bytes) => Buffer.concat([bytes, Buffer.alloc(1)])),
      'invalid_exact_svm_payload_transaction',
    ],
    [
      'Solana: the payer has not signed',
      exactSolana,
      (call) => bytes(call, (bytes) => bytes.fill(0, 65, 129)),
      'invalid_exact_svm_payload_transaction',
    ],
    [
      'Solana: a bit of the signature',
      exactSolana,
      (call) => bytes(call, (bytes) => ((bytes[70] ^= 1), bytes)),
      'invalid_exact_svm_payload_transaction',
    ],
    [
      'Solana: a bit of the memo',
      exactSolana,
      (call) => bytes(call, (bytes) => ((bytes[bytes.length - 3] ^= 1), bytes)),
      'invalid_exact_svm_payload_transaction',
    ],
    ['Solana: an amount below the price', exactSolana, terms({ amount: '10001' }), 'invalid_exact_svm_payload_amount_mismatch'],
    ['Solana: an amount above the price', exactSolana, terms({ amount: '9999' }), 'invalid_exact_svm_payload_amount_mismatch'],
    ['Solana: another recipient', exactSolana, terms({ payTo: OTHER_SOLANA }), 'invalid_exact_svm_payload_recipient_mismatch'],
    ['Solana: another mint', exactSolana, terms({ asset: OTHER_SOLANA }), 'invalid_exact_svm_payload_mint_mismatch'],
  ]
  for (const [name, requirement, change, reason] of rows) {
    test(name, async () => {
      const wrong = structuredClone(await call(requirement()))
      change(wrong)
      const before = (await books()).totals.settled
      const { isValid, invalidReason } = await verify(wrong)
      assert.deepEqual({ isValid, invalidReason }, { isValid: false, invalidReason: reason })
      const { success, errorReason, transaction } = await settle(wrong)
      assert.deepEqual({ success, errorReason, transaction }, { success: false, errorReason: reason, transaction: '' })
      assert.equal((await books()).totals.settled, before)
    })
  }

  test('Solana: another fee payer', async () => {
    const wrong = await call(exactSolana(), { ...exactSolana(), extra: { feePayer: OTHER_SOLANA } })
    assert.equal((await verify(wrong)).invalidReason, 'fee_payer_mismatch')
  })

  test('the clock decides, to the second', async () => {
    const good = await call(exact())
    const { validBefore } = good.paymentPayload.payload.authorization
    await control('/clock', { now: Number(validBefore) - 1 })
    assert.equal((await verify(good)).isValid, true)
    await control('/clock', { now: Number(validBefore) })
    assert.equal((await verify(good)).invalidReason, 'invalid_exact_evm_payload_authorization_valid_before')
    const permitted = await call(upto())
    const { deadline } = permitted.paymentPayload.payload.permit2Authorization
    await control('/clock', { now: Number(deadline) })
    assert.equal((await verify(permitted)).invalidReason, 'permit2_deadline_expired')
  })
})

/** Changes the bytes of a Solana transaction. */
function bytes(call, change) {
  const { payload } = call.paymentPayload
  payload.transaction = Buffer.from(change(Buffer.from(payload.transaction, 'base64'))).toString('base64')
}

describe('a Solana transaction that does something else is refused', () => {
  const READONLY = 0
  const WRITABLE = 1
  const SIGNER = 2
  const transfer = async (payer, changes = {}) => {
    const data = Buffer.alloc(10)
    data[0] = changes.instruction ?? 12
    data.writeBigUInt64LE(10000n, 1)
    data[9] = 6
    const account = async (owner) => ({ address: await tokenAccount(owner, TOKEN_PROGRAM, USDC_MINT), role: WRITABLE })
    return {
      programAddress: changes.program ?? TOKEN_PROGRAM,
      accounts: [
        await account(changes.from ?? payer.address),
        { address: USDC_MINT, role: READONLY },
        await account(SOLANA_SELLER),
        { address: payer.address, role: SIGNER, signer: payer },
      ],
      data,
    }
  }
  const toFeePayer = async (payer) => {
    const instruction = await transfer(payer)
    return { ...instruction, accounts: [...instruction.accounts, { address: feePayer, role: WRITABLE }] }
  }
  const rows = [
    ['a good one by hand', async (payer) => [await transfer(payer)], null],
    ['two transfers', async (payer) => [await transfer(payer), await transfer(payer)], /one transfer, found 2/],
    [
      'no transfer',
      async (payer) => [
        { programAddress: TOKEN_PROGRAM, accounts: [{ address: payer.address, role: SIGNER, signer: payer }], data: Buffer.from([9]) },
      ],
      /TransferChecked/,
    ],
    ['a plain transfer', async (payer) => [await transfer(payer, { instruction: 3 })], /TransferChecked/],
    ["somebody else's tokens", async (payer) => [await transfer(payer, { from: OTHER_SOLANA })], /takes from/],
    [
      'another program',
      async (payer) => [await transfer(payer), await transfer(payer, { program: '11111111111111111111111111111111' })],
      /calls 1111/,
    ],
    ['the fee payer in an instruction', async (payer) => [await toFeePayer(payer)], /fee payer/],
  ]
  for (const [name, instructions, message] of rows) {
    test(name, async () => {
      const payer = await createKeyPairSignerFromPrivateKeyBytes(randomBytes(32))
      const said = pipe(
        createTransactionMessage({ version: 0 }),
        (said) => setTransactionMessageFeePayer(feePayer, said),
        (said) => setTransactionMessageLifetimeUsingBlockhash({ blockhash: BLOCKHASH, lastValidBlockHeight: 1000n }, said),
      )
      const whole = appendTransactionMessageInstructions(await instructions(payer), said)
      const transaction = getBase64EncodedWireTransaction(await partiallySignTransactionMessageWithSigners(whole))
      const accepted = exactSolana()
      const { isValid, invalidReason, invalidMessage } = await verify({
        ...{ x402Version: 2, paymentRequirements: accepted },
        paymentPayload: { x402Version: 2, accepted, payload: { transaction } },
      })
      if (message === null) {
        assert.equal(isValid, true, invalidMessage)
        return
      }
      assert.deepEqual({ isValid, invalidReason }, { isValid: false, invalidReason: 'invalid_exact_svm_payload_transaction' })
      assert.match(invalidMessage, message)
    })
  }
})

describe('it misbehaves as told', () => {
  /** Asks on a connection of its own, and says how it ended. */
  const ask = (path, body, timeout = 300) =>
    new Promise((resolve) => {
      const request = http.request(facilitator.url + path, { method: 'POST', agent: false, timeout }, (response) => {
        response.resume()
        response.on('end', () => resolve('answered'))
      })
      request.on('timeout', () => request.destroy(new Error('no answer')))
      request.on('error', (error) => resolve(error.message === 'no answer' ? 'no answer' : 'dropped'))
      request.end(JSON.stringify(body))
    })

  test('refuses with a reason and a status', async () => {
    const good = await call(exact())
    await behave('verify', { act: 'refuse', reason: 'insufficient_funds', message: 'balance too low', status: 400 })
    const refused = await post('/verify', good)
    assert.deepEqual(
      [refused.status, refused.json().invalidReason, refused.json().invalidMessage],
      [400, 'insufficient_funds', 'balance too low'],
    )
    await behave('settle', { act: 'refuse', reason: 'insufficient_funds' })
    assert.equal((await settle(good)).errorReason, 'insufficient_funds')
    assert.equal((await settle(good)).success, true, 'told for one call')
  })

  test('hangs, and drops before and after reading: nothing is settled', async () => {
    for (const [behaviour, outcome] of [
      [{ act: 'hang' }, 'no answer'],
      [{ act: 'drop', when: 'before-reading' }, 'dropped'],
      [{ act: 'drop', when: 'after-reading' }, 'dropped'],
    ]) {
      const good = await call(exact())
      await behave('settle', behaviour)
      assert.equal(await ask('/settle', good), outcome, JSON.stringify(behaviour))
      const entry = await payment(good.paymentPayload.payload.authorization.from)
      assert.equal(entry?.settled ?? false, false, JSON.stringify(behaviour))
    }
  })

  test('settles and drops: the payment is in its books, and no answer left', async () => {
    const good = await call(exact())
    await behave('settle', { act: 'drop', when: 'after-settling' })
    assert.equal(await ask('/settle', good), 'dropped')
    const { settled, answered, asked_after_answer } = await payment(good.paymentPayload.payload.authorization.from)
    assert.deepEqual({ settled, answered, asked_after_answer }, { settled: true, answered: 0, asked_after_answer: 0 })
    assert.equal((await settle(good)).success, true)
    assert.equal((await books()).totals.settled_unanswered, 0)
  })

  test('says pending, with and without a transaction, and settles later', async () => {
    const good = await call(exact())
    await behave('settle', { act: 'pending' }, { act: 'pending', transaction: false, status: 409 })
    const { success, errorReason, transaction } = await settle(good)
    assert.deepEqual([success, errorReason], [false, 'settlement_pending'])
    const without = await post('/settle', good)
    assert.deepEqual([without.status, without.json().transaction], [409, ''])
    const done = await settle(good)
    assert.deepEqual([done.success, done.transaction], [true, transaction])
  })

  test('talks nonsense of every kind', async () => {
    const good = await call(exact())
    for (const [kind, fits] of Object.entries({
      html: (text) => text.startsWith('<!doctype html>'),
      text: (text) => text === 'OK',
      shape: (text) => JSON.parse(text).isValid === 'true',
      null: (text) => text === 'null',
      empty: (text) => text === '',
      truncated: (text) => !text.endsWith('}'),
      megabytes: (text) => text.length > 8 << 20,
    })) {
      await behave('verify', { act: 'nonsense', kind, status: 200 })
      const { status, text } = await post('/verify', good)
      assert.equal(status, 200)
      assert.ok(fits(text), kind)
    }
  })

  test('is busy, fails, and settles before it fails', async () => {
    const good = await call(exact())
    await behave('supported', { act: 'busy', retry_after: 7 })
    const busy = await fetch(`${facilitator.url}/supported`)
    assert.deepEqual([busy.status, busy.headers.get('retry-after')], [429, '7'])
    await behave('settle', { act: 'fault', status: 503 }, { act: 'fault', settles: true })
    const { from } = good.paymentPayload.payload.authorization
    assert.equal((await post('/settle', good)).status, 503)
    assert.equal((await payment(from)).settled, false)
    assert.equal((await post('/settle', good)).status, 500)
    assert.equal((await payment(from)).settled, true)
  })

  test('names another payer or network, or none', async () => {
    const good = await call(exact())
    await behave('verify', { act: 'lie', payer: OTHER })
    assert.deepEqual(await verify(good), { isValid: true, payer: OTHER })
    await behave('settle', { act: 'lie', network: 'eip155:1', omit: ['payer'], add: { extra: null } })
    const { network, payer, extra, success } = await settle(good)
    assert.deepEqual({ network, payer, extra, success }, { network: 'eip155:1', payer: undefined, extra: null, success: true })
  })

  test('takes its time, and counts what is asked at once', async () => {
    const good = await call(exact())
    await control('/behave', { operation: 'settle', behaviours: [{ act: 'honest', delay_ms: 50 }], times: 3 })
    const begun = performance.now()
    const answers = await Promise.all([settle(good), settle(good), settle(good)])
    assert.ok(performance.now() - begun >= 49)
    assert.deepEqual(
      answers.map(({ success }) => success),
      [true, true, true],
    )
    assert.equal((await payment(answers[0].payer)).asked_at_once, 3)
  })

  test('treats one payer so, and others honestly', async () => {
    const [one, other] = [await call(exactSolana()), await call(exactSolana())]
    const { payer } = await verify(one)
    await control('/behave', { operation: 'settle', behaviours: [{ act: 'refuse', reason: 'insufficient_funds' }], times: 1, payer })
    assert.equal((await settle(other)).success, true)
    assert.equal((await settle(one)).errorReason, 'insufficient_funds')
    assert.equal((await settle(one)).success, true)
  })

  test('refuses to be told what it does not know', async () => {
    for (const wrong of [
      { operation: 'refund', behaviours: [] },
      { operation: 'settle', behaviours: [{ act: 'vanish' }] },
      { operation: 'settle', behaviours: [{ act: 'drop', when: 'later' }] },
      { operation: 'settle', behaviours: [{ act: 'drop', when: 'before-reading' }], payer: OTHER },
      { operation: 'settle', behaviours: [{ act: 'nonsense', kind: 'poem' }] },
      { operation: 'settle' },
    ]) {
      assert.equal((await post('/behave', wrong)).status, 400, JSON.stringify(wrong))
    }
    assert.equal((await post('/nowhere', {})).status, 404)
    assert.equal((await post('/verify', [])).status, 400)
  })
})

describe('its books outlive it', () => {
  const start = (journal) =>
    new Promise((resolve, reject) => {
      const process = spawn('node', ['facilitator.js', '--journal', journal], {
        cwd: import.meta.dirname,
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      process.stdout.once('data', (line) => resolve({ process, url: JSON.parse(line).url }))
      process.once('error', reject)
    })
  const ended = (process, signal) =>
    new Promise((resolve) => {
      process.once('exit', (code) => resolve(code))
      process.kill(signal)
    })

  test('killed after settling and before answering, with a torn last line', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'facilitator-'))
    const journal = path.join(folder, 'journal')
    try {
      const good = await call(exact())
      const first = await start(journal)
      await control('/behave', { operation: 'settle', behaviours: [{ act: 'drop', when: 'after-settling' }], times: 1 }, first.url)
      await assert.rejects(post('/settle', good, first.url))
      const known = await books(first.url)
      assert.equal(known.totals.settled, 1)
      await ended(first.process, 'SIGKILL')
      fs.appendFileSync(journal, '{"at":"2026-')

      const second = await start(journal)
      assert.deepEqual(await books(second.url), known)
      assert.equal((await post('/settle', good, second.url)).json().success, true)
      const { totals } = await books(second.url)
      assert.deepEqual(totals, {
        payments: 1,
        settled: 1,
        settled_unanswered: 0,
        settle_asked: 2,
        asked_after_answer: 0,
        asked_at_once: 1,
      })
      assert.equal(await ended(second.process, 'SIGTERM'), 0)
      assert.ok(
        fs
          .readFileSync(journal, 'utf8')
          .split('\n')
          .slice(0, -1)
          .every((line) => JSON.parse(line).at),
      )
    } finally {
      fs.rmSync(folder, { recursive: true })
    }
  })
})
