// `wrapFetchWithSIWx` signs for the first network of the challenge, and never pays.

import assert from 'node:assert/strict'
import { describe } from 'node:test'

import { wrapFetchWithSIWx } from '@x402/extensions/sign-in-with-x'

import {
  assertChallenged,
  assertGranted,
  honestFacilitator,
  namespaces,
  paidBy,
  pays,
  read,
  recording,
  routes,
  scenario,
  target,
} from './clients.js'

honestFacilitator()

/** A client that signs in with this wallet and does nothing else. */
function signingClient(wallet) {
  const { exchanges, recordingFetch } = recording()
  const signIn = wrapFetchWithSIWx(recordingFetch, wallet.signer)
  return { exchanges, fetch: async (path) => read(await signIn(target.base + path)) }
}

const { title, wallet } = namespaces.find(({ namespace }) => namespace === target.first)

describe(`wrapFetchWithSIWx on ${title}`, () => {
  scenario('signs in with a wallet that has paid', async () => {
    const payer = await wallet()
    await pays(payer, routes.paid)
    const client = signingClient(payer)
    assertGranted(await client.fetch(routes.paid.path))
    assertGranted(await client.fetch(routes.paid.path))
    assert.deepEqual(
      client.exchanges.map(({ status }) => status),
      [402, 200, 402, 200],
    )
    assert.deepEqual(await paidBy(payer), [routes.paid.amount])
  })

  scenario('is challenged again with a wallet that has not', async () => {
    const client = signingClient(await wallet())
    const answer = await client.fetch(routes.paid.path)
    assertChallenged(answer)
    assert.deepEqual(
      client.exchanges.map(({ proof }) => proof !== null),
      [false, true],
    )
  })

  scenario('gives up on a route for sign-in alone, which names no network to pay on', async () => {
    const client = signingClient(await wallet())
    assertChallenged(await client.fetch(routes.sign_in_only.path))
    assert.deepEqual(
      client.exchanges.map(({ proof }) => proof !== null),
      [false],
    )
  })

  scenario('a wallet of another namespace than the first network signs nothing', async () => {
    const other = namespaces.find(({ namespace }) => namespace !== target.first)
    const payer = await other.wallet()
    await pays(payer, routes.paid)
    const client = signingClient(payer)
    assertChallenged(await client.fetch(routes.paid.path))
    assert.deepEqual(
      client.exchanges.map(({ proof }) => proof !== null),
      [false],
    )
  })
})
