// The reference: the published express middleware with its sign-in extension, set up like the gateway of
// `gateway.toml.in`, so that the scenarios can be proved against it.
//
//     node reference.js --facilitator URL --upstream URL --port PORT --cert FILE --key FILE [--first solana]
//
// It has no plans, no shop and no tokens: a plan's route is here a route with the plan's price.

import { Buffer } from 'node:buffer'
import fs from 'node:fs'
import https from 'node:https'
import process from 'node:process'
import { parseArgs } from 'node:util'

import { HTTPFacilitatorClient } from '@x402/core/server'
import { ExactEvmScheme } from '@x402/evm/exact/server'
import { UptoEvmScheme } from '@x402/evm/upto/server'
import { paymentMiddlewareFromHTTPServer, x402HTTPResourceServer, x402ResourceServer } from '@x402/express'
import { InMemorySIWxStorage, createSIWxResourceServerExtension, declareSIWxExtension } from '@x402/extensions/sign-in-with-x'
import { ExactSvmScheme } from '@x402/svm/exact/server'
import express from 'express'

const text = { type: 'string' }
const { values } = parseArgs({ options: { facilitator: text, upstream: text, port: text, cert: text, key: text, first: text } })
const origin = `https://localhost:${values.port}`

const EVM = 'eip155:84532'
const SOLANA = 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1'
const EVM_SELLER = '0x209693Bc6afc0C5328bA36FaF03C514EF312287C'
const SOLANA_SELLER = 'EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w'

function accepts(price, extra = {}) {
  const evm = { scheme: 'exact', price, network: EVM, payTo: EVM_SELLER, maxTimeoutSeconds: 60, extra }
  const solana = { scheme: 'exact', price, network: SOLANA, payTo: SOLANA_SELLER, maxTimeoutSeconds: 60, extra }
  const upto = { scheme: 'upto', price, network: EVM, payTo: EVM_SELLER, maxTimeoutSeconds: 60, extra }
  const exact = values.first === 'solana' ? [solana, evm] : [evm, solana]
  return extra.paymentFlow === 'upfront' ? exact : [...exact, upto]
}

const extensions = declareSIWxExtension({ statement: 'Sign in to use the paid API', expirationSeconds: 300 })
const signInOnly = declareSIWxExtension({ network: [EVM, SOLANA], statement: 'Sign in to use the paid API', expirationSeconds: 300 })
const routes = {
  'GET /premium/weather': { accepts: accepts('$0.01'), description: 'Weather', mimeType: 'application/json', extensions },
  'GET /premium/dear': { accepts: accepts('$0.50'), description: '', mimeType: '', extensions },
  'POST /orders': { accepts: accepts('$0.01', { paymentFlow: 'upfront' }), description: '', mimeType: '', extensions },
  'GET /plan/report': { accepts: accepts('$5.00', { plan: 'nano' }), description: '', mimeType: '', extensions },
  'GET /members': { accepts: [], description: '', mimeType: '', extensions: signInOnly },
}

const TIMEOUT_MS = 2000
const resourceServer = new x402ResourceServer(new HTTPFacilitatorClient({ url: values.facilitator, timeoutMs: TIMEOUT_MS }))
  .register('eip155:*', new ExactEvmScheme())
  .register('eip155:*', new UptoEvmScheme())
  .register('solana:*', new ExactSvmScheme())
  .registerExtension(createSIWxResourceServerExtension({ storage: new InMemorySIWxStorage(), origin }))

const app = express()
app.set('trust proxy', false)
app.use(paymentMiddlewareFromHTTPServer(new x402HTTPResourceServer(resourceServer, routes)))
app.use(express.raw({ type: () => true }), async (request, response) => {
  const { connection: _, 'content-length': __, host: ___, ...headers } = request.headers
  const hasBody = !['GET', 'HEAD'].includes(request.method)
  const body = hasBody && Buffer.isBuffer(request.body) ? request.body : undefined
  const answer = await fetch(values.upstream + request.originalUrl, { method: request.method, headers, body })
  response.status(answer.status)
  for (const name of ['content-type', 'x-upstream', 'settlement-overrides']) {
    if (answer.headers.has(name)) response.set(name, answer.headers.get(name))
  }
  response.send(Buffer.from(await answer.arrayBuffer()))
})

const server = https.createServer({ cert: fs.readFileSync(values.cert), key: fs.readFileSync(values.key) }, app)
server.listen(Number(values.port), '127.0.0.1', () => console.log(JSON.stringify({ url: origin, port: Number(values.port) })))

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0))
