// Payments that fail, and facilitators that fail or lie: nobody gets what was not paid for, nobody is told to pay twice.

import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { describe } from 'node:test'

import {
  answerOf,
  ask,
  assertChallenged,
  assertGranted,
  assertNoGoods,
  assertPaid,
  behave,
  booksOf,
  countCalls,
  honestFacilitator,
  namespaces,
  paidBy,
  payingClient,
  paymentOf,
  pays,
  repeat,
  routes,
  scenario,
  uptoClient,
} from './clients.js'

honestFacilitator()

const OTHER = '0x1C5A77d9FA7eF466951B2F01F724BCa3A5820b63'

/** Asserts that this wallet is not let in by signing in. */
async function assertNotEntitled(wallet) {
  const client = payingClient(wallet, { signIn: true })
  await behave('verify', wallet, { act: 'refuse', reason: 'insufficient_funds' })
  assertChallenged(await client.fetch(routes.paid.path))
}

for (const { title, wallet } of namespaces) {
  describe(`a refused payment on ${title}`, () => {
    scenario('settlement is refused: 402 with the reason, nothing of the upstream, no access', async () => {
      const payer = await wallet()
      await behave('settle', payer, { act: 'refuse', reason: 'insufficient_funds' })
      const { answer } = await pays(payer, routes.paid)
      assert.equal(answer.status, 402, answer.text)
      assertNoGoods(answer)
      assert.deepEqual([answer.required, answer.paid.success, answer.paid.errorReason], [null, false, 'insufficient_funds'])
      assert.equal(answer.headers.get('cache-control'), 'no-store')
      await assertNotEntitled(payer)
    })

    scenario('after a refused settlement the same payment may be tried again', async () => {
      const payer = await wallet()
      await behave('settle', payer, { act: 'refuse', reason: 'insufficient_funds' })
      const { client } = await pays(payer, routes.paid)
      assertPaid(await ask(routes.paid.path, { 'payment-signature': paymentOf(client) }), payer)
    })

    scenario('settlement before is refused: the upstream hears nothing', async () => {
      const payer = await wallet()
      await behave('settle', payer, { act: 'refuse', reason: 'insufficient_funds', status: 400 })
      const { result, calls } = await countCalls(`POST ${routes.order.path}`, payer, () =>
        pays(payer, routes.order, { method: 'POST' }),
      )
      assert.deepEqual([result.answer.status, result.answer.paid.success], [402, false])
      assert.deepEqual(calls, { verify: 0, settle: 1, upstream: 0 })
    })

    scenario('verification is refused: the challenge again, with the reason', async () => {
      const payer = await wallet()
      await behave('verify', payer, { act: 'refuse', reason: 'insufficient_funds', status: 400 })
      const { result, calls } = await countCalls(`GET ${routes.paid.path}`, payer, () => pays(payer, routes.paid))
      assertChallenged(result.answer)
      assert.match(result.answer.required.error, /^insufficient_funds/)
      assert.deepEqual(calls, { verify: 1, settle: 0, upstream: 0 })
    })

    scenario('a signature that was tampered with is refused by the facilitator', async () => {
      const payer = await wallet()
      const { client } = await pays(payer, routes.paid, { headers: { 'x-upstream-status': '500' } })
      const said = JSON.parse(Buffer.from(paymentOf(client), 'base64'))
      tamper(said.payload)
      const answer = await ask(routes.paid.path, { 'payment-signature': Buffer.from(JSON.stringify(said)).toString('base64') })
      assertChallenged(answer)
      assert.match(answer.required.error, /^invalid_exact_(evm_signature|svm_payload_transaction)/)
    })

    scenario('settlement is pending, then done: paid, asked twice', async () => {
      const payer = await wallet()
      await behave('settle', payer, { act: 'pending', status: 409 })
      const { answer } = await pays(payer, routes.paid)
      assertPaid(answer, payer)
      const [{ settle_asked, settled }] = await booksOf(payer)
      assert.deepEqual({ settle_asked, settled }, { settle_asked: 2, settled: true })
    })

    scenario('settlement stays pending: 402 that says so, asked twice', async () => {
      const payer = await wallet()
      await behave('settle', payer, { act: 'pending' }, { act: 'pending' })
      const { answer } = await pays(payer, routes.paid)
      assertNoGoods(answer)
      assert.deepEqual([answer.status, answer.paid.success, answer.paid.errorReason], [402, false, 'settlement_pending'])
      assert.equal((await booksOf(payer))[0].settle_asked, 2)
    })

    scenario('pending without a transaction is asked once', async () => {
      const payer = await wallet()
      await behave('settle', payer, { act: 'pending', transaction: false })
      const { answer } = await pays(payer, routes.paid)
      assert.deepEqual([answer.status, answer.paid.errorReason], [402, 'settlement_pending'])
      assert.equal((await booksOf(payer))[0].settle_asked, 1)
    })
  })
}

