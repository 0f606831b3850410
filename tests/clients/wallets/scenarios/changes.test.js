// Contracts change their mind: what one said is believed for `cache.contracts.ttl`, and no longer.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { newKey } from '../families/evm.js'
import {
  assertBadSignature,
  assertSignedIn,
  chains,
  ETHEREUM,
  NO_MILLIS,
  present,
  SLACK_MILLIS,
  textFor,
  timed,
  until,
  YES_MILLIS,
} from './gateway.js'

describe('a contract that is handed on', () => {
  test('is closed to its old owner within the life of the yes, and open to the next at once', async () => {
    const wallet = await chains.owned(ETHEREUM)
    const text = textFor(wallet)
    const signature = await wallet.sign(text)
    assertSignedIn(await present(wallet, { text, signature }), wallet, 'eip1271')
    const next = newKey()
    await wallet.handTo(next)
    const { answer, millis } = await timed(() =>
      until(({ status }) => status !== 200, YES_MILLIS + SLACK_MILLIS, () => present(wallet, { text, signature })),
    )
    assertBadSignature(answer)
    assert.ok(millis < YES_MILLIS + SLACK_MILLIS, `it took ${millis} ms`)
    assertSignedIn(await present({ ...wallet, sign: (text) => next.signMessage({ message: text }) }), wallet, 'eip1271')
  })

  test('a new text of the old owner is refused at once', async () => {
    const wallet = await chains.owned(ETHEREUM)
    assertSignedIn(await present(wallet), wallet, 'eip1271')
    await wallet.handTo(newKey())
    assertBadSignature(await present(wallet))
  })

  test('asking all the time does not lengthen the life of a yes', async () => {
    const wallet = await chains.counterfactual(ETHEREUM)
    await wallet.deploy()
    const text = textFor(wallet)
    const signature = await wallet.sign(text)
    const begun = Date.now()
    while (Date.now() < begun + YES_MILLIS / 2) {
      assertSignedIn(await present(wallet, { text, signature }), wallet, 'eip6492')
    }
    await wallet.handTo(newKey())
    const millis = YES_MILLIS + SLACK_MILLIS
    assertBadSignature(await until(({ status }) => status !== 200, millis, () => present(wallet, { text, signature })))
  })
})

describe('a no', () => {
  test('is forgotten when the contract changes its mind', async () => {
    const wallet = await chains.owned(ETHEREUM)
    const next = newKey()
    const text = textFor(wallet)
    const signature = await next.signMessage({ message: text })
    assertBadSignature(await present(wallet, { text, signature }))
    await wallet.handTo(next)
    const answer = await until(({ status }) => status === 200, NO_MILLIS + SLACK_MILLIS, () => present(wallet, { text, signature }))
    assertSignedIn(answer, wallet, 'eip1271')
  })
})
