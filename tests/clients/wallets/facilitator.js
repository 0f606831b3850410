// A facilitator that takes every payment for good: here it only matters who has paid, and on which chain. It says where
// it is in one line of JSON, and ends on SIGTERM and SIGINT.

import { Buffer } from 'node:buffer'
import http from 'node:http'
import process from 'node:process'
import { json } from 'node:stream/consumers'

const KIND = { x402Version: 2, scheme: 'exact', network: 'eip155:8453' }

const answers = {
  'GET /supported': () => ({ kinds: [KIND], extensions: [], signers: {} }),
  'POST /verify': ({ payer }) => ({ isValid: true, payer }),
  'POST /settle': ({ payer, amount, nonce }) => ({ success: true, payer, transaction: nonce, network: KIND.network, amount }),
}

/** Whoever authorised it has paid, under a nonce that stands for the transaction. */
function paymentOf({ paymentPayload, paymentRequirements }) {
  const { from: payer, nonce } = paymentPayload.payload.authorization
  return { payer, nonce, amount: paymentRequirements.amount }
}

const server = http.createServer(async (request, response) => {
  const payment = request.method === 'POST' ? paymentOf(await json(request)) : null
  const text = JSON.stringify(answers[`${request.method} ${request.url}`](payment))
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.end(text)
})

server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` })))

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0))
