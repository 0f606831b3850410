// Starts the node that the scenarios' gateway asks, and says in one line of JSON where it is.
//
// There are two chains. Base has two doors; and one door says it is OP Mainnet's, but leads to Ethereum. It ends on
// SIGTERM and SIGINT.

import process from 'node:process'

import { startNode } from './node/server.js'

const { control, doors, close } = await startNode({
  chains: { 'eip155:1': 1, 'eip155:8453': 8453 },
  doors: { ethereum: 'eip155:1', base: 'eip155:8453', 'base-spare': 'eip155:8453', optimism: 'eip155:1' },
})
console.log(JSON.stringify({ control, doors }))

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, async () => {
    await close()
    process.exit(0)
  })
}
