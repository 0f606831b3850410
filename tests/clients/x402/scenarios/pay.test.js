// The stock clients pay for routes.

import assert from 'node:assert/strict'
import { describe } from 'node:test'

import {
  ask,
  answerOf,
  assertChallenged,
  assertNoGoods,
  assertPaid,
  booksOf,
  countCalls,
  honestFacilitator,
  namespaces,
  paidBy,
  payingClient,
  paymentOf,
  pays,
  routes,
  scenario,
  uptoClient,
} from './clients.js'

honestFacilitator()

for (const { title, wallet } of namespaces) {
  describe(`paying on ${title}`, () => {
    scenario('pays for a route, and it is settled once', async () => {
      const payer = await wallet()
      const { result, calls } = await countCalls(`GET ${routes.paid.path}`, payer, () => pays(payer, routes.paid))
      assertPaid(result.answer, payer)
      assert.deepEqual(calls, { verify: 1, settle: 1, upstream: 1 })
      assert.deepEqual(
        result.client.exchanges.map(({ status }) => status),
        [402, 200],
      )
      const [payment, ...others] = await booksOf(payer)
      const { settled, answered, amount, asked_at_once, transaction } = payment
      assert.deepEqual(
        { settled, answered, amount, asked_at_once },
        { settled: true, answered: 1, amount: routes.paid.amount, asked_at_once: 1 },
      )
      assert.equal(result.answer.paid.transaction, transaction)
      assert.deepEqual(others, [])
    })

    scenario('pays for a request with a query', async () => {
      const payer = await wallet()
      const answer = await payingClient(payer).fetch(`${routes.paid.path}?city=K%C3%B6ln&units=si`)
      assertPaid(answer, payer)
      assert.equal(answer.body.path, `${routes.paid.path}?city=K%C3%B6ln&units=si`)
    })

    scenario('a client that does not sign in pays each time', async () => {
      const payer = await wallet()
      const client = payingClient(payer)
      assertPaid(await client.fetch(routes.paid.path), payer)
      assertPaid(await client.fetch(routes.paid.path), payer)
      assert.deepEqual(await paidBy(payer), [routes.paid.amount, routes.paid.amount])
    })

    scenario('pays before a method with effects, and verify is not asked', async () => {
      const payer = await wallet()
      const client = payingClient(payer)
      const { result: answer, calls } = await countCalls(`POST ${routes.order.path}`, payer, () =>
        client.fetch(routes.order.path, { method: 'POST', body: 'one of these', headers: { 'content-type': 'text/plain' } }),
      )
      assertPaid(answer, payer)
      assert.equal(answer.body.body, 'one of these')
      assert.deepEqual(calls, { verify: 0, settle: 1, upstream: 1 })
    })

    scenario('nobody pays for an error of the upstream, and the payment stays good', async () => {
      const payer = await wallet()
      const { client, answer } = await pays(payer, routes.paid, { headers: { 'x-upstream-status': '500' } })
      assert.deepEqual([answer.status, answer.fromUpstream, answer.paid], [500, true, null])
      assert.deepEqual(await paidBy(payer), [])
      const again = await ask(routes.paid.path, { 'payment-signature': paymentOf(client) })
      assertPaid(again, payer)
      assert.deepEqual(await paidBy(payer), [routes.paid.amount])
    })

    scenario('who paid before, and got an error, is told that it was paid', async () => {
      const payer = await wallet()
      const { answer } = await pays(payer, routes.order, { method: 'POST', headers: { 'x-upstream-status': '500' } })
      assert.deepEqual([answer.status, answer.fromUpstream, answer.paid?.success], [500, true, true])
      const client = payingClient(payer, { signIn: true })
      const again = await client.fetch(routes.order.path, { method: 'POST' })
      assert.deepEqual([again.status, again.fromUpstream, again.paid], [200, true, null])
      assert.deepEqual(await paidBy(payer), [routes.order.amount])
    })

    scenario('the same payment again gets nothing', async () => {
      const payer = await wallet()
      const { client, answer } = await pays(payer, routes.paid)
      const { result: again, calls } = await countCalls(`GET ${routes.paid.path}`, payer, () =>
        ask(routes.paid.path, { 'payment-signature': paymentOf(client) }),
      )
      assertNoGoods(again)
      // The reference asks the facilitator anew, and passes its refusal on.
      assert.equal(again.status, answerOf({ gateway: 409, reference: 402 }), again.text)
      if (again.status === 409) {
        assert.equal(again.body.code, 'payment_already_used')
        assert.deepEqual(again.paid, answer.paid)
        assert.deepEqual(calls, { verify: 0, settle: 0, upstream: 0 })
      }
      assert.deepEqual(await paidBy(payer), [routes.paid.amount])
    })

    scenario(
      'ten copies at once: one is served, settled and forwarded',
      { gatewayOnly: 'runs the handler for each copy' },
      async () => {
        const payer = await wallet()
        const { client } = await pays(payer, routes.paid, { headers: { 'x-upstream-status': '500' } })
        const headers = { 'payment-signature': paymentOf(client), 'x-upstream-delay-ms': '100' }
        const { result: answers, calls } = await countCalls(`GET ${routes.paid.path}`, payer, () =>
          Promise.all(Array.from({ length: 10 }, () => ask(routes.paid.path, headers))),
        )
        const statuses = answers.map(({ status }) => status).sort()
        assert.deepEqual(statuses, [200, ...Array(9).fill(409)])
        for (const answer of answers.filter(({ status }) => status === 409)) assertNoGoods(answer)
        assert.deepEqual([calls.settle, calls.upstream], [1, 1])
        const [{ settle_asked, asked_at_once }] = await booksOf(payer)
        assert.deepEqual({ settle_asked, asked_at_once }, { settle_asked: 1, asked_at_once: 1 })
      },
    )

    scenario('a payment for a cheap route opens no dear one', async () => {
      const payer = await wallet()
      const { client } = await pays(payer, routes.paid, { headers: { 'x-upstream-status': '500' } })
      const { result: answer, calls } = await countCalls(`GET ${routes.dear.path}`, payer, () =>
        ask(routes.dear.path, { 'payment-signature': paymentOf(client) }),
      )
      assertChallenged(answer)
      assert.equal(answer.required.error, 'No matching payment requirements')
      assert.deepEqual(calls, { verify: 0, settle: 0, upstream: 0 })
    })
  })
}

describe('paying up to a price on EVM', () => {
  const [{ wallet }] = namespaces

  for (const [charge, amount] of [
    [null, '10000'],
    ['{"amount":"2500"}', '2500'],
    ['{"amount":"50%"}', '5000'],
    ['{"amount":"$0.001"}', '1000'],
  ]) {
    scenario(`the upstream charges ${charge ?? 'nothing special'}: ${amount} units`, async () => {
      const payer = await wallet()
      const client = uptoClient(payer)
      const answer = await client.fetch(routes.paid.path, { headers: charge === null ? {} : { 'x-upstream-charge': charge } })
      assertPaid(answer, payer)
      assert.equal(answer.headers.get('settlement-overrides'), null)
      assert.deepEqual(await paidBy(payer), [amount])
    })
  }
})
