// Wallets that have paid come back by signing in.

import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { describe } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

import {
  answerOf,
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
  pays,
  recording,
  routes,
  scenario,
  target,
} from './clients.js'

honestFacilitator()

const statuses = (client) => client.exchanges.map(({ status }) => status)

for (const { title, wallet } of namespaces) {
  describe(`signing in on ${title}`, () => {
    scenario('comes back by signing in, and pays nothing', async () => {
      const payer = await wallet()
      const client = payingClient(payer, { signIn: true })
      assertPaid(await client.fetch(routes.paid.path), payer)
      const { result: answer, calls } = await countCalls(`GET ${routes.paid.path}`, payer, () => client.fetch(routes.paid.path))
      assertGranted(answer)
      assert.deepEqual(calls, { verify: 0, settle: 0, upstream: 1 })
      assert.deepEqual(await paidBy(payer), [routes.paid.amount])
      // First 402, proof 402, payment 200; then 402 and proof 200.
      assert.deepEqual(statuses(client), [402, 402, 200, 402, 200])
      if (target.kind === 'gateway') assert.equal(answer.body.headers['x-siwx-address'], payer.address)
    })

    scenario('falls back to payment while it has not paid', async () => {
      const payer = await wallet()
      const client = payingClient(payer, { signIn: true })
      assertPaid(await client.fetch(routes.paid.path), payer)
      assert.deepEqual(
        client.exchanges.map(({ proof, signature }) => [proof !== null, signature !== null]),
        [
          [false, false],
          [true, false],
          [false, true],
        ],
      )
    })

    scenario('comes back for another query of the route', async () => {
      const payer = await wallet()
      const client = payingClient(payer, { signIn: true })
      assertPaid(await client.fetch(`${routes.paid.path}?city=one`), payer)
      assertGranted(await client.fetch(`${routes.paid.path}?city=two`))
    })

    scenario('a proof is good for one request', { gatewayOnly: 'keeps no nonces in its own store, and grants again' }, async () => {
      const payer = await wallet()
      const client = payingClient(payer, { signIn: true })
      assertPaid(await client.fetch(routes.paid.path), payer)
      assertGranted(await client.fetch(routes.paid.path))
      const again = await ask(routes.paid.path, { 'sign-in-with-x': client.exchanges.at(-1).proof })
      assertChallenged(again)
      assert.equal(again.body.siwx.reason, 'invalid_siwx_nonce')
    })

    scenario('a proof that was refused for want of payment is not used up', async () => {
      const payer = await wallet()
      const client = payingClient(payer, { signIn: true })
      assertPaid(await client.fetch(routes.paid.path), payer)
      const [, { proof }] = client.exchanges
      assertGranted(await ask(routes.paid.path, { 'sign-in-with-x': proof }))
    })

    scenario('a proof with one letter of its signature changed is refused', async () => {
      const payer = await wallet()
      const client = payingClient(payer, { signIn: true })
      assertPaid(await client.fetch(routes.paid.path), payer)
      const said = JSON.parse(Buffer.from(client.exchanges[1].proof, 'base64'))
      const letter = said.signature[20] === '1' ? '2' : '1'
      said.signature = said.signature.slice(0, 20) + letter + said.signature.slice(21)
      const refused = await ask(routes.paid.path, { 'sign-in-with-x': Buffer.from(JSON.stringify(said)).toString('base64') })
      assertChallenged(refused)
      if (target.kind === 'gateway') assert.match(refused.body.siwx.reason, /^invalid_siwx_(malformed_)?signature$/)
    })

    scenario('who paid for a cheap route is not let into a dear one', async () => {
      const payer = await wallet()
      await pays(payer, routes.paid)
      const client = payingClient(payer, { signIn: true })
      assertPaid(await client.fetch(routes.dear.path), payer)
      assert.deepEqual(await paidBy(payer), [routes.paid.amount, routes.dear.amount])
    })

    scenario('what a payment says of its resource opens nothing', async () => {
      const payer = await wallet()
      const { client } = await pays(payer, routes.paid, { headers: { 'x-upstream-status': '500' } })
      const said = JSON.parse(Buffer.from(paymentOf(client), 'base64'))
      said.resource.url = target.base + routes.dear.path
      const signature = Buffer.from(JSON.stringify(said)).toString('base64')
      assertPaid(await ask(routes.paid.path, { 'payment-signature': signature }), payer)
      const { recordingFetch, exchanges } = recording()
      assert.equal((await recordingFetch(target.base + routes.dear.path)).status, 402)
      assert.equal(exchanges.length, 1)
      const dear = payingClient(payer, { signIn: true })
      const answer = await dear.fetch(routes.dear.path)
      // The reference files the payment under the dear path (it records what the client says).
      assert.equal(answer.paid === null, answerOf({ gateway: false, reference: true }))
    })

    scenario('a proof that opens the route keeps a payment from being taken', async () => {
      const payer = await wallet()
      const paid = payingClient(payer, { signIn: true })
      assertPaid(await paid.fetch(routes.paid.path), payer)
      const { client } = await pays(payer, routes.paid, { headers: { 'x-upstream-status': '500' } })
      const headers = { 'sign-in-with-x': paid.exchanges[1].proof, 'payment-signature': paymentOf(client) }
      assertGranted(await ask(routes.paid.path, headers))
      assert.deepEqual(await paidBy(payer), [routes.paid.amount])
    })

    scenario('access for a time ends with it', { gatewayOnly: 'knows access for ever alone' }, async () => {
      const payer = await wallet()
      const client = payingClient(payer, { signIn: true })
      assertPaid(await client.fetch(routes.short.path), payer)
      assertGranted(await client.fetch(routes.short.path))
      await sleep((routes.short.access_for_secs + 1) * 1000)
      assertPaid(await client.fetch(routes.short.path), payer)
      assert.deepEqual(await paidBy(payer), [routes.short.amount, routes.short.amount])
    })

    scenario('a route for sign-in alone lets every wallet in, for nothing', async () => {
      const visitor = await wallet()
      const client = payingClient(visitor, { signIn: true })
      assertGranted(await client.fetch(routes.sign_in_only.path))
      assert.deepEqual(statuses(client), [402, 200])
      assert.deepEqual(await paidBy(visitor), [])
    })

    scenario('a client that cannot sign in has nothing to pay with there', async () => {
      const client = payingClient(await wallet())
      await assert.rejects(client.fetch(routes.sign_in_only.path), /Failed to create payment payload/)
      assert.deepEqual(statuses(client), [402])
    })
  })
}