/** Changes one bit of what the payer signed. */
function tamper(payload) {
  if (payload.transaction) {
    const bytes = Buffer.from(payload.transaction, 'base64')
    bytes[bytes.length - 3] ^= 1
    payload.transaction = bytes.toString('base64')
  } else {
    payload.authorization.nonce = payload.authorization.nonce.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'))
  }
}

// Of each: what the facilitator does, and the answer of either server. A reference that turns a fault of the
// facilitator into a 402 invites a second payment; the gateway never does.
const verifyFaults = [
  ['hangs', { act: 'hang' }, { gateway: 504, reference: 502 }],
  ['drops before it reads', { act: 'drop', when: 'before-reading' }, { gateway: 502, reference: 402 }],
  ['drops after it read', { act: 'drop', when: 'after-reading' }, { gateway: 502, reference: 402 }],
  ['fails', { act: 'fault', status: 500 }, { gateway: 502, reference: 402 }],
  ['is busy', { act: 'busy', retry_after: 1 }, { gateway: 502, reference: 402 }],
  ['answers HTML', { act: 'nonsense', kind: 'html' }, { gateway: 502, reference: 502 }],
  ['answers text', { act: 'nonsense', kind: 'text' }, { gateway: 502, reference: 502 }],
  ['answers the wrong shape', { act: 'nonsense', kind: 'shape' }, { gateway: 502, reference: 502 }],
  ['answers null', { act: 'nonsense', kind: 'null' }, { gateway: 502, reference: 502 }],
  ['answers nothing', { act: 'nonsense', kind: 'empty' }, { gateway: 502, reference: 502 }],
  ['answers half of its JSON', { act: 'nonsense', kind: 'truncated' }, { gateway: 502, reference: 502 }],
  ['answers megabytes', { act: 'nonsense', kind: 'megabytes' }, { gateway: 502, reference: 200 }],
  ['names another payer', { act: 'lie', payer: OTHER }, { gateway: 502, reference: 200 }],
]

describe('a payment by Permit2', () => {
  const [{ wallet }] = namespaces
  scenario('without an allowance gets 412 and the challenge', async () => {
    const payer = await wallet()
    await behave('verify', payer, { act: 'refuse', reason: 'permit2_allowance_required' })
    const answer = await uptoClient(payer).fetch(routes.paid.path)
    assert.equal(answer.status, 412, answer.text)
    assertNoGoods(answer)
    assert.match(answer.required.error, /^permit2_allowance_required/)
  })
})

describe('a facilitator that fails in verify', () => {
  const [{ wallet }] = namespaces
  for (const [name, behaviour, statuses] of verifyFaults) {
    scenario(`${name}: ${statuses.gateway}, nothing is asked of the upstream or settled`, async () => {
      const payer = await wallet()
      await behave('verify', payer, behaviour)
      const { result, calls } = await countCalls(`GET ${routes.paid.path}`, payer, () => pays(payer, routes.paid))
      const { answer } = result
      assert.equal(answer.status, answerOf(statuses), answer.text)
      if (answer.status === 200) return
      assertNoGoods(answer)
      assert.deepEqual(calls, { verify: 1, settle: 0, upstream: 0 })
      if (answerOf({ gateway: true, reference: false })) {
        assert.equal(answer.body.code, answer.status === 504 ? 'facilitator_timeout' : 'facilitator_error')
        assert.deepEqual([answer.required, answer.paid], [null, null])
      }
      assert.deepEqual(await paidBy(payer), [])
    })
  }
})

