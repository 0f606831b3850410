// Plans: bought on their own routes or in the shop, and opened by proof or token afterwards.

import assert from 'node:assert/strict'
import { describe } from 'node:test'

import {
  ask,
  assertChallenged,
  assertGranted,
  assertPaid,
  countCalls,
  honestFacilitator,
  namespaces,
  paidBy,
  payingClient,
  paymentOf,
  routes,
  scenario,
} from './clients.js'

honestFacilitator()

const { plan, shop } = routes
const noShop = { gatewayOnly: 'has no shop' }
const noTokens = { gatewayOnly: 'takes no tokens' }
const purchase = `${shop.path}/purchase?plan=${plan.name}`

// A stock client pays up to a dollar; a plan costs more.
const spend = { maxAmountPerPayment: '$10' }

/** Asserts that a plan ends `periods` periods from now, within a minute. */
function assertEnds(expiresAt, periods) {
  const expected = Date.now() + periods * plan.period_secs * 1000
  assert.ok(
    Math.abs(Date.parse(expiresAt) - expected) < 60_000,
    `expected an end at ${new Date(expected).toISOString()}, found ${expiresAt}`,
  )
}

for (const { title, wallet } of namespaces) {
  describe(`a plan on ${title}`, () => {
    scenario('is too dear for a stock client as it comes', async () => {
      const payer = await wallet()
      const client = payingClient(payer)
      await assert.rejects(client.fetch(plan.path), /Failed to create payment payload/)
      assert.deepEqual(await paidBy(payer), [])
    })

    scenario('is bought by the very request that wanted it, and opens by proof', async () => {
      const payer = await wallet()
      const client = payingClient(payer, { spend, signIn: true })
      assertPaid(await client.fetch(plan.path), payer)
      assertGranted(await client.fetch(plan.path))
      assert.deepEqual(await paidBy(payer), [plan.amount])
    })

    scenario('is bought in the shop, with a receipt', noShop, async () => {
      const payer = await wallet()
      const client = payingClient(payer, { spend, signIn: true })
      const answer = await client.fetch(purchase)
      assert.equal(answer.status, 200, answer.text)
      const { expiresAt, txHash, address, ...receipt } = answer.body
      assert.deepEqual(receipt, { status: 'ok', plan: plan.name, chain: payer.chain })
      assert.deepEqual([txHash, address], [answer.paid.transaction, payer.address])
      assertEnds(expiresAt, 1)
      assert.match(answer.headers.get('cache-control'), /private/)
      assert.match(answer.headers.get('cache-control'), /no-store/)
      assertGranted(await client.fetch(plan.path))
      assert.deepEqual(await paidBy(payer), [plan.amount])
    })

    scenario('is the same whether it was bought in the shop by POST', noShop, async () => {
      const payer = await wallet()
      const client = payingClient(payer, { spend })
      const answer = await client.fetch(purchase, { method: 'POST' })
      assert.deepEqual([answer.status, answer.body?.plan], [200, plan.name])
    })

    scenario('is extended by buying again, and not by the same payment', noShop, async () => {
      const payer = await wallet()
      const client = payingClient(payer, { spend })
      const first = await client.fetch(purchase)
      const { result: replayed, calls } = await countCalls('', payer, () => ask(purchase, { 'payment-signature': paymentOf(client) }))
      assert.deepEqual([replayed.status, replayed.body], [200, first.body])
      assert.deepEqual(calls, { verify: 0, settle: 0, upstream: 0 })
      const second = await client.fetch(purchase)
      assert.equal(Date.parse(second.body.expiresAt) - Date.parse(first.body.expiresAt), plan.period_secs * 1000)
      assert.deepEqual(await paidBy(payer), [plan.amount, plan.amount])
    })

    scenario('opens by a token, again and again', noTokens, async () => {
      const payer = await wallet()
      await payingClient(payer, { spend }).fetch(purchase)
      const authorization = await payer.token()
      for (let time = 0; time < 3; time += 1) assertGranted(await ask(plan.path, { authorization }))
      assert.deepEqual(await paidBy(payer), [plan.amount])
    })

    scenario('a good token of a wallet without it is challenged, and a stock client pays at once', noTokens, async () => {
      const payer = await wallet()
      const authorization = await payer.token()
      assertChallenged(await ask(plan.path, { authorization }))
      const client = payingClient(payer, { spend })
      assertPaid(await client.fetch(plan.path, { headers: { authorization } }), payer)
      assertGranted(await ask(plan.path, { authorization }))
    })

    scenario('a paid route opens by a token as well', noTokens, async () => {
      const payer = await wallet()
      assertPaid(await payingClient(payer).fetch(routes.paid.path), payer)
      assertGranted(await ask(routes.paid.path, { authorization: await payer.token() }))
    })

    scenario('a token that has ended is refused by its name', noTokens, async () => {
      const payer = await wallet()
      await payingClient(payer, { spend }).fetch(plan.path)
      const now = Date.now()
      const ended = { issuedAt: new Date(now - 7200_000), expirationTime: new Date(now - 3600_000) }
      const refused = await ask(plan.path, { authorization: await payer.token(ended) })
      assert.deepEqual([refused.status, refused.body.error, refused.body.reason], [401, 'invalid_token', 'expired'])
      assert.match(
        refused.headers.get('www-authenticate'),
        /^SIWX realm="localhost:\d+", error="invalid_token", error_description="expired"$/,
      )
    })

    scenario('its status is shown to the wallet, and to no other', noShop, async () => {
      const payer = await wallet()
      const other = await wallet()
      await payingClient(payer, { spend }).fetch(purchase)
      const status = `${shop.path}/status?chain=${payer.chain}&address=${payer.address}`
      const shown = await ask(status, { authorization: await payer.token() })
      assert.deepEqual([shown.status, shown.body.plan, shown.body.active], [200, plan.name, true])
      assertEnds(shown.body.expiresAt, 1)
      assert.equal((await ask(status)).status, 401)
      assert.equal((await ask(status, { authorization: await other.token() })).status, 403)
    })
  })
}

describe('the shop', () => {
  scenario('lists its plans to everybody', noShop, async () => {
    const answer = await ask(`${shop.path}/pricing`)
    assert.equal(answer.status, 200, answer.text)
    const [first, ...others] = answer.body.plans ?? answer.body
    assert.deepEqual([first.name ?? first.plan, others], [plan.name, []])
  })

  scenario('offers a purchase under its whole URL', noShop, async () => {
    const answer = await ask(purchase)
    assertChallenged(answer)
    assert.ok(answer.required.resource.url.endsWith(purchase))
    assert.ok(answer.required.accepts.every(({ amount, extra }) => amount === plan.amount && extra.plan === plan.name))
  })

  scenario('knows no other plan', noShop, async () => {
    const answer = await ask(`${shop.path}/purchase?plan=gold`)
    assert.deepEqual([answer.status, answer.required], [404, null])
  })
})
