// Starts the test facilitator and says where it is, in one line of JSON.
//
//     node facilitator.js [--journal FILE] [--port PORT]
//
// With a journal it keeps its books through crashes and restarts. It ends on SIGTERM and SIGINT.

import process from 'node:process'
import { parseArgs } from 'node:util'

import { startFacilitator } from './facilitator/server.js'

const { values } = parseArgs({ options: { journal: { type: 'string' }, port: { type: 'string', default: '0' } } })
const { url, close } = await startFacilitator({ journal: values.journal ?? null, port: Number(values.port) })
console.log(JSON.stringify({ url, port: Number(new URL(url).port) }))

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, async () => {
    await close()
    process.exit(0)
  })
}