const settleFaults = [
  ['hangs', { act: 'hang' }, { gateway: 504, reference: 502 }],
  ['drops after it read', { act: 'drop', when: 'after-reading' }, { gateway: 502, reference: 402 }],
  ['drops after it settled', { act: 'drop', when: 'after-settling' }, { gateway: 502, reference: 402 }],
  ['fails', { act: 'fault', status: 500 }, { gateway: 502, reference: 402 }],
  ['fails after it settled', { act: 'fault', status: 503, settles: true }, { gateway: 502, reference: 402 }],
  ['answers HTML', { act: 'nonsense', kind: 'html' }, { gateway: 502, reference: 502 }],
  ['answers the wrong shape', { act: 'nonsense', kind: 'shape' }, { gateway: 502, reference: 502 }],
  ['answers half of its JSON', { act: 'nonsense', kind: 'truncated', settles: true }, { gateway: 502, reference: 502 }],
  ['answers megabytes', { act: 'nonsense', kind: 'megabytes', settles: true }, { gateway: 502, reference: 502 }],
  ['names another payer', { act: 'lie', payer: OTHER }, { gateway: 502, reference: 200 }],
  ['names another network', { act: 'lie', network: 'eip155:1' }, { gateway: 502, reference: 200 }],
]

describe('a facilitator that fails in settle', () => {
  const [{ wallet }] = namespaces
  for (const [name, behaviour, statuses] of settleFaults) {
    scenario(`${name}: ${statuses.gateway}, and no content`, async () => {
      const payer = await wallet()
      await behave('settle', payer, behaviour)
      const { answer } = await pays(payer, routes.paid)
      assert.equal(answer.status, answerOf(statuses), answer.text)
      if (answer.status === 200) return
      assertNoGoods(answer)
      if (answerOf({ gateway: false, reference: true })) return
      assert.equal(answer.body.code, 'settlement_outcome_unknown')
      assert.deepEqual([answer.required, answer.paid], [null, null])
    })
  }

  const unknown = { gatewayOnly: 'keeps no unknown outcomes' }

  scenario('an answer that was lost: the same payment again is served, and settled once', unknown, async () => {
    const payer = await wallet()
    await behave('settle', payer, { act: 'drop', when: 'after-settling' })
    const { client, answer } = await pays(payer, routes.paid)
    assert.deepEqual([answer.status, answer.body.code], [502, 'settlement_outcome_unknown'])
    const again = await ask(routes.paid.path, { 'payment-signature': paymentOf(client) })
    // Whoever asks the facilitator first: this request, or the gateway by itself before it came.
    assert.ok([200, 409].includes(again.status), again.text)
    assert.equal(again.paid?.success, true)
    assert.deepEqual(await paidBy(payer), [routes.paid.amount])
    assertGranted(await payingClient(payer, { signIn: true }).fetch(routes.paid.path))
    assert.equal((await booksOf(payer))[0].asked_after_answer, 0)
  })

  scenario('an answer that was lost, and a facilitator that calls it used: 409, and nobody is granted anything', unknown, async () => {
    const payer = await wallet()
    await repeat('refuse')
    await behave('settle', payer, { act: 'drop', when: 'after-settling' })
    const { client } = await pays(payer, routes.paid)
    const again = await ask(routes.paid.path, { 'payment-signature': paymentOf(client) })
    assert.equal(again.status, 409, again.text)
    assertNoGoods(again)
    await assertNotEntitled(payer)
  })

  scenario('a payer that settlement does not name is not granted to somebody else', async () => {
    const payer = await wallet()
    await behave('settle', payer, { act: 'lie', omit: ['payer'] })
    const { answer } = await pays(payer, routes.paid)
    assert.equal(answer.status, 200, answer.text)
    const again = await payingClient(payer, { signIn: true }).fetch(routes.paid.path)
    // The gateway takes the payer that verify named; the reference records nobody, so the wallet pays again.
    assert.equal(again.paid === null, answerOf({ gateway: true, reference: false }))
  })

  scenario('a slow settlement is waited for', async () => {
    const payer = await wallet()
    await behave('settle', payer, { act: 'honest', delay_ms: 800 })
    const { answer } = await pays(payer, routes.paid)
    assertPaid(answer, payer)
  })
})
