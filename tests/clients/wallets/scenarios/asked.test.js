// What the gateway asked the node, over all scenarios: nothing that nobody needs who checks a signature.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { allCalls } from './gateway.js'

test('the gateway asks for the chain and for verdicts, as nobody, of the latest block', async () => {
  const calls = await allCalls()
  assert.deepEqual(
    calls.filter(({ forbidden }) => forbidden !== null),
    [],
  )
  assert.deepEqual([...new Set(calls.map(({ method }) => method))].sort(), ['eth_call', 'eth_chainId'])
  const verdicts = calls.filter(({ method }) => method === 'eth_call')
  assert.deepEqual([...new Set(verdicts.map(({ params }) => params[1]))], ['latest'])
  const members = verdicts.map(({ params: [call] }) => Object.keys(call).sort().join())
  assert.deepEqual([...new Set(members)].sort(), ['data', 'data,to'])
})

test('every door is asked for its chain before anything else', async () => {
  const first = new Map()
  for (const { door, method } of await allCalls()) if (!first.has(door)) first.set(door, method)
  assert.deepEqual([...new Set(first.values())], ['eth_chainId'])
  assert.deepEqual([...first.keys()].sort(), ['base', 'base-spare', 'ethereum', 'optimism', 'zksync'])
})
