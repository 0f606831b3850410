// The node fails: whoever needs it is told to come again, everybody else does not notice.

import assert from 'node:assert/strict'
import { afterEach, describe, test } from 'node:test'

import {
  assertSignedIn,
  assertUnavailable,
  asking,
  BASE,
  behave,
  chains,
  DEADLINE_MILLIS,
  ETHEREUM,
  present,
  SLACK_MILLIS,
  textFor,
  timed,
  until,
  YES_MILLIS,
} from './gateway.js'

afterEach(async () => {
  for (const door of ['ethereum', 'base', 'base-spare']) await behave(door, 'honest')
})

describe('the only node of a chain', () => {
  for (const act of ['down', 'hang', 'busy', 'limited', 'html', 'stranger', 'null', 'elsewhere']) {
    test(`one that is ${act}: contracts wait, keys are let in, and all is well when it is back`, async () => {
      const wallet = await chains.owned(ETHEREUM)
      const key = chains.keyPair(ETHEREUM)
      assertSignedIn(await present(wallet), wallet, 'eip1271')
      await behave('ethereum', act)
      const { answer, millis } = await timed(() => present(wallet))
      assertUnavailable(answer)
      assert.ok(millis < DEADLINE_MILLIS, `it took ${millis} ms`)
      assertSignedIn(await present(key), key, 'eip191')
      await behave('ethereum', 'honest')
      assertSignedIn(await present(wallet), wallet, 'eip1271')
    })
  }

  test('nobody is refused for good: the same token is good when it is back', async () => {
    const wallet = await chains.counterfactual(ETHEREUM)
    const text = textFor(wallet)
    const signature = await wallet.sign(text)
    await behave('ethereum', 'down')
    assertUnavailable(await present(wallet, { text, signature }))
    await behave('ethereum', 'honest')
    assertSignedIn(await present(wallet, { text, signature }), wallet, 'eip6492')
  })

  test('a yes outlives the node for its time, and ends with it', async () => {
    const wallet = await chains.owned(ETHEREUM)
    const text = textFor(wallet)
    const signature = await wallet.sign(text)
    const begun = Date.now()
    assertSignedIn(await present(wallet, { text, signature }), wallet, 'eip1271')
    await behave('ethereum', 'down')
    const ended = ({ status }) => status !== 200
    assertUnavailable(await until(ended, YES_MILLIS + SLACK_MILLIS, () => present(wallet, { text, signature })))
    assert.ok(Date.now() - begun >= YES_MILLIS, 'a yes is remembered')
  })
})

describe('the first of two nodes of a chain', () => {
  for (const act of ['down', 'hang', 'busy', 'limited', 'html', 'stranger', 'null', 'elsewhere']) {
    test(`one that is ${act}: the other is asked`, async () => {
      const wallet = await chains.owned(BASE)
      await behave('base', act)
      const { answer, asked } = await asking(() => present(wallet))
      assertSignedIn(answer, wallet, 'eip1271')
      assert.equal(asked.at(-1), 'base-spare')
      await behave('base', 'honest')
    })
  }

  test('both are down: contracts of that chain wait, those of another do not', async () => {
    await behave('base', 'down')
    await behave('base-spare', 'down')
    assertUnavailable(await present(await chains.owned(BASE)))
    const elsewhere = await chains.owned(ETHEREUM)
    assertSignedIn(await present(elsewhere), elsewhere, 'eip1271')
  })

  test('a no of the first is believed, and the other is not asked', async () => {
    const wallet = await chains.owned(BASE)
    const { answer, asked } = await asking(() => present({ ...wallet, sign: chains.keyPair(BASE).sign }))
    assert.equal(answer.status, 401)
    assert.equal(asked.length, 1)
  })
})
