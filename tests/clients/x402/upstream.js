// The service behind the gateway: it tells what it saw, and counts how often it was asked.
//
//     GET /-/calls   { "GET /premium/weather": 2, … }, asked past the gateway
//     anything else  200 and JSON: method, path, headers, body; a client may ask by header for another outcome:
//                    x-upstream-status    this status, and a body that must not reach who has not paid
//                    x-upstream-charge    the value of Settlement-Overrides
//                    x-upstream-delay-ms  to wait before the head
//
// `x-upstream: 1` marks its answers, so that none of them is taken for the gateway's own.

import { Buffer } from 'node:buffer'
import http from 'node:http'
import process from 'node:process'

const calls = {}

const server = http.createServer(async (request, response) => {
  const pieces = []
  for await (const piece of request) pieces.push(piece)
  const { pathname } = new URL(request.url, 'http://localhost')
  if (pathname === '/-/calls') return send(response, 200, {}, calls)

  const name = `${request.method} ${pathname}`
  calls[name] = (calls[name] ?? 0) + 1
  const { 'x-upstream-status': status = '200', 'x-upstream-charge': charge, 'x-upstream-delay-ms': delay = '0' } = request.headers
  await new Promise((resolve) => setTimeout(resolve, Number(delay)))
  const headers = { 'x-upstream': '1', ...(charge && { 'settlement-overrides': charge }) }
  const seen = { method: request.method, path: request.url, headers: request.headers, body: Buffer.concat(pieces).toString('latin1') }
  send(response, Number(status), headers, { upstream: 'the goods', ...seen })
})

function send(response, status, headers, body) {
  const text = JSON.stringify(body)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...headers })
  response.end(text)
}

server.listen(0, '127.0.0.1', () => {
  const { port } = server.address()
  console.log(JSON.stringify({ url: `http://127.0.0.1:${port}`, port }))
})

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0))
