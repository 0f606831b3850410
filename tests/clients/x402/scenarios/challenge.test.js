// What a client is offered before it has paid.

import assert from 'node:assert/strict'
import { describe } from 'node:test'

import { answerOf, ask, assertChallenged, countCalls, honestFacilitator, routes, scenario, target } from './clients.js'

honestFacilitator()
const { host } = new URL(target.base)
const USDC = { eip155: '0x036CbD53842c5426634e7929541eC2318f3dCF7e', solana: '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU' }

async function supported(network, scheme) {
  const { kinds } = await (await fetch(`${target.facilitator}/supported`)).json()
  return kinds.find((kind) => kind.network === network && kind.scheme === scheme).extra
}

describe('challenge', () => {
  scenario('a free route asks for nothing', async () => {
    const answer = await ask(routes.free.path)
    assert.deepEqual([answer.status, answer.fromUpstream, answer.required], [200, true, null])
  })

  scenario('an unpaid request is offered the terms and a sign-in, and reaches nobody', async () => {
    const { path, amount } = routes.paid
    const { result: answer, calls } = await countCalls(`GET ${path}`, null, () => ask(`${path}?city=K%C3%B6ln`))
    assertChallenged(answer)
    assert.deepEqual(calls, { verify: 0, settle: 0, upstream: 0 })
    const url = `${target.base}${path}?city=K%C3%B6ln`
    assert.deepEqual(answer.required.resource, { url, description: 'Weather', mimeType: 'application/json' })
    const terms = (namespace, scheme, extra) => ({
      ...{ scheme, network: target.networks[namespace], amount, asset: USDC[namespace], payTo: target.pay_to[namespace] },
      ...{ maxTimeoutSeconds: 60, extra },
    })
    const { facilitatorAddress } = await supported(target.networks.eip155, 'upto')
    assert.deepEqual(answer.required.accepts, [
      terms('eip155', 'exact', { name: 'USDC', version: '2' }),
      terms('solana', 'exact', await supported(target.networks.solana, 'exact')),
      terms('eip155', 'upto', { name: 'USDC', version: '2', assetTransferMethod: 'permit2', facilitatorAddress }),
    ])

    const { info, supportedChains } = answer.required.extensions['sign-in-with-x']
    const { nonce, issuedAt, expirationTime, ...fixed } = info
    assert.deepEqual(fixed, { domain: host, uri: url, version: '1', resources: [url], statement: 'Sign in to use the paid API' })
    assert.match(nonce, /^[A-Za-z0-9]{8,}$/)
    assert.ok(Math.abs(Date.parse(issuedAt) - Date.now()) < 60_000, issuedAt)
    // The reference looks at its clock twice.
    const lifetime = Date.parse(expirationTime) - Date.parse(issuedAt)
    assert.ok(lifetime >= 300_000 && lifetime <= answerOf({ gateway: 300_000, reference: 301_000 }), `found ${lifetime}`)
    assert.deepEqual(supportedChains, [
      { chainId: target.networks.eip155, type: 'eip191' },
      { chainId: target.networks.solana, type: 'ed25519' },
    ])
  })

  scenario('each challenge has a nonce of its own', async () => {
    const nonces = await Promise.all(
      [1, 2, 3].map(async () => (await ask(routes.paid.path)).required.extensions['sign-in-with-x'].info.nonce),
    )
    assert.equal(new Set(nonces).size, 3)
  })

  scenario('a method with effects announces that it is settled before', async () => {
    const answer = await ask(routes.order.path, {}, 'POST')
    assertChallenged(answer)
    const exact = answer.required.accepts.filter(({ scheme }) => scheme === 'exact')
    assert.deepEqual(
      exact.map(({ extra }) => extra.paymentFlow),
      ['upfront', 'upfront'],
    )
  })

  scenario('a plan names itself in its terms', async () => {
    const answer = await ask(routes.plan.path)
    assertChallenged(answer)
    assert.ok(answer.required.accepts.every(({ amount, extra }) => amount === routes.plan.amount && extra.plan === routes.plan.name))
  })

  scenario('a route for sign-in alone asks for no payment', async () => {
    const answer = await ask(routes.sign_in_only.path)
    assertChallenged(answer)
    assert.deepEqual(answer.required.accepts, [])
    assert.equal(answer.required.extensions['sign-in-with-x'].supportedChains.length, 2)
  })

  scenario('the body tells people what the header tells clients', { gatewayOnly: 'sends {} as body' }, async () => {
    const answer = await ask(routes.paid.path)
    assert.deepEqual([answer.body.x402Version, answer.body.accepts], [2, answer.required.accepts])
  })

  scenario('a payment of version 1 is no payment', async () => {
    const answer = await ask(routes.paid.path, { 'x-payment': Buffer.from('{"x402Version":1}').toString('base64') })
    assertChallenged(answer)
  })
})
