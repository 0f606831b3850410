// Starts the node that the scenarios' gateway asks, and says in one line of JSON where it is.
//
// Base has two doors; one door says it is OP Mainnet's, but leads to Ethereum; and ZKsync runs no code that is not
// deployed, but has a validator. It ends on SIGTERM and SIGINT.

import process from 'node:process'

import { Chains } from './families/evm.js'
import { startNode } from './node/server.js'

const { control, doors, close } = await startNode({
  chains: { 'eip155:1': { id: 1 }, 'eip155:8453': { id: 8453 }, 'eip155:324': { id: 324, runsCode: false } },
  doors: {
    ethereum: 'eip155:1',
    base: 'eip155:8453',
    'base-spare': 'eip155:8453',
    optimism: 'eip155:1',
    zksync: 'eip155:324',
  },
})
const validator = await new Chains(control).deploy('eip155:324', 'Validator')
console.log(JSON.stringify({ control, doors, validator }))

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, async () => {
    await close()
    process.exit(0)
  })
}
